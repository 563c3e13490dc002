//! The cluster's keys in one file, for machines that make its swarm by themselves.
//!
//! Must not hold the root's key, nor a broker's own: each machine makes one, so that brokers with the same file differ.

use std::io::ErrorKind;
use std::path::Path;

use protocol::{ClusterId, HandoverReply};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{Cluster, KeySource, KeySourceError, PrivateFile, StateError};
use crate::format::{self, Unread};

const FORMAT: u32 = 1;
/// What the record of the cluster says, where its keys were written into a file: nobody counts who takes them.
pub(crate) const INTO_KEYS_FILE: &str = "with --keys-file";
/// What the record of taking the keys begins with, by which `broker recover` knows the log of such a broker.
pub(crate) const FROM_KEYS_FILE: &str = "from --keys-file";

/// What `broker init --keys-file` writes. It has no `Debug`: it holds keys.
#[derive(Serialize, Deserialize)]
pub(crate) struct Brought {
    format: u32,
    /// Until when the cluster's swarm may be made, in seconds since 1970.
    pub(super) form_until: u64,
    /// The keys.
    #[serde(flatten)]
    pub(super) keys: HandoverReply,
}

impl Brought {
    /// Reads them from there; a file must be private. None if it is a file that is not there.
    pub(crate) fn read(source: &KeySource) -> Result<Option<Self>, StateError> {
        let text = match source.read() {
            Err(StateError::KeySource(KeySourceError::Unreadable(_, error))) if error.kind() == ErrorKind::NotFound => {
                return Ok(None);
            }
            read => read?,
        };
        let Some(text) = text else { return Ok(None) };
        let read = format::read(text.as_bytes(), FORMAT).map_err(|unread| {
            let path = source.shown().into();
            match unread {
                Unread::Newer(found) => StateError::Newer { path, found, known: FORMAT },
                // What the error says could be a piece of a key: its place must do.
                Unread::Damaged { line, column, words: _ } => {
                    StateError::NoKeysFile { path, what: format!("line {line}, column {column}") }
                }
            }
        });
        read.map(Some)
    }

    /// Writes the keys of a cluster into this file, which is for this path.
    pub(crate) fn write(cluster: &Cluster, file: PrivateFile, path: &Path) -> Result<(), StateError> {
        let brought = Self { format: FORMAT, form_until: cluster.form_until(), keys: cluster.shared()? };
        let corrupt = |error: serde_json::Error| StateError::Corrupt { path: path.to_owned(), what: error.to_string() };
        let text = serde_json::to_string(&brought).map(Zeroizing::new).map_err(corrupt)?;
        file.finish_with(text.as_bytes()).map_err(|error| StateError::io(path, error))
    }

    /// The cluster.
    pub(crate) fn cluster(&self) -> &ClusterId {
        &self.keys.cluster
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::state::{Waiting, init};

    fn written() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        init(&folder.path().join("operator"), "test", Vec::new(), Duration::from_hours(1)).expect("made");
        let file = folder.path().join("keys");
        let cluster = Cluster::open(&folder.path().join("operator")).expect("opens");
        Brought::write(&cluster, PrivateFile::create(&file).expect("made"), &file).expect("written");
        (folder, file)
    }

    fn read(file: &Path) -> Result<Option<Brought>, StateError> {
        Brought::read(&KeySource::File(file.to_owned()))
    }

    #[test]
    fn machines_with_the_same_file_are_different_brokers_of_one_cluster() {
        let (folder, file) = written();
        let operator = Cluster::open(&folder.path().join("operator")).expect("opens");
        let taken = ["one", "other"].map(|name| {
            let state = folder.path().join(name);
            let brought = read(&file).expect("reads").expect("is there");
            Waiting::at(&state).and_then(|waiting| waiting.take_brought(&brought)).expect("taken");
            assert!(!state.join("root.key").exists(), "the root's key stays where it is");
            Cluster::open(&state).expect("opens")
        });
        assert_ne!(taken[0].broker(), taken[1].broker());
        assert_ne!(taken[0].grant_key.hash(), taken[1].grant_key.hash());
        for cluster in &taken {
            assert_eq!((cluster.id(), cluster.form_until()), (operator.id(), operator.form_until()));
            assert_eq!(cluster.issuing.pin(), operator.issuing.pin());
            assert!(!cluster.was_taken() && !cluster.has_ledger(), "it may make the swarm");
        }
    }

    #[test]
    fn keys_with_a_void_issuing_ca_are_not_kept() {
        let (folder, file) = written();
        let (keys, state) = (read(&file).expect("reads").expect("is there").keys, folder.path().join("one"));
        let pin = Cluster::open(&folder.path().join("operator")).expect("opens").issuing.pin();
        let waiting = Waiting::at(&state).expect("waits");
        let told = waiting.take(&keys, &pin, 2, Vec::new()).expect_err("refused").to_string();
        assert!(told.contains("those below 2 are void"), "{told}");
        assert!(!Cluster::is_at(&state).expect("reads"));
        waiting.take(&keys, &pin, 1, Vec::new()).expect("taken");
    }

    #[test]
    fn the_file_is_private_new_and_whole_and_is_never_shown() {
        let (folder, file) = written();
        let mode = fs::metadata(&file).expect("is there").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600);
        let text = fs::read_to_string(&file).expect("reads");
        fs::write(&file, &text[..text.len() - 40]).expect("written");
        let told = read(&file).err().expect("refused").to_string();
        assert!(told.contains("--keys-file") && !told.contains("PRIVATE"), "{told}");
        fs::write(&file, r#"{"format":2,"keys":[]}"#).expect("written");
        let told = read(&file).err().expect("refused").to_string();
        assert!(told.contains("newer broker"), "{told}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
        assert!(read(&file).err().expect("refused").to_string().contains("chmod 0600"));
        assert!(read(&folder.path().join("nowhere")).expect("no error").is_none());
    }

    #[test]
    fn they_may_be_what_a_command_prints_whose_words_are_not_shown() {
        let (_folder, file) = written();
        let of = |line: String| Brought::read(&KeySource::or_path(&format!("command:{line}")).expect("a source"));
        let brought = of(format!("cat {}", file.display())).expect("reads").expect("is there");
        let known = read(&file).expect("reads").expect("is there");
        assert_eq!(brought.cluster(), known.cluster());
        let told = of(format!("cut -c 30- {} # secret", file.display())).err().expect("refused").to_string();
        assert!(told.contains("the command") && !told.contains("secret") && !told.contains("PRIVATE"), "{told}");
    }
}
