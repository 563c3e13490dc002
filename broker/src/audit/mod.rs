//! The audit log: what happened, one record a line, durable before the answer it covers.
//!
//! Keeps promise 4 (write, then answer) and promise 7 (no secret in any record).
//! Must stay the one place that writes records: order, numbering and, later, the log's tree hang on that.

#[cfg(test)]
mod documented;
mod log;
mod reading;
mod reason;
mod record;
mod refusals;
mod sightings;

pub(crate) use log::{Audit, AuditError, record_once, record_one};
pub(crate) use reading::{Claimed, Known, KnownToken, each};
pub(crate) use reason::Reason;
pub(crate) use record::{Event, Outcome, Record};
pub(crate) use refusals::Refusals;
pub(crate) use sightings::Sighting;

/// The log's file in the state directory.
pub(crate) const FILE: &str = "audit.jsonl";
