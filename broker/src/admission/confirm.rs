//! `POST /v1/joins`: a node of the swarm shows that it is the machine a grant was for; then it is labelled.
//!
//! Keeps promises 2, 9 and 10: node certificate and identity key together, the node looked up now, one update.
//! Must not depend on anything that expires, and a repeat must not change anything.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{IdentityKey, NodeCertificate};
use protocol::{GrantHash, Invite, JoinReply, JoinRequest, MembershipReply, Role, Statement};

use super::{ADOPTED_LABEL, GRANT_LABEL};
use crate::audit::{Event, Reason, Record};
use crate::broker::{Broker, Call};
use crate::denial::Denial;
use crate::departure::{EPHEMERAL_LABEL, REPLACES_LABEL};
use crate::fleet::DRAINED_LABEL;
use crate::handover;
use crate::ledger::{Operation, Outcome};
use crate::swarm::{Availability, EngineError, Node, NodeChange};

/// How often a node is read again that somebody else changes at the same time.
const TRIES: usize = 8;

/// Confirms a join and labels the node.
pub(crate) async fn confirm(
    broker: &Broker,
    call: &Call,
    certificate: &NodeCertificate,
    request: JoinRequest,
) -> Result<JoinReply, Denial> {
    let record = Record {
        invite: Some(request.invite.clone()),
        grant: Some(request.grant.hash()),
        node: Some(certificate.node.clone()),
        serial: Some(certificate.serial.clone()),
        thumbprint: Some(certificate.thumbprint.to_string()),
        ..Record::new(Event::NodeJoined)
    };
    let confirmed = join(broker, call, certificate, &request, record.clone()).await;
    if let Err(Denial::Refused(reason)) = confirmed {
        broker.record_refusal(call, record.refused(reason)).await?;
    }
    confirmed
}

async fn join(
    broker: &Broker,
    call: &Call,
    certificate: &NodeCertificate,
    request: &JoinRequest,
    mut record: Record,
) -> Result<JoinReply, Denial> {
    let key = signed_by(broker, certificate, request)?;
    record.key = Some(key.hash().clone());
    // A use that is not in the ledger any more, or not yet in what this engine has read, may still come.
    let state = broker.invites.read(&request.invite).await?;
    let state = state.ok_or_else(|| Denial::Unavailable("the invite is not in the ledger".into()))?;
    let Some(invite) = state.policy.invite() else { return Err(Reason::NoUse.into()) };
    let node = broker.engine.node(&certificate.node).await.map_err(|error| match error {
        // The engine says that it joined before the managers show it; a node that was removed stays unknown.
        EngineError::NotFound => Denial::Unavailable("the swarm does not show this node".into()),
        error => error.into(),
    })?;
    if node.role != invite.role || certificate.role != invite.role {
        return Err(Reason::WrongRole.into());
    }
    if invite.conditions.hostname.as_ref().is_some_and(|pattern| !pattern.fits(&node.hostname)) {
        return Err(Reason::Hostname.into());
    }
    let grant = request.grant.hash();
    if node.labels.get(GRANT_LABEL).is_some_and(|label| label != grant.as_str()) {
        return Err(Reason::OtherNode.into());
    }

    let operation = Operation::Join { key: key.hash().clone(), grant: grant.clone(), node: node.id.clone() };
    let (outcome, version) = broker.invites.submit(&request.invite, None, operation).await?;
    record.role = Some(invite.role);
    record.hostname = Some(node.hostname.clone());
    record.version = Some(version);
    // Also where an earlier try was committed and could not be written down: then the node has no label yet.
    if outcome == Outcome::Yours || !node.labels.contains_key(GRANT_LABEL) {
        broker.audit.record(call.on(record.clone())).await?;
    }

    let voucher = match invite.role {
        Role::Manager => Some(handover::vouch(broker, &node.id, Some(key.hash().clone()))?),
        Role::Worker => None,
    };
    let changed = label(broker, node, &grant, invite, voucher).await?;
    if changed {
        let labelled = Record { event: Event::NodeLabelled, labels: invite.labels.clone(), ..record };
        broker.audit.record(call.on(labelled)).await?;
    }
    Ok(JoinReply { node: certificate.node.clone(), labels: invite.labels.clone(), changed })
}

/// The key that signed the statement about this very node, grant and cluster.
fn signed_by(broker: &Broker, certificate: &NodeCertificate, request: &JoinRequest) -> Result<IdentityKey, Denial> {
    let membership = broker.membership().ok_or_else(|| Denial::Unavailable("the engine is not a manager".into()))?;
    if certificate.swarm != membership.swarm {
        return Err(Reason::OtherSwarm.into());
    }
    if certificate.node != request.node {
        return Err(Reason::OtherNode.into());
    }
    let decode =
        |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| Denial::Malformed("key or signature is not base64url"));
    let key = IdentityKey::from_spki(&decode(&request.key)?)
        .map_err(|_| Denial::Malformed("the key is not a P-256 public key"))?;
    let statement = Statement { grant: &request.grant, node: &certificate.node, cluster: &broker.cluster };
    if key.has_signed(&statement, &decode(&request.signature)?, &broker.provider) {
        Ok(key)
    } else {
        Err(Reason::Statement.into())
    }
}

/// Sets the invite's labels, ours, and whether the node gets tasks, in one update. A node that carries the grant's label
/// already stays as it is: an operator may have drained it since.
async fn label(
    broker: &Broker,
    mut node: Node,
    grant: &GrantHash,
    invite: &Invite,
    voucher: Option<String>,
) -> Result<bool, Denial> {
    for _ in 0..TRIES {
        if node.labels.contains_key(GRANT_LABEL) {
            return Ok(false);
        }
        let mut labels: BTreeMap<String, String> = invite.labels.clone();
        labels.insert(GRANT_LABEL.to_owned(), grant.to_string());
        labels.extend(invite.ephemeral.map(|after| (EPHEMERAL_LABEL.to_owned(), after.to_string())));
        labels.extend(invite.conditions.replaces.then(|| (REPLACES_LABEL.to_owned(), "true".to_owned())));
        labels.extend(voucher.iter().map(|voucher| (handover::LABEL.to_owned(), voucher.clone())));
        let without = vec![DRAINED_LABEL.to_owned()];
        let availability = match invite.conditions.availability {
            Some(protocol::Availability::Pause) => Availability::Pause,
            Some(protocol::Availability::Drain) => Availability::Drain,
            Some(protocol::Availability::Active) | None => Availability::Active,
        };
        let change = NodeChange { labels, without, availability: Some(availability), ..NodeChange::default() };
        match broker.engine.change_node(&node, change).await {
            Ok(()) => return Ok(true),
            Err(EngineError::OutOfSequence) => node = broker.engine.node(&node.id).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Denial::Unavailable("the node keeps being changed by others".into()))
}

/// `GET /v1/joins`: whether the caller is a node of this swarm, and explained.
pub(crate) async fn membership(
    broker: &Broker,
    call: &Call,
    certificate: &NodeCertificate,
) -> Result<MembershipReply, Denial> {
    let found = look_up(broker, certificate).await;
    if let Err(Denial::Refused(reason)) = found {
        let record = Record { node: Some(certificate.node.clone()), ..Record::refusal(reason) };
        broker.record_refusal(call, record).await?;
    }
    found
}

async fn look_up(broker: &Broker, certificate: &NodeCertificate) -> Result<MembershipReply, Denial> {
    let membership = broker.membership().ok_or_else(|| Denial::Unavailable("the engine is not a manager".into()))?;
    if certificate.swarm != membership.swarm {
        return Err(Reason::OtherSwarm.into());
    }
    match broker.engine.node(&certificate.node).await {
        Ok(node) => {
            let explained = node.labels.contains_key(GRANT_LABEL) || node.labels.contains_key(ADOPTED_LABEL);
            Ok(MembershipReply { node: node.id, explained })
        }
        Err(EngineError::NotFound) => Err(Reason::NoNode.into()),
        Err(error) => Err(error.into()),
    }
}
