//! A folder that all managers share, as a store: a created file is linked into place, which fails if one is there, and an
//! update holds the folder's lock from its look to its rename.
//!
//! Must not make the folder, nor take any folder for it: where the shared one is not mounted, that is another place. Must not be asked without a limit
//! in time: that is its caller's.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::{Found, MOST, Put, Version};
use crate::state::read_bounded;

/// The file by which the operator says that this is the folder which all managers share. It is in no mount point that nothing is
/// mounted on, where each machine would find itself alone.
const MARKER: &str = "shared-by-managers";

/// So many calls at a time: one of a folder on another machine may hang for ever, and cannot be ended.
const AT_ONCE: usize = 4;

/// The folder.
#[derive(Clone, Debug)]
pub(super) struct Folder {
    path: PathBuf,
    free: Arc<Semaphore>,
}

impl Folder {
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, free: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// Whether this is the folder that all managers share, as far as can be told.
    pub(super) fn check(&self) -> io::Result<()> {
        let marker = self.path.join(MARKER);
        match fs::metadata(&marker) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(io::Error::other(format!(
                "there is no file {0}: the folder that all managers share is not mounted here. If it is, and is new, make that file \
                 once, on one machine: touch {0}",
                marker.display()
            ))),
            Err(error) => Err(error),
        }
    }

    /// Does the work on a thread that it may block. What hangs there keeps its place, so that the threads of the broker's other
    /// work are not used up.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Self) -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let place = self.free.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let folder = self.clone();
        let done = tokio::task::spawn_blocking(move || {
            let _place = place;
            work(&folder)
        });
        done.await.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
    }

    pub(super) fn get(&self, name: &str) -> io::Result<Option<Found>> {
        match read_bounded(&self.path.join(name), MOST) {
            Ok(Some(bytes)) => Ok(Some(Found { version: version(&bytes), bytes })),
            Ok(None) => Err(io::Error::other(format!("{name} is larger than it can be"))),
            // A folder that went away holds not nothing: it cannot be asked.
            Err(error) if error.kind() == ErrorKind::NotFound => self.check().map(|()| None),
            Err(error) => Err(error),
        }
    }

    pub(super) fn create(&self, name: &str, bytes: &[u8]) -> io::Result<Put> {
        self.check()?;
        let temporary = self.write(bytes)?;
        let linked = fs::hard_link(&temporary, self.path.join(name));
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
        fs::rename(self.write(bytes)?, self.path.join(name))?;
        self.sync().map(|()| Put::Done(version(bytes)))
    }

    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    /// A file of nobody else's with these bytes, durable.
    fn write(&self, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path.join(format!(".{}.new", protocol::GrantId::random().as_str()));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path)?;
        file.write_all(bytes).and_then(|()| file.sync_all()).inspect_err(|_| drop(fs::remove_file(&path)))?;
        Ok(path)
    }

    /// One update at a time, over all machines that have the folder.
    fn lock(&self) -> io::Result<File> {
        let path: &Path = &self.path.join(".lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o644).open(path)?;
        rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)?;
        Ok(file)
    }

    fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Two states with the same bytes are the same state: what is written here carries its time or a counter.
fn version(bytes: &[u8]) -> Version {
    Version { tag: Some(STANDARD.encode(Sha256::digest(bytes))), number: None }
}
