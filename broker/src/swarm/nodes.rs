//! The swarm's nodes: read, and changed only at the version that was read.
//!
//! Keeps promise 9 (labels come from the invite, set by a manager). Must not remove a node by force: the engine itself
//! refuses to remove one that is ready.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;

use bollard::models::{NodeSpec, NodeSpecAvailabilityEnum, NodeSpecRoleEnum, NodeState, Reachability};
use bollard::query_parameters::{DeleteNodeOptionsBuilder, ListNodesOptions, UpdateNodeOptionsBuilder};
use protocol::{MAX_HOSTNAME, NodeId, Role};
use serde::Serialize;

use super::{Engine, EngineError};
use crate::clock;

/// Whether a node gets tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Availability {
    /// It gets tasks.
    Active,
    /// It keeps its tasks and gets no more.
    Pause,
    /// It gets none and loses those it has.
    Drain,
}

/// A node as the swarm sees it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own that the swarm tells")]
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) version: u64,
    pub(crate) hostname: String,
    pub(crate) role: Role,
    pub(crate) availability: Availability,
    pub(crate) ready: bool,
    /// Its managers have not heard of it for longer than they wait. One that is not ready may be on its way back.
    pub(crate) down: bool,
    /// What it is reached at.
    pub(crate) address: String,
    pub(crate) engine: String,
    pub(crate) labels: BTreeMap<String, String>,
    /// `HOST:PORT`, for managers, whether they are reached or not.
    pub(crate) manager: Option<String>,
    pub(crate) leader: bool,
    /// Whether the leader reaches it as a manager.
    pub(crate) reachable: bool,
    /// When the node came into the swarm, in seconds since 1970.
    pub(crate) created: u64,
    /// When it was changed last, in seconds since 1970: since then at the most it has been down. None if that does not read.
    pub(crate) updated: Option<u64>,
    spec: NodeSpec,
}

/// A change of one node: labels to add, labels to take off, availability, and role.
#[derive(Clone, Debug, Default)]
pub(crate) struct NodeChange {
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) without: Vec<String>,
    pub(crate) availability: Option<Availability>,
    pub(crate) role: Option<Role>,
}

impl Engine {
    /// All nodes.
    pub(crate) async fn nodes(&self) -> Result<Vec<Node>, EngineError> {
        let list = || async {
            let nodes = self.call(|docker| async move { docker.list_nodes(None::<ListNodesOptions>).await }).await?;
            nodes.into_iter().map(Node::read).collect()
        };
        self.asked().nodes.ask("", list).await
    }

    /// One node.
    pub(crate) async fn node(&self, id: &NodeId) -> Result<Node, EngineError> {
        let name = id.to_string();
        Node::read(self.call(|docker| async move { docker.inspect_node(&name).await }).await?)
    }

    /// Changes a node in one update, if it is still as it was read.
    pub(crate) async fn change_node(&self, node: &Node, change: NodeChange) -> Result<(), EngineError> {
        let mut spec = node.spec.clone();
        let labels = spec.labels.get_or_insert_default();
        labels.extend(change.labels);
        for label in change.without {
            labels.remove(&label);
        }
        if let Some(availability) = change.availability {
            spec.availability = Some(match availability {
                Availability::Active => NodeSpecAvailabilityEnum::ACTIVE,
                Availability::Pause => NodeSpecAvailabilityEnum::PAUSE,
                Availability::Drain => NodeSpecAvailabilityEnum::DRAIN,
            });
        }
        if let Some(role) = change.role {
            spec.role = Some(match role {
                Role::Manager => NodeSpecRoleEnum::MANAGER,
                Role::Worker => NodeSpecRoleEnum::WORKER,
            });
        }
        let id = node.id.to_string();
        let version = i64::try_from(node.version).map_err(|_| EngineError::Incomplete("a version in range"))?;
        let options = UpdateNodeOptionsBuilder::default().version(version).build();
        self.call(|docker| async move { docker.update_node(&id, spec, options).await }).await
    }

    /// Removes a node. The engine refuses to remove one that is ready, or that is meant to be a manager, and no other: who
    /// calls this has made sure that it is down.
    pub(crate) async fn remove_node(&self, id: &NodeId) -> Result<(), EngineError> {
        let name = id.to_string();
        let options = DeleteNodeOptionsBuilder::default().force(false).build();
        self.call(|docker| async move { docker.delete_node(&name, Some(options)).await }).await
    }
}

impl Node {
    /// A Ready worker without labels, for decisions that are tested without an engine.
    #[cfg(test)]
    pub(crate) fn example(id: NodeId, availability: Availability, created: u64) -> Self {
        Self {
            id,
            version: 1,
            hostname: String::new(),
            role: Role::Worker,
            availability,
            ready: true,
            down: false,
            address: String::new(),
            engine: String::new(),
            labels: BTreeMap::new(),
            manager: None,
            leader: false,
            reachable: false,
            created,
            updated: Some(created),
            spec: NodeSpec::default(),
        }
    }

    fn read(node: bollard::models::Node) -> Result<Self, EngineError> {
        let spec = node.spec.ok_or(EngineError::Incomplete("a node's spec"))?;
        let status = node.status.unwrap_or_default();
        let description = node.description.unwrap_or_default();
        let manager = node.manager_status;
        let manages_at = manager.as_ref().and_then(|manager| manager.addr.clone()).filter(|at| !at.is_empty());
        Ok(Self {
            id: node.id.and_then(|id| id.parse().ok()).ok_or(EngineError::Incomplete("a node id of the usual form"))?,
            version: node
                .version
                .and_then(|version| version.index)
                .ok_or(EngineError::Incomplete("a node's version"))?,
            hostname: plain(&description.hostname.unwrap_or_default()),
            role: match spec.role {
                Some(NodeSpecRoleEnum::MANAGER) => Role::Manager,
                _ => Role::Worker,
            },
            availability: match spec.availability {
                Some(NodeSpecAvailabilityEnum::DRAIN) => Availability::Drain,
                Some(NodeSpecAvailabilityEnum::PAUSE) => Availability::Pause,
                _ => Availability::Active,
            },
            ready: status.state == Some(NodeState::READY),
            down: status.state == Some(NodeState::DOWN),
            address: reached_at(manages_at.as_deref(), status.addr),
            engine: plain(&description.engine.and_then(|engine| engine.engine_version).unwrap_or_default()),
            labels: spec.labels.clone().unwrap_or_else(HashMap::new).into_iter().collect(),
            reachable: manager.as_ref().is_some_and(|manager| manager.reachability == Some(Reachability::REACHABLE)),
            leader: manager.as_ref().is_some_and(|manager| manager.leader == Some(true)),
            manager: manages_at,
            created: node.created_at.as_deref().and_then(clock::read).unwrap_or(0),
            updated: node.updated_at.as_deref().and_then(clock::read),
            spec,
        })
    }
}

/// A manager's address is the one that the other managers have. The status is what the leader saw of the node's connection: of
/// its own it sees 0.0.0.0, or a loopback address (moby #35437).
fn reached_at(manages_at: Option<&str>, status: Option<String>) -> String {
    let of_manager = manages_at.and_then(|at| at.parse::<SocketAddr>().ok()).map(|at| at.ip());
    of_manager.filter(|ip| !ip.is_unspecified()).map_or(status.unwrap_or_default(), |ip| ip.to_string())
}

/// What a node says of itself, made fit for logs and terminals: its root decides what it is called.
fn plain(text: &str) -> String {
    text.chars().take(MAX_HOSTNAME).map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_leader_is_at_the_address_that_the_others_have() {
        let at = |manager, status: &str| reached_at(manager, Some(status.to_owned()));
        assert_eq!(at(Some("10.0.0.12:2377"), "0.0.0.0"), "10.0.0.12");
        assert_eq!(at(Some("[fd00::1]:2377"), "127.0.0.1"), "fd00::1");
        for no_better in [None, Some("0.0.0.0:2377"), Some("a name:2377")] {
            assert_eq!(at(no_better, "10.0.0.5"), "10.0.0.5", "{no_better:?}");
        }
    }
}
