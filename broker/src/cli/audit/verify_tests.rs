//! What copies of one log say of each other.

use std::fs;

use super::*;
use crate::audit::{Event, Record};

/// A log of so many records beside the first, and a copy of it as it was before the last of them.
fn log_and_copy(folder: &Path, records: usize) -> [PathBuf; 2] {
    let [whole, copy] = ["whole", "copy"].map(|name| folder.join(name));
    for written in 0..=records {
        if written == records {
            fs::create_dir(&copy).expect("made");
            for name in [audit::FILE, "audit.head", "audit.hashes", "audit.pub"] {
                fs::copy(whole.join(name), copy.join(name)).expect("copied");
            }
        }
        fs::create_dir_all(&whole).expect("made");
        audit::record_once(&whole.join(audit::FILE), "one", Record::new(Event::BrokerStarted)).expect("written");
    }
    [whole, copy]
}

fn compared(folders: &[PathBuf]) -> Vec<Log> {
    let mut checked: Vec<Log> = folders.iter().map(|folder| check(folder, &[])).collect();
    compare(&mut checked);
    checked
}

#[test]
fn a_shorter_copy_is_the_beginning_of_the_log_and_another_log_is_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let logs = log_and_copy(folder.path(), 5);
    assert!(compared(&logs).iter().all(|log| log.ok));
    let other = log_and_copy(&folder.path().join("other"), 3);
    let checked = compared(&[logs[0].clone(), other[0].clone()]);
    assert!(checked[0].ok && !checked[1].ok, "of the same broker, and another one");
}

#[test]
fn a_log_that_was_changed_accuses_no_copy_that_is_right() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, copy] = log_and_copy(folder.path(), 5);
    let path = whole.join(audit::FILE);
    let text = fs::read_to_string(&path).expect("reads");
    fs::write(&path, text.replacen("broker.started", "broker.stopped", 1)).expect("written");
    for (order, wrong) in [([whole.clone(), copy.clone()], [true, false]), ([copy, whole], [false, true])] {
        assert_eq!(compared(&order).iter().map(|log| !log.ok).collect::<Vec<_>>(), wrong);
    }
}

#[test]
fn tiles_that_are_put_beside_a_log_hide_nothing_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, copy] = log_and_copy(folder.path(), 5);
    for (state, keeps) in [(&whole, &["audit.key"][..]), (&copy, &[])] {
        // Who has no key makes them of the log as it is, and changes it then.
        let files = Files::of(&state.join(audit::FILE));
        tiles::write(&files, &audit::check(&files, &[]).expect("right"), state).expect("written");
        fs::remove_dir_all(state.join("tile/entries")).expect("removed");
        assert!(check(state, &[]).ok);
        let text = fs::read_to_string(&files.records).expect("reads");
        fs::write(&files.records, text.replacen("broker.started", "broker.stopped", 1)).expect("written");
        assert!(!check(state, &[]).ok, "changed");
        for path in [&files.records, &files.head, &files.hashes] {
            fs::remove_file(path).expect("removed");
            let gone: Vec<&str> = ["audit.jsonl", "audit.head", "audit.hashes"]
                .into_iter()
                .filter(|name| !state.join(name).exists())
                .collect();
            assert!(gone.len() == 3 && keeps.is_empty() || !check(state, &[]).ok, "without {gone:?}");
        }
    }
    // All of a log taken away, and tiles in its place: a folder of tiles as any other.
    assert_eq!(check(&copy, &[]).elsewhere, Some(6));
}

#[test]
fn a_copy_whose_head_was_taken_away_is_looked_at() {
    let folder = tempfile::tempdir().expect("a folder");
    let [state, copy] = log_and_copy(folder.path(), 3);
    let kept = state.join(audit::COPIES).join("two");
    fs::create_dir(state.join(audit::COPIES)).expect("made");
    fs::rename(copy, &kept).expect("moved");
    fs::remove_file(kept.join("audit.head")).expect("removed");
    let copies = || super::super::folders::copies(&state).expect("reads");
    assert!(copies().iter().eq([&kept]) && !check(&kept, &[]).ok);
    fs::write(kept.join(audit::FILE), "").expect("written");
    assert!(copies().is_empty(), "begun, and got nothing yet");
}
