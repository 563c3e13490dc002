//! Whether a log is what was signed, and if not, where it differs: from its files alone.
//!
//! Keeps promise 11: a record that was changed, dropped, doubled, inserted or moved is named. Must not need a broker,
//! and must not change anything.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, ErrorKind, Read as _};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use super::AuditError;
use super::copy;
use super::files::{self, Files};
use super::head::{Head, PublicLogKey};
use super::reading::numbered;
use super::tree::{Hash, Tree, leaf};
use crate::state;

/// What became of a look at one log.
#[derive(Clone, Debug)]
pub(crate) struct Checked {
    /// The broker that signed it.
    pub(crate) broker: Option<String>,
    /// The key that verified its head, as text.
    pub(crate) key: Option<String>,
    /// Whether that key was given, and not only found beside the log.
    pub(crate) trusted: bool,
    /// How many records there are.
    pub(crate) records: u64,
    /// How many of them the head covers.
    pub(crate) signed: u64,
    /// The head, as it was signed and cosigned.
    pub(crate) note: Option<Vec<u8>>,
    /// The first thing that is wrong.
    pub(crate) wrong: Option<Wrong>,
}

/// Something that is wrong in a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The record's number, from 0, if one can be named.
    pub(crate) record: Option<u64>,
    pub(crate) what: String,
}

impl fmt::Display for Wrong {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.record {
            Some(record) => write!(formatter, "record {record}: {}", self.what),
            None => formatter.write_str(&self.what),
        }
    }
}

/// How often, and how many times, the head is looked at again while it does not cover what was written: a broker that
/// runs writes a record first and signs it next, within milliseconds.
const AGAIN: (Duration, usize) = (Duration::from_millis(10), 200);

/// Checks a log with these keys; without any, with the one that lies beside it.
///
/// A broker may write to the log meanwhile. What was written before the look must be signed by its end; what comes
/// later is not looked at.
pub(crate) fn check(files: &Files, keys: &[PublicLogKey]) -> Result<Checked, AuditError> {
    let unread = |error: io::Error| AuditError::io(&files.records, &error);
    let written = match written(&files.records) {
        // Whoever takes all records away leaves a head over nothing.
        Err(error) if error.kind() == ErrorKind::NotFound && files.head.exists() => return gone(files, keys),
        counted => counted.map_err(unread)?,
    };
    let (signed, all_signed) = signed_up_to(written, files, keys)?;
    let seen = read(files, signed.head.as_ref().ok(), all_signed).map_err(unread)?;
    let wrong = match &signed.head {
        Err(wrong) => Some(seen.unreadable.clone().unwrap_or_else(|| wrong.clone())),
        Ok(head) => differs(head, &seen),
    };
    Ok(signed.checked(seen.records, wrong))
}

/// Whether a log has all that this head covers, and as it says: a head that was kept, or another copy's.
pub(crate) fn continues(files: &Files, head: Head) -> Result<bool, AuditError> {
    let read = copy::read(&files.records, head).map_err(|error| AuditError::io(&files.records, &error))?;
    Ok(read.is_some())
}

/// The first record in which two logs differ, as far as both go.
pub(crate) fn differ(one: &Files, other: &Files) -> Result<Option<u64>, AuditError> {
    let lines = |files: &Files| {
        let file = File::open(&files.records).map_err(|error| AuditError::io(&files.records, &error));
        file.map(|file| BufReader::new(file).split(b'\n'))
    };
    let mut pairs = (0..).zip(lines(one)?.zip(lines(other)?));
    let differs = pairs.find(|(_, (one, other))| !matches!((one, other), (Ok(one), Ok(other)) if one == other));
    Ok(differs.map(|(number, _)| number))
}

/// A log whose records are not there at all.
fn gone(files: &Files, keys: &[PublicLogKey]) -> Result<Checked, AuditError> {
    let wrong = Wrong { record: Some(0), what: format!("{} is missing", files.records.display()) };
    Ok(signed(&files.head, &files.public, keys)?.checked(0, Some(wrong)))
}

/// How many records there are, one that has no end yet among them.
fn written(records: &Path) -> io::Result<u64> {
    let mut lines = BufReader::new(File::open(records)?);
    let (mut count, mut line) = (0, Vec::new());
    while lines.read_until(b'\n', &mut line)? != 0 {
        count += 1;
        line.clear();
    }
    Ok(count)
}

/// The head, and whether it covers this many records. A broker that has the log open is given the time to sign them.
fn signed_up_to(written: u64, files: &Files, keys: &[PublicLogKey]) -> Result<(Signed, bool), AuditError> {
    let (pause, times) = AGAIN;
    let mut found = signed(&files.head, &files.public, keys)?;
    for _ in 0..times {
        if found.head.as_ref().is_ok_and(|head| head.size >= written) {
            return Ok((found, true));
        }
        // A copy's first head comes when its records are here.
        if (found.head.is_err() && found.note.is_some()) || !is_written(files) {
            break;
        }
        sleep(pause);
        found = signed(&files.head, &files.public, keys)?;
    }
    Ok((found, false))
}

/// Whether a broker has the log open now.
fn is_written(files: &Files) -> bool {
    let folder = files.folder();
    // A copy of another broker's log lies two folders below the state of the broker that writes it.
    state::is_held(folder) || state::is_held(&folder.join("../.."))
}

/// A head, and whose it is.
pub(super) struct Signed {
    pub(super) head: Result<Head, Wrong>,
    /// The key, and whether it was given.
    key: Option<(PublicLogKey, bool)>,
    note: Option<Vec<u8>>,
}

impl Signed {
    /// What became of a look at a log that has this head, and so many records.
    pub(super) fn checked(self, records: u64, wrong: Option<Wrong>) -> Checked {
        let (key, trusted) = self.key.map_or((None, false), |(key, trusted)| (Some(key), trusted));
        Checked {
            broker: key.as_ref().map(|key| key.broker().to_owned()),
            key: key.map(|key| key.as_str().to_owned()),
            trusted,
            records,
            signed: self.head.map_or(0, |head| head.size),
            note: self.note,
            wrong,
        }
    }
}

/// The head in this file, by these keys; without any, by the one in the file beside it.
pub(super) fn signed(head: &Path, public: &Path, keys: &[PublicLogKey]) -> Result<Signed, AuditError> {
    let wrong = |what: String| Err(Wrong { record: None, what });
    let read = |path: &Path| files::read(path).map_err(|error| AuditError::io(path, &error));
    let Some(note) = read(head)? else {
        return Ok(Signed {
            head: wrong(format!("there is no signed head: {} is missing", head.display())),
            key: None,
            note: None,
        });
    };
    let name = String::from_utf8_lossy(&note).lines().next().unwrap_or_default().to_owned();
    let key = match keys {
        [] => {
            let beside = read(public)?;
            beside.and_then(|text| PublicLogKey::read(&String::from_utf8_lossy(&text))).map(|key| (key, false))
        }
        // A broker may have had more than one.
        given => {
            let named = || given.iter().filter(|key| key.name() == name);
            let key = named().find(|key| key.verify(&note).is_ok()).or_else(|| named().next());
            key.map(|key| (key.clone(), true))
        }
    };
    let head = match &key {
        Some((key, _)) => key.verify(&note).or_else(|error| wrong(format!("the signed head: {error}"))),
        None if keys.is_empty() => wrong(format!("the public key is missing or damaged: {}", public.display())),
        None => wrong(format!("none of the keys given is of the log '{}'", name.escape_debug())),
    };
    Ok(Signed { head, key, note: Some(note) })
}

/// What is in the records and in the hashes.
#[derive(Default)]
struct Seen {
    records: u64,
    /// The roots over as many records, and as many hashes, as the head covers.
    roots: [Option<Hash>; 2],
    /// The first record whose hash is not the one beside the log.
    differs: Option<u64>,
    /// The first record that is none.
    unreadable: Option<Wrong>,
    /// Whether the last line has no end.
    torn: bool,
}

/// Reads the records: those that the head covers, or all of them.
fn read(files: &Files, head: Option<&Head>, covered_only: bool) -> io::Result<Seen> {
    let mut lines = BufReader::new(File::open(&files.records)?);
    let mut hashes = match File::open(&files.hashes) {
        Ok(file) => Some(BufReader::new(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let covered = head.map_or(0, |head| head.size);
    let (mut seen, mut tree, mut beside) = (Seen::default(), Tree::default(), Tree::default());
    let mut line = Vec::new();
    loop {
        if seen.records == covered {
            seen.roots[0] = Some(tree.root());
            if covered_only {
                break;
            }
        }
        line.clear();
        if lines.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if line.pop_if(|last| *last == b'\n').is_none() {
            seen.torn = true;
            break;
        }
        if let (None, Err(what)) = (&seen.unreadable, numbered(&line, seen.records)) {
            seen.unreadable = Some(Wrong { record: Some(seen.records), what });
        }
        let hash = leaf(&line);
        tree.push(hash);
        if beside.size() < covered
            && let Some(other) = hashes.as_mut().map(next).transpose()?.flatten()
        {
            beside.push(other);
            if other != hash {
                seen.differs.get_or_insert(seen.records);
            }
        }
        seen.records += 1;
    }
    while beside.size() < covered
        && let Some(other) = hashes.as_mut().map(next).transpose()?.flatten()
    {
        beside.push(other);
    }
    seen.roots[1] = (beside.size() == covered).then(|| beside.root());
    Ok(seen)
}

fn next(hashes: &mut BufReader<File>) -> io::Result<Option<Hash>> {
    let mut hash = [0; 32];
    match hashes.read_exact(&mut hash) {
        Ok(()) => Ok(Some(Hash(hash))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

const NEVER_SIGNED: &str = "it and what follows were never signed: they were added by somebody else, or their broker was \
                            killed before it could sign them; if so, it does at its next start";

/// The first thing that is not as the head says.
fn differs(head: &Head, seen: &Seen) -> Option<Wrong> {
    let at = |record: u64, what: &str| Some(Wrong { record: Some(record), what: what.to_owned() });
    let [records, hashes] = seen.roots.map(|root| root.is_some_and(|root| root == head.root));
    if records {
        return match (seen.records > head.size || seen.torn, &seen.unreadable) {
            (true, _) => at(head.size, NEVER_SIGNED),
            (false, Some(wrong)) => Some(wrong.clone()),
            // The head covers the records, and the hashes only help to find a wrong one.
            (false, None) => (!hashes).then(|| Wrong {
                record: seen.differs,
                what: "the file of hashes is not what was signed; the records are".into(),
            }),
        };
    }
    if hashes && let Some(record) = seen.differs {
        return at(record, "it is not the record that was signed");
    }
    if seen.records < head.size {
        let what = format!("it and what follows are gone: {} records were signed", head.size);
        return Some(Wrong { record: Some(seen.records), what });
    }
    seen.unreadable.clone().or_else(|| {
        let what = "the records are not what was signed, and the file of hashes that would tell which is damaged too";
        Some(Wrong { record: seen.differs, what: what.into() })
    })
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
