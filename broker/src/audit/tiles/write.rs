//! Writing what is new of a log as tiles.

use std::fs::{self, DirBuilder, File};
use std::io::{BufRead as _, BufReader, ErrorKind};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::{HEAD, LENGTH, Of, PUBLIC, WIDTH, bytes, levels, path};
use crate::audit::files::{self, Files};
use crate::audit::head::{Head, PublicLogKey};
use crate::audit::tree::{Hash, Tree, leaf};
use crate::audit::{AuditError, Checked};

/// What was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Written {
    /// How many records the folder's head covers now.
    pub(crate) records: u64,
    /// How many of them are new.
    pub(crate) new: u64,
}

/// Writes what a log has and the folder has not yet. The log must have been checked, and be right.
///
/// A folder that has another log, or more of this one, is refused. Cut off, it is what it was before: the head comes last.
pub(crate) fn write(log: &Files, checked: &Checked, folder: &Path) -> Result<Written, AuditError> {
    let damaged = |what: &str| AuditError::Damaged(format!("{}: {what}", log.records.display()));
    let key =
        checked.key.as_deref().and_then(PublicLogKey::read).ok_or_else(|| damaged("nobody is known to sign it"))?;
    let note = checked.note.as_deref().ok_or_else(|| damaged("it has no signed head"))?;
    let head = key.verify(note).map_err(|error| damaged(&error.to_string()))?;
    let before = before(folder, &key)?;
    let from = before.map_or(0, |before| before.size);
    let mut bundles = Bundles { folder, first: from / WIDTH * WIDTH, bundle: Vec::new() };
    let leaves = leaves(log, head, &mut bundles)?;
    if let Some(before) = before {
        continued(folder, before, &leaves)?;
    }
    bundles.finish(head.size)?;
    for (level, hashes) in (0..).zip(levels(leaves)) {
        let full = from >> (8 * u32::from(level));
        let first = usize::try_from(full / WIDTH).unwrap_or(usize::MAX);
        for (number, tile) in (0..).zip(hashes.chunks(256)).skip(first) {
            put(folder, &path(Of::Level(level), number, tile.len() as u64), &bytes(tile))?;
        }
    }
    put(folder, PUBLIC, format!("{}\n", key.as_str()).as_bytes())?;
    put(folder, HEAD, note)?;
    if let Some(before) = before.filter(|before| before.size < head.size) {
        remove_partial(folder, before.size, head.size);
    }
    Ok(Written { records: head.size, new: head.size - from })
}

/// The head that the folder has.
fn before(folder: &Path, key: &PublicLogKey) -> Result<Option<Head>, AuditError> {
    let path = folder.join(HEAD);
    let Some(note) = files::read(&path).map_err(|error| AuditError::io(&path, &error))? else { return Ok(None) };
    let other = |error| AuditError::Damaged(format!("{}: {error}: another log is there", path.display()));
    key.verify(&note).map(Some).map_err(other)
}

/// That the log goes on from what the folder has.
fn continued(folder: &Path, before: Head, leaves: &[Hash]) -> Result<(), AuditError> {
    let mut tree = Tree::default();
    let known = usize::try_from(before.size).ok().and_then(|size| leaves.get(..size));
    tree.extend(known.unwrap_or_default());
    if known.is_some() && tree.root() == before.root {
        return Ok(());
    }
    let (folder, size) = (folder.display(), before.size);
    Err(AuditError::Damaged(format!(
        "{folder} has {size} records that the log does not go on from: keep both, and look"
    )))
}

/// Reads the records that the head covers, and bundles those that are new. Gives the hash of each.
fn leaves(log: &Files, head: Head, bundles: &mut Bundles<'_>) -> Result<Vec<Hash>, AuditError> {
    let failed = |error: std::io::Error| AuditError::io(&log.records, &error);
    let mut lines = BufReader::new(File::open(&log.records).map_err(failed)?);
    let (mut line, mut leaves) = (Vec::new(), Vec::new());
    while (leaves.len() as u64) < head.size {
        line.clear();
        lines.read_until(b'\n', &mut line).map_err(failed)?;
        let record = line.strip_suffix(b"\n").ok_or_else(|| failed(ErrorKind::UnexpectedEof.into()))?;
        bundles.add(leaves.len() as u64, record)?;
        leaves.push(leaf(record));
    }
    let mut tree = Tree::default();
    tree.extend(&leaves);
    if tree.root() == head.root {
        return Ok(leaves);
    }
    Err(AuditError::Damaged(format!("{} was changed while it was read", log.records.display())))
}

/// The records, 256 in a file, each after its length.
struct Bundles<'f> {
    folder: &'f Path,
    /// The first record that is written.
    first: u64,
    bundle: Vec<u8>,
}

impl Bundles<'_> {
    fn add(&mut self, number: u64, record: &[u8]) -> Result<(), AuditError> {
        if number < self.first {
            return Ok(());
        }
        let length = u16::try_from(record.len())
            .map_err(|_| AuditError::Damaged(format!("record {number} is longer than a tile takes (65,535 bytes)")))?;
        let length: [u8; LENGTH] = length.to_be_bytes();
        self.bundle.extend_from_slice(&length);
        self.bundle.extend_from_slice(record);
        if (number + 1).is_multiple_of(WIDTH) { self.put(number / WIDTH, WIDTH) } else { Ok(()) }
    }

    /// The last one, if it is not full.
    fn finish(&mut self, size: u64) -> Result<(), AuditError> {
        if self.bundle.is_empty() { Ok(()) } else { self.put(size / WIDTH, size % WIDTH) }
    }

    fn put(&mut self, number: u64, width: u64) -> Result<(), AuditError> {
        put(self.folder, &path(Of::Records, number, width), &self.bundle)?;
        self.bundle.clear();
        Ok(())
    }
}

fn put(folder: &Path, name: &str, bytes: &[u8]) -> Result<(), AuditError> {
    let path = folder.join(name);
    let within = path.parent().unwrap_or(folder);
    let made = DirBuilder::new().recursive(true).mode(0o700).create(within);
    made.and_then(|()| files::replace(&path, bytes)).map_err(|error| AuditError::io(&path, &error))
}

/// Removes the tiles that were not full, and have longer ones in their place now. Nobody misses them if it fails.
fn remove_partial(folder: &Path, before: u64, now: u64) {
    let levels = (0..8).map(|level| (Of::Level(level), 8 * u32::from(level)));
    for (of, shift) in levels.chain([(Of::Records, 0)]) {
        let (size, longer) = (before >> shift, now >> shift);
        let width = size % WIDTH;
        if width > 0 && longer > size {
            let path = folder.join(path(of, size / WIDTH, width));
            let _ = fs::remove_file(&path);
            // Goes only if it is empty.
            let _ = path.parent().map(fs::remove_dir);
        }
    }
}
