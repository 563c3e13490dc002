//! The logs that lie in folders: checked, and read record by record.
//!
//! A line that is no record, or a log that is not what was signed, hides no other: it is counted, and said.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::together;
use crate::audit::{self, Checked, Files, Hash, Head, PublicLogKey, Tree, leaf};

/// One log, as it lies in a folder.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) folder: PathBuf,
    /// What became of the check; the words if there was nothing to check.
    pub(crate) checked: Result<Checked, String>,
    /// Its records, in order.
    pub(crate) entries: Vec<Entry>,
    /// How many lines are no records.
    pub(crate) unreadable: u64,
    /// What was signed of it, if that is known.
    pub(crate) signed: Option<Signed>,
    /// That its broker has shown another log, too.
    pub(crate) forked: Option<String>,
    /// The brokers that have seen its head, and that it continued what they knew.
    pub(crate) cosigned_by: Vec<String>,
}

/// What a head says of a log.
#[derive(Debug)]
pub(crate) struct Signed {
    pub(crate) head: Head,
    /// The head as it was signed.
    pub(crate) note: String,
    /// The hash of each record that it covers.
    pub(crate) leaves: Vec<Hash>,
}

/// One record, as it lies in its log.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) number: u64,
    pub(crate) leaf: Hash,
    /// Its line, without the newline.
    pub(crate) line: String,
    /// The same, read.
    pub(crate) fields: Value,
    /// When it was written.
    pub(crate) time: jiff::Timestamp,
}

impl Entry {
    /// A record's line. None if it is no record.
    fn read(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?.to_owned();
        let fields: Value = serde_json::from_str(&text).ok()?;
        let (number, time) = (fields.get("number")?.as_u64()?, fields.get("time")?.as_str()?);
        let (time, leaf) = (time.parse().ok()?, leaf(line));
        Some(Self { number, leaf, line: text, fields, time })
    }

    /// A field's text; empty where there is none.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.fields.get(field).and_then(Value::as_str).unwrap_or_default()
    }

    /// A field's number.
    pub(crate) fn count(&self, field: &str) -> Option<u64> {
        self.fields.get(field).and_then(Value::as_u64)
    }

    /// When it was written, in seconds since 1970.
    pub(crate) fn at(&self) -> u64 {
        u64::try_from(self.time.as_second()).unwrap_or(0)
    }

    /// What happened.
    pub(crate) fn event(&self) -> &str {
        self.text("event")
    }
}

impl Log {
    /// Reads the log in a folder, with these public keys; without any, with the one that lies beside it.
    fn read(folder: &Path, keys: &[PublicLogKey]) -> Self {
        let files = Files::of(&folder.join(audit::FILE));
        let mut log = Self {
            folder: folder.to_owned(),
            checked: audit::check(&files, keys).map_err(|error| error.to_string()),
            entries: Vec::new(),
            unreadable: 0,
            signed: None,
            forked: None,
            cosigned_by: Vec::new(),
        };
        let head = log.head();
        let end = log.checked.as_ref().map_or(u64::MAX, |checked| checked.records);
        let end = end.max(head.as_ref().map_or(0, |(head, _)| head.size));
        match lines(&files.records, end) {
            Ok(lines) => log.take(&lines, head, &files),
            Err(error) if log.checked.is_ok() => log.checked = Err(format!("{}: {error}", files.records.display())),
            Err(_) => {}
        }
        log
    }

    fn take(&mut self, lines: &[Vec<u8>], head: Option<(Head, String)>, files: &Files) {
        let leaves = lines.iter().map(|line| leaf(line)).collect();
        self.signed = head.and_then(|(head, note)| {
            // The hashes beside the log tell which records are right where another one is not.
            let leaves = [leaves, beside(&files.hashes)].into_iter().find_map(|leaves| covered(leaves, &head))?;
            Some(Signed { head, note, leaves })
        });
        self.entries = lines.iter().filter_map(|line| Entry::read(line)).collect();
        self.unreadable = (lines.len() - self.entries.len()) as u64;
    }

    /// The head, as it was signed.
    fn head(&self) -> Option<(Head, String)> {
        let checked = self.checked.as_ref().ok()?;
        let (key, note) = (PublicLogKey::read(self.key()?)?, checked.note.clone()?);
        Some((key.verify(&note).ok()?, String::from_utf8(note).ok()?))
    }

    /// The id of the broker that it is of, or else its folder's name.
    pub(crate) fn name(&self) -> String {
        let broker = self.checked.as_ref().ok().and_then(|checked| checked.broker.clone());
        let written = || self.entries.first().map(|entry| entry.text("broker").to_owned());
        broker.or_else(written).filter(|name| !name.is_empty()).unwrap_or_else(|| self.folder.display().to_string())
    }

    /// The key that has verified its head.
    pub(super) fn key(&self) -> Option<&str> {
        self.checked.as_ref().ok()?.key.as_deref()
    }

    /// What is wrong with it.
    pub(crate) fn wrong(&self) -> Option<String> {
        match &self.checked {
            Ok(checked) => checked.wrong.as_ref().map(ToString::to_string).or_else(|| self.forked.clone()),
            Err(words) => Some(words.clone()),
        }
    }

    /// Whether this record is the one that was signed.
    pub(crate) fn has_signed(&self, entry: &Entry) -> bool {
        let at = usize::try_from(entry.number).ok();
        let signed = self.signed.as_ref().zip(at).and_then(|(signed, at)| signed.leaves.get(at));
        signed == Some(&entry.leaf)
    }
}

/// Reads the logs in these folders. A record that is in two copies of a log counts once.
pub(crate) fn read_all(folders: &[PathBuf], keys: &[PublicLogKey]) -> Vec<Log> {
    let mut logs: Vec<Log> = folders.iter().map(|folder| Log::read(folder, keys)).collect();
    together::compare(&mut logs);
    together::cosigned(&mut logs, keys);
    let mut seen = HashSet::new();
    // Those that are right first: of two copies, theirs count.
    for right in [true, false] {
        for log in logs.iter_mut().filter(|log| log.wrong().is_none() == right) {
            log.entries.retain(|entry| seen.insert(entry.leaf.0));
        }
    }
    logs
}

/// The first lines of a file, those that have an end.
fn lines(path: &Path, count: u64) -> std::io::Result<Vec<Vec<u8>>> {
    let (mut reader, mut lines) = (BufReader::new(File::open(path)?), Vec::new());
    while (lines.len() as u64) < count {
        let mut line = Vec::new();
        reader.read_until(b'\n', &mut line)?;
        if line.pop_if(|last| *last == b'\n').is_none() {
            break;
        }
        lines.push(line);
    }
    Ok(lines)
}

/// The hashes beside a log; none if they cannot be read.
fn beside(path: &Path) -> Vec<Hash> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
    let (hashes, _) = if read.is_ok() { bytes.as_chunks::<32>() } else { (&[][..], &[][..]) };
    hashes.iter().map(|hash| Hash(*hash)).collect()
}

/// The hashes that a head covers, if they are those that were signed.
fn covered(mut leaves: Vec<Hash>, head: &Head) -> Option<Vec<Hash>> {
    let root = Tree::root_of(&leaves, head.size)?;
    leaves.truncate(usize::try_from(head.size).ok()?);
    (root == head.root).then_some(leaves)
}
