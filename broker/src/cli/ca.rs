//! `broker ca issue | install`: the next issuing CA, from a root that is kept elsewhere.
//!
//! Keeps DESIGN §3b (two keys): the root's key is read here, by the command, and by no broker that serves.

use std::path::{Path, PathBuf};

use certs::{IssuingCertificate, Root, SigningKey};

use super::{OrderFlags, write_output};
use crate::admin::{KeyShown, Order};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::keys::CaRequest;
use crate::state::{self, Folder, PrivateFile, StateError, read_bounded};

/// A request or a certificate is not longer than this.
const LONGEST: usize = 256 * 1024;

/// Make an issuing CA where the root is kept, and put it to use on a manager
#[derive(clap::Subcommand)]
pub(super) enum Ca {
    /// Where the root is kept: sign the request that 'broker rotate ca' made
    Issue(Issue),
    /// On the manager: put the certificate to use that 'broker ca issue' made
    Install(Install),
}

impl Ca {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Issue(issue) => issue.run(),
            Self::Install(install) => install.run(),
        }
    }
}

/// Where the root is kept: sign the request that 'broker rotate ca' made
///
/// Needs no broker and no Docker. Prints the certificate, which is no secret. With --new-key in place of a request it makes
/// the key as well, for brokers that are told with --issuing-key where it is kept.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Issue {
    /// The request, a file
    #[arg(required_unless_present = "new_key", conflicts_with = "new_key")]
    request: Option<PathBuf>,
    /// The folder that holds root.key and root.crt; only you may be able to read it
    #[arg(long, value_name = "DIR", default_value = state::DEFAULT)]
    root: PathBuf,
    /// Make a key, too, and write it to this new file, which only you can read
    #[arg(long, value_name = "FILE", requires = "generation")]
    new_key: Option<PathBuf>,
    /// With --new-key: the number of this issuing CA, as 'broker rotate ca --plan' tells it
    #[arg(long, value_name = "N", requires = "new_key")]
    generation: Option<u32>,
    /// Write the certificate to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Issue {
    fn run(self) -> Result<(), Failure> {
        let now = clock::now();
        let (root, certificate) = match (&self.request, &self.new_key, self.generation) {
            (Some(path), ..) => {
                let what = |what: String| Failure::new(Code::Data, format!("{}: {what}", path.display()));
                let request = CaRequest::read(&read(path)?).map_err(what)?;
                let root = open_root(&self.root, &request.name)?;
                let certificate = request.certify(&root, now).map_err(what)?;
                (root, certificate)
            }
            (None, Some(path), Some(generation)) => {
                let root = open_root(&self.root, "broker")?;
                let made = root.issue(generation, clock::unix(now));
                let issuing = made.map_err(|error| Failure::new(Code::Usage, error.to_string()))?;
                write_key(path, issuing.key())?;
                let certificate = issuing.certificate_pem().to_owned();
                (root, certificate)
            }
            _ => return Err(Failure::new(Code::Usage, "name the request that 'broker rotate ca' made")),
        };
        let issued = IssuingCertificate::from_pem(&certificate, root.certificate_pem())
            .map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
        match &self.output {
            Some(path) => write_output(path, &certificate)?,
            None => super::print(&certificate)?,
        }
        eprintln!(
            "broker: issuing CA of generation {} for cluster {}, until {}. On the manager: broker ca install FILE",
            issued.generation,
            issued.cluster,
            clock::shown(issued.ends)
        );
        Ok(())
    }
}

/// On the manager: put the certificate to use that 'broker ca issue' made
///
/// Its key is the one that 'broker rotate ca' made here, or the one that --issuing-key of 'broker serve' finds now. Machines
/// that boot at this moment do not notice. With --now, after a leak, nothing of the former issuing CAs is good any more:
/// see 'broker rotate ca --plan' first.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Install {
    /// The certificate, a file
    certificate: PathBuf,
    /// After a leak: trust no former one any more, and refuse invites that do
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    flags: OrderFlags,
}

impl Install {
    fn run(self) -> Result<(), Failure> {
        let order = Order { what: read(&self.certificate)?, now: self.now, reason: self.flags.reason };
        let shown: KeyShown = self.flags.admin.on_manager()?.post("/v1/ca/install", &order)?;
        if self.flags.json { super::print_json(&shown) } else { super::print(&super::rotate::told(&shown, self.now)) }
    }
}

/// The root in a folder, if both its files are there.
pub(super) fn open_root(folder: &Path, name: &str) -> Result<Root, Failure> {
    let missing = |path: &Path| {
        let what = "is not there: name the folder that holds root.key and root.crt with --root DIR";
        Failure::new(Code::NoInput, format!("{} {what}", path.display()))
    };
    let opened = Folder::open(folder).and_then(|folder| state::open_root(&folder, name));
    opened.map_err(|error| match error {
        StateError::Missing { path } | StateError::NotInitialised(path, _) => missing(&path),
        StateError::Authority(_) | StateError::Key(_) => {
            let what = format!(
                "{}: root.key and root.crt are no root: {error}. Put them back from where they are kept, or name the folder that holds them with --root DIR",
                folder.display()
            );
            Failure::new(Code::Data, what)
        }
        error => error.into(),
    })
}

fn read(path: &Path) -> Result<String, Failure> {
    let file = path.display();
    let bytes = read_bounded(path, LONGEST).map_err(|error| Failure::new(Code::NoInput, format!("{file}: {error}")))?;
    let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| Failure::new(Code::Data, format!("{file}: it is too large, or not text")))
}

/// Writes a key to a file that was not there.
fn write_key(path: &Path, key: &SigningKey) -> Result<(), Failure> {
    let written = PrivateFile::create(path).and_then(|file| file.finish_with(key.to_pem().as_bytes()));
    written.map_err(|error| Failure::new(Code::CannotCreate, format!("--new-key {}: {error}", path.display())))
}
