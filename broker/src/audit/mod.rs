//! The audit log: what happened, one record a line, durable before the answer it covers.
//!
//! Keeps promise 4 (write, then answer) and promise 7 (no secret in any record).
//! Must stay the one place that writes records: order, numbering and the tree over them hang on that.

#[cfg(test)]
mod documented;
mod files;
mod head;
mod log;
mod reading;
mod reason;
mod record;
mod refusals;
mod seal;
mod sightings;
mod tree;
mod verify;

pub(crate) use files::Files;
pub(crate) use head::PublicLogKey;
pub(crate) use log::{Audit, AuditError, is_empty, record_once, record_one};
pub(crate) use reading::{Claimed, Known, KnownToken, each};
pub(crate) use reason::Reason;
pub(crate) use record::{Event, Outcome, Record};
pub(crate) use refusals::Refusals;
pub(crate) use sightings::Sighting;
pub(crate) use verify::{Checked, check};

/// The log's file in the state directory.
pub(crate) const FILE: &str = "audit.jsonl";
/// What signs it and proves it: a broker's own, as its other keys are.
pub(crate) const BESIDE: [&str; 4] = ["audit.hashes", "audit.head", "audit.key", "audit.pub"];
