//! What is seen every few seconds: a node that nothing explains, or an invite that does not read, is an alarm, once.
//!
//! Keeps promise 10 (within seconds).

use std::sync::PoisonError;

use super::{NodeState, Report};
use crate::audit::{Event, Record};
use crate::broker::Broker;

/// Raises the alarms about what a look shows.
pub(crate) async fn watch(broker: &Broker, report: Report, unread: Vec<String>) {
    let count = report.count(NodeState::Unexplained);
    broker.metrics.unexplained.set(i64::try_from(count).unwrap_or(i64::MAX));
    for node in report.nodes.into_iter().filter(|node| node.state == NodeState::Unexplained) {
        let detail = "a node joined without a grant: see 'broker nodes'; 'broker adopt' it or remove it";
        let record = Record {
            node: Some(node.id.clone()),
            hostname: Some(node.hostname),
            role: Some(node.role),
            ..Record::alarm(Event::NodeUnexplained, detail)
        };
        once(broker, node.id.to_string(), record).await;
    }
    for name in unread {
        let detail = format!("'{name}' passes for an invite and does not read. Remove it: docker config rm {name}");
        once(broker, name, Record::alarm(Event::InviteUnread, detail)).await;
    }
}

/// Raises an alarm, unless it was raised about this since the start.
async fn once(broker: &Broker, about: String, alarm: Record) {
    let new = broker.alarmed.lock().unwrap_or_else(PoisonError::into_inner).insert(about.clone());
    if new && broker.audit.record(alarm).await.is_err() {
        // It will be told at the next look.
        broker.alarmed.lock().unwrap_or_else(PoisonError::into_inner).remove(&about);
    }
}
