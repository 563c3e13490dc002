//! What somebody who can write to a log's files could do to it, and that each of it is found.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::*;
use crate::audit::{Audit, Event, Record};

const RECORDS: usize = 20;

struct Log {
    folder: tempfile::TempDir,
    files: Files,
    records: Vec<u8>,
    hashes: Vec<u8>,
    head: Vec<u8>,
}

impl Log {
    fn of(records: usize) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        write(&path, records);
        let files = Files::of(&path);
        let read = |path: &Path| fs::read(path).expect("reads");
        let (records, hashes, head) = (read(&files.records), read(&files.hashes), read(&files.head));
        Self { folder, files, records, hashes, head }
    }

    /// The same log, in a folder of its own.
    fn twin(&self) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let files = Files::of(&folder.path().join("audit.jsonl"));
        for (from, to) in [
            (&self.files.records, &files.records),
            (&self.files.hashes, &files.hashes),
            (&self.files.head, &files.head),
            (&self.files.public, &files.public),
        ] {
            fs::copy(from, to).expect("copied");
        }
        Self { folder, files, records: self.records.clone(), hashes: self.hashes.clone(), head: self.head.clone() }
    }

    fn lines(&self) -> Vec<&[u8]> {
        self.records.split_inclusive(|byte| *byte == b'\n').collect()
    }

    /// What is found with these records in place of the real ones.
    fn with(&self, records: &[u8]) -> Option<Wrong> {
        fs::write(&self.files.records, records).expect("written");
        let found = found(&self.files);
        fs::write(&self.files.records, &self.records).expect("written");
        found
    }
}

fn write(path: &Path, records: usize) {
    let (audit, known) = Audit::open(path, "one").expect("opens");
    let first = usize::try_from(known.records).expect("few").max(1);
    for _ in first..records {
        audit.record_blocking(Record::new(Event::BrokerStarted)).expect("written");
    }
}

fn found(files: &Files) -> Option<Wrong> {
    check(files, &[]).expect("read").wrong
}

#[test]
fn a_log_as_it_was_written_is_right() {
    let log = Log::of(RECORDS);
    let checked = check(&log.files, &[]).expect("read");
    assert_eq!((checked.records, checked.signed, checked.wrong), (RECORDS as u64, RECORDS as u64, None));
    assert_eq!((checked.broker.as_deref(), checked.trusted), (Some("one"), false), "nobody vouches for the key");
    let key = PublicLogKey::read(checked.key.as_deref().expect("a key")).expect("a key");
    assert!(check(&log.files, &[key]).expect("read").trusted);
    let other = Log::of(2);
    let other = fs::read_to_string(&other.files.public).expect("reads");
    let other = PublicLogKey::read(&other).expect("a key");
    let wrong = check(&log.files, &[other]).expect("read").wrong.expect("another key of the same name");
    assert!(wrong.what.contains("signature"), "{wrong}");
}

#[test]
fn every_byte_that_is_changed_is_found_and_its_record_named() {
    let log = Log::of(RECORDS);
    let mut number = 0;
    for at in 0..log.records.len() {
        let mut changed = log.records.clone();
        changed[at] ^= 1;
        let wrong = log.with(&changed).unwrap_or_else(|| panic!("byte {at} was changed unseen"));
        assert_eq!(wrong.record, Some(number), "byte {at}: {wrong}");
        number += u64::from(log.records[at] == b'\n');
    }
    for (path, bytes) in [(&log.files.hashes, &log.hashes), (&log.files.head, &log.head)] {
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(path, &changed).expect("written");
            assert!(found(&log.files).is_some(), "byte {at} of {} was changed unseen", path.display());
        }
        fs::write(path, bytes).expect("written");
    }
    assert_eq!(found(&log.files), None);
}

/// `./run soak` asks for it by name: a third of a million looks at a log.
#[test]
#[ignore = "takes a quarter of an hour: ./run soak"]
fn every_byte_of_a_thousand_records_that_is_changed_is_found_and_its_record_named() {
    let log = Log::of(1000);
    let bytes = log.records.len();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for first in 0..threads {
            let log = log.twin();
            scope.spawn(move || {
                let mut changed = log.records.clone();
                for at in (first..bytes).step_by(threads) {
                    let number = log.records[..at].split(|byte| *byte == b'\n').count() as u64 - 1;
                    changed[at] ^= 1;
                    let wrong = log.with(&changed).unwrap_or_else(|| panic!("byte {at} was changed unseen"));
                    assert_eq!(wrong.record, Some(number), "byte {at}: {wrong}");
                    changed[at] ^= 1;
                }
            });
        }
    });
    println!("each of {bytes} bytes of 1,000 records changed, one at a time: all found, each record named");
}

#[test]
fn every_cut_is_found() {
    let log = Log::of(RECORDS);
    let mut whole = 0;
    for length in 0..log.records.len() {
        let wrong = log.with(&log.records[..length]).unwrap_or_else(|| panic!("cut at {length} unseen"));
        assert_eq!(wrong.record, Some(whole), "cut at {length}: {wrong}");
        whole += u64::from(log.records[length] == b'\n');
    }
    for length in 0..log.hashes.len() {
        fs::write(&log.files.hashes, &log.hashes[..length]).expect("written");
        assert!(found(&log.files).is_some(), "hashes cut at {length} unseen");
    }
}

#[test]
fn records_that_are_moved_dropped_doubled_or_put_in_are_found() {
    let log = Log::of(RECORDS);
    let lines = log.lines();
    for at in 0..lines.len() - 1 {
        let mut swapped = lines.clone();
        swapped.swap(at, at + 1);
        let mut dropped = lines.clone();
        dropped.remove(at);
        let mut doubled = lines.clone();
        doubled.insert(at, lines[at]);
        let forged = String::from_utf8_lossy(lines[at]).replace("broker.started", "broker.stopped").into_bytes();
        let mut inserted = lines.clone();
        inserted.insert(at, &forged);
        for (what, lines, first) in [
            ("swapped", swapped, at),
            ("dropped", dropped, at),
            ("doubled", doubled, at + 1),
            ("inserted", inserted, at),
        ] {
            let wrong = log.with(&lines.concat()).unwrap_or_else(|| panic!("{what} at {at} unseen"));
            // A record put in before one that is the same is that one twice.
            let first = if what == "inserted" && forged == log.lines()[at] { at + 1 } else { first };
            assert_eq!(wrong.record, Some(first as u64), "{what} at {at}: {wrong}");
        }
    }
    let mut longer = log.records.clone();
    longer.extend_from_slice(lines[RECORDS - 1]);
    let wrong = log.with(&longer).expect("a record after the last");
    assert_eq!(wrong.record, Some(RECORDS as u64), "{wrong}");
}

#[test]
fn a_log_that_was_written_anew_by_another_key_is_found_with_the_real_key() {
    let (log, forged) = (Log::of(RECORDS), Log::of(RECORDS - 1));
    let real = PublicLogKey::read(&fs::read_to_string(&log.files.public).expect("reads")).expect("a key");
    assert_eq!(found(&forged.files), None, "by itself it is a log like any other");
    assert!(check(&forged.files, &[real]).expect("read").wrong.is_some());
}

#[test]
fn a_log_goes_on_being_right_after_each_start() {
    let log = Log::of(3);
    for records in [5, 6, 9] {
        write(&log.files.records, records);
        let checked = check(&log.files, &[]).expect("read");
        assert_eq!((checked.signed, checked.wrong), (records as u64, None));
    }
}

#[test]
fn a_log_is_right_at_every_moment_while_it_grows() {
    let log = Log::of(1);
    let (audit, _) = Audit::open(&log.files.records, "one").expect("opens");
    // As a broker that serves holds its state directory.
    let serves = File::create(log.folder.path().join("lock")).expect("made");
    serves.lock().expect("free");
    let enough = AtomicBool::new(false);
    std::thread::scope(|threads| {
        threads.spawn(|| {
            while !enough.load(Ordering::Relaxed) {
                audit.record_blocking(Record::new(Event::BrokerStarted)).expect("written");
            }
        });
        let (mut looks, begun) = (Vec::new(), Instant::now());
        while looks.last().is_none_or(|look: &Checked| look.records < 30) && begun.elapsed() < Duration::from_mins(1) {
            looks.push(check(&log.files, &[]).expect("read"));
        }
        enough.store(true, Ordering::Relaxed);
        assert!(
            looks.len() > 1 && looks.last().is_some_and(|look| look.records >= 30),
            "it grew while it was looked at"
        );
        for look in looks {
            assert_eq!(look.wrong, None, "of {} records", look.records);
        }
    });
}

#[test]
fn a_copy_whose_first_head_is_about_to_come_is_waited_for() {
    let log = Log::of(3);
    let serves = File::create(log.folder.path().join("lock")).expect("made");
    serves.lock().expect("free");
    let aside = log.folder.path().join("aside");
    fs::rename(&log.files.head, &aside).expect("moved");
    std::thread::scope(|threads| {
        threads.spawn(|| {
            sleep(Duration::from_millis(50));
            fs::rename(&aside, &log.files.head).expect("put there");
        });
        assert_eq!(found(&log.files), None);
    });
}

#[test]
fn a_log_without_its_records_is_wrong_and_each_key_of_a_broker_is_tried() {
    let (log, other) = (Log::of(3), Log::of(3));
    let key = |log: &Log| PublicLogKey::read(&fs::read_to_string(&log.files.public).expect("reads")).expect("a key");
    for keys in [[key(&log), key(&other)], [key(&other), key(&log)]] {
        assert_eq!(check(&log.files, &keys).expect("read").wrong, None);
    }
    fs::remove_file(&log.files.records).expect("removed");
    let checked = check(&log.files, &[]).expect("told");
    assert_eq!((checked.records, checked.signed), (0, 3));
    assert_eq!(checked.wrong.and_then(|wrong| wrong.record), Some(0));
    fs::remove_file(&log.files.head).expect("removed");
    assert!(check(&log.files, &[]).is_err(), "there is no log");
}
