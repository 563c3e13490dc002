//! The writer: one thread, many waiting answers, one fsync for all that wait.
//!
//! Keeps promise 4: `record` returns only when the line is on disk; when it cannot be written, everything that
//! depends on it is unavailable. Must not leave a half-written line behind a failure.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use serde::Serialize;
use tokio::sync::oneshot;

use super::files::Files;
use super::seal::{Before, Seal};
use super::tree::leaf;
use super::{Event, Outcome, Record, reading};

/// How many records may wait for the disk. More than that, and callers wait for a place.
const WAITING: usize = 4096;

/// The record could not be made durable.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    #[error("the audit log cannot be written: {0}")]
    Write(Arc<str>),
    #[error("the audit log is closed")]
    Closed,
    #[error("{0}")]
    Read(String),
}

/// The audit log of this broker.
#[derive(Clone)]
pub(crate) struct Audit {
    sender: SyncSender<Waiting>,
    writable: Arc<AtomicBool>,
    alarms: Arc<AtomicU64>,
    path: Arc<PathBuf>,
    durable: Arc<AtomicU64>,
}

struct Waiting {
    record: Record,
    done: oneshot::Sender<Result<u64, AuditError>>,
}

#[derive(Serialize)]
struct Line<'a> {
    number: u64,
    time: String,
    broker: &'a str,
    #[serde(flatten)]
    record: &'a Record,
}

impl Audit {
    /// Opens the log, cutting off a torn last line, and starts the writer. Gives what the log knows, too. A log that is
    /// not what was signed is not opened; one that never was signed is, from here on.
    pub(crate) fn open(path: &Path, broker: &str) -> Result<(Self, reading::Known), AuditError> {
        let io = |error: std::io::Error| AuditError::Read(format!("{}: {error}", path.display()));
        let mut known = reading::read(path)?;
        let before = if known.signed_by.contains(broker) { Before::Signed } else { Before::Not };
        let leaves = std::mem::take(&mut known.leaves);
        let seal = Seal::open(Files::of(path), broker, &leaves, before)?;
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        file.set_len(known.length).map_err(io)?;
        file.sync_all().map_err(io)?;
        if let Some(parent) = path.parent() {
            File::open(parent).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        file.seek(SeekFrom::Start(known.length)).map_err(io)?;

        let writable = Arc::new(AtomicBool::new(true));
        let durable = Arc::new(AtomicU64::new(known.length));
        let mut writer = Writer {
            file,
            seal,
            length: known.length,
            next: known.records,
            broker: broker.to_owned(),
            writable: writable.clone(),
            durable: durable.clone(),
        };
        if before == Before::Not {
            let signed = Record { detail: Some(writer.seal.public().to_owned()), ..Record::new(Event::LogSigned) };
            writer.write([&signed].into_iter()).map_err(io)?;
        }
        let (sender, receiver) = sync_channel(WAITING);
        std::thread::Builder::new().name("audit".into()).spawn(move || writer.run(&receiver)).map_err(io)?;
        let alarms = Arc::new(AtomicU64::new(0));
        let audit = Self { sender, writable, alarms, path: Arc::new(path.to_owned()), durable };
        Ok((audit, known))
    }

    /// Writes a record; durable when this returns its number.
    pub(crate) async fn record(&self, record: Record) -> Result<u64, AuditError> {
        if record.outcome == Outcome::Alarm {
            self.alarms.fetch_add(1, Ordering::Relaxed);
            // As the log has it: one line of JSON, with its own names.
            tracing::warn!(record = serde_json::to_string(&record).unwrap_or_default(), "alarm");
        }
        let (done, answer) = oneshot::channel();
        let sender = self.sender.clone();
        if let Err(full) = sender.try_send(Waiting { record, done }) {
            let std::sync::mpsc::TrySendError::Full(waiting) = full else { return Err(AuditError::Closed) };
            // The disk is far behind: wait off the runtime's threads for a place.
            tokio::task::spawn_blocking(move || sender.send(waiting).map_err(drop))
                .await
                .map_err(|_| AuditError::Closed)?
                .map_err(|()| AuditError::Closed)?;
        }
        answer.await.map_err(|_| AuditError::Closed)?
    }

    /// Writes a record from a thread without a runtime.
    pub(crate) fn record_blocking(&self, record: Record) -> Result<u64, AuditError> {
        let (done, answer) = oneshot::channel();
        self.sender.send(Waiting { record, done }).map_err(|_| AuditError::Closed)?;
        answer.blocking_recv().map_err(|_| AuditError::Closed)?
    }

    /// Whether the last write succeeded.
    pub(crate) fn is_writable(&self) -> bool {
        self.writable.load(Ordering::Relaxed)
    }

    /// The file, and up to where it holds whole records that are on disk.
    pub(crate) fn written(&self) -> (Arc<PathBuf>, u64) {
        (self.path.clone(), self.durable.load(Ordering::Acquire))
    }

    /// How many alarms were raised since the start.
    pub(crate) fn alarms(&self) -> u64 {
        self.alarms.load(Ordering::Relaxed)
    }
}

struct Writer {
    file: File,
    seal: Seal,
    /// Up to here the file holds whole records.
    length: u64,
    next: u64,
    broker: String,
    writable: Arc<AtomicBool>,
    /// The same length, for those who read along.
    durable: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Waiting>) {
        while let Ok(first) = receiver.recv() {
            let batch: Vec<Waiting> = std::iter::once(first).chain(receiver.try_iter()).collect();
            let written = self.write(batch.iter().map(|waiting| &waiting.record));
            self.writable.store(written.is_ok(), Ordering::Relaxed);
            match written {
                Ok(numbers) => {
                    for (waiting, number) in batch.into_iter().zip(numbers) {
                        let _ = waiting.done.send(Ok(number));
                    }
                }
                Err(error) => {
                    let error: Arc<str> = error.to_string().into();
                    tracing::error!(%error, "the audit log cannot be written: nobody is admitted until it can");
                    for waiting in batch {
                        let _ = waiting.done.send(Err(AuditError::Write(error.clone())));
                    }
                }
            }
        }
    }

    /// Writes all or nothing, as far as the file's readers can tell.
    fn write<'r>(&mut self, batch: impl Iterator<Item = &'r Record>) -> std::io::Result<std::ops::Range<u64>> {
        let time = jiff::Timestamp::now().to_string();
        let (mut bytes, mut leaves) = (Vec::new(), Vec::new());
        for (number, record) in (self.next..).zip(batch) {
            let line = Line { number, time: time.clone(), broker: &self.broker, record };
            let begin = bytes.len();
            serde_json::to_writer(&mut bytes, &line)?;
            leaves.push(leaf(&bytes[begin..]));
            bytes.push(b'\n');
        }
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        // Signed when they are on disk: a head never covers what a crash could take away.
        let written = written.and_then(|()| self.seal.add(&leaves));
        if let Err(error) = written {
            // What was written of it must not be followed by another record.
            self.file.set_len(self.length)?;
            self.file.seek(SeekFrom::Start(self.length))?;
            return Err(error);
        }
        self.length += bytes.len() as u64;
        self.durable.store(self.length, Ordering::Release);
        let first = self.next;
        self.next += leaves.len() as u64;
        Ok(first..self.next)
    }
}

/// Whether a log has no record, or is not there.
pub(crate) fn is_empty(path: &Path) -> bool {
    std::fs::metadata(path).map_or(true, |metadata| metadata.len() == 0)
}

/// Writes a single record into a log that no broker has open.
pub(crate) fn record_once(path: &Path, broker: &str, record: Record) -> Result<(), AuditError> {
    let (audit, _) = Audit::open(path, broker)?;
    audit.record_blocking(record).map(|_| ())
}

/// The same, where others run on this thread.
pub(crate) async fn record_one(path: &Path, broker: &str, record: Record) -> Result<(), AuditError> {
    let (audit, _) = Audit::open(path, broker)?;
    audit.record(record).await.map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::Event;

    #[test]
    fn records_are_numbered_on_from_where_the_log_ended() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        for found in [0, 2, 3] {
            let (audit, known) = Audit::open(&path, "b").expect("opens");
            assert_eq!(known.records, found);
            let written = audit.record_blocking(Record::new(Event::BrokerStarted)).expect("written");
            assert_eq!(written, found.max(1), "after the record of the log's key");
        }
    }

    #[test]
    fn a_torn_last_line_is_cut_and_told() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        record_once(&path, "b", Record::new(Event::ClusterMade)).expect("written");
        let whole = std::fs::read(&path).expect("reads");
        let first = whole.iter().position(|byte| *byte == b'\n').expect("a line");
        for cut in (1..=first).step_by(9) {
            let mut torn = whole.clone();
            torn.extend_from_slice(&whole[..cut]);
            std::fs::write(&path, &torn).expect("written");
            let (_, known) = Audit::open(&path, "b").expect("opens");
            assert!(known.torn && known.records == 2, "cut at {cut}");
            assert_eq!(std::fs::read(&path).expect("reads"), whole);
        }
    }

    #[test]
    fn damage_before_the_end_stops_the_broker() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        record_once(&path, "b", Record::new(Event::ClusterMade)).expect("written");
        record_once(&path, "b", Record::new(Event::BrokerStarted)).expect("written");
        let text = std::fs::read_to_string(&path).expect("reads");
        std::fs::write(&path, text.replacen("{\"number\":0", "{\"number\":7", 1)).expect("written");
        let error = Audit::open(&path, "b").err().expect("refused").to_string();
        assert!(error.contains("line 1"), "{error}");
        // What reads as well as before, and is not what was signed.
        std::fs::write(&path, text.replacen("broker.started", "broker.stopped", 1)).expect("written");
        let error = Audit::open(&path, "b").err().expect("refused").to_string();
        assert!(error.contains("record 2"), "{error}");
        let cut: String = text.split_inclusive('\n').take(2).collect();
        std::fs::write(&path, cut).expect("written");
        let error = Audit::open(&path, "b").err().expect("refused").to_string();
        assert!(error.contains("2 records, and 3 were signed"), "{error}");
        std::fs::write(&path, &text).expect("written");
        for name in ["audit.head", "audit.key"] {
            let path = folder.path().join(name);
            let kept = std::fs::read(&path).expect("reads");
            std::fs::remove_file(&path).expect("removed");
            let error = Audit::open(&folder.path().join("audit.jsonl"), "b").err().expect("refused").to_string();
            assert!(error.contains("is missing"), "{error}");
            std::fs::write(&path, kept).expect("written");
        }
        assert!(Audit::open(&path, "b").is_ok(), "restored");
    }
}
