//! What is done about a node that nothing explains: it is told, told as an alarm, or drained as well.
//!
//! Keeps promise 10. Must not remove a node, nor drain one where the ledger, which explains nodes, is in doubt.

use std::collections::BTreeMap;

use super::{NodeLine, NodeState, look};
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::swarm::{Availability, EngineError, Node, NodeChange};

/// The label of a node that was drained because nothing explained it (its value is when).
pub(crate) const DRAINED_LABEL: &str = "swarm-broker.drained";

/// What is done about a node that nothing explains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Enforce {
    /// It is in `broker nodes` and in the log.
    Off,
    /// It is an alarm.
    #[default]
    Warn,
    /// It is an alarm, and gets no tasks.
    Strict,
}

impl Enforce {
    /// What there is.
    pub(crate) const WORDS: &str = "off, warn or strict";

    /// Reads one of them.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "off" => Some(Self::Off),
            "warn" => Some(Self::Warn),
            "strict" => Some(Self::Strict),
            _ => None,
        }
    }

    /// The record that a node came which nothing explains.
    pub(super) fn record(self) -> Record {
        let adopt = "see 'broker nodes'; 'broker adopt' it or remove it";
        match self {
            Self::Off => {
                let detail = Some(format!("a node joined without a grant: {adopt}"));
                Record { detail, ..Record::new(Event::NodeUnexplained) }
            }
            Self::Warn => Record::alarm(Event::NodeUnexplained, format!("a node joined without a grant: {adopt}")),
            Self::Strict => Record::alarm(
                Event::NodeUnexplained,
                format!("a node joined without a grant, and gets no tasks (enforce is strict): {adopt}"),
            ),
        }
    }
}

/// The nodes that strict cannot begin with: what was there before it is adopted or sent away by a person, and not drained. None
/// where the ledger is in doubt: then nothing is drained either.
pub(crate) async fn in_the_way(broker: &Broker) -> Result<Vec<NodeLine>, Denial> {
    if broker.sentinel.check().is_err() {
        return Ok(Vec::new());
    }
    let nodes = look(broker).await?.report.nodes;
    Ok(nodes.into_iter().filter(gets_tasks_unexplained).collect())
}

/// Drains a node that nothing explains, if that is wanted.
pub(super) async fn enforce(broker: &Broker, node: &NodeLine) {
    if broker.enforce != Enforce::Strict || broker.sentinel.check().is_err() || !gets_tasks_unexplained(node) {
        return;
    }
    if let Err(error) = drain(broker, node).await {
        tracing::warn!(?error, node = %node.id, "a node that nothing explains is not drained yet");
    }
}

/// Not the row that an engine leaves which was killed in the middle of its join: no machine stands behind it.
fn gets_tasks_unexplained(node: &NodeLine) -> bool {
    let came = node.ready || !node.hostname.is_empty();
    node.state == NodeState::Unexplained && node.availability != "drain" && came
}

async fn drain(broker: &Broker, line: &NodeLine) -> Result<(), Denial> {
    let node = broker.engine.node(&line.id).await?;
    // Somebody explained or drained it since.
    if node.labels != line.labels || node.availability == Availability::Drain {
        return Ok(());
    }
    let record = |event| Record {
        node: Some(node.id.clone()),
        hostname: Some(node.hostname.clone()),
        role: Some(node.role),
        detail: Some("nothing explains it, and enforce is strict".to_owned()),
        ..Record::new(event)
    };
    broker.alarmed.once(&broker.audit, format!("draining {}", node.id), record(Event::NodeDraining)).await?;
    let change = NodeChange {
        labels: BTreeMap::from([(DRAINED_LABEL.to_owned(), clock::shown(clock::now()))]),
        availability: Some(Availability::Drain),
        ..NodeChange::default()
    };
    match broker.engine.change_node(&node, change).await {
        Ok(()) => {}
        // Another broker was first, or the node is another one now: the next look tells.
        Err(EngineError::OutOfSequence) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    broker.audit.record(record(Event::NodeDrained)).await?;
    Ok(())
}

/// What ends the draining of a node that is explained now: nothing for one that was not drained here.
pub(super) fn undone(node: &Node) -> NodeChange {
    if node.labels.contains_key(DRAINED_LABEL) {
        NodeChange {
            without: vec![DRAINED_LABEL.to_owned()],
            availability: Some(Availability::Active),
            ..NodeChange::default()
        }
    } else {
        NodeChange::default()
    }
}
