//! A copy of another broker's log: it grows by what continues it, and by nothing else.
//!
//! Keeps promise 11: a lost manager loses no log, and a log that was put back or forked is found. Must not take a record
//! that its broker's signed head does not cover, and must not forget one that it has.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind, Seek as _, SeekFrom};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::AuditError;
use super::files::{self, FILE, Files};
use super::head::{Head, LogKey, PublicLogKey};
use super::log::is_empty;
use super::reading::numbered;
use super::tree::{Hash, Tree, leaf};

/// The folder of copies, in the state directory; each broker's is named by its id.
pub(crate) const COPIES: &str = "logs";
/// Beside a copy: the head that does not go with it.
pub(crate) const FORKED: &str = "forked.head";
/// Beside a copy: what came of which no head has been seen yet.
const PART: &str = "audit.part";
/// A disk with less room than this, in bytes, takes no more of others' logs: this broker's own needs it.
const ROOM: u64 = 256 * 1024 * 1024;
/// The bytes of a hash.
const HASH: u64 = 32;

/// A copy on this disk.
pub(crate) struct LogCopy {
    files: Files,
    key: PublicLogKey,
    /// The hashes of the records that came after those which a head covers.
    more: Vec<Hash>,
    /// What a head covers.
    whole: Part,
    /// The same, and what came after it, of which no head has been seen yet.
    got: Part,
    /// What lies there is not what its own head says. It stays there until the whole log came anew.
    damaged: Option<Damaged>,
}

/// A copy that somebody changed, or the disk.
#[derive(Clone, Copy, Debug)]
struct Damaged {
    /// What its head says, if that reads: what comes anew must continue it.
    head: Option<Head>,
}

/// A log from its beginning on.
#[derive(Clone, Debug, Default)]
pub(super) struct Part {
    tree: Tree,
    /// In bytes.
    length: u64,
}

/// What a page brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grown {
    /// All that the head covers is here.
    Whole,
    /// There is more.
    Partly,
}

/// Why a page is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Untaken {
    /// Whoever has the log's key has signed what does not continue it: an older log was put back, or another one made.
    #[error("{what}")]
    Forked {
        what: String,
        /// The head that does not go with the copy.
        proof: Vec<u8>,
    },
    /// The ledger lists another key of the log than it did.
    #[error("the ledger lists another key of its log than when the copy was begun")]
    OtherKey,
    /// What came is no page of this log.
    #[error("what it gave does not read: {0}")]
    Unfit(String),
    #[error(transparent)]
    Here(#[from] AuditError),
}

impl LogCopy {
    /// Opens the copy of the log that is signed with this key, or begins one.
    pub(crate) fn open(folder: &Path, key: &PublicLogKey) -> Result<Self, Untaken> {
        let files = Files::of(&folder.join(FILE));
        let here = |error: io::Error| AuditError::io(folder, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(here)?;
        match files::read(&files.public).map_err(here)? {
            Some(text) if text.trim_ascii() == key.as_str().as_bytes() => {}
            // A broker's log has one key for good: one that is restored is another broker's.
            Some(_) => return Err(Untaken::OtherKey),
            None => files::replace(&files.public, format!("{}\n", key.as_str()).as_bytes()).map_err(here)?,
        }
        let found = found(&files, key)?;
        let (records, hashes) = (open(&files.records).map_err(here)?, open(&files.hashes).map_err(here)?);
        let (whole, damaged) = match found {
            Ok(whole) => (whole, None),
            Err(damaged) => (Part::default(), Some(damaged)),
        };
        if damaged.is_none() {
            // What was got after it is got again.
            records.set_len(whole.length).and_then(|()| hashes.set_len(whole.tree.size() * HASH)).map_err(here)?;
        }
        let copy = Self { files, key: key.clone(), more: Vec::new(), got: whole.clone(), whole, damaged };
        copy.part().and_then(|part| part.set_len(0)).map_err(here)?;
        Ok(copy)
    }

    /// The records that came after those which a head covers.
    fn part(&self) -> io::Result<File> {
        open(&self.files.records.with_file_name(PART))
    }

    /// Whether it is the copy of the log that is signed with this key.
    pub(crate) fn is_of(&self, key: &str) -> bool {
        self.key.as_str() == key
    }

    /// What is said of a copy that is not what its own head says.
    pub(crate) fn damage(&self) -> Option<String> {
        self.damaged.map(|Damaged { head }| {
            let records = head.map_or_else(String::new, |head| format!(" of {} records", head.size));
            let path = self.files.records.display();
            format!(
                "the copy{records} in {path} is not what was signed: somebody changed it, or the disk did. It stays \
                 until the log came anew, and is kept as audit.damaged then"
            )
        })
    }

    /// Where the next page begins, in bytes.
    pub(crate) fn position(&self) -> u64 {
        self.got.length
    }

    /// How many records a head covers.
    pub(crate) fn records(&self) -> u64 {
        self.whole.tree.size()
    }

    /// Takes a page: a head as it was signed, and the records that follow what is here. The head is cosigned, if all that
    /// it covers is here and is what it says.
    pub(crate) fn take(&mut self, note: &[u8], page: &[u8], own: &LogKey, now: u64) -> Result<Grown, Untaken> {
        let taken = self.taken(note, page, own, now);
        if taken.is_err() {
            // It is got again from there. What it takes of the disk may be what is missing.
            self.got = self.whole.clone();
            self.more.clear();
            let _ = self.part().and_then(|part| part.set_len(0));
        }
        taken
    }

    fn taken(&mut self, note: &[u8], page: &[u8], own: &LogKey, now: u64) -> Result<Grown, Untaken> {
        // What the log's key has not signed says nothing of its broker.
        let head = self.key.verify(note).map_err(|error| Untaken::Unfit(format!("its head: {error}")))?;
        let forked = |what: String| Err(Untaken::Forked { what, proof: note.to_vec() });
        let seen = self.whole.tree.size().max(self.signed_before().map_or(0, |before| before.size));
        if head.size < seen {
            let has = head.size;
            return forked(format!("its log has {has} records, and {seen} of them were here already"));
        }
        let count = match self.append(&head, page)? {
            Ok(count) => count,
            Err(what) => return forked(what),
        };
        if self.got.tree.size() < head.size {
            // Nothing more comes, and something is missing.
            return if count == 0 {
                forked("its log does not go on where the copy of it ends".into())
            } else {
                Ok(Grown::Partly)
            };
        }
        if self.got.tree.root() != head.root {
            let size = head.size;
            return forked(format!("its {size} records are not those that were here, and others after them"));
        }
        if let Some(before) = self.signed_before()
            && Tree::root_of(&self.more, before.size) != Some(before.root)
        {
            let size = before.size;
            return forked(format!(
                "its first {size} records are not those that were signed before, by the copy's head"
            ));
        }
        self.keep(note, own, now)?;
        Ok(Grown::Whole)
    }

    /// What was signed of a log whose copy is damaged.
    fn signed_before(&self) -> Option<Head> {
        self.damaged.and_then(|damaged| damaged.head)
    }

    /// Appends a page's records to what came, as far as the head covers them. Gives how many, or why they do not follow.
    fn append(&mut self, head: &Head, page: &[u8]) -> Result<Result<usize, String>, Untaken> {
        let (mut got, mut bytes, mut hashes) = (self.got.clone(), Vec::new(), Vec::new());
        for line in page.split_inclusive(|byte| *byte == b'\n') {
            let Some(record) = line.strip_suffix(b"\n") else {
                return Err(Untaken::Unfit("a record has no end".into()));
            };
            if got.tree.size() == head.size {
                break;
            }
            if let Err(what) = numbered(record, got.tree.size()) {
                return Ok(Err(format!("what it has after record {} does not follow: {what}", got.tree.size())));
            }
            let hash = leaf(record);
            got.tree.push(hash);
            got.length += line.len() as u64;
            bytes.extend_from_slice(line);
            hashes.push(hash);
        }
        let here = |error: io::Error| AuditError::io(&self.files.records, &error);
        let part = self.part().map_err(here)?;
        let disk = rustix::fs::fstatvfs(&part).map_err(|error| here(error.into()))?;
        // What goes on from records that are here is written once more, behind them.
        let again = if self.is_anew() { 0 } else { got.length - self.whole.length };
        let needed = ROOM + bytes.len() as u64 + again;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < needed {
            return Err(Untaken::Unfit("there is hardly room on the disk here".into()));
        }
        part.write_all_at(&bytes, self.got.length - self.whole.length).map_err(here)?;
        let count = hashes.len();
        self.more.extend(hashes);
        self.got = got;
        Ok(Ok(count))
    }

    /// Puts what came, and was found to be what the head says, to the copy.
    fn keep(&mut self, note: &[u8], own: &LogKey, now: u64) -> Result<(), Untaken> {
        let cosigned = own.cosign(note, now).ok_or_else(|| Untaken::Unfit("its head cannot be cosigned".into()))?;
        self.put().map_err(|error| AuditError::io(&self.files.records, &error))?;
        let here = |error: io::Error| AuditError::io(&self.files.head, &error);
        files::replace(&self.files.head, &cosigned).map_err(here)?;
        self.whole = self.got.clone();
        self.more.clear();
        self.damaged = None;
        self.part().and_then(|part| part.set_len(0)).map_err(here)?;
        Ok(())
    }

    /// Whether what comes is the log from its beginning on.
    fn is_anew(&self) -> bool {
        self.whole.length == 0
    }

    /// Puts records and hashes where they stay, on the disk.
    fn put(&self) -> io::Result<()> {
        let Files { records, hashes, .. } = &self.files;
        let bytes: Vec<u8> = self.more.iter().flat_map(|hash| hash.0).collect();
        let hashes = open(hashes)?;
        hashes.write_all_at(&bytes, self.whole.tree.size() * HASH)?;
        hashes.set_len(self.got.tree.size() * HASH).and_then(|()| hashes.sync_data())?;
        let mut part = self.part()?;
        part.set_len(self.got.length - self.whole.length)?;
        if !self.is_anew() {
            let mut records = open(records)?;
            records.seek(SeekFrom::Start(self.whole.length))?;
            io::copy(&mut part, &mut records)?;
            // An earlier try, of more, may have failed on the way.
            return records.set_len(self.got.length).and_then(|()| records.sync_data());
        }
        part.sync_data()?;
        // The first damaged one is kept for whoever looks into it.
        let aside = records.with_extension("damaged");
        if self.damaged.is_some() && !aside.exists() {
            fs::rename(records, aside)?;
        }
        fs::rename(records.with_file_name(PART), records)?;
        File::open(self.files.folder())?.sync_all()
    }
}

/// Opens a file of a copy, or makes it.
fn open(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

/// Keeps the first head that proves a fork, beside the copy in this folder: the next could be made to hide it.
pub(crate) fn keep_proof(folder: &Path, proof: &[u8]) -> Result<(), AuditError> {
    let path = folder.join(FORKED);
    if path.exists() {
        return Ok(());
    }
    files::replace(&path, proof).map_err(|error| AuditError::io(&path, &error))
}

/// What is said of a copy whose broker has shown another log, too.
pub(crate) fn proof_of_fork(folder: &Path) -> Option<String> {
    let proof = folder.join(FORKED);
    proof.exists().then(|| format!("its broker has shown another log, too: {} is its head", proof.display()))
}

/// What a copy's own head covers, or that it is damaged.
fn found(files: &Files, key: &PublicLogKey) -> Result<Result<Part, Damaged>, AuditError> {
    let here = |error: io::Error| AuditError::io(&files.records, &error);
    let Some(note) = files::read(&files.head).map_err(here)? else {
        // Whoever takes the head away leaves records that nobody vouches for; they may be the only ones.
        return Ok(if is_empty(&files.records) { Ok(Part::default()) } else { Err(Damaged { head: None }) });
    };
    let head = key.verify(&note).ok();
    match head.map(|head| read(&files.records, head)).transpose() {
        Ok(Some(Some(whole))) => Ok(Ok(whole)),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(here(error)),
        Ok(_) | Err(_) => Ok(Err(Damaged { head })),
    }
}

/// The records that the head covers; None if they are not those.
pub(super) fn read(records: &Path, head: Head) -> io::Result<Option<Part>> {
    let (mut lines, mut line, mut part) = (BufReader::new(File::open(records)?), Vec::new(), Part::default());
    while part.tree.size() < head.size {
        line.clear();
        part.length += lines.read_until(b'\n', &mut line)? as u64;
        let Some(record) = line.strip_suffix(b"\n") else { return Ok(None) };
        part.tree.push(leaf(record));
    }
    Ok((part.tree.root() == head.root).then_some(part))
}

/// The hash over a log's first records, by the hashes beside it; None if there are fewer.
pub(crate) fn root_of(files: &Files, size: u64) -> io::Result<Option<Hash>> {
    let hashes = files::read(&files.hashes)?.unwrap_or_default();
    let leaves: Vec<Hash> = hashes.as_chunks::<32>().0.iter().map(|hash| Hash(*hash)).collect();
    Ok(Tree::root_of(&leaves, size))
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
