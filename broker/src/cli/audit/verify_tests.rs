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
