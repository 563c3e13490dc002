//! What brokers changed of a swarm's nodes, and what taking that back comes to.

use protocol::NodeId;
use serde::Serialize;

use crate::admission::RESERVED;
use crate::departure::LEAVING_LABEL;
use crate::fleet::{DRAINED_LABEL, NodeLine, NodeState, Report};

/// What is done to one node.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct NodeUndone {
    pub(crate) id: NodeId,
    pub(crate) hostname: String,
    /// Labels of brokers, which go. Those that invites gave it stay.
    pub(crate) labels: Vec<String>,
    /// Why it was drained, if it gets tasks again.
    pub(crate) active: Option<&'static str>,
    /// It is drained, nothing explains it, and no broker did that: whether it was its joiner or an operator, nobody knows.
    pub(crate) stays_drained: bool,
}

impl NodeUndone {
    /// Whether anything is to be done.
    pub(super) fn is_changed(&self) -> bool {
        !self.labels.is_empty() || self.active.is_some()
    }
}

/// Each node that brokers changed and that is not as it was.
pub(super) fn nodes(report: &Report) -> Vec<NodeUndone> {
    let undone = |node: &NodeLine| NodeUndone {
        id: node.id.clone(),
        hostname: node.hostname.clone(),
        labels: node.labels.keys().filter(|label| label.starts_with(RESERVED)).cloned().collect(),
        active: was_drained(node),
        stays_drained: node.state == NodeState::Unexplained
            && node.availability == "drain"
            && was_drained(node).is_none(),
    };
    let told = |node: &NodeUndone| node.is_changed() || node.stays_drained;
    report.nodes.iter().map(undone).filter(told).collect()
}

/// Nobody else would set these active again.
fn was_drained(node: &NodeLine) -> Option<&'static str> {
    let drained = node.availability == "drain";
    if drained && node.labels.contains_key(DRAINED_LABEL) {
        Some("nothing explained it")
    } else if drained && node.state == NodeState::Pending {
        Some("it joined by a grant and has not confirmed")
    } else if drained && node.labels.contains_key(LEAVING_LABEL) {
        Some("it had said that it leaves")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::GRANT_LABEL;
    use crate::fleet::explain;
    use crate::swarm::{Availability, Node};

    #[test]
    fn labels_of_brokers_go_and_an_operators_drain_stays() {
        let node = |last: char, availability, labels: &[&str]| {
            let mut node = Node::example(format!("{}{last}", "0".repeat(24)).parse().expect("an id"), availability, 1);
            node.labels.extend(labels.iter().map(|label| ((*label).to_owned(), "value".to_owned())));
            node
        };
        let newer = "swarm-broker.of-a-newer-release";
        let report = explain(
            vec![
                node('a', Availability::Active, &["zone"]),
                node('b', Availability::Drain, &[]),
                node('c', Availability::Drain, &["zone", GRANT_LABEL]),
                node('d', Availability::Drain, &[DRAINED_LABEL]),
                node('9', Availability::Drain, &[GRANT_LABEL, LEAVING_LABEL]),
                node('e', Availability::Active, &[DRAINED_LABEL, newer]),
            ],
            &[],
            1,
        );
        let told: Vec<_> = nodes(&report)
            .into_iter()
            .map(|node| (node.id.as_str().chars().last(), node.labels, node.active.is_some(), node.stays_drained))
            .collect();
        let labels = |labels: &[&str]| labels.iter().map(ToString::to_string).collect::<Vec<_>>();
        let expected = [
            (Some('b'), labels(&[]), false, true),
            (Some('c'), labels(&[GRANT_LABEL]), false, false),
            (Some('d'), labels(&[DRAINED_LABEL]), true, false),
            (Some('9'), labels(&[GRANT_LABEL, LEAVING_LABEL]), true, false),
            (Some('e'), labels(&[DRAINED_LABEL, newer]), false, false),
        ];
        assert_eq!(told, expected);
    }
}
