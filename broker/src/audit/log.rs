//! The writer: one thread, many waiting answers, one fsync for all that wait.
//!
//! Keeps promise 4: `record` returns only when the line is on disk; when it cannot be written, everything that
//! depends on it is unavailable. Must not leave a half-written line behind a failure.

use std::fs::{File, OpenOptions};
use std::io::{Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, PoisonError, RwLock};

use serde::Serialize;
use tokio::sync::{broadcast, oneshot};

use super::alarms::Alarms;
use super::files::Files;
use super::head::LogKey;
use super::seal::{Before, NotSigned, Seal, SignedHead};
use super::tree::leaf;
use super::{AuditError, Event, Record, reading};

/// How many records may wait for the disk. More than that, and callers wait for a place.
const WAITING: usize = 4096;

/// The audit log of this broker.
#[derive(Clone)]
pub(crate) struct Audit {
    sender: SyncSender<Waiting>,
    writable: Arc<AtomicBool>,
    alarms: Alarms,
    path: Arc<PathBuf>,
    durable: Arc<AtomicU64>,
    key: Arc<LogKey>,
    signed: Arc<RwLock<SignedHead>>,
}

struct Waiting {
    record: Record,
    done: oneshot::Sender<Result<u64, AuditError>>,
}

/// A record as it is in the log.
#[derive(Serialize)]
pub(super) struct Line<'a> {
    /// None of one that is told before it can be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) number: Option<u64>,
    pub(super) time: &'a str,
    pub(super) broker: &'a str,
    #[serde(flatten)]
    pub(super) record: &'a Record,
}

impl Audit {
    /// Opens the log, cutting off a torn last line, and starts the writer. Gives what the log knows, too. A log that is
    /// not what was signed is not opened; one that never was signed is, from here on.
    pub(crate) fn open(path: &Path, broker: &str) -> Result<(Self, reading::Known), AuditError> {
        let io = |error: std::io::Error| AuditError::io(path, &error);
        let files = Files::of(path);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(io)?;
        // What a killed writer left may not be on disk yet, and is about to be signed.
        file.sync_all().and_then(|()| File::open(files.folder())?.sync_all()).map_err(io)?;
        let mut known = reading::read(path)?;
        let before = if known.signed_by.contains(broker) { Before::Signed } else { Before::Not };
        let leaves = std::mem::take(&mut known.leaves);
        let (seal, unsigned) = Seal::open(files, broker, &leaves, known.length, before)?;
        file.seek(SeekFrom::Start(known.length)).map_err(io)?;

        let writable = Arc::new(AtomicBool::new(true));
        let durable = Arc::new(AtomicU64::new(known.length));
        let mut writer = Writer {
            file,
            seal,
            length: known.length,
            torn: false,
            next: known.records,
            broker: broker.to_owned(),
            alarms: Alarms::new(),
            unwritable: None,
            writable: writable.clone(),
            durable: durable.clone(),
        };
        let mut first = Vec::new();
        if before == Before::Not {
            first.push(Record {
                detail: Some(writer.seal.key().public().as_str().to_owned()),
                ..Record::new(Event::LogSigned)
            });
        }
        first.extend(recovered(known.torn, &unsigned));
        if !first.is_empty() {
            writer.write(first.iter()).map_err(io)?;
        }
        if known.torn {
            // What is left of it, now that it was told.
            writer.file.set_len(writer.length).and_then(|()| writer.file.sync_all()).map_err(io)?;
        }
        let (key, signed, alarms) = (writer.seal.key().clone(), writer.seal.signed().clone(), writer.alarms.clone());
        let (sender, receiver) = sync_channel(WAITING);
        std::thread::Builder::new().name("audit".into()).spawn(move || writer.run(&receiver)).map_err(io)?;
        let audit = Self { sender, writable, alarms, path: Arc::new(path.to_owned()), durable, key, signed };
        Ok((audit, known))
    }

    /// Writes a record; durable when this returns its number.
    pub(crate) async fn record(&self, record: Record) -> Result<u64, AuditError> {
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

    /// The key that signs it.
    pub(crate) fn key(&self) -> &Arc<LogKey> {
        &self.key
    }

    /// What was signed last: all of it is on disk.
    pub(crate) fn signed(&self) -> SignedHead {
        self.signed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The alarms from now on, a line of JSON each: as they come into the log, and that none can.
    pub(crate) fn alarms_to_come(&self) -> broadcast::Receiver<Arc<str>> {
        self.alarms.to_come()
    }

    /// How many alarms were raised since the start.
    pub(crate) fn alarms(&self) -> u64 {
        self.alarms.raised()
    }
}

/// What is said of a log that its last writer did not finish.
fn recovered(torn: bool, unsigned: &Range<u64>) -> Option<Record> {
    let unsigned = (!unsigned.is_empty()).then(|| {
        let (first, last) = (unsigned.start, unsigned.end - 1);
        format!(
            "records {first} to {last} were not signed: the broker was ended before it could sign them, or somebody \
             else added them"
        )
    });
    let torn = torn.then(|| "a record that was never finished was cut off".to_owned());
    let told: Vec<String> = unsigned.into_iter().chain(torn).collect();
    (!told.is_empty()).then(|| Record { detail: Some(told.join("; ")), ..Record::new(Event::LogRecovered) })
}

struct Writer {
    file: File,
    seal: Seal,
    /// Up to here the file holds whole records.
    length: u64,
    /// Whether there may be more in it: of a batch that failed, and could not be taken back.
    torn: bool,
    next: u64,
    broker: String,
    alarms: Alarms,
    /// Since the log cannot be written: the record of that, which is to be the next one.
    unwritable: Option<Record>,
    writable: Arc<AtomicBool>,
    /// The same length, for those who read along.
    durable: Arc<AtomicU64>,
}

impl Writer {
    fn run(mut self, receiver: &Receiver<Waiting>) {
        while let Ok(first) = receiver.recv() {
            let batch: Vec<Waiting> = std::iter::once(first).chain(receiver.try_iter()).collect();
            let unwritable = self.unwritable.take();
            let written = self.write(unwritable.iter().chain(batch.iter().map(|waiting| &waiting.record)));
            self.writable.store(written.is_ok(), Ordering::Relaxed);
            match written {
                Ok((numbers, time)) => {
                    let numbers = numbers.skip(usize::from(unwritable.is_some()));
                    for (Waiting { record, done }, number) in batch.into_iter().zip(numbers) {
                        let line = Line { number: Some(number), time: &time, broker: &self.broker, record: &record };
                        self.alarms.written(&line);
                        let _ = done.send(Ok(number));
                    }
                }
                Err(error) => {
                    let error: Arc<str> = error.to_string().into();
                    tracing::error!(%error, "the audit log cannot be written: nobody is admitted until it can");
                    self.unwritable = Some(unwritable.unwrap_or_else(|| self.alarms.unwritable(&self.broker, &error)));
                    for waiting in batch {
                        Alarms::unwritten(&waiting.record);
                        let _ = waiting.done.send(Err(AuditError::Write(error.clone())));
                    }
                }
            }
        }
    }

    /// Writes all or nothing, as far as the file's readers can tell. Gives the records' numbers and their time.
    fn write<'r>(&mut self, batch: impl Iterator<Item = &'r Record>) -> std::io::Result<(Range<u64>, String)> {
        if self.torn {
            self.take_back()?;
        }
        let time = jiff::Timestamp::now().to_string();
        let (mut bytes, mut leaves) = (Vec::new(), Vec::new());
        for (number, record) in (self.next..).zip(batch) {
            let line = Line { number: Some(number), time: &time, broker: &self.broker, record };
            let begin = bytes.len();
            serde_json::to_writer(&mut bytes, &line)?;
            leaves.push(leaf(&bytes[begin..]));
            bytes.push(b'\n');
        }
        // Signed when they are on disk: a head never covers what a crash could take away.
        let written = self.file.write_all(&bytes).and_then(|()| self.file.sync_data());
        let length = self.length + bytes.len() as u64;
        let signed = written.map_err(NotSigned::Before).and_then(|()| self.seal.add(&leaves, length));
        if let Err(NotSigned::Before(error)) = signed {
            self.torn = true;
            self.take_back()?;
            return Err(error);
        }
        self.length = length;
        self.durable.store(self.length, Ordering::Release);
        let first = self.next;
        self.next += leaves.len() as u64;
        match signed {
            // A head that covers them may lie there: they stay, though nobody was answered on their strength.
            Err(NotSigned::Before(error) | NotSigned::Perhaps(error)) => Err(error),
            Ok(()) => Ok((first..self.next, time)),
        }
    }

    /// Takes away what was written of a batch that failed: no other record may follow it.
    fn take_back(&mut self) -> std::io::Result<()> {
        self.file.set_len(self.length)?;
        self.file.seek(SeekFrom::Start(self.length))?;
        self.torn = false;
        Ok(())
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
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;
    use crate::audit::Event;
    use crate::exit::{Code, Failure};
    use crate::state::PrivateFile;

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
        let head = folder.path().join("audit.head");
        let signed = std::fs::read(&head).expect("reads");
        let first = whole.iter().position(|byte| *byte == b'\n').expect("a line");
        for cut in (1..=first).step_by(9) {
            let mut torn = whole.clone();
            torn.extend_from_slice(&whole[..cut]);
            std::fs::write(&path, &torn).expect("written");
            std::fs::write(&head, &signed).expect("written");
            let (_, known) = Audit::open(&path, "b").expect("opens");
            assert!(known.torn && known.records == 2, "cut at {cut}");
            let text = std::fs::read_to_string(&path).expect("reads");
            let told = text.strip_prefix(std::str::from_utf8(&whole).expect("text")).expect("whole as before");
            assert!(told.contains("log.recovered") && told.contains("was cut off"), "{told}");
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
            PrivateFile::replace(&path).and_then(|file| file.finish_with(&kept)).expect("written");
        }
        assert!(Audit::open(&path, "b").is_ok(), "restored");
        // The public half follows from the private one.
        let public = folder.path().join("audit.pub");
        let kept = std::fs::read(&public).expect("reads");
        for wrong in [None, Some("another")] {
            std::fs::remove_file(&public).expect("removed");
            if let Some(text) = wrong {
                std::fs::write(&public, text).expect("written");
            }
            assert!(Audit::open(&path, "b").is_ok());
            assert_eq!(std::fs::read(&public).expect("reads"), kept);
        }
        let key = folder.path().join("audit.key");
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("open to all");
        let error = Audit::open(&path, "b").err().expect("refused").to_string();
        assert!(error.contains("chmod 0600"), "{error}");
    }

    #[test]
    fn records_that_were_not_signed_are_named_when_they_are() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        record_once(&path, "b", Record::new(Event::ClusterMade)).expect("written");
        let mut text = std::fs::read_to_string(&path).expect("reads");
        for number in [2, 3] {
            let line =
                text.lines().nth(1).expect("two records").replacen("\"number\":1", &format!("\"number\":{number}"), 1);
            text.push_str(&line);
            text.push('\n');
        }
        std::fs::write(&path, &text).expect("written");
        assert!(Audit::open(&path, "b").is_ok(), "a broker that was killed leaves such a log");
        let told = std::fs::read_to_string(&path).expect("reads");
        assert!(told.contains("log.recovered") && told.contains("records 2 to 3 were not signed"), "{told}");
        assert!(Audit::open(&path, "b").is_ok());
        assert_eq!(std::fs::read_to_string(&path).expect("reads"), told, "told once");
    }

    #[tokio::test]
    async fn an_alarm_is_told_when_it_is_written_and_once_however_often_it_is_tried() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let (audit, _) = Audit::open(&path, "b").expect("opens");
        let mut told = audit.alarms_to_come();
        let alarm = || Record::alarm(Event::NodeUnexplained, "a node");
        for _ in 0..2 {
            // Nothing can be put in the place of a head.
            std::fs::create_dir(folder.path().join(".audit.head.new")).expect("made");
            for _ in 0..3 {
                assert!(audit.record(alarm()).await.is_err(), "whoever raises it tries again");
            }
            std::fs::remove_dir(folder.path().join(".audit.head.new")).expect("removed");
            assert!(audit.record(alarm()).await.is_ok());
            let line = told.try_recv().expect("told");
            assert!(line.contains("log.unwritable") && line.contains("\"broker\":\"b\""), "{line}");
            let line = told.try_recv().expect("told");
            let log = std::fs::read_to_string(&path).expect("reads");
            assert!(
                line.contains("node.unexplained") && log.lines().last() == Some(&*line),
                "as the log has it: {line}"
            );
            assert!(told.try_recv().is_err(), "each of them once");
        }
        assert_eq!(audit.alarms(), 4);
        let log = std::fs::read_to_string(&path).expect("reads");
        for event in ["log.unwritable", "node.unexplained"] {
            assert_eq!(log.matches(event).count(), 2, "{event}: what was told is in the log: {log}");
        }
    }

    #[test]
    fn whoever_is_killed_before_the_telling_leaves_it_to_the_next() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        record_once(&path, "b", Record::new(Event::ClusterMade)).expect("written");
        let more = std::fs::read_to_string(&path).expect("reads");
        let more = more.lines().nth(1).expect("two records").replacen("\"number\":1", "\"number\":2", 1);
        let mut file = OpenOptions::new().append(true).open(&path).expect("opens");
        writeln!(file, "{more}").expect("written");
        let killed = std::fs::read(&path).expect("reads");
        for _ in 0..2 {
            let known = reading::read(&path).expect("reads");
            let opened = Seal::open(Files::of(&path), "b", &known.leaves, known.length, Before::Signed);
            assert_eq!(opened.expect("opens").1, 2..3, "not signed before it is told");
        }
        // Nothing can be put in the place of a head.
        std::fs::create_dir(folder.path().join(".audit.head.new")).expect("made");
        for _ in 0..2 {
            assert!(Audit::open(&path, "b").is_err(), "not signed");
            assert!(std::fs::read(&path).expect("reads") == killed, "a start that cannot sign leaves nothing");
        }
        std::fs::remove_dir(folder.path().join(".audit.head.new")).expect("removed");
        assert!(Audit::open(&path, "b").is_ok());
        let told = std::fs::read_to_string(&path).expect("reads");
        assert!(told.contains("records 2 to 2 were not signed"), "{told}");
    }

    #[test]
    fn what_cannot_be_written_is_no_damage() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        record_once(&path, "b", Record::new(Event::ClusterMade)).expect("written");
        // Nothing can be put in the place of a head.
        std::fs::create_dir(folder.path().join(".audit.head.new")).expect("made");
        let (audit, _) = Audit::open(&path, "b").expect("all is signed");
        let before = std::fs::read(&path).expect("reads");
        let error = audit.record_blocking(Record::new(Event::BrokerStarted)).expect_err("not signed");
        assert!(matches!(error, AuditError::Write(_)), "{error}");
        assert!(!audit.is_writable());
        assert_eq!(std::fs::read(&path).expect("reads"), before, "taken back");
        std::fs::remove_dir(folder.path().join(".audit.head.new")).expect("removed");
        assert_eq!(audit.record_blocking(Record::new(Event::BrokerStarted)).expect("written"), 3, "after that of this");
        assert!(audit.is_writable());
        drop(audit);
        let failure = |error: AuditError| Failure::from(error).code;
        let folder_in_place = folder.path().join("elsewhere");
        std::fs::create_dir(&folder_in_place).expect("made");
        assert_eq!(failure(Audit::open(&folder_in_place, "b").err().expect("no file")), Code::Io);
        std::fs::write(&path, "none\n").expect("written");
        assert_eq!(failure(Audit::open(&path, "b").err().expect("damaged")), Code::Data);
    }
}
