//! Adopting nodes: an operator, or the very first start, says why they are here.
//!
//! Must not label a node before the record of it is durable.

use std::collections::BTreeMap;

use protocol::{NodeId, Role};

use super::enforce::undone;
use crate::admission::{ADOPTED_LABEL, gone_after};
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::departure::EPHEMERAL_LABEL;
use crate::handover;
use crate::swarm::{EngineError, Node, NodeChange};

/// How often a node is read again that somebody else changes at the same time.
const TRIES: usize = 8;

/// Adopts nodes that nothing explains yet. Gives those that were adopted.
pub(crate) async fn adopt(
    broker: &Broker,
    nodes: Vec<Node>,
    reason: &str,
    operator: &str,
) -> Result<Vec<Node>, Denial> {
    let mut adopted = Vec::new();
    for node in nodes {
        let record = Record {
            node: Some(node.id.clone()),
            hostname: Some(node.hostname.clone()),
            role: Some(node.role),
            operator: Some(operator.to_owned()),
            detail: Some(reason.to_owned()),
            ..Record::new(Event::NodeAdopted)
        };
        broker.audit.record(record).await?;
        adopted.push(label(broker, node, reason).await?);
    }
    Ok(adopted)
}

/// At the first start on a swarm of one manager, the nodes that are there were there before the broker.
pub(crate) async fn adopt_first(broker: &Broker) -> Result<usize, Denial> {
    let nodes = broker.engine.nodes().await?;
    let nodes: Vec<Node> = nodes.into_iter().filter(|node| !node.labels.contains_key(ADOPTED_LABEL)).collect();
    Ok(adopt(broker, nodes, "was there before the broker", "broker").await?.len())
}

/// Writes on the founder's node that it may be replaced when it is gone: no invite can.
pub(crate) async fn call_ephemeral(broker: &Broker, node: &NodeId) -> Result<(), Denial> {
    let labels = BTreeMap::from([(EPHEMERAL_LABEL.to_owned(), gone_after(Role::Manager).to_string())]);
    for _ in 0..TRIES {
        let node = broker.engine.node(node).await?;
        let change = NodeChange { labels: labels.clone(), ..NodeChange::default() };
        match broker.engine.change_node(&node, change).await {
            Err(EngineError::OutOfSequence) => {}
            changed => return Ok(changed?),
        }
    }
    Err(Denial::Unavailable("the node keeps being changed by others".into()))
}

async fn label(broker: &Broker, mut node: Node, reason: &str) -> Result<Node, Denial> {
    for _ in 0..TRIES {
        let value = format!("{} {reason}", clock::shown(clock::now()));
        let mut labels = BTreeMap::from([(ADOPTED_LABEL.to_owned(), value)]);
        if node.role == Role::Manager {
            labels.insert(handover::LABEL.to_owned(), handover::vouch(broker, &node.id, None)?);
        }
        let change = NodeChange { labels, ..undone(&node) };
        match broker.engine.change_node(&node, change).await {
            Ok(()) => return Ok(node),
            Err(EngineError::OutOfSequence) => node = broker.engine.node(&node.id).await?,
            Err(error) => return Err(error.into()),
        }
    }
    Err(Denial::Unavailable("the node keeps being changed by others".into()))
}
