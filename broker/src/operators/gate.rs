//! `/v1/operator/…`: the orders of the admin socket, for whoever has an operator's certificate and the right.
//!
//! Keeps promise 5 (fail closed): the right is read from the ledger now, and what changes something commits to it first.
//! Must not tell a stranger why it was refused.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use certs::{OperatorCertificate, OperatorName};
use hyper::Method;
use hyper::body::Bytes;
use protocol::{KeyHash, Role};

use super::orders::{Need, need, revoked};
use crate::admin;
use crate::audit::{Reason, Record};
use crate::broker::{Broker, Call};
use crate::clock;
use crate::denial::Denial;
use crate::ledger::{Operator, Right};
use crate::server::Reply;

/// What an operator's paths begin with; the rest is the admin socket's path without its `/v1/`.
pub(crate) const PREFIX: &str = "/v1/operator/";

/// How often a right is read again that others keep changing.
const TRIES: usize = 8;

/// An operator as the log names it: never like a user of a manager, whose words begin with `uid`.
pub(crate) fn named(name: &OperatorName) -> String {
    format!("operator {name}")
}

/// Answers an order.
pub(crate) async fn answer(
    broker: &Arc<Broker>,
    call: &Call,
    certificate: &OperatorCertificate,
    (method, rest): (&Method, &str),
    body: &Bytes,
) -> Result<Reply, Denial> {
    let path = format!("/v1/{rest}");
    let needed = need(method, &path, body);
    if let Err(denial) = allowed(broker, call, certificate, &path, needed).await {
        if let Denial::Refused(reason) = denial {
            let record = Record {
                operator: Some(named(&certificate.name)),
                key: Some(certificate.key.clone()),
                serial: Some(certificate.serial.clone()),
                thumbprint: Some(certificate.thumbprint.to_string()),
                detail: needed.and_then(|need| need.right).map(|right| format!("right: {}", right.word())),
                ..Record::refusal(reason)
            };
            broker.record_refusal(call, record).await?;
        }
        return Err(denial);
    }
    Ok(admin::answered(broker, named(&certificate.name), method, &path, body.clone()).await)
}

/// How many orders that change something each key gives at this broker: whoever has it fills neither raft nor the log.
#[derive(Default)]
pub(crate) struct Orders(Mutex<HashMap<KeyHash, (Instant, u32)>>);

/// So many a minute.
const ORDERS: u32 = 60;
/// How many keys are told apart.
const MOST_KEYS: usize = 1024;

impl Orders {
    /// Whether this key may give one more.
    fn take(&self, key: &KeyHash, now: Instant) -> bool {
        let mut given = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        given.retain(|_, (since, _)| now.saturating_duration_since(*since) < Duration::from_mins(1));
        if given.len() >= MOST_KEYS && !given.contains_key(key) {
            return false;
        }
        let (_, count) = given.entry(key.clone()).or_insert((now, 0));
        *count = count.saturating_add(1);
        *count <= ORDERS
    }
}

/// Whether it may give this very order.
async fn allowed(
    broker: &Broker,
    call: &Call,
    certificate: &OperatorCertificate,
    path: &str,
    needed: Option<Need>,
) -> Result<(), Denial> {
    let Some(invite) = revoked(path) else { return may(broker, call, certificate, needed).await };
    // Of one that no broker has seen an object is made, for a year: that is root's, on a manager.
    let state = broker.invites.read(&invite).await?;
    let role = state.as_ref().and_then(|state| state.policy.invite()).map(|invite| invite.role);
    let right = if role == Some(Role::Manager) { Right::InviteManager } else { Right::Invite };
    may(broker, call, certificate, needed.map(|need| Need { right: Some(right), ..need })).await?;
    let unseen = "no broker has seen this invite: it can be revoked on a manager all the same";
    state.map(drop).ok_or(Denial::Malformed(unseen))
}

/// Whether this certificate's key has the right, as the ledger has it now.
async fn may(
    broker: &Broker,
    call: &Call,
    certificate: &OperatorCertificate,
    needed: Option<Need>,
) -> Result<(), Denial> {
    let mut counted = false;
    for _ in 0..TRIES {
        let read = broker.operators.read(&certificate.name).await?;
        let (recovered, now) = (broker.sentinel.recovered(), clock::now());
        let operator = read.as_ref().map(|read| &read.operator);
        if let Err(reason) = judge(operator, certificate, needed, recovered, now) {
            // Each costs a commit: who is refused again and again is told to come back, and that is all.
            if broker.refusals.is_flood(call.source, reason, Instant::now()) {
                broker.refusals.count(call.source, reason, Instant::now());
                return Err(Denial::Unavailable("too many refusals to this caller".into()));
            }
            // A refusal is told by who can commit: it may be the word of an engine that was cut off before the operator was
            // made, and an alarm.
            broker.operators.commit().await?;
            return Err(reason.into());
        }
        let (Some(read), Some(Need { acts: true, .. })) = (read, needed) else { return Ok(()) };
        if !std::mem::replace(&mut counted, true) && !broker.orders.take(&certificate.key, Instant::now()) {
            return Err(Denial::Later(format!("an operator gives at most {ORDERS} orders a minute at a broker")));
        }
        if broker.operators.is_still(&read).await? {
            return Ok(());
        }
    }
    Err(Denial::Unavailable("others keep changing this operator".into()))
}

/// What the ledger's entry of that name says of this certificate and order.
fn judge(
    operator: Option<&Operator>,
    certificate: &OperatorCertificate,
    needed: Option<Need>,
    recovered: u64,
    now: u64,
) -> Result<(), Reason> {
    // Whoever has the issuing key can sign any name, and no key of ours.
    let operator = operator.ok_or(Reason::NoOperator)?;
    if operator.key != certificate.key {
        let was = operator.former.contains(&certificate.key);
        return Err(if was { Reason::OperatorRevoked } else { Reason::NoOperator });
    }
    if !operator.is_live(recovered, now) {
        return Err(Reason::OperatorRevoked);
    }
    match needed {
        Some(Need { right: None, .. }) => Ok(()),
        Some(Need { right: Some(right), .. }) if operator.may(right) => Ok(()),
        Some(_) | None => Err(Reason::OperatorRight),
    }
}

#[cfg(test)]
mod tests {
    use certs::{Csr, Root, SigningKey};
    use protocol::ClusterId;

    use super::*;
    use crate::ledger::{Right, operator};

    fn certificate() -> OperatorCertificate {
        let root = Root::create(&ClusterId::random(), "lab", clock::unix(100)).expect("a root");
        let issuing = root.issue(1, clock::unix(100)).expect("an issuing CA");
        let csr = Csr::from_pem(&SigningKey::generate().expect("a key").csr().expect("a CSR")).expect("reads");
        issuing.operator(&csr, &"jane".parse().expect("a name"), 100, clock::unix(100)).expect("a certificate").1
    }

    #[test]
    fn an_operator_gives_so_many_orders_a_minute_and_others_as_many() {
        let (orders, now) = (Orders::default(), Instant::now());
        let (jane, other) = (KeyHash::of_spki(b"jane"), KeyHash::of_spki(b"other"));
        assert_eq!((0..100).filter(|_| orders.take(&jane, now)).count(), 60);
        assert!(orders.take(&other, now) && orders.take(&jane, now + Duration::from_mins(1)));
    }

    #[test]
    fn rights_are_the_keys_and_not_the_names() {
        let (jane, forged) = (certificate(), certificate());
        assert_eq!(jane.name, forged.name);
        let entry = operator(&jane.key, &["nodes"]);
        let nodes = need(&Method::GET, "/v1/nodes", b"");
        assert_eq!(judge(Some(&entry), &jane, nodes, 0, 150), Ok(()));
        assert_eq!(judge(Some(&entry), &forged, nodes, 0, 150), Err(Reason::NoOperator));
        assert_eq!(judge(None, &jane, nodes, 0, 150), Err(Reason::NoOperator));
        let anew = Operator { former: vec![forged.key.clone()], ..entry };
        assert_eq!(judge(Some(&anew), &forged, nodes, 0, 150), Err(Reason::OperatorRevoked), "no sign of a leak");
    }

    #[test]
    fn an_order_needs_its_right_and_one_that_nobody_may_give_is_refused_to_all() {
        let jane = certificate();
        let all = ["nodes", "invite", "invite-manager", "approve", "rotate", "audit"];
        let judged = |allow: &[&str], method: &Method, path: &str| {
            judge(Some(&operator(&jane.key, allow)), &jane, need(method, path, b""), 0, 150)
        };
        assert_eq!(judged(&[], &Method::GET, "/v1/status"), Ok(()));
        assert_eq!(judged(&["invite"], &Method::GET, "/v1/nodes"), Err(Reason::OperatorRight));
        assert_eq!(judged(&all, &Method::POST, "/v1/rotate"), Ok(()));
        assert_eq!(judged(&["invite"], &Method::POST, "/v1/pending"), Err(Reason::OperatorRight));
        assert_eq!(judged(&all, &Method::POST, "/v1/adopt"), Err(Reason::OperatorRight));
        assert_eq!(judged(&all, &Method::POST, "/v1/operators"), Err(Reason::OperatorRight));
    }

    #[test]
    fn one_that_was_revoked_is_told_apart_from_a_forged_one() {
        let jane = certificate();
        let revoked = Operator { revoked: Some(120), ..operator(&jane.key, &[Right::Nodes.word()]) };
        let nodes = need(&Method::GET, "/v1/nodes", b"");
        assert_eq!(judge(Some(&revoked), &jane, nodes, 0, 150), Err(Reason::OperatorRevoked));
        let live = Operator { revoked: None, ..revoked };
        assert_eq!(judge(Some(&live), &jane, nodes, 130, 150), Err(Reason::OperatorRevoked), "before a recovery");
    }
}
