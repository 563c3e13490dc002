//! What `--expect --json` prints: all that `--json` does, and the same sorted by state.

use serde::Serialize;

use crate::fleet::{Absent, Compared, Comparison, Missing, NodeState};

/// The names are stable.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    #[serde(flatten)]
    all: &'a Comparison,
    joined: Vec<&'a Compared>,
    adopted: Vec<&'a Compared>,
    pending: Vec<&'a Compared>,
    down: Vec<&'a Compared>,
    unexplained: Vec<&'a Compared>,
    /// Those of `missing` that a broker refused.
    refused: Vec<&'a Missing>,
}

impl<'a> Object<'a> {
    pub(super) fn of(all: &'a Comparison) -> Self {
        let nodes = |state| all.nodes.iter().filter(|one| one.node.state == state).collect();
        Self {
            all,
            joined: nodes(NodeState::Joined),
            adopted: nodes(NodeState::Adopted),
            pending: nodes(NodeState::Pending),
            down: nodes(NodeState::Down),
            unexplained: nodes(NodeState::Unexplained),
            refused: all.missing.iter().filter(|one| one.state == Absent::Refused).collect(),
        }
    }
}
