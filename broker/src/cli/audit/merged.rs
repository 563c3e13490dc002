//! The records of several brokers' logs, as one: in the order of their times, each log's in its own order.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;

use serde_json::Value;

use crate::clock;
use crate::exit::{Code, Failure};

/// Logs that are read side by side. What is appended meanwhile comes later.
#[derive(Default)]
pub(super) struct Merged {
    sources: Vec<Source>,
    since: Option<Since>,
}

/// A time to the second, as records have it, without what follows: times that are written so sort as text.
#[derive(Clone, Copy)]
struct Since([u8; SECOND]);

/// The length of `2026-01-31T12:00:00`.
const SECOND: usize = 19;

/// What is read at once: a log of years is read from its beginning, whatever is wanted of it.
const CHUNK: usize = 256 * 1024;

struct Source {
    /// Its path, or whose log it is.
    name: String,
    lines: BufReader<Box<dyn Read>>,
    /// The line that is read, or the beginning of a record that has no end yet.
    begun: Vec<u8>,
    read: u64,
    next: Option<Next>,
}

struct Next {
    time: String,
    record: Value,
}

impl Merged {
    /// Nothing from before this time, in seconds since 1970, is wanted. It is passed over unread, as fast as the disk
    /// gives it: a clock may have gone back, so that what is wanted can lie anywhere.
    pub(super) fn since(seconds: Option<u64>) -> Self {
        Self { sources: Vec::new(), since: seconds.and_then(Since::at) }
    }

    /// Reads this log, too. From its end on, if nothing before is asked for.
    pub(super) fn add(&mut self, path: &Path, from_end: bool) -> Result<(), Failure> {
        let name = path.display().to_string();
        if self.has(&name) {
            return Ok(());
        }
        let failed = |error: std::io::Error| Failure::new(Code::NoInput, format!("{name}: {error}"));
        let mut source = Source::new(name.clone(), Box::new(File::open(path).map_err(failed)?));
        while from_end && source.line(None)?.is_some() {}
        self.sources.push(source);
        Ok(())
    }

    /// Reads what this reader gives, too.
    pub(super) fn read(&mut self, name: String, reader: Box<dyn Read>) {
        self.sources.push(Source::new(name, reader));
    }

    /// Whether a log is read already.
    pub(super) fn has(&self, name: &str) -> bool {
        self.sources.iter().any(|source| source.name == name)
    }

    /// The next record; None if there is no more now.
    pub(super) fn next(&mut self) -> Result<Option<Value>, Failure> {
        for source in &mut self.sources {
            source.fill(self.since)?;
        }
        let first = self.sources.iter_mut().filter(|source| source.next.is_some()).min_by(|one, other| {
            let time = |source: &Source| source.next.as_ref().map(|next| next.time.clone());
            time(one).cmp(&time(other))
        });
        Ok(first.and_then(|source| source.next.take()).map(|next| next.record))
    }
}

impl Since {
    fn at(seconds: u64) -> Option<Self> {
        clock::shown(seconds).as_bytes().first_chunk().copied().map(Self)
    }

    /// Whether a record's line says by its beginning that it is from before. Any other line is read as a whole.
    fn passes_over(self, line: &[u8]) -> bool {
        let time = || {
            let number = line.strip_prefix(b"{\"number\":")?;
            let digits = number.iter().take_while(|byte| byte.is_ascii_digit()).count();
            number[digits..].strip_prefix(b",\"time\":\"")?.first_chunk::<SECOND>()
        };
        time().is_some_and(|time| *time < self.0)
    }
}

impl Source {
    fn new(name: String, reader: Box<dyn Read>) -> Self {
        let lines = BufReader::with_capacity(CHUNK, reader);
        Self { name, lines, begun: Vec::new(), read: 0, next: None }
    }

    /// Reads the next record that reads and may be wanted, if there is one.
    fn fill(&mut self, since: Option<Since>) -> Result<(), Failure> {
        while self.next.is_none() {
            let Some(line) = self.line(since)? else { return Ok(()) };
            let Ok(record) = serde_json::from_slice::<Value>(&line) else {
                tracing::warn!("line {} of {} does not read: see 'broker audit verify'", self.read, self.name);
                continue;
            };
            let time = record.get("time").and_then(Value::as_str).unwrap_or_default();
            // Without the Z at its end a time sorts as text, whatever the digits of its fraction.
            self.next = Some(Next { time: time.trim_end_matches('Z').to_owned(), record });
        }
        Ok(())
    }

    /// The next whole line that is not known to be from before.
    fn line(&mut self, since: Option<Since>) -> Result<Option<Vec<u8>>, Failure> {
        loop {
            let failed = |error: std::io::Error| Failure::new(Code::Io, format!("{}: {error}", self.name));
            self.lines.read_until(b'\n', &mut self.begun).map_err(failed)?;
            if self.begun.pop_if(|last| *last == b'\n').is_none() {
                return Ok(None);
            }
            self.read += 1;
            if since.is_none_or(|since| !since.passes_over(&self.begun)) {
                return Ok(Some(std::mem::take(&mut self.begun)));
            }
            self.begun.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn line(time: &str, name: &str) -> String {
        format!("{{\"time\":\"{time}\",\"event\":\"{name}\"}}\n")
    }

    fn names(merged: &mut Merged) -> Vec<String> {
        std::iter::from_fn(|| merged.next().expect("reads"))
            .map(|record| record["event"].as_str().expect("an event").to_owned())
            .collect()
    }

    #[test]
    fn records_come_in_the_order_of_their_times_and_each_log_in_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        let at = |fraction: &str| format!("2026-01-01T00:00:00{fraction}Z");
        // The clock of the second went back once.
        std::fs::write(&one, [line(&at(""), "a"), line(&at(".5"), "c"), line(&at(".51"), "e")].concat())
            .expect("written");
        std::fs::write(&two, [line(&at(".1"), "b"), line(&at(".500001"), "d"), line(&at(".2"), "d2")].concat())
            .expect("written");
        let mut merged = Merged::default();
        for path in [&one, &two, &one] {
            merged.add(path, false).expect("added once");
        }
        assert_eq!(names(&mut merged), ["a", "b", "c", "d", "d2", "e"]);
        assert!(merged.add(&folder.path().join("none"), false).is_err());
    }

    #[test]
    fn what_is_from_before_is_passed_over_wherever_it_lies() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let record = |number: u64, time: &str, name: &str| {
            format!("{{\"number\":{number},\"time\":\"{time}\",\"event\":\"{name}\"}}\n")
        };
        let text = [
            record(0, "2026-01-31T11:59:59.999Z", "before"),
            record(1, "2026-01-31T12:00:00Z", "at"),
            // The clock went back.
            record(2, "2026-01-31T11:00:00Z", "back"),
            record(3, "2026-01-31T12:00:00.5Z", "after"),
            // Whoever wrote it: it is read, and judged as a whole.
            line("2020-01-01T00:00:00Z", "another layout"),
        ];
        std::fs::write(&path, text.concat()).expect("written");
        let mut merged = Merged::since(crate::clock::read("2026-01-31T12:00:00Z"));
        merged.add(&path, false).expect("added");
        assert_eq!(names(&mut merged), ["at", "after", "another layout"]);
        let mut all = Merged::since(None);
        all.add(&path, false).expect("added");
        assert_eq!(names(&mut all).len(), 5);
    }

    #[test]
    fn what_is_appended_comes_when_it_is_whole() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        std::fs::write(&path, line("1Z", "before")).expect("written");
        let mut merged = Merged::default();
        merged.add(&path, true).expect("added");
        assert_eq!(names(&mut merged), [""; 0]);
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("opens");
        let next = line("2Z", "after");
        file.write_all(&next.as_bytes()[..9]).expect("written");
        assert_eq!(names(&mut merged), [""; 0], "half a record");
        file.write_all(&next.as_bytes()[9..]).expect("written");
        file.write_all(b"\xff none\n").expect("written");
        file.write_all(line("3Z", "last").as_bytes()).expect("written");
        assert_eq!(names(&mut merged), ["after", "last"], "past what does not read");
    }
}
