//! Removes the rows of nodes that have gone, one broker at a time for each.
//!
//! Keeps DESIGN's order: the record is durable before the row goes. Whoever is killed in between leaves a node that is still
//! due, and the next look of any broker goes on with it.
//! Must not remove what has changed since it was judged: the engine refuses a node that is not down, and the broker takes
//! a removal on by an update at the version that it judged.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::NodeId;

use super::plan::{Why, due};
use super::{EPHEMERAL_LABEL, LEAVING_LABEL, REMOVING_LABEL};
use crate::admission::GRANT_LABEL;
use crate::audit::{Event, Outcome, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::swarm::{EngineError, Node, NodeChange};

/// Looks at each of these nodes again, and removes the rows of those that have gone.
pub(crate) async fn remove_gone(broker: Arc<Broker>, nodes: Vec<NodeId>) {
    for id in nodes {
        if let Err(error) = look(&broker, &id).await {
            tracing::warn!(?error, node = %id, "a node that has gone is not removed yet");
        }
    }
}

async fn look(broker: &Broker, id: &NodeId) -> Result<(), Denial> {
    let node = match broker.engine.node(id).await {
        Ok(node) => node,
        Err(EngineError::NotFound) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    match due(&node, clock::now()) {
        Some(why) if take_on(broker, &node).await? => remove(broker, &node, why).await,
        _ => Ok(()),
    }
}

/// Whether the removal is this broker's: nothing has changed about the node since it was read, and no other broker took it.
async fn take_on(broker: &Broker, node: &Node) -> Result<bool, Denial> {
    let labels = BTreeMap::from([(REMOVING_LABEL.to_owned(), format!("{} {}", clock::now(), broker.id))]);
    match broker.engine.change_node(node, NodeChange { labels, ..NodeChange::default() }).await {
        Ok(()) => Ok(true),
        Err(EngineError::OutOfSequence | EngineError::NotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

async fn remove(broker: &Broker, node: &Node, why: Why) -> Result<(), Denial> {
    let record = Record {
        node: Some(node.id.clone()),
        hostname: Some(node.hostname.clone()),
        role: Some(node.role),
        grant: node.labels.get(GRANT_LABEL).and_then(|grant| grant.parse().ok()),
        detail: Some(words(why, node)),
        ..Record::new(Event::NodeRemoving)
    };
    broker.audit.record(record.clone()).await?;
    let removed = broker.engine.remove_node(&node.id).await;
    let removed = match removed {
        Ok(()) | Err(EngineError::NotFound) => Ok(()),
        // It may have been done all the same.
        Err(why) => match broker.engine.node(&node.id).await {
            Err(EngineError::NotFound) => Ok(()),
            Ok(_) | Err(_) => Err(why),
        },
    };
    let record = Record { event: Event::NodeRemoved, ..record };
    let record = match removed {
        Ok(()) => record,
        Err(error) => {
            Record { outcome: Outcome::Failed, detail: Some(format!("it was not removed: {error}")), ..record }
        }
    };
    broker.audit.record(record).await?;
    Ok(())
}

fn words(why: Why, node: &Node) -> String {
    let since = |label: &str| node.labels.get(label).and_then(|since| since.parse().ok()).map(clock::shown);
    match why {
        Why::Left => format!("it asked to leave at {}, and is down", since(LEAVING_LABEL).unwrap_or_default()),
        Why::Gone(after) => {
            format!("its invite says ephemeral, and it was down for more than {after} s ({EPHEMERAL_LABEL})")
        }
    }
}
