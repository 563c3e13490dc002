//! Writing what is new of a log as tiles.

use std::fs::{self, DirBuilder, File};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;

use super::{HEAD, LENGTH, Of, PUBLIC, WIDTH, bytes, check, levels, path};
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
/// A folder that has another log is refused, as it is; one that has more of this log stays as it is. Cut off, it is what it
/// was before: the head comes last.
pub(crate) fn write(log: &Files, checked: &Checked, folder: &Path) -> Result<Written, AuditError> {
    let damaged = |what: &str| AuditError::Damaged(format!("{}: {what}", log.records.display()));
    let key =
        checked.key.as_deref().and_then(PublicLogKey::read).ok_or_else(|| damaged("nobody is known to sign it"))?;
    let note = checked.note.as_deref().ok_or_else(|| damaged("it has no signed head"))?;
    let head = key.verify(note).map_err(|error| damaged(&error.to_string()))?;
    let leaves: Vec<Hash> =
        records(log, head)?.map(|record| record.map(|line| leaf(&line))).collect::<Result<_, _>>()?;
    if Tree::root_of(&leaves, head.size) != Some(head.root) {
        return Err(damaged(CHANGED));
    }
    let before = before(folder, &key)?;
    if let Some(before) = before {
        let longer = before.size > head.size;
        let same = if longer {
            check(folder, std::slice::from_ref(&key))?.continues(head)
        } else {
            Tree::root_of(&leaves, before.size) == Some(before.root)
        };
        if !same {
            return Err(other(folder, before));
        }
        if longer {
            return Ok(Written { records: before.size, new: 0 });
        }
    }
    let from = before.map_or(0, |before| before.size);
    bundles(log, head, &leaves, from, folder)?;
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

const CHANGED: &str = "it was changed while it was read";

/// The head that the folder has.
fn before(folder: &Path, key: &PublicLogKey) -> Result<Option<Head>, AuditError> {
    let path = folder.join(HEAD);
    let Some(note) = files::read(&path).map_err(|error| AuditError::io(&path, &error))? else { return Ok(None) };
    let other = |error| AuditError::Damaged(format!("{}: {error}: another log is there", path.display()));
    key.verify(&note).map(Some).map_err(other)
}

fn other(folder: &Path, before: Head) -> AuditError {
    let (folder, size) = (folder.display(), before.size);
    AuditError::Damaged(format!("{folder} has {size} records of another log than this one: keep both, and look"))
}

/// The records that the head covers.
fn records(log: &Files, head: Head) -> Result<impl Iterator<Item = Result<Vec<u8>, AuditError>>, AuditError> {
    let failed = |error: io::Error| AuditError::io(&log.records, &error);
    let lines = BufReader::new(File::open(&log.records).map_err(failed)?).split(b'\n');
    Ok(lines.map(move |line| line.map_err(failed)).take(usize::try_from(head.size).unwrap_or(usize::MAX)))
}

/// Writes the records that are new, 256 in a file, each after its length. They are read once more, and must have these
/// hashes still.
fn bundles(log: &Files, head: Head, leaves: &[Hash], from: u64, folder: &Path) -> Result<(), AuditError> {
    let damaged = |what: &str| AuditError::Damaged(format!("{}: {what}", log.records.display()));
    let first = usize::try_from(from / WIDTH).unwrap_or(usize::MAX);
    let mut lines = records(log, head)?.skip(first.saturating_mul(256));
    for (number, hashes) in (0..).zip(leaves.chunks(256)).skip(first) {
        let mut bundle = Vec::new();
        for hash in hashes {
            let line = lines.next().transpose()?.filter(|line| leaf(line) == *hash).ok_or_else(|| damaged(CHANGED))?;
            let length = u16::try_from(line.len());
            let length = length.map_err(|_| damaged("it has a record longer than a tile takes (65,535 bytes)"))?;
            let length: [u8; LENGTH] = length.to_be_bytes();
            bundle.extend_from_slice(&length);
            bundle.extend_from_slice(&line);
        }
        put(folder, &path(Of::Records, number, hashes.len() as u64), &bundle)?;
    }
    Ok(())
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
