//! Reading a log: what it holds, where it is torn, and what it proves about the ledger.
//!
//! Keeps promise 5: the ledger is held against what the log says was claimed. Must not change the file.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::Path;

use protocol::{InviteId, KeyHash, Role};
use serde::Deserialize;

use super::AuditError;
use super::tree::{Hash, leaf};

/// The event of a claim, as [`super::Event::IdentityIssued`] is written.
const ISSUED: &str = "identity.issued";
/// The event of a revocation, and those of a ledger that was lost and of one that was put right.
const REVOKED: &str = "invite.revoked";
const LOST: &str = "ledger.lost";
const RECOVERED: &str = "ledger.recovered";
/// The events of a token's rotation, as [`super::Event`] writes them: one that begins it, and those that end it.
const ROTATING: &str = "token.rotating";
/// The event of a log that is signed from there on.
const SIGNED: &str = "log.signed";
const ROTATED: [&str; 5] = ["token.found", "token.rotated", "token.kept", "token.changed", "token.rotation-failed"];

/// What a log tells.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// How many whole records there were when it was opened.
    pub(crate) records: u64,
    /// Their length in bytes.
    pub(crate) length: u64,
    /// Whether bytes of a record that was never finished follow.
    pub(crate) torn: bool,
    /// The highest version of the raft store that a record names.
    pub(crate) version: u64,
    /// What was claimed and revoked, by invite.
    pub(crate) claims: HashMap<InviteId, Claimed>,
    /// Invites that were made until then, in seconds since 1970, are good only where the ledger has them. 0 if it was
    /// never recovered.
    pub(crate) recovered: u64,
    /// Why the ledger was lost, if it was not recovered since.
    pub(crate) lost: Option<String>,
    /// What it says of each role's token.
    pub(crate) tokens: BTreeMap<Role, KnownToken>,
    /// The brokers that sign it, or did before it was restored elsewhere.
    pub(crate) signed_by: HashSet<String>,
    /// The hash of each record.
    pub(crate) leaves: Vec<Hash>,
}

/// What a log says of a role's token.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownToken {
    /// The highest generation.
    pub(crate) generation: u64,
    /// Whether a rotation was begun of which no end is known.
    pub(crate) rotating: bool,
}

/// What became of one invite.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claimed {
    /// When the invite ends, in seconds since 1970.
    pub(crate) ends: u64,
    /// The keys that claimed a use.
    pub(crate) keys: HashSet<KeyHash>,
    /// Whether it was revoked.
    pub(crate) revoked: bool,
}

/// The fields that matter here; records of a newer release may have more.
#[derive(Deserialize)]
struct Fields {
    event: String,
    broker: String,
    invite: Option<InviteId>,
    key: Option<KeyHash>,
    ends: Option<u64>,
    version: Option<u64>,
    role: Option<Role>,
    generation: Option<u64>,
    until: Option<u64>,
    detail: Option<String>,
}

/// How far a log holds whole records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Extent {
    /// How many.
    pub(crate) records: u64,
    /// Their length in bytes.
    pub(crate) length: u64,
    /// Whether bytes of a record that was never finished follow.
    pub(crate) torn: bool,
}

/// Reads a log. A missing file is an empty log.
pub(crate) fn read(path: &Path) -> Result<Known, AuditError> {
    let mut known = Known::default();
    let extent = each(path, u64::MAX, |line| known.take(line))?;
    Ok(Known { records: extent.records, length: extent.length, torn: extent.torn, ..known })
}

/// Shows each whole record of a log's first `length` bytes, in order. A missing file is an empty log.
pub(crate) fn each(
    path: &Path,
    length: u64,
    mut show: impl FnMut(&[u8]) -> Result<(), String>,
) -> Result<Extent, AuditError> {
    let mut extent = Extent::default();
    let failed = |error: std::io::Error| AuditError::io(path, &error);
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(extent),
        Err(error) => return Err(failed(error)),
    };
    let mut reader = BufReader::new(file.take(length));
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = reader.read_until(b'\n', &mut line).map_err(failed)?;
        if read == 0 {
            return Ok(extent);
        }
        if line.last() != Some(&b'\n') {
            return Ok(Extent { torn: true, ..extent });
        }
        numbered(&line, extent.records).and_then(|()| show(&line)).map_err(|what| {
            let (path, number) = (path.display(), extent.records + 1);
            AuditError::Damaged(format!(
                "{path} is damaged at line {number}: {what}. The broker does not go on with a damaged log; restore it"
            ))
        })?;
        extent.length += read as u64;
        extent.records += 1;
    }
}

pub(super) fn numbered(line: &[u8], expected: u64) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Numbered {
        number: u64,
    }
    match serde_json::from_slice(line) {
        Ok(Numbered { number }) if number == expected => Ok(()),
        Ok(Numbered { number }) => Err(format!("it has number {number}, expected {expected}")),
        // Its own words may hold what it reads: whatever somebody wrote there.
        Err(error) => Err(format!("it is no record: it does not read at column {}", error.column())),
    }
}

impl Known {
    /// Whether the log tells of nothing yet but the key that signs it.
    pub(crate) fn is_new(&self) -> bool {
        self.records == self.signed_by.len() as u64
    }

    fn take(&mut self, line: &[u8]) -> Result<(), String> {
        let record: Fields = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        self.version = match record.event.as_str() {
            // From here on the store's versions count anew.
            RECOVERED => record.version.unwrap_or(0),
            _ => self.version.max(record.version.unwrap_or(0)),
        };
        if record.event == SIGNED {
            self.signed_by.insert(record.broker);
        }
        self.leaves.push(leaf(line.strip_suffix(b"\n").unwrap_or(line)));
        if record.event == RECOVERED {
            self.recovered = self.recovered.max(record.until.unwrap_or(0));
            self.lost = None;
        }
        if record.event == LOST {
            self.lost = Some(record.detail.unwrap_or_else(|| "the ledger was lost, says the audit log".into()));
        }
        if record.event == REVOKED
            && let Some(invite) = &record.invite
        {
            let revoked = self.claims.entry(invite.clone()).or_default();
            revoked.revoked = true;
            // Without an end, as older releases wrote it, nobody knows when it may be swept.
            revoked.ends = revoked.ends.max(record.ends.unwrap_or(0));
        }
        if record.event == ISSUED
            && let (Some(invite), Some(key)) = (record.invite, record.key)
        {
            let claimed = self.claims.entry(invite).or_default();
            claimed.ends = claimed.ends.max(record.ends.unwrap_or(u64::MAX));
            claimed.keys.insert(key);
        }
        let ends = ROTATED.contains(&record.event.as_str());
        if (ends || record.event == ROTATING)
            && let Some(role) = record.role
        {
            let token = self.tokens.entry(role).or_default();
            token.rotating = !ends;
            token.generation = token.generation.max(record.generation.filter(|_| ends).unwrap_or(0));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Event, Record};

    #[test]
    fn a_claim_in_the_log_is_known_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let (invite, key) = (InviteId::random(), KeyHash::of_spki(b"key"));
        let (audit, _) = crate::audit::Audit::open(&path, "b").expect("opens");
        let claim = Record {
            invite: Some(invite.clone()),
            key: Some(key.clone()),
            ends: Some(7),
            version: Some(42),
            ..Record::new(Event::IdentityIssued)
        };
        audit.record_blocking(claim).expect("written");
        let known = read(&path).expect("reads");
        assert_eq!((known.version, known.claims[&invite].ends), (42, 7));
        assert!(known.claims[&invite].keys.contains(&key));
    }

    #[test]
    fn a_revocation_and_a_recovery_in_the_log_are_known_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let (audit, _) = crate::audit::Audit::open(&path, "b").expect("opens");
        let invite = InviteId::random();
        let revoked = Record { invite: Some(invite.clone()), ends: Some(7), ..Record::new(Event::InviteRevoked) };
        audit.record_blocking(Record { version: Some(900), ..revoked }).expect("written");
        assert_eq!(read(&path).expect("reads").version, 900);
        audit.record_blocking(Record::alarm(Event::LedgerLost, "configs are gone")).expect("written");
        audit.record_blocking(Record::new(Event::BrokerStarted)).expect("written");
        assert_eq!(read(&path).expect("reads").lost.as_deref(), Some("configs are gone"), "a restart repairs nothing");
        let recovered = Record { version: Some(20), until: Some(5), ..Record::new(Event::LedgerRecovered) };
        audit.record_blocking(recovered).expect("written");
        let known = read(&path).expect("reads");
        assert_eq!((known.version, known.recovered, known.lost), (20, 5, None), "its versions count anew");
        assert!(known.claims[&invite].revoked && known.claims[&invite].ends == 7);
    }

    #[test]
    fn a_rotation_without_an_end_is_known_after_a_restart() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let (audit, _) = crate::audit::Audit::open(&path, "b").expect("opens");
        let write = |event, role, generation| {
            let record = Record { role: Some(role), generation: Some(generation), ..Record::new(event) };
            audit.record_blocking(record).expect("written");
            read(&path).expect("reads").tokens[&role]
        };
        let known = |generation, rotating| KnownToken { generation, rotating };
        assert_eq!(write(Event::TokenFound, Role::Worker, 1), known(1, false));
        assert_eq!(write(Event::TokenRotating, Role::Worker, 2), known(1, true), "not there yet");
        assert_eq!(write(Event::TokenFound, Role::Manager, 1), known(1, false));
        assert_eq!(write(Event::TokenRotated, Role::Worker, 2), known(2, false));
        assert_eq!(write(Event::TokenChanged, Role::Worker, 3), known(3, false));
    }
}
