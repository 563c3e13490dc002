//! What the audit log is told about our keys.
//!
//! Must not carry anything of a private key; a public one is named by its id.

use super::{Asked, Rotated, What, cut_off};
use crate::audit::{AuditError, Event, Outcome, Record};
use crate::broker::Broker;
use crate::denial::Denial;

/// With it the reason begins, where the keys before are void: a recovery of the ledger must know.
pub(crate) const AFTER_A_LEAK: &str = "manual, --now";

/// A key is about to be replaced.
pub(super) async fn rotating(broker: &Broker, what: What, asked: &Asked) -> Result<(), AuditError> {
    let record = about(what, asked, Event::KeyRotating);
    let detail = record.detail.map(|reason| cut_off::begins(broker, what, reason));
    broker.audit.record(Record { detail, ..record }).await.map(drop)
}

/// It was replaced.
pub(super) async fn rotated(broker: &Broker, what: What, asked: &Asked, rotated: &Rotated) -> Result<(), AuditError> {
    let record = about(what, asked, Event::KeyRotated);
    let detail = record.detail.map(|reason| format!("{reason}; {}", rotated.kid));
    broker.audit.record(Record { generation: Some(rotated.generation), detail, ..record }).await.map(drop)
}

/// It was not, or not wholly. Best effort: who asked is told, too.
pub(super) async fn failed(broker: &Broker, what: What, asked: &Asked, error: &Denial) {
    let why = match error {
        Denial::Unavailable(why) => why.clone(),
        other => format!("{other:?}"),
    };
    let record = about(what, asked, Event::KeyRotationFailed);
    let detail = record.detail.map(|reason| format!("{reason}; {why}"));
    let _ = broker.audit.record(Record { outcome: Outcome::Failed, detail, ..record }).await;
}

fn about(what: What, asked: &Asked, event: Event) -> Record {
    let now = if asked.now { AFTER_A_LEAK } else { "manual" };
    Record {
        what: Some(what.to_string()),
        operator: Some(asked.operator.clone()),
        detail: Some(format!("{now}: {}", asked.reason)),
        ..Record::new(event)
    }
}
