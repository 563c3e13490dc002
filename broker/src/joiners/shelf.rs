//! The joiners that this broker holds: one file each in its state directory, and the bytes of those that are asked for.
//!
//! Keeps promise 5: what is given out was read back and has the hash it is asked for by. Promise 12: however many ask
//! for a joiner at once, its bytes are in memory once, and not for long after. Must not decide what is kept.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use protocol::{Architecture, JoinerHash};
use serde::{Deserialize, Serialize};

use super::program::{MOST_BYTES, Program};
use crate::ledger::is_room_for;
use crate::state::{Folder, StateError};

/// The folder in the state directory.
const FOLDER: &str = "joiners";
/// A note has less, in bytes.
const NOTE: usize = 4096;
/// Bytes that nobody asked for in this time leave the memory.
const IDLE: Duration = Duration::from_mins(1);

/// What is held.
pub(crate) struct Shelf {
    folder: Folder,
    kept: RwLock<BTreeMap<JoinerHash, Arc<Kept>>>,
    /// Held by who writes: two would share a temporary file.
    writing: Mutex<()>,
}

/// A joiner that is held. Its file was whole when it was last read.
pub(crate) struct Kept {
    pub(crate) architecture: Architecture,
    /// In bytes.
    pub(crate) size: u64,
    note: RwLock<Note>,
    bytes: tokio::sync::Mutex<Option<(Bytes, Instant)>>,
}

/// What is remembered beside the bytes, in a file of its own: `HASH.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Note {
    /// Until when it is kept at least, in seconds since 1970, as the ledger said last.
    pub(crate) until: u64,
    pub(crate) from: Origin,
    /// The release of the broker that listed it first.
    pub(crate) release: String,
}

/// How a joiner came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Origin {
    /// From the folder of the installed package.
    Package,
    /// From another broker.
    Peer,
    /// From an operator.
    Upload,
}

impl std::fmt::Display for Origin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Package => "package",
            Self::Peer => "peer",
            Self::Upload => "upload",
        })
    }
}

/// Why a joiner was not put on the shelf.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ShelfError {
    #[error("as many joiners are kept here as there is room for: some comes free when the first of them ends")]
    Full,
    #[error("{0}")]
    State(#[from] StateError),
}

impl Note {
    fn read(folder: &Folder, hash: &JoinerHash) -> Option<Self> {
        serde_json::from_slice(&folder.read_public(&note_name(hash), NOTE).ok()??).ok()
    }
}

impl Kept {
    /// What is remembered of it.
    pub(crate) fn note(&self) -> Note {
        self.note.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Shelf {
    /// Reads everything back. What is damaged is told and removed: it is fetched again. A note that does not read counts
    /// as `unnoted`.
    pub(crate) fn open(state: &Path, unnoted: &Note) -> Result<Self, StateError> {
        let folder = Folder::create(&state.join(FOLDER))?;
        let shelf = Self { folder, kept: RwLock::default(), writing: Mutex::default() };
        let names = shelf.folder.names()?;
        for name in &names {
            let stem = name.strip_suffix(".json").unwrap_or(name);
            let orphan = stem != name && !names.iter().any(|other| other == stem);
            if name.starts_with('.') || orphan {
                // Left by a write that a crash cut off.
                shelf.folder.remove(name)?;
            } else if let Ok(hash) = name.parse::<JoinerHash>() {
                shelf.take_in(&hash, unnoted);
            }
        }
        Ok(shelf)
    }

    fn take_in(&self, hash: &JoinerHash, unnoted: &Note) {
        match self.read(hash) {
            Ok(program) => {
                let note = Note::read(&self.folder, hash).unwrap_or_else(|| {
                    tracing::warn!(joiner = %hash, "the note on a kept joiner does not read: kept as if it were new");
                    unnoted.clone()
                });
                self.insert(&program, note);
            }
            Err(Unreadable::Damaged) => self.throw_away(hash),
            Err(Unreadable::Io(error)) => tracing::error!(joiner = %hash, %error, "a kept joiner cannot be read"),
        }
    }

    /// Everything that is held.
    pub(crate) fn kept(&self) -> BTreeMap<JoinerHash, Arc<Kept>> {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whether it is held.
    pub(crate) fn has(&self, hash: &JoinerHash) -> bool {
        self.kept.read().unwrap_or_else(PoisonError::into_inner).contains_key(hash)
    }

    /// Whether one more would fit that has so many bytes.
    pub(crate) fn has_room(&self, size: usize) -> bool {
        is_room_for(size as u64, self.kept().values().map(|kept| kept.size))
    }

    /// Holds a joiner from now on: durable when this returns.
    pub(crate) fn put(&self, program: &Program, note: Note) -> Result<(), ShelfError> {
        let hash = program.hash();
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(kept) = self.kept().get(hash)
            && self.read(hash).is_ok()
        {
            let until = note.until.max(kept.note().until);
            return Ok(self.renote(hash, Note { until, ..note })?);
        }
        if !self.has(hash) && !self.has_room(program.bytes().len()) {
            return Err(ShelfError::Full);
        }
        // The note first: a program that is there has one.
        self.write_note(hash, &note)?;
        self.folder.write(hash.as_str(), program.bytes())?;
        self.insert(program, note);
        Ok(())
    }

    /// Remembers something else of a joiner that is held.
    pub(crate) fn annotate(&self, hash: &JoinerHash, note: Note) -> Result<(), StateError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.renote(hash, note)
    }

    fn renote(&self, hash: &JoinerHash, note: Note) -> Result<(), StateError> {
        let Some(kept) = self.kept().remove(hash) else { return Ok(()) };
        if kept.note() != note {
            self.write_note(hash, &note)?;
            *kept.note.write().unwrap_or_else(PoisonError::into_inner) = note;
        }
        Ok(())
    }

    /// Holds it no more.
    pub(crate) fn remove(&self, hash: &JoinerHash) -> Result<(), StateError> {
        let _alone = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.kept.write().unwrap_or_else(PoisonError::into_inner).remove(hash);
        self.folder.remove(hash.as_str())?;
        self.folder.remove(&note_name(hash))
    }

    /// The bytes of a joiner, hashed since they were read. None if it is not held, or not any more: then it was damaged.
    pub(crate) async fn load(self: &Arc<Self>, hash: &JoinerHash) -> Result<Option<Bytes>, StateError> {
        let Some(kept) = self.kept().remove(hash) else { return Ok(None) };
        // Whoever comes meanwhile waits here for the one that reads.
        let mut bytes = kept.bytes.lock().await;
        if let Some((held, used)) = &mut *bytes {
            *used = Instant::now();
            return Ok(Some(held.clone()));
        }
        let (shelf, wanted) = (self.clone(), hash.clone());
        let read = tokio::task::spawn_blocking(move || {
            let read = shelf.read(&wanted);
            if matches!(read, Err(Unreadable::Damaged)) {
                shelf.throw_away(&wanted);
            }
            read
        });
        match read.await {
            Ok(Ok(program)) => {
                *bytes = Some((program.bytes().clone(), Instant::now()));
                Ok(Some(program.bytes().clone()))
            }
            Ok(Err(Unreadable::Damaged)) | Err(_) => Ok(None),
            Ok(Err(Unreadable::Io(error))) => Err(error),
        }
    }

    /// Lets go of bytes in memory that nobody asked for lately.
    pub(crate) fn forget_idle(&self) {
        for kept in self.kept().values() {
            // Whoever has the lock uses them.
            let Ok(mut bytes) = kept.bytes.try_lock() else { continue };
            if bytes.as_ref().is_some_and(|(_, used)| used.elapsed() >= IDLE) {
                *bytes = None;
            }
        }
    }

    fn insert(&self, program: &Program, note: Note) {
        let kept = Kept {
            architecture: program.architecture(),
            size: program.bytes().len() as u64,
            note: RwLock::new(note),
            bytes: tokio::sync::Mutex::default(),
        };
        self.kept.write().unwrap_or_else(PoisonError::into_inner).insert(program.hash().clone(), Arc::new(kept));
    }

    fn write_note(&self, hash: &JoinerHash, note: &Note) -> Result<(), StateError> {
        // Text and numbers always are JSON.
        self.folder.write(&note_name(hash), &serde_json::to_vec(note).unwrap_or_default())
    }

    fn read(&self, hash: &JoinerHash) -> Result<Program, Unreadable> {
        let bytes = match self.folder.read_public(hash.as_str(), MOST_BYTES) {
            Ok(bytes) => bytes.ok_or(Unreadable::Damaged)?,
            Err(StateError::Missing { .. }) => return Err(Unreadable::Damaged),
            // Too many open files, say: that proves nothing against the file.
            Err(error) => return Err(Unreadable::Io(error)),
        };
        Program::read(bytes).ok().filter(|program| program.hash() == hash).ok_or(Unreadable::Damaged)
    }

    /// Removes what has not the hash that it is named by: nobody can have asked for that.
    fn throw_away(&self, hash: &JoinerHash) {
        tracing::error!(joiner = %hash, "a kept joiner is damaged or gone from the disk: it is not served, and fetched again");
        if let Err(error) = self.remove(hash) {
            tracing::error!(joiner = %hash, %error, "a damaged joiner cannot be removed");
        }
    }
}

enum Unreadable {
    Damaged,
    Io(StateError),
}

fn note_name(hash: &JoinerHash) -> String {
    format!("{hash}.json")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::joiners::program::tests::joiner;
    use crate::ledger::MOST_JOINERS;

    fn note(until: u64) -> Note {
        Note { until, from: Origin::Upload, release: "1".into() }
    }

    fn opened(state: &Path) -> Arc<Shelf> {
        Arc::new(Shelf::open(state, &Note { from: Origin::Peer, ..note(77) }).expect("opens"))
    }

    fn loaded(shelf: &Arc<Shelf>, program: &Program) -> Option<Bytes> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(shelf.load(program.hash())).expect("no error")
    }

    #[test]
    fn what_was_put_is_there_after_a_restart_and_private() {
        let state = tempfile::tempdir().expect("a folder");
        let program = joiner("a");
        opened(state.path()).put(&program, note(5)).expect("put");
        let shelf = opened(state.path());
        assert_eq!(loaded(&shelf, &program).as_ref(), Some(program.bytes()));
        assert_eq!(shelf.kept()[program.hash()].note(), note(5));
        let file = state.path().join(FOLDER).join(program.hash().as_str());
        assert_eq!(fs::metadata(file).expect("there").permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_file_that_changed_is_never_loaded_and_is_removed() {
        let state = tempfile::tempdir().expect("a folder");
        let (stopped, running) = (joiner("a"), joiner("b"));
        let shelf = opened(state.path());
        let change = |program: &Program| {
            let path = state.path().join(FOLDER).join(program.hash().as_str());
            fs::write(&path, joiner("c").bytes()).expect("written");
            path
        };
        shelf.put(&running, note(5)).expect("put");
        let path = change(&running);
        assert_eq!(loaded(&shelf, &running), None);
        assert!(!shelf.has(running.hash()) && !path.exists());

        shelf.put(&stopped, note(5)).expect("put");
        let path = change(&stopped);
        assert!(!opened(state.path()).has(stopped.hash()) && !path.exists());
    }

    #[test]
    fn whoever_brings_it_again_mends_what_changed_on_disk() {
        let state = tempfile::tempdir().expect("a folder");
        let (shelf, program) = (opened(state.path()), joiner("a"));
        shelf.put(&program, note(5)).expect("put");
        fs::write(state.path().join(FOLDER).join(program.hash().as_str()), "damaged").expect("written");
        shelf.put(&program, note(5)).expect("put");
        assert_eq!(loaded(&shelf, &program).as_ref(), Some(program.bytes()));
    }

    #[test]
    fn a_note_that_does_not_read_costs_no_joiner() {
        let state = tempfile::tempdir().expect("a folder");
        let program = joiner("a");
        opened(state.path()).put(&program, note(5)).expect("put");
        fs::write(state.path().join(FOLDER).join(note_name(program.hash())), "{").expect("written");
        assert_eq!(opened(state.path()).kept()[program.hash()].note().until, 77);
    }

    #[test]
    fn what_a_crash_left_behind_is_cleared() {
        let state = tempfile::tempdir().expect("a folder");
        let program = joiner("a");
        opened(state.path()).put(&program, note(5)).expect("put");
        let folder = state.path().join(FOLDER);
        let left = [folder.join(format!(".{}.new", joiner("b").hash())), folder.join(note_name(joiner("b").hash()))];
        for path in &left {
            fs::write(path, "half").expect("written");
        }
        assert!(opened(state.path()).has(program.hash()));
        assert!(left.iter().all(|path| !path.exists()));
    }

    #[test]
    fn no_more_are_held_than_there_is_room_for() {
        let state = tempfile::tempdir().expect("a folder");
        let shelf = opened(state.path());
        for number in 0..MOST_JOINERS {
            shelf.put(&joiner(&number.to_string()), note(5)).expect("room");
        }
        assert!(matches!(shelf.put(&joiner("one more"), note(5)), Err(ShelfError::Full)));
        shelf.put(&joiner("0"), note(6)).expect("it is there already");
        shelf.remove(joiner("0").hash()).expect("removed");
        shelf.put(&joiner("one more"), note(5)).expect("room again");
    }

    #[test]
    fn many_at_once_share_the_bytes_and_memory_is_given_back() {
        let state = tempfile::tempdir().expect("a folder");
        let (shelf, program) = (opened(state.path()), joiner("a"));
        shelf.put(&program, note(5)).expect("put");
        let (first, second) = (loaded(&shelf, &program).expect("there"), loaded(&shelf, &program).expect("there"));
        assert_eq!(first.as_ptr(), second.as_ptr());
        let in_memory = |kept: &Kept| kept.bytes.try_lock().expect("free").is_some();
        let kept = shelf.kept()[program.hash()].clone();
        shelf.forget_idle();
        assert!(in_memory(&kept), "it was asked for just now");
        kept.bytes.try_lock().expect("free").as_mut().expect("held").1 -= IDLE;
        shelf.forget_idle();
        assert!(!in_memory(&kept));
    }
}
