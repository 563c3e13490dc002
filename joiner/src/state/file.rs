//! Files that survive a crash and that only their owner can read.
//!
//! Keeps DESIGN §5: mode 0600, written temp → fsync → rename → fsync of the folder (by the caller, who has it open).
//! Must not follow what is not a plain file, and never writes in place.

use std::fs::{self, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

use zeroize::Zeroizing;

use super::{StateError, inaccessible};

/// No file of ours is larger, in bytes.
const MOST: u64 = 64 * 1024;

/// Whether there is anything of this name.
pub(super) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Reads a file that only its owner may read; `None` where there is none.
pub(super) fn read_private(path: &Path, folder: &Path) -> Result<Option<Zeroizing<String>>, StateError> {
    let wrong = |error: io::Error| inaccessible(path, &error);
    let damaged =
        |why: &str| StateError::Damaged { path: path.to_owned(), folder: folder.to_owned(), why: why.to_owned() };
    match path.symlink_metadata() {
        Ok(metadata) if !metadata.is_file() => return Err(damaged("it is not a plain file")),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(wrong(error)),
    }
    let file = fs::File::open(path).map_err(wrong)?;
    let metadata = file.metadata().map_err(wrong)?;
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(StateError::Readable { path: path.to_owned(), folder: folder.to_owned(), mode });
    }
    if metadata.len() > MOST {
        return Err(damaged("it is too large"));
    }
    let mut text = Zeroizing::new(String::with_capacity(usize::try_from(metadata.len()).unwrap_or(0) + 1));
    match file.take(MOST).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(damaged("it is not text")),
        Err(error) => Err(wrong(error)),
    }
}

/// Replaces a file as a whole. The folder must be flushed after it.
pub(super) fn replace(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let temporary = folder.join(format!(".{name}.new"));
    // What a crash left there is nobody's: only a rename makes a file count.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&temporary, folder.join(name))
}
