//! How many managers a swarm can lose, and what it is once one came or went.
//!
//! Pure: of what the nodes are now. Raft needs more than half of all managers, of those that do not answer, too.

use protocol::{NodeId, Role};
use serde::{Deserialize, Serialize};

use crate::swarm::Node;

/// The managers of a swarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Quorum {
    pub(crate) managers: usize,
    /// How many of them the leader reaches.
    pub(crate) reachable: usize,
    /// How many it must reach.
    pub(crate) needed: usize,
}

impl Quorum {
    pub(crate) fn of(nodes: &[Node]) -> Self {
        let managers = nodes.iter().filter(|node| node.role == Role::Manager);
        Self::new(managers.clone().count(), managers.filter(|node| node.reachable).count())
    }

    fn new(managers: usize, reachable: usize) -> Self {
        Self { managers, reachable, needed: managers / 2 + 1 }
    }

    /// Once this node is in that role, or the numbers that speak against it.
    pub(crate) fn once(self, node: &Node, role: Role) -> Result<Self, String> {
        let after = match role {
            Role::Manager => Self::new(self.managers + 1, self.reachable + 1),
            Role::Worker => Self::new(self.managers - 1, self.reachable - usize::from(node.reachable)),
        };
        if after.managers == 0 {
            return Err(format!("{} is the swarm's only manager", node.hostname));
        }
        if after.reachable >= after.needed {
            return Ok(after);
        }
        let Self { managers, reachable, .. } = self;
        Err(format!(
            "the swarm would lose its quorum: {reachable} of {managers} managers can be reached; then {} of {} could, and {} are \
             needed. First bring back, or demote, a manager that cannot be reached",
            after.reachable, after.managers, after.needed
        ))
    }

    /// Whether the leader reaches as many as it must.
    pub(crate) fn has(self) -> bool {
        self.reachable >= self.needed
    }

    /// How many it can lose.
    pub(crate) fn spare(self) -> usize {
        self.reachable.saturating_sub(self.needed)
    }
}

/// Whether a node is what it is to be: a manager is a member of raft, and a worker none.
pub(crate) fn is_settled(nodes: &[Node], id: &NodeId, role: Role) -> bool {
    nodes.iter().any(|node| node.id == *id && node.role == role && node.manager.is_some() == (role == Role::Manager))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Availability;

    fn node(reachable: bool) -> Node {
        let id = "k9vqn1p0r3a8j2m4x6t5b7c1d".parse().expect("an id");
        let mut node = Node::example(id, Availability::Active, 1);
        (node.role, node.reachable) = (Role::Manager, reachable);
        node
    }

    #[test]
    fn nobody_is_demoted_towards_a_lost_quorum() {
        let after = |managers, reachable, node| Quorum::new(managers, reachable).once(&node, Role::Worker);
        assert_eq!(after(3, 3, node(true)), Ok(Quorum::new(2, 2)));
        assert_eq!(after(5, 3, node(false)), Ok(Quorum::new(4, 3)));
        assert_eq!(after(3, 2, node(false)), Ok(Quorum::new(2, 2)), "the one that is gone");
        for (managers, reachable) in [(3, 2), (2, 1), (5, 3)] {
            let told = after(managers, reachable, node(true)).expect_err("refused");
            assert!(told.contains(&format!("{reachable} of {managers}")) && told.contains("needed"), "{told}");
        }
        assert!(after(1, 1, node(true)).expect_err("refused").contains("only manager"));
    }

    #[test]
    fn a_manager_more_bears_the_loss_of_more_or_is_refused() {
        let after = |managers, reachable| Quorum::new(managers, reachable).once(&node(false), Role::Manager);
        assert_eq!(after(1, 1).map(Quorum::spare), Ok(0));
        assert_eq!(after(2, 2).map(Quorum::spare), Ok(1));
        assert_eq!(after(3, 2), Ok(Quorum::new(4, 3)));
        assert!(after(5, 2).is_err());
    }
}
