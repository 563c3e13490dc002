//! A copy of another broker's log: it grows by what continues it, and by nothing else.
//!
//! Keeps promise 11: a lost manager loses no log, and a log that was put back or forked is found. Must not take a record
//! that its broker's signed head does not cover, and must not forget one that it has.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, ErrorKind};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::AuditError;
use super::files::{self, FILE, Files};
use super::head::{BadHead, Head, LogKey, PublicLogKey};
use super::reading::numbered;
use super::tree::{Hash, Tree, leaf};

/// The folder of copies, in the state directory; each broker's is named by its id.
pub(crate) const COPIES: &str = "logs";
/// Beside a copy: the head that does not go with it.
pub(crate) const FORKED: &str = "forked.head";
/// The bytes of a hash.
const HASH: u64 = 32;

/// A copy on this disk.
pub(crate) struct LogCopy {
    files: Files,
    key: PublicLogKey,
    records: File,
    hashes: File,
    /// What a head covers.
    whole: Part,
    /// The same, and what came after it, of which no head has been seen yet.
    got: Part,
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
    /// It does not continue what is here: somebody put an older log back, or made another one.
    #[error("{what}")]
    Forked {
        what: String,
        /// Whether this very head was found before.
        known: bool,
    },
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
            Some(_) => {
                let known = keep(folder, key.as_str().as_bytes());
                return Err(Untaken::Forked { what: "its log is signed with another key".into(), known });
            }
            None => files::replace(&files.public, format!("{}\n", key.as_str()).as_bytes()).map_err(here)?,
        }
        let open =
            |path: &Path| OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let whole = found(&files, key)?;
        let (records, hashes) = (open(&files.records).map_err(here)?, open(&files.hashes).map_err(here)?);
        // What was got after it is got again.
        records.set_len(whole.length).and_then(|()| hashes.set_len(whole.tree.size() * HASH)).map_err(here)?;
        Ok(Self { files, key: key.clone(), records, hashes, got: whole.clone(), whole })
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
    pub(crate) fn take(&mut self, head: &[u8], page: &[u8], own: &LogKey, now: u64) -> Result<Grown, Untaken> {
        let note = head;
        let head = match self.key.verify(note) {
            Ok(head) => head,
            Err(error @ BadHead::Malformed) => return Err(Untaken::Unfit(format!("its head: {error}"))),
            Err(error) => return Err(self.forked(note, format!("its head: {error}"))),
        };
        if head.size < self.whole.tree.size() {
            let (has, seen) = (head.size, self.whole.tree.size());
            return Err(self.forked(note, format!("its log has {has} records, and {seen} of them were here already")));
        }
        let leaves = match self.append(&head, page)? {
            Ok(leaves) => leaves,
            Err(what) => return Err(self.forked(note, what)),
        };
        let here = |error: io::Error| AuditError::io(&self.files.records, &error);
        if self.got.tree.size() < head.size {
            if leaves == 0 {
                return Err(self.forked(note, "its log does not go on where the copy of it ends".into()));
            }
            return Ok(Grown::Partly);
        }
        if self.got.tree.root() != head.root {
            let size = head.size;
            return Err(
                self.forked(note, format!("its {size} records are not those that were here, and others after them"))
            );
        }
        self.records.sync_data().and_then(|()| self.hashes.sync_data()).map_err(here)?;
        let cosigned = own.cosign(note, now).ok_or_else(|| Untaken::Unfit("its head cannot be cosigned".into()))?;
        files::replace(&self.files.head, &cosigned).map_err(here)?;
        self.whole = self.got.clone();
        Ok(Grown::Whole)
    }

    /// Appends a page's records, as far as the head covers them. Gives how many, or why they do not follow.
    fn append(&mut self, head: &Head, page: &[u8]) -> Result<Result<usize, String>, Untaken> {
        let (mut got, mut bytes, mut hashes, mut count) = (self.got.clone(), Vec::new(), Vec::new(), 0);
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
            hashes.extend_from_slice(&hash.0);
            count += 1;
        }
        let here = |path: &Path, error: io::Error| AuditError::io(path, &error);
        self.records.write_all_at(&bytes, self.got.length).map_err(|error| here(&self.files.records, error))?;
        let at = self.got.tree.size() * HASH;
        self.hashes.write_all_at(&hashes, at).map_err(|error| here(&self.files.hashes, error))?;
        self.got = got;
        Ok(Ok(count))
    }

    /// Goes back to what is known, and keeps the head that does not go with it.
    fn forked(&mut self, note: &[u8], what: String) -> Untaken {
        // What is in the files beyond it is written over, and cut off by the next start.
        self.got = self.whole.clone();
        Untaken::Forked { what, known: keep(self.files.folder(), note) }
    }
}

/// Keeps what proves a fork. Gives whether it was kept before.
fn keep(folder: &Path, proof: &[u8]) -> bool {
    let path = folder.join(FORKED);
    let known = files::read(&path).is_ok_and(|kept| kept.as_deref() == Some(proof));
    if !known && let Err(error) = files::replace(&path, proof) {
        tracing::error!(%error, path = %path.display(), "what proves a fork cannot be kept");
    }
    known
}

/// What is said of a copy whose broker has shown another log, too.
pub(crate) fn proof_of_fork(folder: &Path) -> Option<String> {
    let proof = folder.join(FORKED);
    proof.exists().then(|| format!("its broker has shown another log, too: {} is its head or its key", proof.display()))
}

/// What a copy's own head covers. A copy that is damaged is moved aside, and begun anew.
fn found(files: &Files, key: &PublicLogKey) -> Result<Part, AuditError> {
    let here = |error: io::Error| AuditError::io(&files.records, &error);
    let Some(note) = files::read(&files.head).map_err(here)? else { return Ok(Part::default()) };
    let whole = key.verify(&note).ok().map(|head| read(&files.records, head)).transpose();
    match whole.map(Option::flatten) {
        Ok(Some(whole)) => return Ok(whole),
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(here(error)),
        Ok(None) | Err(_) => {}
    }
    let aside: PathBuf = files.records.with_extension("damaged");
    match fs::rename(&files.records, &aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(here(error)),
        Ok(()) | Err(_) => fs::remove_file(&files.head).map_err(here)?,
    }
    tracing::error!(path = %aside.display(), "the copy of another broker's log is damaged: it is fetched anew");
    Ok(Part::default())
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
