//! `/v1/operator/…`: the orders of the admin socket, for whoever has an operator's certificate and the right.
//!
//! Keeps promise 5 (fail closed): the right is read from the ledger now, and what changes something commits to it first.
//! Must not tell a stranger why it was refused.

use std::sync::Arc;

use certs::{OperatorCertificate, OperatorName};
use hyper::Method;
use hyper::body::Bytes;

use super::orders::{Need, need};
use crate::admin;
use crate::audit::{Reason, Record};
use crate::broker::{Broker, Call};
use crate::clock;
use crate::denial::Denial;
use crate::ledger::Operator;
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
    if let Err(denial) = may(broker, certificate, needed).await {
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

/// Whether this certificate's key has the right, as the ledger has it now.
async fn may(broker: &Broker, certificate: &OperatorCertificate, needed: Option<Need>) -> Result<(), Denial> {
    for _ in 0..TRIES {
        let read = broker.operators.read(&certificate.name).await?;
        let (recovered, now) = (broker.sentinel.recovered(), clock::now());
        let operator = read.as_ref().map(|read| &read.operator);
        if let Err(reason) = judge(operator, certificate, needed, recovered, now) {
            // A refusal is told by who can commit: it may be the word of an engine that was cut off before the operator was
            // made, and an alarm.
            broker.operators.commit().await?;
            return Err(reason.into());
        }
        let (Some(read), Some(Need { acts: true, .. })) = (read, needed) else { return Ok(()) };
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
    let operator = operator.filter(|operator| operator.key == certificate.key).ok_or(Reason::NoOperator)?;
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
    fn rights_are_the_keys_and_not_the_names() {
        let (jane, forged) = (certificate(), certificate());
        assert_eq!(jane.name, forged.name);
        let entry = operator(&jane.key, &["nodes"]);
        let nodes = need(&Method::GET, "/v1/nodes", b"");
        assert_eq!(judge(Some(&entry), &jane, nodes, 0, 150), Ok(()));
        assert_eq!(judge(Some(&entry), &forged, nodes, 0, 150), Err(Reason::NoOperator));
        assert_eq!(judge(None, &jane, nodes, 0, 150), Err(Reason::NoOperator));
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
