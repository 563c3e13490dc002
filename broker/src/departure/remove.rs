//! Does what is due about nodes that leave or have gone, one broker at a time for each.
//!
//! Keeps DESIGN's order: the record is durable before the row goes. Whoever is killed in between leaves a node that is still
//! due, and the next look of any broker goes on with it.
//! Must not remove what has changed since it was judged. The engine gives no version to a removal, and refuses only a node
//! that is ready: so a broker takes it on by an update at the version that it judged, and reads the node again right before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use super::places::{Freed, free};
use super::plan::{LATEST, Step, Why, is_still, taken};
use super::{EPHEMERAL_LABEL, GONE_LABEL, LEAVING_LABEL, REMOVING_LABEL};
use crate::admission::GRANT_LABEL;
use crate::audit::{Event, Outcome, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::swarm::{EngineError, Node, NodeChange};

/// Does what is due, a node after the other, and frees the places of those that are gone.
pub(crate) async fn settle(broker: Arc<Broker>, due: Vec<(Node, Step)>, places: Vec<Freed>) {
    free(&broker, places).await;
    for (node, step) in due {
        let done = match step {
            Step::Keep => keep(&broker, &node).await,
            Step::Remove(why) => remove(&broker, &node, why).await,
        };
        if let Err(error) = done {
            tracing::warn!(?error, node = %node.id, "what is due about a node that left is not done yet");
        }
    }
}

/// Takes the label off a node that was set active again, or came back: whoever drains it, or whatever cuts it off, another day
/// does not mean that it leaves.
async fn keep(broker: &Broker, node: &Node) -> Result<(), Denial> {
    let without = vec![LEAVING_LABEL.to_owned(), GONE_LABEL.to_owned()];
    let change = NodeChange { without, ..NodeChange::default() };
    match broker.engine.change_node(node, change).await {
        Ok(()) => broker.audit.record(about(Event::NodeKept, node)).await?,
        Err(EngineError::OutOfSequence | EngineError::NotFound) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    Ok(())
}

async fn remove(broker: &Broker, node: &Node, why: Why) -> Result<(), Denial> {
    // In a ledger that went back in time the labels are from then, too.
    broker.sentinel.check()?;
    let began = Instant::now();
    let Some(label) = take_on(broker, node).await? else { return Ok(()) };
    let record = Record { detail: Some(words(why, node)), ..about(Event::NodeRemoving, node) };
    broker.audit.record(record.clone()).await?;
    let record = Record { event: Event::NodeRemoved, ..record };
    let record = match remove_if_still(broker, node, why, &label, began).await {
        Ok(()) => record,
        Err(why) => Record { outcome: Outcome::Failed, detail: Some(format!("it was not removed: {why}")), ..record },
    };
    broker.audit.record(record).await?;
    Ok(())
}

/// Takes the removal on, and gives the label that says so. None if anything has changed about the node since it was read:
/// another broker may have taken it on.
async fn take_on(broker: &Broker, node: &Node) -> Result<Option<String>, Denial> {
    let label = taken(node, clock::now(), &broker.id);
    let labels = BTreeMap::from([(REMOVING_LABEL.to_owned(), label.clone())]);
    match broker.engine.change_node(node, NodeChange { labels, ..NodeChange::default() }).await {
        Ok(()) => Ok(Some(label)),
        Err(EngineError::OutOfSequence | EngineError::NotFound) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Removes the row, unless something has come in between. The error says what.
async fn remove_if_still(broker: &Broker, node: &Node, why: Why, label: &str, began: Instant) -> Result<(), String> {
    match broker.engine.node(&node.id).await {
        Ok(again) if is_still(&again, why, label) => {}
        Ok(_) => return Err("it has changed meanwhile".to_owned()),
        Err(EngineError::NotFound) => return Ok(()),
        Err(error) => return Err(error.to_string()),
    }
    if began.elapsed() > LATEST {
        return Err("it took too long: another broker may have taken it on".to_owned());
    }
    match broker.engine.remove_node(&node.id).await {
        Ok(()) | Err(EngineError::NotFound) => Ok(()),
        // It may have been done all the same.
        Err(why) => match broker.engine.node(&node.id).await {
            Err(EngineError::NotFound) => Ok(()),
            Ok(_) | Err(_) => Err(why.to_string()),
        },
    }
}

fn about(event: Event, node: &Node) -> Record {
    Record {
        node: Some(node.id.clone()),
        hostname: Some(node.hostname.clone()),
        role: Some(node.role),
        grant: node.labels.get(GRANT_LABEL).and_then(|grant| grant.parse().ok()),
        ..Record::new(event)
    }
}

fn words(why: Why, node: &Node) -> String {
    let since = |label: &str| node.labels.get(label).and_then(|since| since.parse().ok()).map(clock::shown);
    match why {
        Why::Left => format!("it asked to leave at {}, and is down", since(LEAVING_LABEL).unwrap_or_default()),
        Why::Demoted => "it was an ephemeral manager that did not answer, and was demoted for another one".to_owned(),
        Why::Replaced => "its invite says replaces, it was down, and a newer node of its name has confirmed".to_owned(),
        Why::Gone(after) => {
            format!("its invite says ephemeral, and it was down for more than {after} s ({EPHEMERAL_LABEL})")
        }
    }
}
