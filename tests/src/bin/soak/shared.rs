//! What all threads of a run share: where the brokers are, the clock, and the history as it grows.
//! Must not: hold its locks while anybody is asked anything.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::evidence::Record;
use crate::history::{Client, Exchange, History, Moment};

/// How long everybody has after the last fault is over. On a machine with much else to do an election takes its time.
const PATIENCE: Duration = Duration::from_secs(90);

/// What is shared.
#[derive(Debug)]
pub(crate) struct Shared {
    began: Instant,
    began_at: Duration,
    /// Where the brokers listen.
    pub(crate) brokers: Vec<SocketAddr>,
    tails: Vec<Mutex<Tail>>,
    history: Mutex<History>,
    over: AtomicBool,
    healed: Mutex<Option<Instant>>,
    /// Clients that are not through yet.
    pub(crate) busy: AtomicUsize,
}

impl Shared {
    /// For brokers at these addresses, with their logs in these files. The run begins now.
    pub(crate) fn new(brokers: Vec<SocketAddr>, logs: impl Iterator<Item = PathBuf>) -> Self {
        Self {
            began: Instant::now(),
            began_at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            brokers,
            tails: logs.map(|file| Mutex::new(Tail { file, ..Tail::default() })).collect(),
            history: Mutex::default(),
            over: AtomicBool::new(false),
            healed: Mutex::default(),
            busy: AtomicUsize::new(0),
        }
    }

    /// Now.
    pub(crate) fn now(&self) -> Moment {
        moment(self.began.elapsed())
    }

    /// A second since 1970.
    pub(crate) fn at(&self, second: u64) -> Moment {
        moment(Duration::from_secs(second).saturating_sub(self.began_at))
    }

    /// Waits, but no longer than the run.
    pub(crate) fn wait(&self, milliseconds: u64) {
        let until = Instant::now() + Duration::from_millis(milliseconds);
        while Instant::now() < until && !self.is_over() {
            thread::sleep(Duration::from_millis(20).min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// From now on nothing new begins.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// All faults are over: from now on everybody has so much time and no more.
    pub(crate) fn all_is_well(&self) {
        *lock(&self.healed) = Some(Instant::now());
    }

    /// Whether that time is over.
    pub(crate) fn is_too_late(&self) -> bool {
        lock(&self.healed).is_some_and(|healed| healed.elapsed() > PATIENCE)
    }

    /// The history, to add to it.
    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        lock(&self.history)
    }

    /// Takes the history away, at the end.
    pub(crate) fn take_history(&self) -> History {
        std::mem::take(&mut *self.history())
    }

    /// One more client; gives its place.
    pub(crate) fn enter(&self, client: Client) -> usize {
        let clients = &mut self.history().clients;
        clients.push(client);
        clients.len() - 1
    }

    /// One more request of a client.
    pub(crate) fn saw(&self, client: usize, exchange: Exchange) {
        self.history().clients[client].asked.push(exchange);
    }

    /// The token came from this broker, for this key and grant: whether the broker's log has a record of it now.
    pub(crate) fn is_recorded(&self, broker: usize, key: &str, grant: &str) -> io::Result<bool> {
        lock(&self.tails[broker]).has(key, grant)
    }
}

/// A log, as far as it was read.
#[derive(Debug, Default)]
struct Tail {
    file: PathBuf,
    read: u64,
    /// How often it says that a token was given, and how often one came, by key and grant.
    tokens: BTreeMap<(String, String), (usize, usize)>,
}

impl Tail {
    fn has(&mut self, key: &str, grant: &str) -> io::Result<bool> {
        let of = (key.to_owned(), grant.to_owned());
        self.tokens.entry(of.clone()).or_default().1 += 1;
        let mut file = File::open(&self.file)?;
        file.seek(SeekFrom::Start(self.read))?;
        let mut new = Vec::new();
        file.read_to_end(&mut new)?;
        // What the broker is writing just now is no record yet.
        let whole = new.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        self.read += whole as u64;
        for line in new[..whole].split(|byte| *byte == b'\n') {
            let record = serde_json::from_slice::<Record>(line).ok().filter(Record::gives_token);
            if let Some((Some(key), Some(grant))) = record.map(|record| (record.key, record.grant)) {
                self.tokens.entry((key, grant)).or_default().0 += 1;
            }
        }
        Ok(self.tokens.get(&of).is_some_and(|(told, came)| told >= came))
    }
}

fn moment(time: Duration) -> Moment {
    // 580,000 years.
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Nothing panics while it holds one of these locks, but for a failed run.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
