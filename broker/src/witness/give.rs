//! `GET /v1/log/{from}/{nonce}`: this broker's log, for the brokers on other managers.
//!
//! Must not be given to anybody but a manager of this swarm on which the ledger lists a broker.

use certs::NodeCertificate;
use protocol::{LogPage, Role};

use crate::audit::{Reason, Record};
use crate::broker::{Broker, Call};
use crate::denial::Denial;
use crate::swarm::EngineError;

/// Gives a page.
pub(crate) async fn give(
    broker: &Broker,
    call: &Call,
    certificate: &NodeCertificate,
    from: u64,
    nonce: &str,
) -> Result<LogPage, Denial> {
    if let Err(denial) = may_read(broker, certificate).await {
        if let Denial::Refused(reason) = denial {
            let record = Record {
                node: Some(certificate.node.clone()),
                role: Some(certificate.role),
                serial: Some(certificate.serial.clone()),
                thumbprint: Some(certificate.thumbprint.to_string()),
                ..Record::refusal(reason)
            };
            broker.record_refusal(call, record).await?;
        }
        return Err(denial);
    }
    let (head, records) = broker.audit.page(from).await?;
    let answer = broker.audit.key().answer(nonce, head.as_bytes());
    Ok(LogPage { head, records, answer })
}

async fn may_read(broker: &Broker, certificate: &NodeCertificate) -> Result<(), Denial> {
    let membership = broker.membership().ok_or_else(|| Denial::Unavailable("the engine is not a manager".into()))?;
    if certificate.swarm != membership.swarm {
        return Err(Reason::OtherSwarm.into());
    }
    // Demotion does not revoke a certificate, and neither does removal: only the swarm knows who is a manager now.
    let node = broker.engine.node(&certificate.node).await.map_err(|error| match error {
        EngineError::NotFound => Reason::NoNode.into(),
        error => Denial::from(error),
    })?;
    if certificate.role != Role::Manager || node.role != Role::Manager {
        return Err(Reason::WrongRole.into());
    }
    if broker.directory.all().iter().any(|peer| peer.node == certificate.node) {
        Ok(())
    } else {
        Err(Denial::Unavailable("the ledger lists no broker on this node".into()))
    }
}
