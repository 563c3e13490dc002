//! What makes a log provable: its key, the tree over its records, and a signed head after every write.
//!
//! Keeps promise 11. Must not sign a log that does not continue what was signed before: such a log stops the broker.

use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::sync::{Arc, PoisonError, RwLock};

use zeroize::Zeroizing;

use super::AuditError;
use super::files::{self, Files};
use super::head::{Head, LogKey};
use super::tree::{Hash, Tree};
use super::verify;
use crate::state;

/// The bytes of a hash.
const HASH: u64 = 32;

/// Signs what is written.
pub(super) struct Seal {
    files: Files,
    key: Arc<LogKey>,
    tree: Tree,
    hashes: File,
    signed: Arc<RwLock<SignedHead>>,
}

/// The last head, as it was signed.
#[derive(Clone, Debug)]
pub(crate) struct SignedHead {
    pub(crate) head: Head,
    pub(crate) note: Arc<[u8]>,
    /// The bytes of the records that it covers.
    pub(crate) length: u64,
}

/// Whether a log was signed before this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// By this broker, as the log itself says.
    Signed,
    /// Not yet, or not by this broker.
    Not,
}

/// Why records are not signed.
#[derive(Debug)]
pub(super) enum NotSigned {
    /// The head that lies there is the one before.
    Before(io::Error),
    /// Which one lies there cannot be told: the new one, perhaps, and not durable.
    Perhaps(io::Error),
}

impl Seal {
    /// Takes up what was signed before. Gives the numbers of the records that came after, too: what is added next is
    /// signed together with them.
    pub(super) fn open(
        files: Files,
        broker: &str,
        leaves: &[Hash],
        length: u64,
        before: Before,
    ) -> Result<(Self, Range<u64>), AuditError> {
        let key = key(&files, broker, before)?;
        let found = head(&files, &key, before)?.map(|found| SignedHead { length, ..found });
        let head = found.as_ref().map(|found| found.head);
        let signed = head.as_ref().map_or(0, |head| head.size);
        let (older, newer) = usize::try_from(signed)
            .ok()
            .and_then(|signed| leaves.split_at_checked(signed))
            .ok_or_else(|| cut(&files, leaves.len(), signed))?;
        let mut tree = Tree::default();
        tree.extend(older);
        if head.as_ref().is_some_and(|head| head.root != tree.root()) {
            return Err(changed(&files, &key));
        }
        tree.extend(newer);
        let hashes = mend(&files.hashes, leaves).map_err(|error| AuditError::io(&files.hashes, &error))?;
        let size = tree.size();
        let signed_now = match found {
            Some(found) => found,
            // The head comes before the record that says that the log is signed from there on.
            None => sign(&files, &key, &tree, length).map_err(|error| AuditError::io(&files.head, &error))?,
        };
        let seal = Self { files, key: Arc::new(key), tree, hashes, signed: Arc::new(RwLock::new(signed_now)) };
        let unsigned = if head.is_some() { signed..size } else { size..size };
        Ok((seal, unsigned))
    }

    /// The key that signs here.
    pub(super) fn key(&self) -> &Arc<LogKey> {
        &self.key
    }

    /// What was signed last, for those who read along.
    pub(super) fn signed(&self) -> &Arc<RwLock<SignedHead>> {
        &self.signed
    }

    /// Adds records, which are on disk, and signs. With them the log has so many bytes.
    pub(super) fn add(&mut self, leaves: &[Hash], length: u64) -> Result<(), NotSigned> {
        let mut tree = self.tree.clone();
        tree.extend(leaves);
        let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
        // Over whatever an attempt before this one left there.
        let at = self.tree.size() * HASH;
        self.hashes.write_all_at(&bytes, at).and_then(|()| self.hashes.sync_data()).map_err(NotSigned::Before)?;
        let signed = sign(&self.files, &self.key, &tree, length);
        // One over fewer than there are here is there still after a start that found more.
        if let Err(error) = &signed
            && self.lies_there().is_some_and(|head| head.size <= self.tree.size())
        {
            return Err(NotSigned::Before(io::Error::new(error.kind(), error.to_string())));
        }
        self.tree = tree;
        *self.signed.write().unwrap_or_else(PoisonError::into_inner) = signed.map_err(NotSigned::Perhaps)?;
        Ok(())
    }

    /// The head that is in its place, if that can be told.
    fn lies_there(&self) -> Option<Head> {
        let note = files::read(&self.files.head).ok()??;
        self.key.public().verify(&note).ok()
    }
}

/// Signs a head, and puts it in its place.
fn sign(files: &Files, key: &LogKey, tree: &Tree, length: u64) -> io::Result<SignedHead> {
    let note = key.sign(tree).ok_or_else(|| io::Error::other("the log's head cannot be signed"))?;
    files::replace(&files.head, &note)?;
    Ok(SignedHead { head: Head { size: tree.size(), root: tree.root() }, note: note.into(), length })
}

/// The log's key; made, if the log was never signed.
fn key(files: &Files, broker: &str, before: Before) -> Result<LogKey, AuditError> {
    let read = |path: &Path| files::read(path).map_err(|error| AuditError::io(path, &error));
    let text = |bytes: Vec<u8>| Zeroizing::new(String::from_utf8(bytes).unwrap_or_default());
    if let Some(private) = read(&files.key)?.map(text) {
        state::check_file(&files.key).map_err(|error| AuditError::Damaged(error.to_string()))?;
        let key = LogKey::read(&private).ok_or_else(|| lost(files, "is not the key of an audit log"))?;
        let public = read(&files.public)?.map(text).unwrap_or_default();
        // It follows from the private half.
        if public.trim() != key.public().as_str() {
            publish(files, &key)?;
        }
        return Ok(key);
    }
    if before == Before::Signed || read(&files.head)?.is_some() {
        return Err(lost(files, "is missing, though the audit log was signed with it"));
    }
    let (private, key) = LogKey::make(broker).ok_or_else(|| AuditError::Damaged("no key can be made".into()))?;
    publish(files, &key)?;
    files::replace(&files.key, private.as_bytes()).map_err(|error| AuditError::io(&files.key, &error))?;
    Ok(key)
}

fn publish(files: &Files, key: &LogKey) -> Result<(), AuditError> {
    let public = format!("{}\n", key.public().as_str());
    files::replace(&files.public, public.as_bytes()).map_err(|error| AuditError::io(&files.public, &error))
}

/// A log whose key is gone is not gone on with: whoever could take the key away could sign it anew.
fn lost(files: &Files, what: &str) -> AuditError {
    AuditError::Damaged(format!(
        "{} {what}. Put it back from a copy of this disk. If it is lost for good, this broker ends with it: move {} \
         away, keep it for the reviewer, and bring up another broker in its place ('broker up' beside one that serves, \
         or 'broker restore' of a backup)",
        files.key.display(),
        files.folder().display()
    ))
}

/// What was signed last.
fn head(files: &Files, key: &LogKey, before: Before) -> Result<Option<SignedHead>, AuditError> {
    let note = files::read(&files.head).map_err(|error| AuditError::io(&files.head, &error))?;
    match note {
        Some(note) => key
            .public()
            .verify(&note)
            .map(|head| Some(SignedHead { head, note: note.into(), length: 0 }))
            .map_err(|error| AuditError::Damaged(format!("{}: {error}", files.head.display()))),
        None if before == Before::Signed => Err(AuditError::Damaged(format!(
            "{} is missing, though the audit log was signed: whether the log is whole cannot be told. Put it back from \
             a copy of this disk",
            files.head.display()
        ))),
        None => Ok(None),
    }
}

/// The file of hashes, with these and no others in it. It follows from the records: what is wrong in it is put right.
fn mend(path: &Path, leaves: &[Hash]) -> io::Result<File> {
    let present = files::read(path)?.unwrap_or_default();
    let wanted: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if present != wanted {
        let same = present.iter().zip(&wanted).take_while(|(is, should)| is == should).count();
        file.set_len(same as u64)?;
        file.write_all_at(&wanted[same..], same as u64)?;
        file.sync_data()?;
    }
    Ok(file)
}

fn cut(files: &Files, records: usize, signed: u64) -> AuditError {
    AuditError::Damaged(format!(
        "{} has {records} records, and {signed} were signed: records are gone. The broker does not go on with such a \
         log; restore it",
        files.records.display()
    ))
}

/// What differs from what was signed, as 'broker audit verify' tells it.
fn changed(files: &Files, key: &LogKey) -> AuditError {
    let found = verify::check(files, std::slice::from_ref(key.public()));
    let what = found
        .ok()
        .and_then(|checked| checked.wrong)
        .map_or_else(|| "it is not what was signed".to_owned(), |wrong| wrong.to_string());
    AuditError::Damaged(format!(
        "{} was changed: {what}. The broker does not go on with such a log; restore it",
        files.records.display()
    ))
}
