//! The state folder: this machine's key and how far its boot has come.
//!
//! Keeps promise 2 (one key per grant): a retry after a crash is the same key. A key is used only once the record
//! names it, so an interrupted start never leaves two keys for one use.
//! Must not start afresh in silence: what is damaged or was readable by others stops the run, with the fix.

mod ending;
mod file;
mod record;

use std::fs::{DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use certs::{KeyError, SigningKey};
use protocol::NodeId;

use crate::{exit, narrate};

pub(crate) use ending::Ending;
pub(crate) use record::{Machine, Pinned, Record};

const RECORD: &str = "boot.json";
const KEY: &str = "key.pem";
const ENDING: &str = "ended.json";

/// The state folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    /// It is not there and cannot be made, or a file in it cannot be read or written.
    #[error(
        "{path}: {error}. joiner needs a folder that it can write and nobody else can: run it as root, or give --state DIR"
    )]
    Inaccessible { path: PathBuf, error: String },
    /// Somebody else could have changed what is in it.
    #[error(
        "the state folder {path} can be written by others (mode {mode:04o}, owner {owner}): nothing in it can be trusted. Remove it, and run joiner join again"
    )]
    Writable { path: PathBuf, mode: u32, owner: u32 },
    /// Somebody else could have read the key.
    #[error(
        "{path} can be read by others (mode {mode:04o}): its key must be taken as copied. Remove {folder}, and run joiner join again with an invite that has a use left"
    )]
    Readable { path: PathBuf, folder: PathBuf, mode: u32 },
    /// A file does not hold what it should.
    #[error(
        "{path} is damaged ({why}). Nothing was changed. To give this boot up, remove {folder} and run joiner join again: that takes another use of the invite"
    )]
    Damaged { path: PathBuf, folder: PathBuf, why: String },
}

/// The state folder, held by this run alone.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    /// Open, so that it can be flushed; locked, so that two runs never share a boot.
    handle: File,
}

impl Folder {
    /// Opens the folder, or makes it. `None`: another run has it.
    pub(crate) fn open(path: &Path) -> Result<Option<Self>, StateError> {
        let wrong = |error: std::io::Error| inaccessible(path, &error);
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(wrong)?;
        let handle = File::open(path).map_err(wrong)?;
        let metadata = handle.metadata().map_err(wrong)?;
        if !metadata.is_dir() {
            return Err(inaccessible(path, &std::io::ErrorKind::NotADirectory.into()));
        }
        let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
        let own = owner == 0 || owner == rustix::process::geteuid().as_raw();
        if mode & 0o022 != 0 || !own {
            return Err(StateError::Writable { path: path.to_owned(), mode, owner });
        }
        match handle.try_lock() {
            Ok(()) => Ok(Some(Self { path: path.to_owned(), handle })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(wrong(error)),
        }
    }

    /// How far the boot has come; `None` where none was begun.
    pub(crate) fn record(&self) -> Result<Option<Record>, StateError> {
        let record = read_record(&self.path)?;
        if record.is_none() && file::exists(&self.path.join(KEY)) {
            let why = format!("{RECORD} is gone, so nobody knows what this key was used for");
            return Err(self.damaged(KEY, why));
        }
        Ok(record)
    }

    /// Writes down how far the boot has come. When this returns, it survives a crash.
    pub(crate) fn save(&self, record: &Record) -> Result<(), StateError> {
        let text = serde_json::to_vec_pretty(record).map_err(|error| self.damaged(RECORD, error.to_string()))?;
        self.write(RECORD, &text)
    }

    /// Begins a boot: in place of whatever was there, a record, and then a new key that the record names.
    pub(crate) fn begin(&self, mut record: Record) -> Result<(Record, SigningKey), StateError> {
        record.key = None;
        self.save(&record)?;
        let key = SigningKey::generate().map_err(|error| self.damaged(KEY, error.to_string()))?;
        self.write(KEY, key.to_pem().as_bytes())?;
        record.key = Some(key.hash());
        self.save(&record)?;
        Ok((record, key))
    }

    /// The key that the record names; one that was never used yet is made anew.
    pub(crate) fn key(&self, record: Record) -> Result<(Record, SigningKey), StateError> {
        let Some(hash) = &record.key else { return self.begin(record) };
        let path = self.path.join(KEY);
        let text = file::read_private(&path, &self.path)?
            .ok_or_else(|| self.damaged(KEY, format!("it is gone, and {RECORD} needs it")))?;
        let key = SigningKey::from_pem(&text).map_err(|error: KeyError| self.damaged(KEY, error.to_string()))?;
        if key.hash() != *hash {
            return Err(self.damaged(KEY, format!("it is not the key that {RECORD} names")));
        }
        Ok((record, key))
    }

    /// Writes down how this run ended; with `None`, that the machine is in. It is for people only, so a folder that cannot
    /// be written changes nothing.
    pub(crate) fn note_end(&self, ending: Option<&Ending>) {
        let noted = match ending.map(serde_json::to_vec_pretty) {
            Some(Ok(text)) => self.write(ENDING, &text).map_err(|error| error.to_string()),
            Some(Err(error)) => Err(error.to_string()),
            None => match std::fs::remove_file(self.path.join(ENDING)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.to_string()),
                _ => Ok(()),
            },
        };
        if let Err(error) = noted {
            narrate::detail(&format!("state: the end of this run is not noted: {error}"));
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), StateError> {
        file::replace(&self.path, name, bytes)
            .and_then(|()| self.handle.sync_all())
            .map_err(|error| inaccessible(&self.path.join(name), &error))
    }

    fn damaged(&self, name: &str, why: String) -> StateError {
        StateError::Damaged { path: self.path.join(name), folder: self.path.clone(), why }
    }
}

/// The key that confirmed this node, if the boot recorded here is the one that did.
pub(crate) fn confirmed_key(path: &Path, node: &NodeId) -> Result<Option<SigningKey>, StateError> {
    let ours = |record: &Record| record.confirmed && record.node.as_ref() == Some(node) && record.key.is_some();
    let Some(record) = read_record(path)?.filter(ours) else { return Ok(None) };
    let handle = File::open(path).map_err(|error| inaccessible(path, &error))?;
    Folder { path: path.to_owned(), handle }.key(record).map(|(_, key)| Some(key))
}

/// Reads the record without taking the folder, for `joiner status`.
pub(crate) fn read_record(folder: &Path) -> Result<Option<Record>, StateError> {
    let path = folder.join(RECORD);
    let Some(text) = file::read_private(&path, folder)? else { return Ok(None) };
    let damaged = |why| StateError::Damaged { path: path.clone(), folder: folder.to_owned(), why };
    Record::parse(&text).map(Some).map_err(damaged)
}

/// Whether a boot was begun that is not confirmed and may still come to its end: a run has the folder, or the last one did
/// not end for good.
pub(crate) fn is_under_way(path: &Path) -> Result<bool, StateError> {
    if read_record(path)?.is_none_or(|record| record.confirmed) {
        return Ok(false);
    }
    let runs = Folder::open(path)?.is_none();
    Ok(runs || !read_ending(path).is_some_and(|ending| exit::is_final(ending.code)))
}

/// Reads how the last run ended, if it did not bring the machine in. What does not read is none: it is for people only.
pub(crate) fn read_ending(folder: &Path) -> Option<Ending> {
    let text = file::read_private(&folder.join(ENDING), folder).ok()??;
    serde_json::from_str(&text).ok()
}

fn inaccessible(path: &Path, error: &std::io::Error) -> StateError {
    StateError::Inaccessible { path: path.to_owned(), error: error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder() -> (tempfile::TempDir, PathBuf, Folder) {
        let place = tempfile::tempdir().expect("a place");
        let path = place.path().join("state");
        let folder = Folder::open(&path).expect("opens").expect("is free");
        (place, path, folder)
    }

    fn record() -> Record {
        Record::new(&crate::invite::tests::invite(), Machine::unknown())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("is there").mode() & 0o777
    }

    #[test]
    fn a_boot_reads_back_with_the_same_key_and_only_root_can_read_it() {
        let (_place, path, folder) = folder();
        assert_eq!(folder.record().expect("reads"), None);
        let (mut record, key) = folder.begin(record()).expect("begins");
        record.grant = Some(protocol::GrantId::random());
        folder.save(&record).expect("saves");
        let read = folder.record().expect("reads").expect("is there");
        assert_eq!(read, record);
        assert_eq!(folder.key(read).expect("reads").1.hash(), key.hash());
        assert_eq!([mode(&path), mode(&path.join(KEY)), mode(&path.join(RECORD))], [0o700, 0o600, 0o600]);
    }

    #[test]
    fn a_start_that_was_cut_off_before_the_record_named_the_key_makes_another_key() {
        let (_place, path, folder) = folder();
        let (mut record, first) = folder.begin(record()).expect("begins");
        record.key = None;
        folder.save(&record).expect("saves");
        fs::write(path.join(".key.pem.new"), "-----BEGIN PRIV").expect("a half-written file");
        let (record, second) = folder.key(record).expect("goes on");
        assert_ne!(first.hash(), second.hash());
        assert_eq!(record.key, Some(second.hash()));
        assert!(!path.join(".key.pem.new").exists());
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_fix() {
        let (_place, path, folder) = folder();
        let (record, _) = folder.begin(record()).expect("begins");
        fs::set_permissions(path.join(KEY), fs::Permissions::from_mode(0o640)).expect("sets");
        let error = folder.key(record).expect_err("readable");
        assert!(matches!(error, StateError::Readable { .. }), "{error}");
        assert!(error.to_string().contains("mode 0640") && error.to_string().contains("Remove"), "{error}");
    }

    #[test]
    fn a_folder_that_others_can_write_is_refused() {
        let (_place, path, folder) = folder();
        drop(folder);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).expect("sets");
        assert!(matches!(Folder::open(&path), Err(StateError::Writable { mode: 0o777, .. })));
        // What systemd's StateDirectory makes.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("sets");
        assert!(Folder::open(&path).is_ok());
    }

    #[test]
    fn a_damaged_folder_stops_and_is_left_as_it_is() {
        let (_place, path, folder) = folder();
        let (record, _) = folder.begin(record()).expect("begins");
        let whole = fs::read(path.join(RECORD)).expect("reads");
        for damaged in [&b""[..], b"{", b"null", &whole[..whole.len() / 2], b"{\"version\": 99}", b"\xff\xfe"] {
            fs::write(path.join(RECORD), damaged).expect("writes");
            let error = folder.record().expect_err("damaged");
            assert!(matches!(error, StateError::Damaged { .. }), "{error}");
            assert_eq!(fs::read(path.join(RECORD)).expect("reads"), damaged);
        }
        fs::remove_file(path.join(RECORD)).expect("removes");
        assert!(matches!(folder.record(), Err(StateError::Damaged { .. })), "a key without its record");

        folder.save(&record).expect("saves");
        fs::write(path.join(KEY), "garbage").expect("writes");
        assert!(matches!(folder.key(record.clone()), Err(StateError::Damaged { .. })));
        let other = SigningKey::generate().expect("made");
        fs::write(path.join(KEY), other.to_pem().as_bytes()).expect("writes");
        assert!(matches!(folder.key(record.clone()), Err(StateError::Damaged { .. })), "another key");
        fs::remove_file(path.join(KEY)).expect("removes");
        assert!(matches!(folder.key(record), Err(StateError::Damaged { .. })), "no key");
    }

    #[test]
    fn the_last_end_is_kept_until_the_machine_is_in() {
        let (_place, path, folder) = folder();
        assert_eq!(read_ending(&path), None);
        let ending = Ending::of(&crate::exit::Error::AnotherRun);
        folder.note_end(Some(&ending));
        assert_eq!(read_ending(&path), Some(ending));
        assert_eq!(mode(&path.join(ENDING)), 0o600);
        fs::write(path.join(ENDING), "{").expect("writes");
        assert_eq!(read_ending(&path), None);
        folder.note_end(None);
        assert!(!path.join(ENDING).exists());
    }

    #[test]
    fn a_boot_is_under_way_until_it_was_confirmed_or_ended_for_good() {
        let (_place, path, folder) = folder();
        assert!(!is_under_way(&path).expect("reads"), "none was begun");
        let (mut record, _) = folder.begin(record()).expect("begins");
        let ends = |error: &exit::Error| {
            let folder = Folder::open(&path).expect("opens").expect("is free");
            folder.note_end(Some(&Ending::of(error)));
        };
        assert!(is_under_way(&path).expect("reads"), "a run is at it");
        drop(folder);
        assert!(is_under_way(&path).expect("reads"), "it was killed");
        ends(&exit::Error::AnotherRun);
        assert!(is_under_way(&path).expect("reads"), "it is tried again");
        ends(&exit::Error::SwarmLocked);
        assert!(!is_under_way(&path).expect("reads"), "nobody tries it again");
        let folder = Folder::open(&path).expect("opens").expect("is free");
        assert!(is_under_way(&path).expect("reads"), "somebody does");
        record.confirmed = true;
        folder.save(&record).expect("saves");
        assert!(!is_under_way(&path).expect("reads"));
    }

    #[test]
    fn two_runs_never_share_a_boot() {
        let (_place, path, folder) = folder();
        assert!(Folder::open(&path).expect("opens").is_none());
        drop(folder);
        assert!(Folder::open(&path).expect("opens").is_some());
    }
}
