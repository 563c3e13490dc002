//! What is exported as tiles, what an outsider can do with it, and what somebody could do to it.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use sha2::Sha256;

use super::check::CheckedTiles;
use super::write::Written;
use super::*;
use crate::audit::{Audit, Event, Files, PublicLogKey, Record, verify};

struct Log {
    folder: tempfile::TempDir,
}

impl Log {
    fn of(records: usize) -> Self {
        let log = Self { folder: tempfile::tempdir().expect("a folder") };
        log.grow(records);
        log
    }

    fn files(&self) -> Files {
        Files::of(&self.folder.path().join("audit.jsonl"))
    }

    fn tiles(&self) -> PathBuf {
        self.folder.path().join("tiles")
    }

    /// Up to so many records, the one of the log's key among them.
    fn grow(&self, records: usize) {
        let (audit, known) = Audit::open(&self.files().records, "one").expect("opens");
        for _ in usize::try_from(known.records).expect("few").max(1)..records {
            audit.record_blocking(Record::new(Event::BrokerStarted)).expect("written");
        }
    }

    fn export(&self) -> Result<Written, crate::audit::AuditError> {
        write(&self.files(), &verify::check(&self.files(), &[]).expect("read"), &self.tiles())
    }

    fn check(&self) -> CheckedTiles {
        check(&self.tiles(), &[]).expect("read")
    }

    fn wrong(&self) -> Option<verify::Wrong> {
        self.check().checked.wrong
    }

    /// Every file of the tiles, by its path.
    fn all(&self) -> BTreeMap<String, Vec<u8>> {
        let (mut folders, mut all) = (vec![self.tiles()], BTreeMap::new());
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).expect("reads") {
                let path = entry.expect("one").path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    let name = path.strip_prefix(self.tiles()).expect("below").display().to_string();
                    all.insert(name, fs::read(path).expect("reads"));
                }
            }
        }
        all
    }
}

#[test]
fn tiles_lie_where_the_specification_says() {
    for (of, number, width, at) in [
        (Of::Level(0), 0, 256, "tile/0/000"),
        (Of::Level(0), 5, 12, "tile/0/005.p/12"),
        (Of::Level(1), 1_234_067, 256, "tile/1/x001/x234/067"),
        (Of::Records, 1_234_067, 8, "tile/entries/x001/x234/067.p/8"),
    ] {
        assert_eq!(path(of, number, width), at);
    }
}

#[test]
fn an_outsider_has_the_records_and_the_signed_root_from_the_tiles_alone() {
    let log = Log::of(600);
    assert_eq!(log.export().expect("written"), Written { records: 600, new: 600 });
    let all = log.all();
    let names: Vec<&str> = all.keys().map(String::as_str).collect();
    let expected = [
        "audit.pub",
        "checkpoint",
        "tile/0/000",
        "tile/0/001",
        "tile/0/002.p/88",
        "tile/1/000.p/2",
        "tile/entries/000",
        "tile/entries/001",
        "tile/entries/002.p/88",
    ];
    assert_eq!(names, expected);
    let mut tree = MemoryBackedTree::<Sha256, Vec<u8>>::new();
    let mut lines = String::new();
    for name in ["000", "001", "002.p/88"] {
        let mut bundle = all[&format!("tile/entries/{name}")].as_slice();
        while let [high, low, rest @ ..] = bundle {
            let (record, rest) = rest.split_at(usize::from(u16::from_be_bytes([*high, *low])));
            tree.push(record.to_vec());
            lines.push_str(std::str::from_utf8(record).expect("text"));
            lines.push('\n');
            bundle = rest;
        }
    }
    assert_eq!(lines, fs::read_to_string(log.files().records).expect("reads"));
    let head = String::from_utf8(all["checkpoint"].clone()).expect("text");
    let root = head.lines().nth(2).expect("a root");
    assert_eq!(root, crate::audit::Hash(*tree.root().as_bytes().as_ref()).to_string());
    let checked = log.check();
    assert_eq!((checked.checked.records, checked.checked.wrong, checked.elsewhere), (600, None, 0));
}

#[test]
fn a_later_export_adds_what_is_new_and_leaves_full_tiles_alone() {
    let log = Log::of(300);
    log.export().expect("written");
    let before = log.all();
    let full = |name: &str| log.tiles().join(name);
    // Full ones were moved away.
    let moved = full("tile/entries/000");
    fs::rename(&moved, log.folder.path().join("moved")).expect("moved");
    log.grow(700);
    assert_eq!(log.export().expect("written"), Written { records: 700, new: 400 });
    assert!(!moved.exists() && !full("tile/0/001.p/44").exists() && !full("tile/entries/001.p").exists());
    assert_eq!(fs::read(full("tile/0/000")).expect("reads"), before["tile/0/000"]);
    let checked = log.check();
    assert_eq!((checked.checked.records, checked.elsewhere, checked.checked.wrong), (700, 256, None));
    fs::rename(log.folder.path().join("moved"), &moved).expect("brought back");
    assert_eq!(log.check().elsewhere, 0);
    assert_eq!(log.wrong(), None);
    assert_eq!(log.export().expect("nothing new"), Written { records: 700, new: 0 });
}

#[test]
fn another_log_and_one_that_was_put_back_and_grew_another_way_change_nothing_in_a_folder() {
    let log = Log::of(300);
    let older = [log.files().records, log.files().hashes, log.files().head].map(|path| {
        let bytes = fs::read(&path).expect("reads");
        (path, bytes)
    });
    log.grow(400);
    assert_eq!(log.export().expect("written"), Written { records: 400, new: 400 });
    let archive = log.all();
    // Another key's; and then of the same key: shorter than what the folder has, as long, and longer.
    let other = Log::of(600);
    let checked = verify::check(&other.files(), &[]).expect("read");
    assert!(write(&other.files(), &checked, &log.tiles()).is_err());
    for (path, bytes) in older {
        fs::write(path, bytes).expect("put back");
    }
    let behind = Written { records: 400, new: 0 };
    assert_eq!(log.export().expect("its beginning"), behind, "a copy that is behind is no other log");
    for records in [350, 400, 600] {
        log.grow(records);
        let refused = log.export().map_err(|error| error.to_string());
        assert!(refused.as_ref().is_err_and(|why| why.contains("of another log")), "{records}: {refused:?}");
        assert!(log.all() == archive, "of {records}");
    }
    assert_eq!(log.wrong(), None);
}

#[test]
fn each_file_that_is_changed_cut_or_gone_is_found() {
    let log = Log::of(300);
    log.export().expect("written");
    for (name, bytes) in log.all() {
        let path = log.tiles().join(&name);
        // The key beside them is found to be another one only by whoever has the real one.
        let cuts = if name == PUBLIC { 0 } else { bytes.len() };
        for at in (0..cuts).step_by(bytes.len() / 40 + 1) {
            let mut changed = bytes.clone();
            changed[at] ^= 1;
            fs::write(&path, &changed).expect("written");
            let wrong = log.wrong().unwrap_or_else(|| panic!("byte {at} of {name} was changed unseen"));
            let tile = if name.contains("001") { 256..300 } else { 0..256 };
            assert!(wrong.record.is_none_or(|record| tile.contains(&record)), "byte {at} of {name}: {wrong}");
            fs::write(&path, &bytes[..at]).expect("written");
            assert!(log.wrong().is_some(), "{name} was cut at {at} unseen");
        }
        fs::remove_file(&path).expect("removed");
        let seen = check(&log.tiles(), &[]);
        let found = seen.as_ref().map_or(true, |seen| seen.checked.wrong.is_some() || seen.elsewhere > 0);
        assert!(found, "{name} was removed unseen");
        fs::write(&path, &bytes).expect("written");
    }
    assert_eq!(log.wrong(), None);
    // Whose it is is known, whoever signed it.
    let other = fs::read_to_string(Log::of(2).files().public).expect("reads");
    let checked = check(&log.tiles(), &[PublicLogKey::read(&other).expect("a key")]).expect("read").checked;
    assert_eq!(checked.broker.as_deref(), Some("one"));
    assert!(checked.wrong.expect("another key of the same name").what.contains("signature"));
}

#[test]
fn a_record_and_its_hash_that_were_changed_together_are_found() {
    let log = Log::of(600);
    log.export().expect("written");
    let all = log.all();
    let (bundle, hashes) = (&all["tile/entries/001"], &all["tile/0/001"]);
    let length = usize::from(u16::from_be_bytes([bundle[0], bundle[1]]));
    let mut record = bundle[2..2 + length].to_vec();
    *record.last_mut().expect("bytes") = b' ';
    let changed = [&bundle[..2], &record, &bundle[2 + length..]].concat();
    let hash = crate::audit::leaf(&record);
    fs::write(log.tiles().join("tile/entries/001"), changed).expect("written");
    fs::write(log.tiles().join("tile/0/001"), [&hash.0, &hashes[32..]].concat()).expect("written");
    assert_eq!(log.wrong().and_then(|wrong| wrong.record), Some(256), "in the tile that begins there");
}
