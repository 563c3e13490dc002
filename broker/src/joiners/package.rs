//! The folder that the installed package brings its joiners in.
//!
//! Keeps promise 13: what is found there is copied, so that the next release may bring another in its place.
//! Must not write there, and never takes a file for a joiner that a new machine could not run.

use std::collections::HashSet;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use protocol::{Architecture, JoinerHash};

use super::program::{MOST_BYTES, NoJoiner, Program};
use crate::ledger::MOST_JOINERS;
use crate::state::read_bounded;

/// The folder unless told otherwise.
pub(crate) const DEFAULT: &str = "/usr/lib/broker/joiners";

/// The folder, and what it held when it was read last.
pub(crate) struct Package {
    folder: PathBuf,
    found: Found,
    /// The folder as it was when it was read.
    read: Scan,
    /// The folder as it was looked at last.
    looked: Scan,
    /// Whether something in it could not be kept.
    unkept: bool,
}

/// What the folder holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The joiners, in the order of their names.
    pub(crate) joiners: Vec<(JoinerHash, Architecture)>,
    /// What was left out, and why.
    pub(crate) left_out: Vec<String>,
}

/// A folder, without what its files hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Scan {
    files: Vec<Stamp>,
    /// What could not be looked at, and why.
    left_out: Vec<String>,
}

/// What shows without reading a file that it is another one: path, length, inode, and when it was written.
type Stamp = (PathBuf, u64, u64, i64, i64);

impl Found {
    /// Whether the folder holds it.
    pub(crate) fn has(&self, hash: &JoinerHash) -> bool {
        self.joiners.iter().any(|(found, _)| found == hash)
    }

    /// The joiners that new user-data names: the first of each architecture.
    pub(crate) fn current(&self) -> Vec<JoinerHash> {
        let mut taken = HashSet::new();
        self.joiners.iter().filter(|(_, kind)| taken.insert(*kind)).map(|(hash, _)| hash.clone()).collect()
    }
}

impl Package {
    pub(crate) fn at(folder: PathBuf) -> Self {
        Self { folder, found: Found::default(), read: Scan::default(), looked: Scan::default(), unkept: false }
    }

    /// What it held when it was read last.
    pub(crate) fn found(&self) -> &Found {
        &self.found
    }

    /// Reads the folder, and keeps each joiner of it by `keep`. A folder that is not there is an empty one.
    pub(crate) fn read(&mut self, mut keep: impl FnMut(&Program) -> Result<(), String>) {
        let scan = Scan::of(&self.folder);
        let mut found = Found { joiners: Vec::new(), left_out: scan.left_out.clone() };
        self.unkept = false;
        for (path, ..) in &scan.files {
            let kept = read(path).and_then(|program| {
                keep(&program).inspect_err(|_| self.unkept = true)?;
                Ok((program.hash().clone(), program.architecture()))
            });
            match kept {
                Ok(joiner) if found.has(&joiner.0) => {}
                Ok(joiner) => found.joiners.push(joiner),
                Err(why) => found.left_out.push(format!("{}: {why}", path.display())),
            }
        }
        for what in found.left_out.iter().filter(|what| !self.found.left_out.contains(what)) {
            tracing::warn!("left out {what}");
        }
        self.found = found;
        (self.read, self.looked) = (scan.clone(), scan);
    }

    /// Reads the folder if there is something to do: a joiner of it could not be kept, or it is another one than was
    /// read and has not changed since the last look. What is being written has half a joiner in it, and half a joiner
    /// has a hash of its own.
    pub(crate) fn look(&mut self, keep: impl FnMut(&Program) -> Result<(), String>) {
        let scan = Scan::of(&self.folder);
        let settled = scan == self.looked;
        let changed = scan != self.read;
        self.looked = scan;
        if self.unkept || changed && settled {
            self.read(keep);
        }
    }
}

impl Scan {
    /// The files of a folder by name, at most as many as are kept.
    fn of(folder: &Path) -> Self {
        let mut scan = Self::default();
        match fs::read_dir(folder) {
            // A link is followed: a package may bring one.
            Ok(entries) => scan.files.extend(entries.filter_map(|entry| stamp(entry.ok()?.path()))),
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => scan.left_out.push(format!("{}: {error}", folder.display())),
        }
        scan.files.sort();
        if scan.files.len() > MOST_JOINERS {
            let (folder, count) = (folder.display(), scan.files.len());
            scan.left_out.push(format!("{folder}: {count} files are there; only the first {MOST_JOINERS} are read"));
            scan.files.truncate(MOST_JOINERS);
        }
        scan
    }
}

fn stamp(path: PathBuf) -> Option<Stamp> {
    let file = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
    Some((path, file.len(), file.ino(), file.mtime(), file.mtime_nsec()))
}

fn read(path: &Path) -> Result<Program, String> {
    let bytes = read_bounded(path, MOST_BYTES).map_err(|error| error.to_string())?;
    let program = bytes.ok_or(NoJoiner::TooLarge).and_then(Program::read);
    let fit = program.and_then(|program| if program.is_dynamic() { Err(NoJoiner::Dynamic) } else { Ok(program) });
    fit.map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::joiners::program::tests::{elf, joiner};

    fn write(folder: &Path, name: &str, bytes: &[u8]) {
        fs::write(folder.join(name), bytes).expect("written");
    }

    fn read(folder: &Path) -> Package {
        let mut package = Package::at(folder.to_owned());
        package.read(|_| Ok(()));
        package
    }

    #[test]
    fn a_folder_that_is_not_there_is_empty_and_no_fault() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(*read(&folder.path().join("none")).found(), Found::default());
    }

    #[test]
    fn joiners_are_found_and_anything_else_is_named_and_left_out() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "README", b"hello");
        write(folder.path(), "joiner-aarch64", &elf(183, 1, b""));
        write(folder.path(), "joiner-x86_64", joiner("a").bytes());
        write(folder.path(), "joiner-x86_64.dynamic", &elf(62, 3, b""));
        fs::create_dir(folder.path().join("more")).expect("made");
        let package = read(folder.path());
        let found = package.found();
        assert_eq!((found.joiners.len(), found.current().len()), (2, 2));
        assert_eq!(found.left_out.len(), 2, "{:?}", found.left_out);
        assert!(found.left_out[1].contains("joiner-x86_64.dynamic: it needs shared libraries"), "{:?}", found.left_out);
    }

    #[test]
    fn a_new_release_is_seen_once_its_file_stands_still() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "joiner-x86_64", joiner("a").bytes());
        let mut package = read(folder.path());
        let mut looked = || {
            let mut seen = Vec::new();
            package.look(|program| {
                seen.push(program.hash().clone());
                Ok(())
            });
            seen
        };
        assert!(looked().is_empty(), "nothing changed");
        // As dpkg does: a file that grows, and then takes the old one's name.
        write(folder.path(), "new", &joiner("b").bytes()[..121]);
        assert!(looked().is_empty(), "it may grow");
        write(folder.path(), "new", joiner("bb").bytes());
        assert!(looked().is_empty(), "it grew");
        fs::rename(folder.path().join("new"), folder.path().join("joiner-x86_64")).expect("renamed");
        assert!(looked().is_empty(), "it has another name");
        assert_eq!(looked(), [joiner("bb").hash().clone()]);
        assert!(looked().is_empty(), "once");
        assert!(!package.found().has(joiner("a").hash()));
    }

    #[test]
    fn what_could_not_be_kept_is_named_and_tried_again() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "joiner-x86_64", joiner("a").bytes());
        let mut package = Package::at(folder.path().to_owned());
        package.read(|_| Err("the disk is full".into()));
        assert!(package.found().joiners.is_empty());
        assert!(package.found().left_out[0].ends_with("joiner-x86_64: the disk is full"));
        package.look(|_| Ok(()));
        assert!(package.found().has(joiner("a").hash()) && package.found().left_out.is_empty());
    }

    #[test]
    fn new_user_data_names_one_joiner_of_each_architecture() {
        let folder = tempfile::tempdir().expect("a folder");
        write(folder.path(), "joiner-x86_64", joiner("a").bytes());
        write(folder.path(), "joiner-x86_64.old", joiner("b").bytes());
        let package = read(folder.path());
        assert_eq!(package.found().joiners.len(), 2);
        assert_eq!(package.found().current(), [joiner("a").hash().clone()]);
    }

    #[test]
    fn of_a_folder_with_too_many_files_some_are_read_and_it_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        for number in 0..=MOST_JOINERS {
            write(folder.path(), &format!("{number:02}"), joiner(&number.to_string()).bytes());
        }
        let mut package = read(folder.path());
        assert_eq!((package.found().joiners.len(), package.found().left_out.len()), (MOST_JOINERS, 1));
        for _ in 0..3 {
            package.look(|_| panic!("it is read again and again"));
        }
    }
}
