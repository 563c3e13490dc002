//! A private folder whose files are replaced whole: temp → fsync → rename → fsync of the folder.
//!
//! Keeps promise 5: after a crash at any point each file is the old one or the new one.
//! Must not follow what somebody else could have put there: modes and owner are checked first.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use zeroize::Zeroizing;

use super::{PrivateFile, StateError};

/// A folder of mode 0700 that belongs to us.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// Makes the folder where it is missing, and checks it.
    pub(crate) fn create(path: &Path) -> Result<Self, StateError> {
        if let Err(error) = fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
            && error.kind() != ErrorKind::AlreadyExists
        {
            return Err(StateError::io(path, error));
        }
        Self::open(path)
    }

    /// Opens a folder that is there, after checking mode and owner.
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => check(path, &metadata, "0700")?,
            Ok(_) => return Err(StateError::io(path, std::io::Error::from(ErrorKind::NotADirectory))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(StateError::NotInitialised(path.to_owned(), path.to_owned()));
            }
            Err(error) => return Err(StateError::io(path, error)),
        }
        Ok(Self(path.to_owned()))
    }

    /// The folder itself.
    pub(crate) fn itself(&self) -> &Path {
        &self.0
    }

    /// The path of a file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Whether a file is there.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Reads a private file whole.
    pub(crate) fn read(&self, name: &str) -> Result<Zeroizing<String>, StateError> {
        let path = self.path(name);
        match check_file(&path) {
            Err(StateError::Io { error, .. }) if error.kind() == ErrorKind::NotFound => {
                return Err(StateError::Missing { path });
            }
            checked => checked?,
        }
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Zeroizing::new(text)),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(StateError::Corrupt { path, what: "it is not text".into() })
            }
            Err(error) => Err(StateError::io(&path, error)),
        }
    }

    /// Reads a file that holds no secret, so that nobody's rights to it matter. None if it is larger than `most` bytes.
    pub(crate) fn read_public(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, StateError> {
        let path = self.path(name);
        read_bounded(&path, most).map_err(|error| match error.kind() {
            ErrorKind::NotFound => StateError::Missing { path },
            _ => StateError::io(&path, error),
        })
    }

    /// The names of what is in it.
    pub(crate) fn names(&self) -> Result<Vec<String>, StateError> {
        let fail = |error| StateError::io(&self.0, error);
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.0).map_err(fail)? {
            names.extend(entry.map_err(fail)?.file_name().into_string());
        }
        Ok(names)
    }

    /// Removes a file, if it is there.
    pub(crate) fn remove(&self, name: &str) -> Result<(), StateError> {
        let path = self.path(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(StateError::io(&path, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// Gives a file another name, in place of what has that: durable when this returns.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), StateError> {
        let path = self.path(from);
        let renamed = fs::rename(&path, self.path(to)).and_then(|()| File::open(&self.0)?.sync_all());
        renamed.map_err(|error| StateError::io(&path, error))
    }

    /// Makes what was done to the folder itself durable.
    pub(super) fn sync(&self) -> Result<(), StateError> {
        File::open(&self.0).and_then(|folder| folder.sync_all()).map_err(|error| StateError::io(&self.0, error))
    }

    /// Replaces a file: durable when this returns.
    pub(crate) fn write(&self, name: &str, content: &(impl AsRef<[u8]> + ?Sized)) -> Result<(), StateError> {
        let path = self.path(name);
        let written = PrivateFile::replace(&path).and_then(|file| file.finish_with(content.as_ref()));
        written.map_err(|error| StateError::io(&path, error))
    }

    /// Holds the folder for this process: a second broker on the same state is refused.
    pub(crate) fn lock(&self) -> Result<File, StateError> {
        let path = self.path(LOCK);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| StateError::io(&path, error))?;
        let mut tries = 10;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(file),
                // Whoever only asks whether it is held has it for a moment.
                Err(Errno::WOULDBLOCK) if tries > 0 => {
                    tries -= 1;
                    std::thread::sleep(Duration::from_millis(10));
                }
                Err(Errno::WOULDBLOCK) => return Err(StateError::Locked(self.0.clone())),
                Err(error) => return Err(StateError::io(&path, error.into())),
            }
        }
    }
}

/// The file that is locked as long as a process holds its folder.
const LOCK: &str = "lock";

/// Whether a process holds this folder now.
pub(crate) fn is_held(folder: &Path) -> bool {
    File::open(folder.join(LOCK))
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
}

/// Reads a file whole. None if it is larger than `most` bytes: no more than that is read of it.
pub(crate) fn read_bounded(path: &Path, most: usize) -> std::io::Result<Option<Vec<u8>>> {
    let mut content = Vec::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path)?.take(limit).read_to_end(&mut content)?;
    Ok((content.len() <= most).then_some(content))
}

/// A file of ours that nobody else can read.
pub(crate) fn check_file(path: &Path) -> Result<(), StateError> {
    let metadata = fs::metadata(path).map_err(|error| StateError::io(path, error))?;
    check(path, &metadata, "0600")
}

fn check(path: &Path, metadata: &fs::Metadata, fix: &'static str) -> Result<(), StateError> {
    let mode = metadata.mode() & 0o777;
    let us = rustix::process::geteuid().as_raw();
    if metadata.uid() != us {
        return Err(StateError::Owner { path: path.to_owned(), owner: metadata.uid(), us });
    }
    if mode & 0o077 != 0 {
        return Err(StateError::Open { path: path.to_owned(), mode, fix });
    }
    Ok(())
}
