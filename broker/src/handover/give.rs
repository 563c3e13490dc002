//! `POST /v1/handovers`: the cluster's keys for the broker on another manager, and those that were replaced since for one
//! that has the former ones.
//!
//! The order is the promise: the keys' turn → verify all → record → commit → record → keys. Must not be reordered: who
//! asked before a leak was answered is judged by what is trusted after it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{IdentityKey, NodeCertificate};
use protocol::{HandoverReply, HandoverRequest, HandoverStatement, KeyHash, NodeId, Role, SharedKey};

use super::voucher::{LABEL, Voucher, trusted};
use crate::audit::{Event, Reason, Record};
use crate::broker::{Broker, Call};
use crate::clock;
use crate::denial::Denial;
use crate::grants;
use crate::jwt::PublicKey;
use crate::keys::{self, What};
use crate::ledger::{Peer, Retire};
use crate::state::Cluster;
use crate::swarm::{EngineError, Membership, Node};

/// A broker has a few addresses.
const MOST_ADDRESSES: usize = 16;
/// The longest name of a release.
const LONGEST_RELEASE: usize = 32;

/// Hands the cluster's keys over.
pub(crate) async fn give(
    broker: &Broker,
    call: &Call,
    certificate: &NodeCertificate,
    request: HandoverRequest,
) -> Result<HandoverReply, Denial> {
    let record = Record {
        node: Some(certificate.node.clone()),
        role: Some(certificate.role),
        serial: Some(certificate.serial.clone()),
        thumbprint: Some(certificate.thumbprint.to_string()),
        ..Record::new(Event::KeysHandingOver)
    };
    let given = hand_over(broker, call, certificate, request, record.clone()).await;
    if let Err(Denial::Refused(reason)) = given {
        broker.record_refusal(call, record.refused(reason)).await?;
    }
    given
}

async fn hand_over(
    broker: &Broker,
    call: &Call,
    certificate: &NodeCertificate,
    request: HandoverRequest,
    mut record: Record,
) -> Result<HandoverReply, Denial> {
    let key =
        PublicKey::from_text(&request.grant_key).ok_or(Denial::Malformed("the grant key is not a P-256 point"))?;
    let peer = match request.follows {
        None => Some(well_formed(&request, &key, certificate)?),
        Some(_) => None,
    };
    assert_signed_by(broker, &request, certificate, &key)?;
    // Every node of the swarm can ask: one that is given nothing, whatever the ledger says, takes no turn from a manager.
    if certificate.role != Role::Manager {
        return Err(Reason::WrongRole.into());
    }
    // From here to the end nobody replaces a key, nor what is trusted: what is given is what was checked.
    let _turn = broker.keys.turn.lock().await;
    broker.sentinel.check()?;
    keys::follow(broker).await?;
    let (node, key) = manager(broker, certificate, &request).await?;
    if let Some(wanted) = request.follows {
        can_give(broker, certificate, &request, wanted).await?;
        record.what = Some(What::from(wanted).to_string());
    }
    record.hostname = Some(node.hostname);
    record.key = key;
    record.detail = Some(format!("to broker {}", request.broker));
    record.peer = Some(request.broker.clone());
    broker.audit.record(call.on(record.clone())).await?;

    // What may fail for other reasons is done before the commit; the keys are in the reply only after it.
    let reply = match (peer, request.follows) {
        (Some(peer), _) => {
            let reply = newest(broker).await?;
            let issuing = broker.keys.issuing.get().public().generation;
            broker.directory.enlist(Peer { issuing, ..peer }).await?;
            reply
        }
        (None, wanted) => {
            let mut reply = shared(broker)?;
            reply.issuing_key = reply.issuing_key.filter(|_| wanted == Some(SharedKey::Ca));
            broker.list_itself().await?;
            reply
        }
    };
    let record = Record { event: Event::KeysHandedOver, version: Some(broker.sentinel.version()), ..record };
    broker.audit.record(call.on(record)).await?;
    Ok(reply)
}

/// All that is shared, as it is on disk.
fn shared(broker: &Broker) -> Result<HandoverReply, Denial> {
    Cluster::open(&broker.state).and_then(|cluster| cluster.shared()).map_err(|error| unreadable(&error))
}

fn unreadable(error: &dyn std::fmt::Display) -> Denial {
    Denial::Unavailable(format!("the state cannot be read: {error}"))
}

/// What is given, if no key of it was replaced on another broker: who asks is to ask there.
async fn newest(broker: &Broker) -> Result<HandoverReply, Denial> {
    let cluster = Cluster::open(&broker.state).map_err(|error| unreadable(&error))?;
    if !keys::is_newest(broker, &cluster.issuing) {
        return Err(Denial::Unavailable("the issuing CA here is not the newest: another broker has that".into()));
    }
    broker.directory.refresh().await?;
    if lacks(broker, What::InviteKey) {
        return Err(Denial::Unavailable("another broker has a newer invite key".into()));
    }
    let invite_key = PublicKey::from_point(cluster.invite_key.public_point()).map(|key| key.id());
    let invite_key = invite_key.ok_or_else(|| unreadable(&"the invite key is not a P-256 key"))?;
    if broker.directory.is_void(&invite_key).await? {
        return Err(Denial::Unavailable("the invite key here is void".into()));
    }
    cluster.shared().map_err(|error| unreadable(&error))
}

/// Whether a broker that serves may be given what it asks for: it is the one that the ledger lists for this node and key,
/// and this broker has it.
async fn can_give(
    broker: &Broker,
    certificate: &NodeCertificate,
    request: &HandoverRequest,
    wanted: SharedKey,
) -> Result<(), Denial> {
    broker.directory.refresh().await?;
    let listed = broker
        .directory
        .all()
        .into_iter()
        .any(|peer| peer.id == request.broker && peer.node == certificate.node && peer.key == request.grant_key);
    if !listed {
        return Err(Denial::Unavailable("the ledger lists no such broker on this node".into()));
    }
    if lacks(broker, What::from(wanted)) {
        return Err(Denial::Unavailable("this broker has not got that key itself yet".into()));
    }
    Ok(())
}

/// Whether another broker has a newer one of these keys, by what was read of the ledger last. One that is listed and that
/// nobody has, as of a broker that was killed before it kept it, keeps nobody from handing over what there is.
fn lacks(broker: &Broker, what: What) -> bool {
    keys::behind(broker).iter().any(|behind| behind.what == what)
}

/// That the key which the request names as the broker's has signed it: nobody asks in another broker's name, whose public
/// key all can read.
fn assert_signed_by(
    broker: &Broker,
    request: &HandoverRequest,
    certificate: &NodeCertificate,
    key: &PublicKey,
) -> Result<(), Denial> {
    let statement = statement(broker, request, certificate);
    if certs::has_signed(key.point(), &statement, &decoded(&request.signature)?, &broker.provider) {
        Ok(())
    } else {
        Err(Reason::Statement.into())
    }
}

/// The new broker's entry, if the request can be one. Its id follows from its key, and so cannot be another's.
fn well_formed(request: &HandoverRequest, key: &PublicKey, certificate: &NodeCertificate) -> Result<Peer, Denial> {
    if request.broker != crate::state::broker_id(key) {
        return Err(Denial::Malformed("the broker's id does not belong to its key"));
    }
    let plain = request.release.bytes().all(|byte| byte.is_ascii_graphic());
    if request.addresses.is_empty() || request.addresses.len() > MOST_ADDRESSES {
        return Err(Denial::Malformed("a broker has 1 to 16 addresses"));
    }
    if request.release.len() > LONGEST_RELEASE || !plain {
        return Err(Denial::Malformed("this is not the name of a release"));
    }
    Ok(Peer {
        id: request.broker.clone(),
        addresses: request.addresses.clone(),
        node: certificate.node.clone(),
        key: request.grant_key.clone(),
        generation: 1,
        since: 0,
        retired: Vec::new(),
        // Said when it is known what it is given.
        issuing: 0,
        invite: None,
        grants: grants::LONGEST,
        log: None,
        // It is live when it says so itself, and what it knows of invites, too.
        policy: 0,
        renewed: 0,
        release: request.release.clone(),
    })
}

/// The caller's node, if it is a manager now and was explained as one; and the identity key that asked for it.
async fn manager(
    broker: &Broker,
    certificate: &NodeCertificate,
    request: &HandoverRequest,
) -> Result<(Node, Option<KeyHash>), Denial> {
    let membership = broker.engine.membership().await?;
    if certificate.swarm != membership.swarm {
        return Err(Reason::OtherSwarm.into());
    }
    assert_still_trusted(broker, certificate, &membership)?;
    match explained(broker, &membership, certificate, request).await {
        // What is read may be old: of a leader that was cut off, or of before an issuing CA was replaced elsewhere. A
        // refusal is final, so it is told only of what is read after a commit of our own.
        Err(Denial::Refused(_)) => {
            catch_up(broker, membership.node.clone()).await?;
            explained(broker, &membership, certificate, request).await
        }
        looked_up => looked_up,
    }
}

/// That the certificate which was verified when the caller connected is good by the swarm's root of this moment: whoever
/// was a manager can have the former one's key. Where that root was replaced, an honest caller comes again with another.
fn assert_still_trusted(broker: &Broker, certificate: &NodeCertificate, membership: &Membership) -> Result<(), Denial> {
    let unreadable = |_| Denial::Unavailable("the swarm's root certificate does not read".into());
    broker.trust.trust_nodes(&membership.roots).map_err(unreadable)?;
    if broker.trust.still_trusts(certificate, clock::unix(clock::now())) {
        Ok(())
    } else {
        Err(Denial::Unavailable("the swarm has another root certificate than this node's".into()))
    }
}

/// Commits to something, and follows the issuing CAs. Whoever calls it holds the turn of the keys.
async fn catch_up(broker: &Broker, node: NodeId) -> Result<(), Denial> {
    broker.directory.renew(broker.entry(node), Retire::AfterLast).await?;
    keys::follow(broker).await
}

/// The same, as it is read now.
async fn explained(
    broker: &Broker,
    membership: &Membership,
    certificate: &NodeCertificate,
    request: &HandoverRequest,
) -> Result<(Node, Option<KeyHash>), Denial> {
    // Demotion does not revoke a certificate, and neither does removal: only the swarm knows who is a manager now.
    let node = broker.engine.node(&certificate.node).await.map_err(|error| match error {
        EngineError::NotFound => Reason::NoNode.into(),
        error => Denial::from(error),
    })?;
    if node.role != Role::Manager {
        return Err(Reason::WrongRole.into());
    }
    if node.manager.is_none() {
        return Err(Denial::Unavailable("the node is not a member of the managers' raft yet".into()));
    }
    let label = node.labels.get(LABEL).ok_or(Reason::NoManager)?;
    let voucher = Voucher::read(label, &trusted(broker), &broker.cluster, &membership.swarm, &node.id)?;
    let Some(hash) = voucher.key else { return Ok((node, None)) };
    if signed_by(broker, certificate, request)? == hash {
        Ok((node, Some(hash)))
    } else {
        Err(Reason::Statement.into())
    }
}

/// The identity key that signed this very request.
fn signed_by(broker: &Broker, certificate: &NodeCertificate, request: &HandoverRequest) -> Result<KeyHash, Denial> {
    let proof = request.proof.as_ref().ok_or(Reason::Statement)?;
    let key = IdentityKey::from_spki(&decoded(&proof.key)?)
        .map_err(|_| Denial::Malformed("the key is not a P-256 public key"))?;
    let statement = statement(broker, request, certificate);
    if key.has_signed(&statement, &decoded(&proof.signature)?, &broker.provider) {
        Ok(key.hash().clone())
    } else {
        Err(Reason::Statement.into())
    }
}

/// What both keys must have signed.
fn statement<'a>(
    broker: &'a Broker,
    request: &'a HandoverRequest,
    certificate: &'a NodeCertificate,
) -> HandoverStatement<'a> {
    HandoverStatement {
        broker: &request.broker,
        grant_key: &request.grant_key,
        node: &certificate.node,
        cluster: &broker.cluster,
    }
}

fn decoded(text: &str) -> Result<Vec<u8>, Denial> {
    URL_SAFE_NO_PAD.decode(text).map_err(|_| Denial::Malformed("key or signature is not base64url"))
}
