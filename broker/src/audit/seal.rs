//! What makes a log provable: its key, the tree over its records, and a signed head after every write.
//!
//! Keeps promise 11. Must not sign a log that does not continue what was signed before: such a log stops the broker.

use std::fs::{File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use zeroize::Zeroizing;

use super::AuditError;
use super::files::{self, Files};
use super::head::{Head, LogKey};
use super::tree::{Hash, Tree};
use super::verify;

/// The bytes of a hash.
const HASH: u64 = 32;

/// Signs what is written.
pub(super) struct Seal {
    files: Files,
    key: LogKey,
    tree: Tree,
    hashes: File,
}

/// Whether a log was signed before this start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    /// By this broker, as the log itself says.
    Signed,
    /// Not yet, or not by this broker.
    Not,
}

impl Seal {
    /// Takes up what was signed before, and signs what came after.
    pub(super) fn open(files: Files, broker: &str, leaves: &[Hash], before: Before) -> Result<Self, AuditError> {
        let key = key(&files, broker, before)?;
        let head = head(&files, &key, before)?;
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
        let hashes = mend(&files.hashes, leaves).map_err(|error| unreadable(&files.hashes, &error))?;
        let seal = Self { files, key, tree, hashes };
        if head.is_none_or(|head| head.size != seal.tree.size()) {
            seal.sign(&seal.tree).map_err(|error| unreadable(&seal.files.head, &error))?;
        }
        Ok(seal)
    }

    /// The key that verifies what is signed here, as text.
    pub(super) fn public(&self) -> &str {
        self.key.public().as_str()
    }

    /// Adds records and signs. On failure nothing is added, whatever was signed before stays.
    pub(super) fn add(&mut self, leaves: &[Hash]) -> io::Result<()> {
        let mut tree = self.tree.clone();
        tree.extend(leaves);
        let bytes: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
        let added = self.hashes.write_all(&bytes).and_then(|()| self.sign(&tree));
        if let Err(error) = added {
            let length = self.tree.size() * HASH;
            self.hashes.set_len(length)?;
            self.hashes.seek(SeekFrom::Start(length))?;
            return Err(error);
        }
        self.tree = tree;
        Ok(())
    }

    fn sign(&self, tree: &Tree) -> io::Result<()> {
        let note = self.key.sign(tree).ok_or_else(|| io::Error::other("the log's head cannot be signed"))?;
        files::replace(&self.files.head, &note)
    }
}

/// The log's key; made, if the log was never signed.
fn key(files: &Files, broker: &str, before: Before) -> Result<LogKey, AuditError> {
    let read = |path: &Path| files::read(path).map_err(|error| unreadable(path, &error));
    let text = |bytes: Vec<u8>| Zeroizing::new(String::from_utf8(bytes).unwrap_or_default());
    if let Some(private) = read(&files.key)?.map(text) {
        let public = read(&files.public)?.map(text).unwrap_or_default();
        return LogKey::read(&private, &public).ok_or_else(|| {
            AuditError::Read(format!(
                "{} and {} are not the two halves of the log's key: restore them from a backup of this manager",
                files.key.display(),
                files.public.display()
            ))
        });
    }
    if before == Before::Signed || read(&files.head)?.is_some() {
        return Err(AuditError::Read(format!(
            "{} is missing, though the audit log was signed with it. Restore it. If it is lost for good, move {} aside: \
             the log is then signed with another key, and the other brokers raise an alarm",
            files.key.display(),
            files.head.display()
        )));
    }
    let (private, key) = LogKey::make(broker).ok_or_else(|| AuditError::Read("no key can be made".into()))?;
    // The private half last: where it is, the other one is.
    let public = format!("{}\n", key.public().as_str());
    files::replace(&files.public, public.as_bytes()).map_err(|error| unreadable(&files.public, &error))?;
    files::replace(&files.key, private.as_bytes()).map_err(|error| unreadable(&files.key, &error))?;
    Ok(key)
}

/// What was signed last.
fn head(files: &Files, key: &LogKey, before: Before) -> Result<Option<Head>, AuditError> {
    let note = files::read(&files.head).map_err(|error| unreadable(&files.head, &error))?;
    match note {
        Some(note) => key.public().verify(&note).map(Some).map_err(|error| unreadable(&files.head, &error)),
        None if before == Before::Signed => Err(AuditError::Read(format!(
            "{} is missing, though the audit log was signed: whether the log is whole cannot be told. Restore it",
            files.head.display()
        ))),
        None => Ok(None),
    }
}

/// The file of hashes, with these and no others in it. It follows from the records: what is wrong in it is put right.
fn mend(path: &Path, leaves: &[Hash]) -> io::Result<File> {
    let present = files::read(path)?.unwrap_or_default();
    let wanted: Vec<u8> = leaves.iter().flat_map(|leaf| leaf.0).collect();
    let mut file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)?;
    if present != wanted {
        let same = present.iter().zip(&wanted).take_while(|(is, should)| is == should).count();
        file.set_len(same as u64)?;
        file.seek(SeekFrom::End(0))?;
        file.write_all(&wanted[same..])?;
        file.sync_data()?;
    }
    file.seek(SeekFrom::End(0))?;
    Ok(file)
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> AuditError {
    AuditError::Read(format!("{}: {error}", path.display()))
}

fn cut(files: &Files, records: usize, signed: u64) -> AuditError {
    AuditError::Read(format!(
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
    AuditError::Read(format!(
        "{} was changed: {what}. The broker does not go on with such a log; restore it",
        files.records.display()
    ))
}
