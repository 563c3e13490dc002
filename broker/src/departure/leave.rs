//! `POST /v1/leaves`: a node says that it is about to leave. It is drained, and told how many of its tasks have not ended.
//!
//! Keeps promise 10 (every node is explained, to its end). The label that is set here is all that a later removal needs.
//! Must not believe a certificate for longer than the swarm has its node, nor act on any node but the certificate's.

use std::collections::BTreeMap;
use std::time::Instant;

use certs::NodeCertificate;
use protocol::{LeaveReply, LeaveRequest, Role};

use super::{EPHEMERAL_LABEL, LEAVING_LABEL};
use crate::audit::{Event, Reason, Record};
use crate::broker::{Broker, Call};
use crate::clock;
use crate::denial::Denial;
use crate::fleet::Recent;
use crate::swarm::{Availability, EngineError, Node, NodeChange, Tasks};

/// How often a node is read again that somebody else changes at the same time.
const TRIES: usize = 8;

/// Drains the caller's node, and tells what it still runs a moment later. Who has tasks left asks again. One that leaves only
/// if it is ephemeral stays as it is where its label does not say so: the label is the managers', who may have taken it away.
pub(crate) async fn leave(
    broker: &Broker,
    call: &Call,
    certificate: &NodeCertificate,
    request: LeaveRequest,
) -> Result<LeaveReply, Denial> {
    let record = Record {
        node: Some(certificate.node.clone()),
        serial: Some(certificate.serial.clone()),
        thumbprint: Some(certificate.thumbprint.to_string()),
        ..Record::new(Event::NodeLeaving)
    };
    let drained = match caller(broker, certificate, &request).await {
        Ok(node) => drain(broker, call, node, &request, &record).await,
        Err(denial) => Err(denial),
    };
    if let Err(Denial::Refused(reason)) = drained {
        broker.record_refusal(call, record.refused(reason)).await?;
    }
    let leaves = drained?;
    let tasks = if leaves { tasks(broker, certificate).await? } else { 0 };
    Ok(LeaveReply { node: certificate.node.clone(), tasks, stays: !leaves })
}

/// The node that the certificate is of, as it is now, if it may leave this way. Removal does not revoke a certificate: only
/// the swarm knows who is a member.
async fn caller(broker: &Broker, certificate: &NodeCertificate, request: &LeaveRequest) -> Result<Node, Denial> {
    let membership = broker.membership().ok_or_else(|| Denial::Unavailable("the engine is not a manager".into()))?;
    if certificate.swarm != membership.swarm {
        return Err(Reason::OtherSwarm.into());
    }
    if certificate.node != request.node {
        return Err(Reason::OtherNode.into());
    }
    current(broker, certificate).await
}

async fn current(broker: &Broker, certificate: &NodeCertificate) -> Result<Node, Denial> {
    match broker.engine.node(&certificate.node).await {
        // A manager that goes takes its vote along: an operator demotes it first.
        Ok(node) if node.role == Role::Manager => Err(Reason::WrongRole.into()),
        Ok(node) => Ok(node),
        Err(EngineError::NotFound) => Err(Reason::NoNode.into()),
        Err(error) => Err(error.into()),
    }
}

/// Drains the node and labels it, in one update. One that is leaving already stays as it is. Gives whether it leaves.
async fn drain(
    broker: &Broker,
    call: &Call,
    mut node: Node,
    request: &LeaveRequest,
    record: &Record,
) -> Result<bool, Denial> {
    let mut recorded = false;
    for _ in 0..TRIES {
        if node.role == Role::Manager {
            return Err(Reason::WrongRole.into());
        }
        // First: its row goes as soon as it is down, whatever else is labelled.
        if node.labels.contains_key(LEAVING_LABEL) && node.availability == Availability::Drain {
            return Ok(true);
        }
        if request.if_ephemeral && !node.labels.contains_key(EPHEMERAL_LABEL) {
            return Ok(false);
        }
        if !recorded {
            let (role, hostname) = (Some(node.role), Some(node.hostname.clone()));
            broker.audit.record(call.on(Record { role, hostname, ..record.clone() })).await?;
            recorded = true;
        }
        let labels = BTreeMap::from([(LEAVING_LABEL.to_owned(), clock::now().to_string())]);
        let change = NodeChange { labels, availability: Some(Availability::Drain), ..NodeChange::default() };
        match broker.engine.change_node(&node, change).await {
            Ok(()) => return Ok(true),
            Err(EngineError::OutOfSequence) => node = broker.engine.node(&node.id).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Denial::Unavailable("the node keeps being changed by others".into()))
}

/// How many tasks there are on the node, a moment after it was drained.
async fn tasks(broker: &Broker, certificate: &NodeCertificate) -> Result<u32, Denial> {
    // A look that another node asked for may be older than this node's drain.
    tokio::time::sleep(Recent::<Tasks>::AGE).await;
    Ok(broker.tasks.get(Instant::now(), broker.engine.tasks()).await?.on(&certificate.node))
}
