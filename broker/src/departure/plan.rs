//! Whether a node's row goes now: a function of the node and of the time.
//!
//! Must not do anything itself, and takes every doubt for "not now".

use protocol::{NodeId, Role};

use super::{EPHEMERAL_LABEL, LEAVING_LABEL, REMOVING_LABEL};
use crate::fleet::NodeLine;
use crate::swarm::{Availability, Node};

/// The clocks of two managers differ by no more than this, in seconds.
const CLOCKS: u64 = 5;
/// For so long the broker that has taken a removal on has it alone, in seconds: longer than its calls to the engine may take.
const TURN: u64 = 30;

/// Why a node's row goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It said that it leaves, and is down.
    Left,
    /// It is ephemeral, and has been down for longer than this, in seconds.
    Gone(u64),
}

/// The nodes that are worth a closer look, by what was seen of all.
pub(crate) fn perhaps_gone(nodes: &[NodeLine]) -> Vec<NodeId> {
    let labelled = |node: &&NodeLine| [EPHEMERAL_LABEL, LEAVING_LABEL].iter().any(|l| node.labels.contains_key(*l));
    let gone = nodes.iter().filter(|node| !node.ready && node.role == Role::Worker).filter(labelled);
    gone.map(|node| node.id.clone()).collect()
}

/// Whether the row of a node goes at `now`, and why.
pub(super) fn due(node: &Node, now: u64) -> Option<Why> {
    let since = |label: &str| node.labels.get(label)?.split(' ').next()?.parse::<u64>().ok();
    let taken = since(REMOVING_LABEL).is_some_and(|since| now < since.saturating_add(TURN));
    if node.role != Role::Worker || !node.down || taken {
        return None;
    }
    // Whoever sets such a node active again has thought better of it.
    if node.labels.contains_key(LEAVING_LABEL) && node.availability == Availability::Drain {
        return Some(Why::Left);
    }
    // That it went down was a change of it, so it is down since its last change, or for longer: never too early.
    let (after, updated) = (since(EPHEMERAL_LABEL)?, node.updated?);
    (now > updated.checked_add(after)?.saturating_add(CLOCKS)).then_some(Why::Gone(after))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn node(labels: &[(&str, &str)]) -> Node {
        let id = "a".repeat(25).parse().expect("a node id");
        let mut node = Node::example(id, Availability::Active, NOW);
        (node.ready, node.down) = (false, true);
        node.labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        node
    }

    #[test]
    fn a_node_that_left_goes_as_soon_as_it_is_down() {
        let mut left = node(&[(LEAVING_LABEL, "1")]);
        left.availability = Availability::Drain;
        assert_eq!(due(&left, NOW), Some(Why::Left));
        let mut up = left.clone();
        up.down = false;
        assert_eq!(due(&up, NOW), None, "it is unknown, or up");
        let mut manager = left.clone();
        manager.role = Role::Manager;
        assert_eq!(due(&manager, NOW), None);
        left.availability = Availability::Active;
        assert_eq!(due(&left, NOW), None, "an operator set it active again");
    }

    #[test]
    fn an_ephemeral_node_goes_after_its_time_and_no_other_ever() {
        let gone = node(&[(EPHEMERAL_LABEL, "600")]);
        assert_eq!(due(&gone, NOW + 600 + CLOCKS), None);
        assert_eq!(due(&gone, NOW + 601 + CLOCKS), Some(Why::Gone(600)));
        let but = |change: fn(&mut Node)| {
            let mut node = gone.clone();
            change(&mut node);
            node
        };
        let unclear = but(|node| node.updated = None);
        for never in [node(&[]), node(&[("ephemeral", "1")]), node(&[(EPHEMERAL_LABEL, "soon")]), unclear] {
            assert_eq!(due(&never, u64::MAX), None, "{:?}", never.labels);
        }
        assert_eq!(due(&node(&[(EPHEMERAL_LABEL, "18446744073709551615")]), u64::MAX), None);
        assert_eq!(due(&but(|node| node.role = Role::Manager), u64::MAX), None);
        assert_eq!(due(&but(|node| node.down = false), u64::MAX), None);
    }

    #[test]
    fn what_one_broker_has_taken_on_is_left_to_it_for_a_while() {
        let taken = format!("{NOW} b1");
        let mut left = node(&[(LEAVING_LABEL, "1"), (REMOVING_LABEL, &taken)]);
        left.availability = Availability::Drain;
        assert_eq!(due(&left, NOW + TURN - 1), None);
        assert_eq!(due(&left, NOW + TURN), Some(Why::Left), "it was cut off");
    }
}
