//! Reading a log: what it holds, where it is torn, and what it proves about the ledger.
//!
//! Keeps promise 5: the ledger is held against what the log says was claimed. Must not change the file.

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::path::Path;

use protocol::{InviteId, KeyHash};
use serde::Deserialize;

use super::{AuditError, Event};

/// What a log tells.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// How many whole records there are.
    pub(crate) records: u64,
    /// Their length in bytes.
    pub(crate) length: u64,
    /// Whether bytes of a record that was never finished follow.
    pub(crate) torn: bool,
    /// The highest version of the raft store that a record names.
    pub(crate) version: u64,
    /// The keys that claimed a use, by invite.
    pub(crate) claims: HashMap<InviteId, HashSet<KeyHash>>,
}

#[derive(Deserialize)]
struct Numbered {
    number: u64,
    #[serde(flatten)]
    record: Fields,
}

/// The fields that matter here; records of a newer release may have more.
#[derive(Deserialize)]
struct Fields {
    event: serde_json::Value,
    invite: Option<InviteId>,
    key: Option<KeyHash>,
    version: Option<u64>,
}

/// Reads a log. A missing file is an empty log.
pub(crate) fn read(path: &Path) -> Result<Known, AuditError> {
    let mut known = Known::default();
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(known),
        Err(error) => return Err(AuditError::Read(format!("{}: {error}", path.display()))),
    };
    let mut reader = BufReader::new(file);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader
            .read_until(b'\n', &mut line)
            .map_err(|error| AuditError::Read(format!("{}: {error}", path.display())))?;
        if read == 0 {
            return Ok(known);
        }
        if line.last() != Some(&b'\n') {
            known.torn = true;
            return Ok(known);
        }
        known.take(&line).map_err(|what| {
            let (path, number) = (path.display(), known.records + 1);
            AuditError::Read(format!(
                "{path} is damaged at line {number}: {what}. The broker does not go on with a damaged log; restore it"
            ))
        })?;
        known.length += read as u64;
        known.records += 1;
    }
}

impl Known {
    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let Numbered { number, record } = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if number != self.records {
            return Err(format!("it has number {number}, expected {}", self.records));
        }
        self.version = self.version.max(record.version.unwrap_or(0));
        let issued = serde_json::to_value(Event::IdentityIssued).map_err(|error| error.to_string())?;
        if record.event == issued
            && let (Some(invite), Some(key)) = (record.invite, record.key)
        {
            self.claims.entry(invite).or_default().insert(key);
        }
        Ok(())
    }
}
