//! `broker init`.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::BrokerAddress;
use rustix::fs::{Access, access};

use crate::admin::operator;
use crate::audit::{self, Event, Record};
use crate::exit::{Code, Failure};
use crate::state::{self, Brought, Cluster, KeySource, PrivateFile};

/// Make the root, an issuing CA and the cluster's identity
///
/// Run it once, on the first manager. Nothing is changed in Docker; 'broker serve' does that. If it was cut off, the same again
/// does what is left.
#[derive(clap::Args)]
pub(super) struct Init {
    /// What people call this cluster
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// An address of this broker to write into invites; may be repeated
    #[arg(long, value_name = "HOST[:PORT]", env = "BROKER_ADVERTISE", value_delimiter = ',')]
    advertise: Vec<BrokerAddress>,
    /// How long 'broker up --form' may make the cluster's swarm: a machine that is made again later must not make another
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = super::duration)]
    form_within: Duration,
    /// Write the cluster's keys, without the root's, into this new file: for managers that make the swarm by themselves, see
    /// 'broker up --store'. Whoever has it can let machines in: bring it to managers only, as a secret
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(self) -> Result<(), Failure> {
        let name = self.cluster.trim();
        if name.is_empty() || name.len() > 40 || name.contains(char::is_control) {
            return Err(Failure::new(
                Code::Usage,
                "--cluster must be a name of 1 to 40 bytes, without control characters",
            ));
        }
        let operator = operator(rustix::process::getuid().as_raw());
        let begun = cut_off(&self.state, name)?;
        // Before anything is made: a place that cannot be written to leaves no cluster behind without its file.
        if let Some(path) = &self.keys_file {
            assert_free(path, begun.as_ref())?;
        }
        // The run that was cut off may have written a file.
        let detail = (self.keys_file.is_some() || begun.is_some()).then(|| state::INTO_KEYS_FILE.to_owned());
        let cluster = if let Some(cluster) = begun {
            cluster
        } else {
            state::init(&self.state, name, self.advertise, self.form_within)?;
            Cluster::open(&self.state)?
        };
        // No broker writes into the log meanwhile.
        let _lock = cluster.folder().lock()?;
        if let Some(path) = &self.keys_file {
            let file = PrivateFile::replace(path).map_err(|error| refused(path, &unmade(&error), KEPT))?;
            Brought::write(&cluster, file, path)?;
        }
        // Last: until it is there, the same command again does what is left.
        let record = Record { operator: Some(operator), detail, ..Record::new(Event::ClusterMade) };
        audit::record_once(&cluster.folder().path(audit::FILE), cluster.broker(), record)?;
        let (id, pin) = (cluster.id(), cluster.issuing.pin());
        if self.json {
            return super::print_json(
                &serde_json::json!({ "cluster": id, "name": name, "pin": pin, "state": self.state }),
            );
        }
        super::print(&format!(
            "made cluster '{name}'\n  id     {id}\n  pin    {pin}\n  state  {}\n\nnext: broker serve, then: broker invite create --uses 3 --ttl 1h",
            self.state.display()
        ))
    }
}

/// That the keys can be written there, over nothing but the file of the run that was cut off.
fn assert_free(path: &Path, begun: Option<&Cluster>) -> Result<(), Failure> {
    let state = if begun.is_some() { KEPT } else { "No cluster was made" };
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let found = access(folder, Access::WRITE_OK | Access::EXEC_OK).map_err(io::Error::from);
    found.map_err(|error| refused(path, &unmade(&error), state))?;
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(refused(path, &unmade(&error), state)),
        Ok(_) if begun.is_some_and(|cluster| is_of(path, cluster)) => Ok(()),
        Ok(_) => Err(refused(path, "it is there already. Give another place, or remove it", state)),
    }
}

/// Whether the file there has this cluster's keys.
fn is_of(path: &Path, cluster: &Cluster) -> bool {
    let read = Brought::read(&KeySource::File(path.to_owned()));
    read.is_ok_and(|read| read.is_some_and(|keys| keys.cluster() == cluster.id()))
}

/// What becomes of a cluster that an earlier run made.
const KEPT: &str = "The cluster is made: the same again, with a place that is free, does what is left";

fn unmade(error: &io::Error) -> String {
    format!("it cannot be made: {error}")
}

fn refused(path: &Path, what: &str, state: &str) -> Failure {
    Failure::new(Code::CannotCreate, format!("--keys-file {}: {what}. {state}", path.display()))
}

/// The cluster of that name that an earlier run made, if that was cut off before its end.
fn cut_off(state: &Path, name: &str) -> Result<Option<Cluster>, Failure> {
    if !Cluster::is_at(state)? {
        return Ok(None);
    }
    let cluster = Cluster::open(state)?;
    let made_elsewhere = cluster.was_taken() || cluster.was_brought();
    // A log that was lost is no init that was cut off.
    let may_be = !made_elsewhere && !cluster.lost_its_log() && cluster.name() == name;
    Ok((may_be && !cluster.has_logged(Event::ClusterMade)?).then_some(cluster))
}
