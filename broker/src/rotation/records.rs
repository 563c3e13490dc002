//! What the audit log is told about the tokens.
//!
//! Keeps promise 7: a generation's number and a reason, never a token or its mark.

use protocol::Role;

use super::plan::{Settling, Why};
use crate::audit::{AuditError, Event, Outcome, Record};
use crate::broker::Broker;
use crate::clock;
use crate::ledger::{Generation, ReadState, TokenState};

/// Who replaces a token, and why: for the log.
#[derive(Clone, Debug)]
pub(super) struct Cause {
    /// As the admin socket knows who asked; `broker` for what it does by itself.
    pub(super) operator: String,
    pub(super) reason: String,
}

impl Cause {
    /// A cause by policy.
    pub(super) fn policy(why: Why) -> Self {
        let reason = match why {
            Why::AfterJoin(1) => "after-join: a machine was given it".into(),
            Why::AfterJoin(machines) => format!("after-join: {machines} machines were given it"),
            Why::Interval => "interval: it is old enough".into(),
            Why::Order => "asked for".into(),
        };
        Self { operator: "broker".into(), reason }
    }
}

/// A token is about to be replaced.
pub(super) async fn rotating(
    broker: &Broker,
    state: &TokenState,
    roles: &[Role],
    cause: &Cause,
) -> Result<(), AuditError> {
    for role in roles {
        let next = state.of(*role).number + 1;
        broker.audit.record(by(cause, about(*role, next, Event::TokenRotating))).await?;
        broker.rotation.wrote(*role, |known| known.rotating = true);
    }
    Ok(())
}

/// A rotation failed. Best effort: that it failed is told to who asked, too.
pub(super) async fn failed(broker: &Broker, roles: &[Role], cause: &Cause, error: &str) {
    for role in roles {
        let record = Record { role: Some(*role), outcome: Outcome::Failed, ..Record::new(Event::TokenRotationFailed) };
        let record = Record { detail: Some(format!("{}; {error}", cause.reason)), ..by(cause, record) };
        if broker.audit.record(record).await.is_ok() {
            broker.rotation.wrote(*role, |known| known.rotating = false);
        }
    }
}

/// An order was fulfilled by a rotation that another broker ended.
pub(super) async fn shared(broker: &Broker, state: &TokenState, role: Role, cause: &Cause) -> Result<(), AuditError> {
    let record = by(cause, about(role, state.of(role).number, Event::TokenRotated));
    let detail = Some(format!(
        "{}; another rotation at the same time has done it, or another broker has ended it",
        cause.reason
    ));
    broker.audit.record(Record { detail, ..record }).await?;
    broker.rotation.wrote(role, |known| known.rotating = false);
    Ok(())
}

/// What is live was written into the ledger: `before` was there, `after` is.
pub(super) async fn settled(
    broker: &Broker,
    before: &ReadState,
    after: &TokenState,
    settling: Settling,
    cause: Option<&Cause>,
) -> Result<(), AuditError> {
    let before_state = &before.state;
    let root_changed = before_state.root != after.root;
    if root_changed {
        let detail =
            "the swarm has another root certificate (docker swarm ca --rotate): both join tokens changed with it";
        let record = Record { detail: Some(detail.into()), ..Record::new(Event::RootChanged) };
        broker.audit.record(Record { version: Some(before.version()), ..record }).await?;
    }
    let asked: &[Role] = before_state.rotating.as_ref().map_or(&[], |rotating| &rotating.roles);
    for role in [Role::Worker, Role::Manager] {
        let (was, is) = (before_state.of(role), after.of(role));
        let changed = was.number != is.number;
        let record = match settling {
            _ if !changed && !asked.contains(&role) => continue,
            Settling::Done if changed => match cause {
                Some(cause) => by(cause, about(role, is.number, Event::TokenRotated)),
                None => about(role, is.number, Event::TokenRotated),
            },
            Settling::Finished if changed && asked.contains(&role) => Record {
                detail: Some("finished: it was replaced by a broker that could not write that down any more".into()),
                ..about(role, is.number, Event::TokenRotated)
            },
            Settling::Noticed | Settling::Undone | Settling::Finished | Settling::Done if changed => {
                let how = if root_changed { "with the swarm's root" } else { "not by a broker" };
                Record { detail: Some(how.into()), ..about(role, is.number, Event::TokenChanged) }
            }
            Settling::Noticed | Settling::Undone | Settling::Finished | Settling::Done => Record {
                detail: Some("undone: a broker had begun to replace it, and could not go on. Rotate it again".into()),
                ..about(role, is.number, Event::TokenKept)
            },
        };
        broker.audit.record(Record { version: Some(before.version()), ..record }).await?;
        wrote(broker, role, is);
    }
    Ok(())
}

/// Tells what this broker wrote into the ledger and, since it ended in between, not into its log.
pub(super) async fn late(broker: &Broker, state: &TokenState) -> Result<(), AuditError> {
    for role in [Role::Worker, Role::Manager] {
        let (is, known) = (state.of(role), broker.rotation.known(role));
        let unknown = is.by == broker.id && is.number > known.generation;
        let record = if unknown {
            let since = clock::shown(is.since);
            let detail = format!("live since {since} by this broker, which could not write that down then");
            Record { detail: Some(detail), ..about(role, is.number, Event::TokenFound) }
        } else if known.rotating && !state.rotates(role) && is.number > known.generation {
            let detail = format!("this broker was about to replace it; broker {} has written down what is live", is.by);
            Record { detail: Some(detail), ..about(role, is.number, Event::TokenFound) }
        } else if known.rotating && !state.rotates(role) {
            let detail = "this broker was about to replace it, and did not come to that";
            Record { detail: Some(detail.into()), ..about(role, is.number, Event::TokenKept) }
        } else {
            continue;
        };
        broker.audit.record(record).await?;
        wrote(broker, role, is);
    }
    Ok(())
}

/// The tokens that are live where no broker had looked before.
pub(super) async fn found(broker: &Broker, state: &TokenState) -> Result<(), AuditError> {
    for role in [Role::Worker, Role::Manager] {
        let is = state.of(role);
        let policy = broker.rotation.policies.of(role, state.inherited);
        let detail = Some(format!("live when a broker looked first; it is replaced by the policy {policy}"));
        broker.audit.record(Record { detail, ..about(role, is.number, Event::TokenFound) }).await?;
        wrote(broker, role, is);
    }
    Ok(())
}

fn wrote(broker: &Broker, role: Role, is: &Generation) {
    broker.rotation.wrote(role, |known| {
        known.generation = known.generation.max(is.number);
        known.rotating = false;
    });
}

fn about(role: Role, generation: u64, event: Event) -> Record {
    Record { role: Some(role), generation: Some(generation), ..Record::new(event) }
}

fn by(cause: &Cause, record: Record) -> Record {
    Record { operator: Some(cause.operator.clone()), detail: Some(cause.reason.clone()), ..record }
}
