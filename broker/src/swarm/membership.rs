//! What the local engine is in its swarm.
//!
//! Must not take an engine that knows no cluster for a manager: it has no quorum.

use bollard::models::LocalNodeState;
use protocol::{NodeId, SwarmId};

use super::{Engine, EngineError};

/// The local engine as a manager of its swarm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Membership {
    /// The swarm.
    pub(crate) swarm: SwarmId,
    /// The local node.
    pub(crate) node: NodeId,
    /// The swarm's root certificates, PEM.
    pub(crate) roots: String,
    /// How many managers there are.
    pub(crate) managers: i64,
    /// How many nodes there are.
    pub(crate) nodes: i64,
    /// The local node's address.
    pub(crate) address: String,
}

impl Engine {
    /// The local engine's membership, if it is a manager of a swarm.
    pub(crate) async fn membership(&self) -> Result<Membership, EngineError> {
        let info = self.call(|docker| async move { docker.info().await }).await?;
        let swarm = info.swarm.ok_or(EngineError::NotManager)?;
        if swarm.control_available != Some(true) {
            return Err(no_manager(swarm.local_node_state));
        }
        // Without a leader the engine still says that it is a manager, but knows no cluster.
        let cluster = swarm.cluster.ok_or(EngineError::NoQuorum)?;
        let id = cluster.id.filter(|id| !id.is_empty()).ok_or(EngineError::NoQuorum)?;
        let node = swarm.node_id.ok_or(EngineError::Incomplete("the node's id"))?;
        Ok(Membership {
            swarm: id.parse().map_err(|_| EngineError::Incomplete("a swarm id of the usual form"))?,
            node: node.parse().map_err(|_| EngineError::Incomplete("a node id of the usual form"))?,
            roots: cluster
                .tls_info
                .and_then(|tls| tls.trust_root)
                .ok_or(EngineError::Incomplete("the swarm's root certificate"))?,
            managers: swarm.managers.unwrap_or(0),
            nodes: swarm.nodes.unwrap_or(0),
            address: swarm.node_addr.unwrap_or_default(),
        })
    }
}

/// Why an engine that does not control its swarm does not: it may be a manager that has not got there yet.
fn no_manager(state: Option<LocalNodeState>) -> EngineError {
    match state {
        Some(LocalNodeState::LOCKED) => EngineError::Locked,
        Some(LocalNodeState::PENDING | LocalNodeState::ERROR) => EngineError::NotYet,
        Some(LocalNodeState::ACTIVE) => EngineError::Worker,
        Some(LocalNodeState::INACTIVE | LocalNodeState::EMPTY) | None => EngineError::NotManager,
    }
}
