//! The files of a log, side by side: its records, and what signs and proves them.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use crate::state::PrivateFile;

/// Where a log is.
#[derive(Clone, Debug)]
pub(crate) struct Files {
    /// The records, one JSON object a line.
    pub(crate) records: PathBuf,
    /// The hash of each record, 32 bytes each: with them a head tells which record is wrong.
    pub(crate) hashes: PathBuf,
    /// The last signed head.
    pub(crate) head: PathBuf,
    /// The key that signs heads.
    pub(crate) key: PathBuf,
    /// The key that verifies them.
    pub(crate) public: PathBuf,
}

/// The log's file in the state directory.
pub(crate) const FILE: &str = "audit.jsonl";
/// What signs it and proves it: a broker's own, as its other keys are.
pub(crate) const BESIDE: [&str; 4] = ["audit.hashes", "audit.head", "audit.key", "audit.pub"];

impl Files {
    /// The files of the log with these records.
    pub(crate) fn of(records: &Path) -> Self {
        let [hashes, head, key, public] = BESIDE.map(|name| records.with_file_name(name));
        Self { records: records.to_owned(), hashes, head, key, public }
    }

    /// The folder that they are in.
    pub(super) fn folder(&self) -> &Path {
        self.records.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
    }
}

/// Reads a file whole. None if it is not there.
pub(super) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Puts a private file in place of the one before: durable when this returns.
pub(super) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    PrivateFile::replace(path)?.finish_with(bytes)
}
