//! A copy of another broker's log: it grows by what continues it, and by nothing else.
//!
//! Keeps promise 11: a lost manager loses no log, and a log that was put back or forked is found. Must not take a record
//! that its broker's signed head does not cover, and must not forget one that it has.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use super::AuditError;
use super::files::{self, FILE, Files};
use super::head::{Head, LogKey, PublicLogKey};
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
    records: File,
    hashes: File,
    /// The records that came after those which a head covers, and their hashes.
    part: File,
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
        let open =
            |path: &Path| OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
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
        let part = open(&folder.join(PART)).map_err(here)?;
        part.set_len(0).map_err(here)?;
        let (key, more, got) = (key.clone(), Vec::new(), whole.clone());
        Ok(Self { files, key, records, hashes, part, more, whole, got, damaged })
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
            let _ = self.part.set_len(0);
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
            && self.came_anew(before.size) != before.root
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

    /// The hash over the first records of what came.
    fn came_anew(&self, size: u64) -> Hash {
        let mut tree = Tree::default();
        tree.extend(usize::try_from(size).ok().and_then(|size| self.more.get(..size)).unwrap_or(&self.more));
        tree.root()
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
        let disk = rustix::fs::fstatvfs(&self.part).map_err(|error| here(error.into()))?;
        // What came is written once more, where it stays.
        let needed = ROOM + bytes.len() as u64 + (got.length - self.whole.length);
        if disk.f_bavail.saturating_mul(disk.f_frsize) < needed {
            return Err(Untaken::Unfit("there is hardly room on the disk here".into()));
        }
        self.part.write_all_at(&bytes, self.got.length - self.whole.length).map_err(here)?;
        let count = hashes.len();
        self.more.extend(hashes);
        self.got = got;
        Ok(Ok(count))
    }

    /// Puts what came, and was found to be what the head says, to the copy.
    fn keep(&mut self, note: &[u8], own: &LogKey, now: u64) -> Result<(), Untaken> {
        let cosigned = own.cosign(note, now).ok_or_else(|| Untaken::Unfit("its head cannot be cosigned".into()))?;
        let path = self.files.records.clone();
        let here = |error: io::Error| AuditError::io(&path, &error);
        let hashes: Vec<u8> = self.more.iter().flat_map(|hash| hash.0).collect();
        if self.damaged.is_some() {
            self.move_aside().map_err(here)?;
        }
        let (mut copied, mut chunk) = (self.whole.length, vec![0; 64 * 1024]);
        while copied < self.got.length {
            let most = usize::try_from(self.got.length - copied).unwrap_or(usize::MAX).min(chunk.len());
            self.part.read_exact_at(&mut chunk[..most], copied - self.whole.length).map_err(here)?;
            self.records.write_all_at(&chunk[..most], copied).map_err(here)?;
            copied += most as u64;
        }
        self.hashes.write_all_at(&hashes, self.whole.tree.size() * HASH).map_err(here)?;
        self.records.sync_data().and_then(|()| self.hashes.sync_data()).map_err(here)?;
        files::replace(&self.files.head, &cosigned).map_err(here)?;
        self.whole = self.got.clone();
        self.more.clear();
        self.damaged = None;
        self.part.set_len(0).map_err(here)?;
        Ok(())
    }

    /// Keeps a damaged copy for whoever looks into it, the first one, and begins another one beside its head.
    fn move_aside(&mut self) -> io::Result<()> {
        let aside = self.files.records.with_extension("damaged");
        if !aside.exists() {
            fs::rename(&self.files.records, aside)?;
            let mut anew = OpenOptions::new();
            self.records = anew.read(true).write(true).create_new(true).mode(0o600).open(&self.files.records)?;
        }
        self.records.set_len(0).and_then(|()| self.hashes.set_len(0))
    }
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
    let Some(note) = files::read(&files.head).map_err(here)? else { return Ok(Ok(Part::default())) };
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
    let Some(hashes) = files::read(&files.hashes)? else { return Ok(None) };
    let (leaves, _) = hashes.as_chunks::<32>();
    let Some(leaves) = usize::try_from(size).ok().and_then(|size| leaves.get(..size)) else { return Ok(None) };
    let mut tree = Tree::default();
    for leaf in leaves {
        tree.push(Hash(*leaf));
    }
    Ok(Some(tree.root()))
}

#[cfg(test)]
#[path = "copy_tests.rs"]
mod tests;
