//! What is seen every few seconds: a node that nothing explains, or an invite that does not read, is an alarm, once.
//!
//! Keeps promise 10 (within seconds). A node is told of before it is drained.

use super::enforce::enforce;
use super::{NodeState, Report};
use crate::audit::{Event, Record};
use crate::broker::Broker;

/// Raises the alarms about what a look shows.
pub(crate) async fn watch(broker: &Broker, report: Report, unread: Vec<String>) {
    let count = report.count(NodeState::Unexplained);
    broker.metrics.unexplained.set(i64::try_from(count).unwrap_or(i64::MAX));
    for node in report.nodes.into_iter().filter(|node| node.state == NodeState::Unexplained) {
        let record = Record {
            node: Some(node.id.clone()),
            hostname: Some(node.hostname.clone()),
            role: Some(node.role),
            ..broker.enforce.record()
        };
        if broker.alarmed.once(&broker.audit, node.id.to_string(), record).await.is_ok() {
            enforce(broker, &node).await;
        }
    }
    for name in unread {
        let detail = unread_words(&name, broker.sentinel.needs(&name));
        let _ = broker.alarmed.once(&broker.audit, name, Record::alarm(Event::InviteUnread, detail)).await;
    }
}

/// What is said of an object that passes for an invite and does not read. The ledger may need it: then it is an invite.
fn unread_words(name: &str, needed: bool) -> String {
    if needed {
        return format!(
            "the invite '{name}' does not read any more, and admits nobody. Do not remove it: this broker knows what became of \
             it, and if that went missing, the ledger would be lost and nobody admitted at all. Either a newer broker wrote it, \
             or somebody changed it: docker config inspect {name}"
        );
    }
    format!(
        "'{name}' passes for an invite and does not read: it admits nobody. Look at it: docker config inspect {name}. If it is \
         none of yours, remove it: docker config rm {name}"
    )
}
