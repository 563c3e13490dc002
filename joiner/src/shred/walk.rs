//! Goes through the places where copies lie, and overwrites the invite in each file, in place.
//!
//! Keeps a walk bounded (depth, count, size) and inside its places: a symbolic link is never followed, and nothing is
//! opened that is not a plain file. Owner, mode and length of a file stay.
//! Must not stop at a file that resists: it is named, and the rest is done.

use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use protocol::InviteId;
use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::places::Place;
use super::text;

/// Below a place. cloud-init's deepest are five (instances/ID/data/urlcache/FILE).
const DEPTH: u32 = 8;
/// Over all places; cloud-init keeps some hundred.
const FILES: u32 = 2_000;
/// User-data has 64 KiB where a provider bounds it, cloud-init's log some hundred.
const FILE: u64 = 4 * 1024 * 1024;
/// Over all places.
const TOGETHER: u64 = 64 * 1024 * 1024;
/// How many bytes may come out of base64 and gzip, over all places.
const UNPACKED: usize = 64 * 1024 * 1024;

/// Where cloud-init keeps the user-data as it came. It writes this file anew at each start, empty if there is none.
const RAW: &str = "user-data.txt";

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// How many files an invite was overwritten in.
    pub(super) cleaned: usize,
    /// What may still hold one, and why.
    pub(super) left: Vec<String>,
}

/// Goes through the places below this root.
pub(super) fn clean(root: &Path, places: &[Place], wanted: &[InviteId]) -> Outcome {
    let mut walk = Walk { wanted, files: 0, bytes: 0, budget: UNPACKED, outcome: Outcome::default() };
    for place in places {
        walk.place(root, *place);
    }
    walk.outcome
}

struct Walk<'a> {
    wanted: &'a [InviteId],
    files: u32,
    bytes: u64,
    budget: usize,
    outcome: Outcome,
}

/// An entry of an open folder.
struct Entry<'a> {
    folder: &'a File,
    name: &'a CStr,
    path: PathBuf,
}

impl Walk<'_> {
    fn place(&mut self, root: &Path, place: Place) {
        let (folder, prefix) = match place {
            Place::Tree(path) => (root.join(path), None),
            Place::Named(path, prefix) => (root.join(path), Some(prefix)),
            Place::File(path) => {
                let path = root.join(path);
                let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
                let Ok(name) = std::ffi::CString::new(name.as_encoded_bytes()) else { return };
                // Without its folder there is no such file; any other obstacle is one for the file, too.
                match open_folder(CWD, parent) {
                    Ok(folder) => self.entry(&Entry { folder: &folder, name: &name, path: path.clone() }, None),
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {}
                    Err(error) => self.leave(&path, &error.to_string()),
                }
                return;
            }
        };
        match open_folder(CWD, &folder) {
            Ok(open) => self.folder(&open, &folder, prefix, DEPTH),
            Err(Errno::NOENT) => {}
            Err(Errno::NOTDIR | Errno::LOOP) => self.leave(&folder, "it is not a folder, and links are not followed"),
            Err(error) => self.leave(&folder, &error.to_string()),
        }
    }

    /// Goes through a folder: all of it, or only the plain files whose names begin with a prefix.
    fn folder(&mut self, folder: &File, path: &Path, prefix: Option<&str>, depth: u32) {
        let entries = match Dir::read_from(folder) {
            Ok(entries) => entries,
            Err(error) => return self.leave(path, &error.to_string()),
        };
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => return self.leave(path, &error.to_string()),
            };
            let name = entry.file_name();
            let text = name.to_string_lossy();
            if text == "." || text == ".." || !text.starts_with(prefix.unwrap_or_default()) {
                continue;
            }
            self.files += 1;
            if self.files > FILES {
                return self.leave(path, "there are too many files to look through");
            }
            let entry = Entry { folder, name, path: path.join(text.as_ref()) };
            self.entry(&entry, prefix.is_none().then_some(depth));
        }
    }

    /// Looks at one entry; goes into a folder if `depth` allows.
    fn entry(&mut self, entry: &Entry<'_>, depth: Option<u32>) {
        // Looked at before it is opened: opening some devices does something.
        let kind = match statat(entry.folder, entry.name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => FileType::from_raw_mode(stat.st_mode),
            Err(Errno::NOENT) => return,
            Err(error) => return self.leave(&entry.path, &error.to_string()),
        };
        match (kind, depth) {
            (FileType::RegularFile, _) => {
                if let Err(why) = self.file(entry) {
                    self.leave(&entry.path, &why);
                }
            }
            (FileType::Directory, Some(0)) => self.leave(&entry.path, "it lies too deep"),
            (FileType::Directory, Some(depth)) => match open_folder(entry.folder, entry.name) {
                Ok(folder) => self.folder(&folder, &entry.path, None, depth - 1),
                Err(error) => self.leave(&entry.path, &error.to_string()),
            },
            // Links, pipes, sockets, devices: no copy of a text.
            _ => {}
        }
    }

    fn file(&mut self, entry: &Entry<'_>) -> Result<(), String> {
        let text = |error: io::Error| error.to_string();
        let (file, length) = open_file(entry, OFlags::RDONLY).map_err(text)?;
        if length > FILE || self.bytes + length > TOGETHER {
            return Err(format!("it is too large to look through ({length} bytes)"));
        }
        self.bytes += length;
        let mut before = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
        (&file).take(FILE).read_to_end(&mut before).map_err(text)?;
        let mut after = before.clone();
        let found = text::overwrite(&mut after, self.wanted, &mut self.budget);
        let emptied = found.stuck && entry.name.to_bytes() == RAW.as_bytes();
        if emptied {
            let (file, _) = open_file(entry, OFlags::WRONLY).map_err(text)?;
            file.set_len(0).and_then(|()| file.sync_all()).map_err(text)?;
            self.outcome.cleaned += 1;
        } else if let Some((first, last)) = difference(&before, &after) {
            let (file, _) = open_file(entry, OFlags::WRONLY).map_err(text)?;
            file.write_all_at(&after[first..=last], first as u64).map_err(text)?;
            file.sync_all().map_err(text)?;
            self.outcome.cleaned += 1;
        }
        if found.stuck && !emptied {
            return Err("it is packed in a way that cannot be changed in place".to_owned());
        }
        if found.unsure {
            return Err("it holds too much to be looked through wholly".to_owned());
        }
        Ok(())
    }

    fn leave(&mut self, path: &Path, why: &str) {
        self.outcome.left.push(format!("{} ({why})", path.display()));
    }
}

fn open_folder<P: rustix::path::Arg>(parent: impl std::os::fd::AsFd, path: P) -> rustix::io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, path, flags, Mode::empty()).map(File::from)
}

/// Opens a plain file, without waiting for anything; what has taken its place meanwhile is not touched.
fn open_file(entry: &Entry<'_>, how: OFlags) -> io::Result<(File, u64)> {
    let flags = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let file = File::from(openat(entry.folder, entry.name, flags, Mode::empty())?);
    let stat = fstat(&file)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(io::Error::other("it is not a plain file"));
    }
    Ok((file, u64::try_from(stat.st_size).unwrap_or(0)))
}

/// The first and the last byte that differ.
fn difference(before: &[u8], after: &[u8]) -> Option<(usize, usize)> {
    let differs = |at: &usize| before[*at] != after[*at];
    Some(((0..after.len()).find(differs)?, (0..after.len()).rfind(differs)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::tests::{invite, line};
    use crate::shred::places::PLACES;
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    /// A machine's files, and an invite that may be in them.
    struct Machine {
        root: tempfile::TempDir,
        line: String,
        wanted: Vec<InviteId>,
    }

    impl Machine {
        fn new() -> Self {
            let invite = invite();
            Self { root: tempfile::tempdir().expect("a place"), line: line(&invite), wanted: vec![invite.jti] }
        }

        fn path(&self, path: &str) -> PathBuf {
            let path = self.root.path().join(path);
            fs::create_dir_all(path.parent().expect("is below the root")).expect("makes");
            path
        }

        fn put(&self, path: &str, bytes: &[u8]) -> PathBuf {
            let path = self.path(path);
            fs::write(&path, bytes).expect("writes");
            path
        }

        fn user_data(&self) -> String {
            format!("#cloud-config\nwrite_files:\n- content: {}\n", self.line)
        }

        fn clean(&self) -> Outcome {
            clean(self.root.path(), PLACES, &self.wanted)
        }
    }

    const COPIES: [&str; 15] = [
        "var/lib/cloud/instances/i-1/user-data.txt",
        "var/lib/cloud/instances/i-1/user-data.txt.i",
        "var/lib/cloud/instances/i-1/cloud-config.txt",
        "var/lib/cloud/instances/i-1/obj.pkl",
        "var/lib/cloud/instances/i-1/scripts/part-001",
        "var/lib/cloud/instances/i-1/data/urlcache/0f",
        "var/lib/cloud/seed/nocloud-net/user-data",
        "run/cloud-init/instance-data-sensitive.json",
        "run/ignition.json",
        "oem/config.ign",
        "var/log/cloud-init.log",
        "var/log/cloud-init-output.log.1",
        "var/lib/waagent/ovf-env.xml",
        "boot/firmware/user-data",
        "boot/firstrun.sh",
    ];

    #[test]
    fn each_copy_is_overwritten_and_keeps_its_file_its_mode_and_its_length() {
        let machine = Machine::new();
        let before: Vec<_> = COPIES.iter().map(|path| machine.put(path, machine.user_data().as_bytes())).collect();
        let told = |path: &PathBuf| {
            let metadata = fs::metadata(path).expect("is there");
            (metadata.ino(), metadata.mode(), metadata.uid(), metadata.gid(), metadata.len())
        };
        fs::set_permissions(&before[0], fs::Permissions::from_mode(0o640)).expect("sets");
        let metadata: Vec<_> = before.iter().map(told).collect();
        assert_eq!(machine.clean(), Outcome { cleaned: COPIES.len(), left: Vec::new() });
        assert_eq!(before.iter().map(told).collect::<Vec<_>>(), metadata);
        let expected = machine.user_data().replace(&machine.line, &"x".repeat(machine.line.len()));
        for path in &before {
            assert_eq!(fs::read_to_string(path).expect("reads"), expected, "{}", path.display());
        }
        assert_eq!(machine.clean(), Outcome::default(), "a second run finds nothing");
    }

    #[test]
    fn the_unit_lets_each_place_be_written() {
        let unit = include_str!("../../../cloud-init/units/joiner.service");
        let writable: Vec<&str> = unit
            .lines()
            .filter_map(|line| line.strip_prefix("ReadWritePaths="))
            .flat_map(|paths| paths.split(' '))
            .filter_map(|path| path.strip_prefix("-/"))
            .collect();
        for place in PLACES {
            let is_there = match place {
                Place::Tree(path) | Place::File(path) => writable.contains(path),
                Place::Named(folder, prefix) => {
                    ["", "-output"].iter().all(|middle| writable.contains(&&*format!("{folder}/{prefix}{middle}.log")))
                }
            };
            assert!(is_there, "{place:?}");
        }
    }

    #[test]
    fn nothing_outside_the_places_is_touched() {
        let machine = Machine::new();
        let text = machine.user_data();
        let outside: Vec<_> = ["home/user-data", "var/log/syslog", "boot/vmlinuz", "etc/cloud/cloud.cfg", "var/lib/x"]
            .iter()
            .map(|path| machine.put(path, text.as_bytes()))
            .collect();
        // Links out of the places: to a file, to a folder, and a place that is a link itself.
        machine.put("var/lib/cloud/instances/i-1/x", b"");
        symlink(&outside[0], machine.path("var/lib/cloud/instances/i-1/user-data.txt")).expect("links");
        symlink(machine.root.path().join("home"), machine.path("var/lib/cloud/instance")).expect("links");
        symlink(&outside[0], machine.path("boot/user-data")).expect("links");
        symlink(&outside[0], machine.path("var/log/cloud-init.log")).expect("links");
        symlink(machine.root.path().join("home"), machine.path("run/cloud-init")).expect("links");
        let outcome = machine.clean();
        assert_eq!((outcome.cleaned, outcome.left.len()), (0, 1), "{outcome:?}");
        assert!(
            outcome.left[0].contains("run/cloud-init (it is not a folder, and links are not followed)"),
            "{outcome:?}"
        );
        for path in &outside {
            assert_eq!(fs::read_to_string(path).expect("reads"), text, "{}", path.display());
        }
    }

    #[test]
    fn what_would_hold_it_up_is_passed_by_and_what_is_too_large_is_named() {
        let machine = Machine::new();
        let copy = machine.put("var/lib/cloud/z/copy", machine.user_data().as_bytes());
        // cloud-init has such a pipe, for hotplug: opening one waits for the other end.
        let pipe = machine.path("run/cloud-init/hook-hotplug-cmd");
        rustix::fs::mknodat(CWD, &pipe, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        std::os::unix::net::UnixListener::bind(machine.path("run/cloud-init/s")).expect("a socket");
        let huge = File::create(machine.path("var/lib/cloud/seed/huge")).expect("makes");
        huge.set_len(1 << 40).expect("has holes");
        let deep = "d/".repeat(40) + "copy";
        machine.put(&format!("var/lib/cloud/{deep}"), machine.user_data().as_bytes());
        let outcome = machine.clean();
        assert_eq!((outcome.cleaned, outcome.left.len()), (1, 2), "{outcome:?}");
        assert!(outcome.left.iter().any(|left| left.contains("seed/huge (it is too large")), "{outcome:?}");
        assert!(outcome.left.iter().any(|left| left.contains("it lies too deep")), "{outcome:?}");
        assert!(!fs::read_to_string(copy).expect("reads").contains("SWINV"));
    }

    #[test]
    fn a_place_full_of_files_comes_to_an_end() {
        let machine = Machine::new();
        for count in 0..=FILES {
            File::create(machine.path(&format!("var/lib/cloud/seed/{count}"))).expect("makes");
        }
        let log = machine.put("var/log/cloud-init.log", machine.user_data().as_bytes());
        let outcome = machine.clean();
        assert!(outcome.left.iter().any(|left| left.contains("too many files")), "{outcome:?}");
        assert!(fs::read_to_string(log).expect("reads").contains("SWINV"), "the count is over all places");
    }

    #[test]
    fn compressed_user_data_that_has_no_room_is_emptied_where_cloud_init_writes_it_anew() {
        let machine = Machine::new();
        let packed = super::super::gzip::tests::tight(machine.user_data().as_bytes());
        let raw = machine.put("var/lib/cloud/instances/i-1/user-data.txt", &packed);
        let object = machine.put("var/lib/cloud/instances/i-1/obj.pkl", &packed);
        let outcome = machine.clean();
        assert_eq!((outcome.cleaned, outcome.left.len()), (1, 1), "{outcome:?}");
        assert!(outcome.left[0].contains("obj.pkl (it is packed in a way"), "{outcome:?}");
        assert_eq!(fs::metadata(raw).expect("is there").len(), 0);
        assert_eq!(fs::read(object).expect("reads"), packed);
    }
}
