//! Which logs a command is about.

use std::path::{Path, PathBuf};

use crate::audit;
use crate::exit::{Code, Failure};
use crate::state;

/// Where logs are
#[derive(clap::Args)]
pub(in crate::cli) struct Folders {
    /// Folders with a broker's log: state directories, or copies of their audit.* files. A state directory's copies of
    /// the other brokers' logs come along. The state directory of this machine's broker if none is named
    #[arg(value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    named: Vec<PathBuf>,
}

impl Folders {
    /// Each folder that is named, and the copies in it.
    pub(super) fn all(&self) -> Result<Vec<PathBuf>, Failure> {
        let mut all = Vec::new();
        for folder in &self.named {
            all.push(folder.clone());
            all.extend(copies(folder)?);
        }
        Ok(all)
    }
}

/// The folders with copies of the other brokers' logs, in a state directory.
pub(super) fn copies(state: &Path) -> Result<Vec<PathBuf>, Failure> {
    let logs = state.join(audit::COPIES);
    let failed = |error: std::io::Error| Failure::new(Code::Io, format!("{}: {error}", logs.display()));
    let mut copies: Vec<PathBuf> = match std::fs::read_dir(&logs) {
        Ok(entries) => {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>().map_err(failed)?
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
        Err(error) => return Err(failed(error)),
    };
    // One that was begun, and got nothing yet, is no log.
    let is_log = |folder: &Path| !audit::is_empty(&folder.join(audit::FILE));
    let tells = |folder: &Path| ["audit.head", audit::FORKED].iter().any(|name| folder.join(name).exists());
    copies.retain(|folder| is_log(folder) || tells(folder));
    copies.sort();
    Ok(copies)
}
