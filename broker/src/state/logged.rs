//! Whether this broker's log says that something was done, so that a run which was cut off before it wrote that down is told from
//! one that came to its end. Must not change the log, but for what opening it mends.

use serde::Deserialize;

use super::Cluster;
use crate::audit::{self, Audit, Event, Known};
use crate::exit::{Code, Failure};

/// What is looked at of a record.
#[derive(Deserialize)]
struct Logged {
    event: Event,
}

impl Cluster {
    /// Whether the log is gone of a broker that has served. Nothing begins another in its place: with that one the broker
    /// would start as if nothing had happened, and what the other said would be forgotten.
    pub(crate) fn lost_its_log(&self) -> bool {
        self.has_ledger() && audit::is_empty(&self.folder().path(audit::FILE))
    }

    /// Opens the log to write on, with what it knows.
    pub(crate) fn open_log(&self) -> Result<(Audit, Known), Failure> {
        let log = self.folder().path(audit::FILE);
        if self.lost_its_log() {
            let what =
                "the audit log is missing or empty, though this broker has served before. Restore it from a backup";
            return Err(Failure::new(Code::Data, format!("{}: {what}", log.display())));
        }
        Ok(Audit::open(&log, self.broker())?)
    }

    /// Whether the log has a record of this event.
    pub(crate) fn has_logged(&self, wanted: Event) -> Result<bool, Failure> {
        let mut is_there = false;
        let read = audit::each(&self.folder().path(audit::FILE), u64::MAX, |line| {
            // What a newer release wrote is none of it.
            is_there |= serde_json::from_slice(line).is_ok_and(|Logged { event }| event == wanted);
            Ok(())
        });
        read?;
        Ok(is_there)
    }
}
