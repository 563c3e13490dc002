//! The audit log: what happened, one record a line, durable before the answer it covers.
//!
//! Keeps promise 4 (write, then answer) and promise 7 (no secret in any record).
//! Must stay the one place that writes records: order, numbering and the tree over them hang on that.

mod alarms;
mod copy;
mod cosign;
#[cfg(test)]
mod documented;
mod error;
mod files;
mod head;
mod log;
mod page;
mod proof;
mod reading;
mod reason;
mod record;
mod refusals;
mod seal;
mod sightings;
pub(crate) mod tiles;
mod tree;
mod verify;

pub(crate) use alarms::Alarmed;
pub(crate) use copy::{COPIES, FORKED, Grown, LogCopy, Untaken, keep_proof, proof_of_fork, root_of};
pub(crate) use error::AuditError;
pub(crate) use files::{BESIDE, FILE, Files};
pub(crate) use head::{BadHead, Head, PublicLogKey, cosigned_by};
pub(crate) use log::{Audit, is_empty, record_once, record_one};
pub(crate) use page::{copies_in, page_of_copy};
pub(crate) use proof::{leads, path};
pub(crate) use reading::{Claimed, Known, KnownToken, each};
pub(crate) use reason::Reason;
pub(crate) use record::{Event, Outcome, Record};
pub(crate) use refusals::Refusals;
pub(crate) use sightings::{Page, Sighting, copied};
pub(crate) use tree::{Hash, Tree, leaf};
pub(crate) use verify::{Checked, check, continues, differ};
