//! A backup of the state directory: one file with keys, `cluster.json` and the audit log as of one moment.
//!
//! It is read beside a running broker: keys change whole files, the log only grows, and it is taken up to its last whole
//! record. Must not hold this broker's own key: who restores becomes another broker.

use std::fs::File;
use std::io::{BufRead, Read, Write};
use std::path::Path;

use protocol::ClusterId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use super::cluster::{GRANT_KEY, INVITE_KEY, ISSUING_CERTIFICATE, ISSUING_KEY, ROOT_CERTIFICATE, ROOT_KEY, UNFINISHED};
use super::cluster_file::CLUSTER;
use super::next_issuing::{NEXT_CERTIFICATE, NEXT_KEY};
use super::{Cluster, Folder, StateError, restore};
use crate::audit;
use crate::clock;
use crate::format::{self, Unread};

/// The first line begins with it.
const FORMAT: u32 = 1;
/// What goes into a backup, where it is there, beside the log: nothing that somebody put into the folder.
const TAKEN: [&str; 8] =
    [CLUSTER, INVITE_KEY, ISSUING_CERTIFICATE, ISSUING_KEY, NEXT_CERTIFICATE, NEXT_KEY, ROOT_CERTIFICATE, ROOT_KEY];
/// What is never taken out of one.
const LEFT_OUT: [&str; 4] = [GRANT_KEY, UNFINISHED, "lock", audit::FILE];
/// The longest first line, in bytes, and the largest file but the log.
const MOST: u64 = 1024 * 1024;
/// How often the keys are read again that somebody is changing.
const TRIES: usize = 5;

/// The first line of a backup.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Head {
    backup: u32,
    pub(crate) cluster: ClusterId,
    pub(crate) name: String,
    /// The broker that it is of.
    pub(crate) broker: String,
    /// When, in seconds since 1970.
    pub(crate) made: u64,
    pub(crate) release: String,
    /// The files, in the order in which they follow; the log is the last.
    pub(crate) files: Vec<Entry>,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) length: u64,
    sha256: String,
}

/// Small files with their contents.
pub(super) type Parts = Vec<(String, Zeroizing<String>)>;

impl Head {
    /// Whether this file is in it.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }
}

/// Writes a backup of the state in this folder.
pub(crate) fn write(path: &Path, mut to: impl Write) -> Result<Head, StateError> {
    let cluster = Cluster::open(path)?;
    let folder = cluster.folder();
    let parts = parts(folder)?;
    let log = folder.path(audit::FILE);
    let damaged = |error: audit::AuditError| StateError::Corrupt { path: log.clone(), what: error.to_string() };
    let failed = |error: std::io::Error| StateError::Backup { what: error.to_string() };
    let mut hash = Sha256::new();
    let whole = audit::each(&log, u64::MAX, |line| {
        hash.update(line);
        Ok(())
    });
    let length = whole.map_err(damaged)?.length;
    let entry = Entry { name: audit::FILE.into(), length, sha256: hex(&hash.finalize()) };

    let mut files: Vec<Entry> = parts.iter().map(|(name, text)| Entry::of(name, text.as_bytes())).collect();
    files.push(entry.clone());
    let head = Head {
        backup: FORMAT,
        cluster: cluster.id().clone(),
        name: cluster.name().to_owned(),
        broker: cluster.broker().to_owned(),
        made: clock::now(),
        release: env!("CARGO_PKG_VERSION").into(),
        files,
    };
    restore::check(&head, &parts)?;
    serde_json::to_writer(&mut to, &head).map_err(|error| StateError::Backup { what: error.to_string() })?;
    to.write_all(b"\n").map_err(failed)?;
    for (_, text) in &parts {
        to.write_all(text.as_bytes()).map_err(failed)?;
    }
    let file = File::open(&log).map_err(|error| StateError::io(&log, error))?;
    read_log(&mut file.take(length), &entry, &mut to)?;
    to.flush().map_err(failed)?;
    Ok(head)
}

/// All small files as of one moment: what is the same in two readings was not being changed.
fn parts(folder: &Folder) -> Result<Parts, StateError> {
    let mut before = read_parts(folder)?;
    for _ in 0..TRIES {
        let again = read_parts(folder)?;
        if again == before {
            return Ok(again);
        }
        before = again;
    }
    Err(StateError::Backup { what: "the keys keep being changed: run this again".into() })
}

fn read_parts(folder: &Folder) -> Result<Parts, StateError> {
    let mut parts = Parts::new();
    for name in TAKEN {
        match folder.read(name) {
            Ok(text) if text.len() as u64 > MOST => {
                let what = format!("{} is larger than any file of a broker's", folder.path(name).display());
                return Err(StateError::Backup { what });
            }
            Ok(text) => parts.push((name.to_owned(), text)),
            // Not there, or not any more: it may have got its other name just now.
            Err(StateError::Missing { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(parts)
}

/// The first line of a backup, and the small files that follow it. What is left to read is the log.
pub(super) fn read(from: &mut impl BufRead) -> Result<(Head, Parts, Entry), StateError> {
    let failed = |error: std::io::Error| StateError::Backup { what: error.to_string() };
    let wrong = |what: &str| StateError::Backup { what: what.to_owned() };
    let mut line = Vec::new();
    from.take(MOST).read_until(b'\n', &mut line).map_err(failed)?;
    let head: Head = format::read(&line, FORMAT).map_err(|unread| match unread {
        Unread::Newer(_) => wrong("a newer broker wrote it: install that release"),
        Unread::Damaged { .. } => wrong("it does not begin as a backup does"),
    })?;
    let [small @ .., log] = &head.files[..] else { return Err(wrong("there is nothing in it")) };
    if log.name != audit::FILE || !small.iter().any(|file| file.name == CLUSTER) {
        return Err(wrong("it lacks the cluster or the log"));
    }
    let mut parts = Parts::new();
    for file in small {
        if !is_plain(&file.name)
            || LEFT_OUT.contains(&file.name.as_str())
            || audit::BESIDE.contains(&file.name.as_str())
            || file.length > MOST
        {
            return Err(wrong("it names a file that is none of a broker's"));
        }
        let mut text = Zeroizing::new(String::new());
        from.take(file.length).read_to_string(&mut text).map_err(failed)?;
        if Entry::of(&file.name, text.as_bytes()) != *file {
            return Err(StateError::Backup { what: format!("{} in it is damaged or cut off", file.name) });
        }
        parts.push((file.name.clone(), text));
    }
    let log = log.clone();
    Ok((head, parts, log))
}

/// Copies the log, which is all that is left to read.
pub(super) fn read_log(from: &mut impl Read, entry: &Entry, to: &mut impl Write) -> Result<(), StateError> {
    let failed = |error: std::io::Error| StateError::Backup { what: error.to_string() };
    let mut hash = Sha256::new();
    let (mut left, mut buffer) = (entry.length, vec![0; 64 * 1024]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let read = from.read(&mut buffer[..most]).map_err(failed)?;
        if read == 0 {
            return Err(StateError::Backup { what: "its log is cut off".into() });
        }
        hash.update(&buffer[..read]);
        to.write_all(&buffer[..read]).map_err(failed)?;
        left -= read as u64;
    }
    if hex(&hash.finalize()) != entry.sha256 || from.read(&mut buffer).map_err(failed)? != 0 {
        return Err(StateError::Backup { what: "the log in it is damaged".into() });
    }
    Ok(())
}

impl Entry {
    fn of(name: &str, content: &[u8]) -> Self {
        Self { name: name.into(), length: content.len() as u64, sha256: hex(&Sha256::digest(content)) }
    }
}

/// A name of ours: nothing hidden, no path.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    !name.starts_with('.') && name.len() <= 64 && name.bytes().all(plain)
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
