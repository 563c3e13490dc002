//! The logs that a command reads, checked.

use std::path::PathBuf;

use super::folders::Folders;
use super::verify::read_keys;
use crate::audit::PublicLogKey;
use crate::exit::{Code, Failure};
use crate::review::{Log, read_all};

#[derive(clap::Args)]
pub(super) struct Logs {
    #[command(flatten)]
    folders: Folders,
    /// A file with public keys, one a line, as in the brokers' audit.pub: kept since before there was any doubt. Without
    /// it each log is held against the key that lies beside it, which whoever could write there could replace
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
}

impl Logs {
    /// The keys that were given.
    pub(super) fn keys(&self) -> Result<Vec<PublicLogKey>, Failure> {
        Ok(self.keys.iter().map(|file| read_keys(file)).collect::<Result<Vec<_>, _>>()?.concat())
    }

    /// Where they are.
    pub(super) fn folders(&self) -> Result<Vec<PathBuf>, Failure> {
        self.folders.all()
    }

    /// The logs. One that is wrong or cannot be read hides no other.
    pub(super) fn read(&self) -> Result<Vec<Log>, Failure> {
        let logs = read_all(&self.folders.all()?, &self.keys()?);
        if logs.iter().all(|log| log.entries.is_empty() && log.checked.is_err()) {
            let words: Vec<String> = logs.iter().filter_map(|log| log.checked.as_ref().err().cloned()).collect();
            return Err(Failure::new(Code::NoInput, format!("there is no log to read: {}", words.join("; "))));
        }
        Ok(logs)
    }
}
