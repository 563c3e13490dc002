//! The alarms: counted, and told to whoever listens, when they are on disk.
//!
//! Keeps promise 7: what is told is the line that the log has. An alarm that could not be written down is raised
//! again by whoever raised it, so telling it before would tell it each time. Must not hold the writer up.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::broadcast;

use super::log::Line;
use super::{Audit, AuditError, Event, Outcome, Record};
use crate::clock;

/// How many alarms may wait to be told.
const UNTOLD: usize = 64;

/// The alarms of one log.
#[derive(Clone)]
pub(super) struct Alarms {
    raised: Arc<AtomicU64>,
    told: broadcast::Sender<Arc<str>>,
}

impl Alarms {
    pub(super) fn new() -> Self {
        Self { raised: Arc::default(), told: broadcast::Sender::new(UNTOLD) }
    }

    /// Counts and tells what is on disk, if it is an alarm.
    pub(super) fn written(&self, line: &Line<'_>) {
        if line.record.outcome == Outcome::Alarm {
            self.raise(line);
        }
    }

    /// That nothing can be written from now on is the one alarm that is told before it is in the log. Gives its record, to
    /// be written first when something can be.
    pub(super) fn unwritable(&self, broker: &str, why: &str) -> Record {
        let (event, since) = (Event::LogUnwritable, clock::shown(clock::now()));
        let detail = format!("no record could be written from {since} on, and nobody admitted: {why}");
        let record = Record::alarm(event, detail);
        self.raise(&Line { number: None, time: &jiff::Timestamp::now().to_string(), broker, record: &record });
        record
    }

    /// One that could not be written, and may never be raised again, is in the broker's own log at the least.
    pub(super) fn unwritten(record: &Record) {
        if record.outcome == Outcome::Alarm {
            tracing::warn!(record = text(record), "an alarm, which could not be written into the audit log");
        }
    }

    fn raise(&self, line: &Line<'_>) {
        self.raised.fetch_add(1, Ordering::Relaxed);
        let line = text(line);
        tracing::warn!(record = line, "alarm");
        // Whether or not anybody listens.
        let _ = self.told.send(line.into());
    }

    /// How many there were since the start.
    pub(super) fn raised(&self) -> u64 {
        self.raised.load(Ordering::Relaxed)
    }

    /// Those from now on, a line of JSON each.
    pub(super) fn to_come(&self) -> broadcast::Receiver<Arc<str>> {
        self.told.subscribe()
    }
}

/// What an alarm was raised about since the start.
#[derive(Default)]
pub(crate) struct Alarmed(Mutex<HashSet<String>>);

impl Alarmed {
    /// What it was about is over: the next one is an alarm again.
    pub(crate) fn forget(&self, about: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(about);
    }

    /// Raises an alarm, unless one was raised about this. One that cannot be written down is raised again at the next look.
    pub(crate) async fn once(&self, audit: &Audit, about: String, alarm: Record) -> Result<(), AuditError> {
        let raised = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !raised().insert(about.clone()) {
            return Ok(());
        }
        let written = audit.record(alarm).await;
        if written.is_err() {
            raised().remove(&about);
        }
        written.map(drop)
    }
}

/// One line of JSON, with the log's own names.
fn text(what: &impl Serialize) -> String {
    serde_json::to_string(what).unwrap_or_default()
}
