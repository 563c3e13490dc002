//! `broker joiner list | upload`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use super::AskFlags;
use crate::admin::{JoinersShown, lines};
use crate::exit::{Code, Failure};
use crate::joiners::{JoinerShown, MOST_BYTES, Program};

/// The joiner programs that brokers hand to new machines: list them, add one
#[derive(clap::Subcommand)]
pub(super) enum Joiner {
    /// List what is served, after a look at the folder of the installed package
    List(List),
    /// Give the brokers a joiner of your own to keep and to serve
    Upload(Upload),
}

impl Joiner {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Upload(upload) => upload.run(),
        }
    }
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    flags: AskFlags,
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let joiners = self.flags.admin.open().joiners()?;
        if self.flags.json {
            return super::print_json(&JoinersShown { joiners });
        }
        let head = ["SHA256", "ARCHITECTURE", "BYTES", "RELEASE", "FROM", "UNTIL", ""].map(String::from).to_vec();
        super::print(&lines(&std::iter::once(head).chain(joiners.into_iter().map(row)).collect::<Vec<_>>()))
    }
}

fn row(joiner: JoinerShown) -> Vec<String> {
    let from = joiner.from.map_or_else(String::new, |from| from.to_string());
    let remark = match (joiner.problem, joiner.served, joiner.current) {
        (Some(problem), _, _) => problem,
        (None, false, _) => "on its way here".into(),
        (None, true, true) => "named by new user-data".into(),
        (None, true, false) => String::new(),
    };
    vec![
        joiner.sha256.to_string(),
        joiner.architecture.to_string(),
        joiner.size.to_string(),
        joiner.release,
        from,
        joiner.until,
        remark,
    ]
}

#[derive(clap::Args)]
pub(super) struct Upload {
    /// A static joiner, as the package has them
    file: PathBuf,
    #[command(flatten)]
    flags: AskFlags,
}

impl Upload {
    fn run(self) -> Result<(), Failure> {
        let joiner = self.flags.admin.open().upload_joiner(read_program(&self.file)?.bytes().to_vec())?;
        if self.flags.json {
            return super::print_json(&joiner);
        }
        super::print(&format!("{}  {}, served until {}", joiner.sha256, joiner.architecture, joiner.until))
    }
}

/// Reads a program, and hardly more of it than a broker takes. Warns of one that a machine may not be able to run.
pub(super) fn read_program(path: &Path) -> Result<Program, Failure> {
    let file = path.display();
    let mut bytes = Vec::new();
    let most = MOST_BYTES as u64 + 1;
    std::fs::File::open(path)
        .and_then(|file| file.take(most).read_to_end(&mut bytes))
        .map_err(|error| Failure::new(Code::NoInput, format!("{file}: {error}")))?;
    let program = Program::read(bytes)
        .map_err(|error| Failure::new(Code::Data, format!("{file} is no joiner that machines could run: {error}")))?;
    if program.is_dynamic() {
        eprintln!(
            "broker: warning: {file} needs shared libraries, in versions that a machine may not have. './run package' \
             makes one that needs none"
        );
    }
    Ok(program)
}
