//! A file that nobody else can read: private from its first byte, whole and durable when it is finished, or gone.
//!
//! Keeps promise 5: what is not finished is never taken for what it replaces.
//! Must not write into a file that somebody else has put there: each is made anew.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Result, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// A file of mode 0600 in the making. It is removed unless it is finished.
#[derive(Debug)]
pub(crate) struct PrivateFile {
    file: File,
    /// Where it is written.
    made: PathBuf,
    /// Where it belongs.
    path: PathBuf,
    finished: bool,
}

impl PrivateFile {
    /// A new file, never over one that is there. It is written where it belongs: not every file system can give a file a
    /// name only if that is free, so a crash may leave a half one, which is never written over either.
    pub(crate) fn create(path: &Path) -> Result<Self> {
        Self::make(path.to_owned(), path)
    }

    /// A file for the place of the one that is there, if any; that stays what it is until this is finished.
    pub(crate) fn replace(path: &Path) -> Result<Self> {
        let mut name = OsString::from(".");
        name.push(path.file_name().ok_or(ErrorKind::InvalidInput)?);
        name.push(".new");
        let made = path.with_file_name(name);
        // What was cut off left it.
        match fs::remove_file(&made) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        Self::make(made, path)
    }

    fn make(made: PathBuf, path: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&made)?;
        Ok(Self { file, made, path: path.to_owned(), finished: false })
    }

    /// Puts it in its place with this content.
    pub(crate) fn finish_with(mut self, content: &[u8]) -> Result<()> {
        self.file.write_all(content)?;
        self.finish()
    }

    /// Puts it in its place: durable when this returns.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.file.sync_all()?;
        if self.made != self.path {
            fs::rename(&self.made, &self.path)?;
        }
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()?;
        self.finished = true;
        Ok(())
    }
}

impl Write for PrivateFile {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> Result<()> {
        self.file.flush()
    }
}

impl Drop for PrivateFile {
    fn drop(&mut self) {
        if !self.finished {
            // What cannot be removed is removed by the next attempt, or is in its way and named then.
            let _ = fs::remove_file(&self.made);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").file_name());
        let mut names: Vec<String> = entries.map(|name| name.into_string().expect("a name")).collect();
        names.sort();
        names
    }

    #[test]
    fn a_new_file_is_private_and_never_over_one_that_is_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let file = PrivateFile::create(&path).expect("made");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        file.finish_with(b"secret").expect("durable");
        let refused = PrivateFile::create(&path).expect_err("it is there");
        assert_eq!(refused.kind(), ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).expect("reads"), b"secret", "and it stays what it is");
    }

    #[test]
    fn what_is_not_finished_leaves_nothing_and_what_it_was_to_replace() {
        let folder = tempfile::tempdir().expect("a folder");
        let (old, new) = (folder.path().join("old"), folder.path().join("new"));
        fs::write(&old, "old").expect("written");
        PrivateFile::replace(&old).expect("made").write_all(b"half").expect("written");
        PrivateFile::create(&new).expect("made").write_all(b"half").expect("written");
        assert_eq!(fs::read(&old).expect("reads"), b"old");
        assert_eq!(names(folder.path()), ["old"]);
    }

    #[test]
    fn a_file_is_replaced_whole_and_through_nothing_that_was_put_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, other) = (folder.path().join("key"), folder.path().join("other"));
        for (path, text) in [(&path, "old"), (&other, "other")] {
            fs::write(path, text).expect("written");
            fs::set_permissions(path, fs::Permissions::from_mode(0o644)).expect("open to all");
        }
        symlink(&other, folder.path().join(".key.new")).expect("linked");
        let mut file = PrivateFile::replace(&path).expect("made");
        file.write_all(b"new").expect("written");
        assert_eq!(fs::read(&path).expect("reads"), b"old", "until it is finished");
        file.finish().expect("durable");
        assert_eq!(fs::read(&path).expect("reads"), b"new");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&other).expect("reads"), b"other");
        assert_eq!(names(folder.path()), ["key", "other"]);
    }
}
