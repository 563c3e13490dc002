//! Whether this broker's log says that something was done, so that a run which was cut off before it wrote that down is told from
//! one that came to its end. Must not change the log.

use serde::Deserialize;

use super::Cluster;
use crate::audit::{self, Event};
use crate::exit::Failure;

/// What is looked at of a record.
#[derive(Deserialize)]
struct Logged {
    event: Event,
}

impl Cluster {
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
