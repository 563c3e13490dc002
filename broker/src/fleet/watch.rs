//! Looks at the nodes every few seconds: one that nothing explains is an alarm, once.
//!
//! Keeps promise 10 (within seconds).

use std::sync::PoisonError;

use super::{NodeState, Report};
use crate::audit::{Event, Record};
use crate::broker::Broker;

/// Raises the alarm about what a report shows.
pub(crate) async fn watch(broker: &Broker, report: Report) {
    let count = report.count(NodeState::Unexplained);
    broker.metrics.unexplained.set(i64::try_from(count).unwrap_or(i64::MAX));
    for node in report.nodes.into_iter().filter(|node| node.state == NodeState::Unexplained) {
        let new = broker.alarmed.lock().unwrap_or_else(PoisonError::into_inner).insert(node.id.clone());
        if !new {
            continue;
        }
        let detail = "a node joined without a grant: see 'broker nodes'; 'broker adopt' it or remove it";
        let record = Record {
            node: Some(node.id.clone()),
            hostname: Some(node.hostname),
            role: Some(node.role),
            ..Record::alarm(Event::NodeUnexplained, detail)
        };
        if broker.audit.record(record).await.is_err() {
            // It will be told at the next look.
            broker.alarmed.lock().unwrap_or_else(PoisonError::into_inner).remove(&node.id);
        }
    }
}
