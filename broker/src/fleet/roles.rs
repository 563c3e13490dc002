//! A worker becomes a manager, or the reverse, as an operator says.
//!
//! Keeps promise 10: who promotes a node explains it as a manager, and its broker gets the cluster's keys for that. Must not
//! promote what nothing explains, nor lose the swarm's quorum.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use protocol::{KeyHash, Role};
use serde::{Deserialize, Serialize};

use super::quorum::{Quorum, is_settled};
use super::{NodeLine, NodeState};
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::handover;
use crate::ledger::InviteState;
use crate::swarm::{EngineError, NodeChange};

/// How long the managers' raft is waited for.
const SETTLES: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(500);

/// What was done.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RoleChanged {
    pub(crate) node: String,
    pub(crate) hostname: String,
    pub(crate) role: Role,
    /// Whether it was that before: then nothing was changed.
    pub(crate) already: bool,
    /// Whether the managers' raft has followed.
    pub(crate) settled: bool,
    pub(crate) before: Quorum,
    pub(crate) after: Quorum,
    /// How many managers may fail now.
    pub(crate) spare: usize,
}

/// Why it was not done, for the operator; nothing was changed.
pub(crate) type Complaint = String;

/// Gives a node this role.
pub(crate) async fn change_role(
    broker: &Broker,
    line: &NodeLine,
    role: Role,
    invites: &[InviteState],
    reason: Option<&str>,
    operator: &str,
) -> Result<RoleChanged, Result<Complaint, Denial>> {
    let unknown = |error: EngineError| Err(Denial::from(error));
    let nodes = broker.engine.nodes().await.map_err(unknown)?;
    let node = nodes.iter().find(|node| node.id == line.id);
    let gone = || Denial::Unavailable(format!("{} has just left the swarm", line.hostname));
    let node = node.ok_or_else(|| Err(gone()))?;
    let before = Quorum::of(&nodes);
    let told = |after: Quorum, already, settled| RoleChanged {
        node: node.id.to_string(),
        hostname: node.hostname.clone(),
        role,
        already,
        settled,
        before,
        after,
        spare: after.spare(),
    };
    if node.role == role {
        if role == Role::Manager && !handover::is_vouched(broker, &node.id, &node.labels) {
            let what = "is a manager, and nothing explains it as one: if it belongs there, 'broker adopt";
            return Err(Ok(format!("{} {what} {} --reason TEXT'", node.hostname, node.id)));
        }
        return Ok(told(before, true, is_settled(&nodes, &node.id, role)));
    }
    if role == Role::Manager {
        // What explains it is in the ledger.
        broker.sentinel.check().map_err(|error| Err(error.into()))?;
        may_be_promoted(line).map_err(Ok)?;
    }
    let after = before.once(node, role).map_err(Ok)?;

    let key = if role == Role::Manager { key_of(broker, line, invites).await? } else { None };
    let change = match role {
        Role::Manager => {
            let voucher = handover::vouch(broker, &node.id, key.clone()).map_err(Err)?;
            let labels = BTreeMap::from([(handover::LABEL.to_owned(), voucher)]);
            NodeChange { labels, role: Some(role), ..NodeChange::default() }
        }
        Role::Worker => {
            NodeChange { without: vec![handover::LABEL.to_owned()], role: Some(role), ..NodeChange::default() }
        }
    };
    let record = |event| Record {
        node: Some(node.id.clone()),
        hostname: Some(node.hostname.clone()),
        role: Some(role),
        key: key.clone(),
        operator: Some(operator.to_owned()),
        detail: reason.map(str::to_owned),
        ..Record::new(event)
    };
    broker.audit.record(record(Event::NodeRoleChanging)).await.map_err(|error| Err(error.into()))?;
    broker.engine.change_node(node, change).await.map_err(|error| match error {
        EngineError::OutOfSequence => {
            Err(Denial::Unavailable("somebody else changes this node at the same time: run this again".to_owned()))
        }
        error => Err(error.into()),
    })?;
    broker.audit.record(record(Event::NodeRoleChanged)).await.map_err(|error| Err(error.into()))?;
    Ok(told(after, false, settles(broker, line, role).await))
}

fn may_be_promoted(line: &NodeLine) -> Result<(), Complaint> {
    match line.state {
        NodeState::Joined | NodeState::Adopted => Ok(()),
        NodeState::Pending => Err(format!("{} has not confirmed: run 'joiner join' on it", line.hostname)),
        NodeState::Down => {
            Err(format!("{} is not Ready: a manager that cannot be reached is worse than none", line.hostname))
        }
        NodeState::Unexplained => {
            let NodeLine { hostname, id, .. } = line;
            Err(format!("nothing explains {hostname}: if it belongs here, 'broker adopt {id} --reason TEXT' first"))
        }
    }
}

/// The key by which a node confirmed: its broker must show it when it asks for the cluster's keys. None for one that was
/// adopted.
async fn key_of(
    broker: &Broker,
    line: &NodeLine,
    invites: &[InviteState],
) -> Result<Option<KeyHash>, Result<Complaint, Denial>> {
    let Some(grant) = &line.grant else { return Ok(None) };
    let uses = invites.iter().flat_map(|state| &state.claims.uses);
    let listed = uses
        .filter_map(|(key, taken)| Some((key, taken.joined.as_ref()?)))
        .find(|(_, join)| join.node == line.id && join.grant.as_str() == grant);
    if let Some((key, _)) = listed {
        return Ok(Some(key.clone()));
    }
    match handover::confirmed_key(broker, &line.id, grant).await.map_err(Err)? {
        Some(key) => Ok(Some(key)),
        None => Err(Ok(format!(
            "neither the ledger nor a log here says by which key {0} confirmed, so its broker could not show that it is the one. \
             If you know this machine: 'docker node promote {1}', then 'broker adopt {1} --reason TEXT'",
            line.hostname, line.id
        ))),
    }
}

/// The leader changes raft by and by. A manager that demotes itself does not see the end of it.
async fn settles(broker: &Broker, line: &NodeLine, role: Role) -> bool {
    let until = Instant::now() + SETTLES;
    loop {
        match broker.engine.nodes().await {
            Ok(nodes) if is_settled(&nodes, &line.id, role) => return true,
            Err(EngineError::Worker | EngineError::NotManager) => return role == Role::Worker,
            Ok(_) | Err(_) if Instant::now() >= until => return false,
            Ok(_) | Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}
