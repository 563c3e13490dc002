//! Making a state directory from a backup, as another broker of the same cluster.
//!
//! Keeps promise 5: a restore that is cut off anywhere leaves a folder that no broker serves from, and that the same
//! command finishes. Must not make the broker that the backup is of: that one may still run.

use std::io::BufRead;
use std::path::Path;

use certs::{Issuing, IssuingCertificate, SigningKey};

use super::backup::{Head, Parts, read, read_log};
use super::cluster::{GRANT_KEY, INVITE_KEY, ISSUING_CERTIFICATE, ISSUING_KEY, ROOT_CERTIFICATE, UNFINISHED};
use super::cluster_file::{CLUSTER, as_broker};
use super::next_issuing::{NEXT_CERTIFICATE, NEXT_KEY};
use super::{Folder, PrivateFile, StateError, broker_id};
use crate::audit::{self, Event, Record};
use crate::clock;
use crate::jwt::PublicKey;

/// What was restored.
#[derive(Debug)]
pub(crate) struct Restored {
    pub(crate) head: Head,
    /// The new broker's id.
    pub(crate) broker: String,
}

/// Restores a backup into a folder that is empty, or that an earlier restore left half done.
pub(crate) fn restore(mut from: impl BufRead, path: &Path, operator: String) -> Result<Restored, StateError> {
    let (head, parts, log) = read(&mut from)?;
    let cluster = part(&parts, CLUSTER)?;
    check(&head, &parts)?;
    let grant_key = SigningKey::generate()?;
    let public = PublicKey::from_point(grant_key.public_point()).ok_or(certs::KeyError::NotAKey)?;
    let broker = broker_id(&public);
    let cluster = as_broker(cluster, &head.cluster, broker.clone())?;

    let folder = Folder::create(path)?;
    let _lock = folder.lock()?;
    clear(&folder, path)?;
    folder.write(UNFINISHED, "a restore was begun here, and is finished by 'broker restore'\n")?;
    let at = folder.path(audit::FILE);
    let io = |error: std::io::Error| StateError::io(&at, error);
    let mut file = PrivateFile::replace(&at).map_err(io)?;
    read_log(&mut from, &log, &mut file)?;
    file.finish().map_err(io)?;
    for (name, text) in parts.iter().filter(|(name, _)| name != CLUSTER) {
        folder.write(name, text.as_bytes())?;
    }
    folder.write(GRANT_KEY, &grant_key.to_pem())?;
    let record = Record {
        operator: Some(operator),
        peer: Some(head.broker.clone()),
        detail: Some(format!("from a backup of {}, of broker {}", clock::shown(head.made), head.broker)),
        ..Record::new(Event::StateRestored)
    };
    audit::record_once(&at, &broker, record)
        .map_err(|error| StateError::Backup { what: format!("its log cannot be gone on with: {error}") })?;
    folder.write(CLUSTER, &cluster)?;
    folder.remove(UNFINISHED)?;
    folder.sync()?;
    Ok(Restored { head, broker })
}

/// Takes away what an earlier restore left; anything else is not ours to touch.
fn clear(folder: &Folder, path: &Path) -> Result<(), StateError> {
    // One that was killed in its first write left the mark under its temporary name.
    let begun = format!(".{UNFINISHED}.new");
    let ours = |name: &String| [UNFINISHED, "lock", &begun].contains(&name.as_str());
    let names: Vec<String> = folder.names()?.into_iter().filter(|name| !ours(name)).collect();
    if !folder.has(UNFINISHED) && !names.is_empty() {
        return Err(StateError::NotEmpty(path.to_owned()));
    }
    names.iter().try_for_each(|name| folder.remove(name))
}

/// Whether the parts belong together. The next issuing CA is the one, where its certificate is there.
pub(super) fn check(head: &Head, parts: &Parts) -> Result<(), StateError> {
    let wrong = |what: String| StateError::Backup { what };
    let (root, next) = (part(parts, ROOT_CERTIFICATE)?, part(parts, NEXT_CERTIFICATE).ok());
    let certificate = next.map_or_else(|| part(parts, ISSUING_CERTIFICATE), Ok)?;
    let issuing = IssuingCertificate::from_pem(certificate, root)
        .map_err(|error| wrong(format!("its issuing CA does not belong to its root: {error}")))?;
    if issuing.cluster != head.cluster {
        return Err(wrong("its issuing CA is another cluster's".into()));
    }
    SigningKey::from_pem(part(parts, INVITE_KEY)?).map_err(|error| wrong(format!("its invite key: {error}")))?;
    let next_key = next.and(part(parts, NEXT_KEY).ok());
    let is_here = next_key.is_some_and(|key| Issuing::from_pem(certificate, key, root).is_ok());
    if !is_here && let Ok(key) = part(parts, ISSUING_KEY) {
        Issuing::from_pem(certificate, key, root).map_err(|error| wrong(format!("its issuing key: {error}")))?;
    }
    Ok(())
}

fn part<'a>(parts: &'a Parts, name: &str) -> Result<&'a str, StateError> {
    let found = parts.iter().find(|(part, _)| part == name).map(|(_, text)| text.as_str());
    found.ok_or_else(|| StateError::Backup { what: format!("{name} is not in it") })
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;
    use std::time::Duration;

    use super::*;
    use crate::state::{Cluster, backup, init};

    fn made(folder: &Path) -> Vec<u8> {
        let path = folder.join("state");
        init(&path, "test", Vec::new(), Duration::from_hours(1)).expect("made");
        let log = path.join(audit::FILE);
        audit::record_once(&log, "old", Record::new(Event::ClusterMade)).expect("written");
        // A broker that runs is in the middle of a record.
        let whole = fs::read(&log).expect("reads");
        fs::write(&log, [&whole[..], b"{\"number\":1,"].concat()).expect("written");
        fs::write(path.join(".invite.key.new"), "half").expect("written");
        let mut file = Vec::new();
        let head = backup::write(&path, &mut file).expect("backed up");
        assert!(head.has("root.key") && !head.has(GRANT_KEY) && !head.has("lock") && !head.has(".invite.key.new"));
        file
    }

    #[test]
    fn a_backup_is_restored_as_another_broker_of_the_same_cluster() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, to) = (made(folder.path()), folder.path().join("to"));
        let old = Cluster::open(&folder.path().join("state")).expect("opens");
        let restored = restore(&file[..], &to, "uid 0".into()).expect("restored");
        let new = Cluster::open(&to).expect("opens");
        assert_eq!((new.id(), new.issuing.pin()), (old.id(), old.issuing.pin()));
        assert!(new.broker() != old.broker() && new.broker() == restored.broker);
        assert!(new.has_ledger() && new.form_until() == 0, "it makes no ledger and no swarm by itself");
        let log = fs::read_to_string(to.join(audit::FILE)).expect("reads");
        // Two records of before, then the new broker's key and why it is here.
        assert!(log.lines().count() == 4 && log.contains("state.restored") && log.contains(old.broker()), "{log}");
        let checked = audit::check(&audit::Files::of(&to.join(audit::FILE)), &[]).expect("read");
        assert_eq!((checked.wrong, checked.broker.as_deref()), (None, Some(new.broker())));
        for entry in fs::read_dir(&to).expect("reads") {
            let mode = entry.expect("an entry").metadata().expect("metadata").permissions().mode();
            assert_eq!(mode & 0o077, 0);
        }
        let again = restore(&file[..], &to, "uid 0".into()).expect_err("refused");
        assert!(matches!(again, StateError::NotEmpty(_)), "{again}");
    }

    #[test]
    fn a_restore_that_was_cut_off_is_served_by_nobody_and_finished_by_the_same_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, to) = (made(folder.path()), folder.path().join("to"));
        restore(&file[..], &to, "uid 0".into()).expect("restored");
        // However far it came: what counts is that it had not said that it was done.
        fs::write(to.join(UNFINISHED), "").expect("written");
        assert!(matches!(Cluster::open(&to), Err(StateError::Unfinished(_))));
        fs::remove_file(to.join(CLUSTER)).expect("removed");
        fs::remove_file(to.join(audit::FILE)).expect("removed");
        assert!(matches!(Cluster::open(&to), Err(StateError::Unfinished(_))));
        assert!(init(&to, "other", Vec::new(), Duration::ZERO).is_err());
        restore(&file[..], &to, "uid 0".into()).expect("restored");
        Cluster::open(&to).expect("opens");
    }

    #[test]
    fn a_restore_that_was_killed_in_its_first_write_is_finished_by_the_same_command() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, to) = (made(folder.path()), folder.path().join("to"));
        let made = Folder::create(&to).expect("made");
        drop(made.lock().expect("locked"));
        fs::write(to.join(".restore.unfinished.new"), "a rest").expect("written");
        restore(&file[..], &to, "uid 0".into()).expect("restored");
        Cluster::open(&to).expect("opens");
        let left: Vec<String> = made.names().expect("reads").into_iter().filter(|name| name.starts_with('.')).collect();
        assert_eq!(left, Vec::<String>::new());
    }

    #[test]
    fn what_else_lies_in_the_state_directory_keeps_no_backup_from_being_restored() {
        let folder = tempfile::tempdir().expect("a folder");
        let (before, path) = (made(folder.path()), folder.path().join("state"));
        fs::write(path.join("broker.backup"), &before).expect("written");
        fs::write(path.join("other.jsonl"), vec![b'x'; 3 << 20]).expect("written");
        fs::write(path.join("notes"), [0xff, 0xfe]).expect("written");
        let mut file = Vec::new();
        let head = backup::write(&path, &mut file).expect("backed up");
        assert!(!head.has("broker.backup") && !head.has("other.jsonl") && !head.has("notes"));
        restore(&file[..], &folder.path().join("to"), "uid 0".into()).expect("restored");
    }

    #[test]
    fn a_backup_made_at_any_step_of_replacing_the_issuing_ca_is_restored() {
        use certs::{Csr, Root};

        use crate::state::{KeySource, next_issuing};

        let folder = tempfile::tempdir().expect("a folder");
        let (_, path) = (made(folder.path()), folder.path().join("state"));
        let state = Folder::open(&path).expect("opens");
        let read = |name: &str| state.read(name).expect("reads").to_string();
        let restored = |step: &str, generation| {
            let mut file = Vec::new();
            backup::write(&path, &mut file).expect(step);
            let to = folder.path().join(step);
            restore(&file[..], &to, "uid 0".into()).expect(step);
            assert_eq!(Cluster::open(&to).expect(step).issuing.generation, generation, "{step}");
        };
        let root = Root::from_pem(&read("root.crt"), &read("root.key"), "test").expect("the root");
        let request = next_issuing::next_key(&state).expect("a key").csr().expect("a request");
        restored("asked", 1);
        let request = Csr::from_pem(&request).expect("reads");
        let certificate = root.certify(&request, 2, clock::unix(clock::now())).expect("certified");
        let issuing = next_issuing::issuing_of(&state, &KeySource::State, &certificate, &read("root.crt"));
        next_issuing::begin(&state, &issuing.expect("its key is here")).expect("written");
        restored("begun", 2);
        state.rename(NEXT_KEY, ISSUING_KEY).expect("the first half of finishing");
        restored("half", 2);
        next_issuing::finish(&state).expect("finished");
        restored("finished", 2);
    }

    #[test]
    fn a_backup_that_is_cut_off_or_damaged_anywhere_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = made(folder.path());
        let to = folder.path().join("to");
        let begin = file.iter().position(|byte| *byte == b'\n').expect("a first line");
        for cut in (0..file.len()).step_by(97).chain([file.len() - 1]) {
            assert!(restore(&file[..cut], &to, String::new()).is_err(), "cut at {cut}");
        }
        for at in (begin + 1..file.len()).step_by(89).chain([file.len() - 1]) {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(restore(&damaged[..], &to, String::new()).is_err(), "changed at {at}");
        }
        assert!(restore(&[&file[..], b"x"].concat()[..], &to, String::new()).is_err(), "and more");
        assert!(Cluster::open(&to).is_err());
        restore(&file[..], &to, String::new()).expect("restored");
    }
}
