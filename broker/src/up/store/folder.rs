//! A folder that all managers share, as a store: a created file is linked into place, which fails if one is there, and an
//! update holds the folder's lock from its look to its rename.
//!
//! Must not make the folder: where the shared one is not mounted, that would be another place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::{Found, MOST, Put, Version};
use crate::state::read_bounded;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self(path)
    }

    pub(super) fn get(&self, name: &str) -> io::Result<Option<Found>> {
        match read_bounded(&self.0.join(name), MOST) {
            Ok(Some(bytes)) => Ok(Some(Found { version: version(&bytes), bytes })),
            Ok(None) => Err(io::Error::other(format!("{name} is larger than it can be"))),
            // A folder that went away holds not nothing: it cannot be asked.
            Err(error) if error.kind() == ErrorKind::NotFound && self.0.is_dir() => Ok(None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn create(&self, name: &str, bytes: &[u8]) -> io::Result<Put> {
        let temporary = self.write(bytes)?;
        let linked = fs::hard_link(&temporary, self.0.join(name));
        fs::remove_file(&temporary)?;
        match linked {
            Ok(()) => self.sync().map(|()| Put::Done(version(bytes))),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(Put::Conflict),
            Err(error) => Err(error),
        }
    }

    pub(super) fn update(&self, name: &str, bytes: &[u8], as_read: &Version) -> io::Result<Put> {
        let _lock = self.lock()?;
        if self.get(name)?.is_none_or(|found| found.version != *as_read) {
            return Ok(Put::Conflict);
        }
        fs::rename(self.write(bytes)?, self.0.join(name))?;
        self.sync().map(|()| Put::Done(version(bytes)))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.0.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A file of nobody else's with these bytes, durable.
    fn write(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.0.join(format!(".{}.new", protocol::GrantId::random().as_str()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(path)
    }

    /// One update at a time, over all machines that have the folder.
    fn lock(&self) -> io::Result<File> {
        let path: &Path = &self.0.join(".lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(file)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.0)?.sync_all()
    }
}

/// Two states with the same bytes are the same state: what is written here carries its time or a counter.
fn version(bytes: &[u8]) -> Version {
    Version { tag: Some(STANDARD.encode(Sha256::digest(bytes))), number: None }
}
