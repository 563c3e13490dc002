//! What every node is, as a pure function of nodes, ledger and time.

use std::collections::BTreeMap;

use protocol::{InviteId, KeyHash, NodeId, Role};
use serde::{Deserialize, Serialize};

use crate::admission::{ADOPTED_LABEL, GRANT_LABEL};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::ledger::InviteState;
use crate::swarm::Node;

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum NodeState {
    /// Confirmed with a grant, and Ready.
    Joined,
    /// Adopted, and Ready.
    Adopted,
    /// In the swarm while a redeemed grant waits for its confirm; not labelled, and drained by its own request.
    Pending,
    /// Not Ready.
    Down,
    /// Nothing explains it.
    Unexplained,
}

/// One node of the report. The names are stable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct NodeLine {
    pub(crate) id: NodeId,
    pub(crate) hostname: String,
    pub(crate) state: NodeState,
    pub(crate) explained: bool,
    pub(crate) grant: Option<String>,
    pub(crate) invite: Option<InviteId>,
    pub(crate) adopted: Option<String>,
    pub(crate) role: Role,
    pub(crate) availability: String,
    pub(crate) ready: bool,
    pub(crate) address: String,
    pub(crate) engine: String,
    /// In seconds since 1970.
    pub(crate) created: u64,
    pub(crate) labels: BTreeMap<String, String>,
}

/// A machine that claimed a use and has not confirmed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Booting {
    pub(crate) invite: InviteId,
    pub(crate) key: KeyHash,
    /// When it claimed its use, in seconds since 1970.
    pub(crate) claimed: u64,
    /// When it was handed the token, if it was.
    pub(crate) redeemed: Option<u64>,
    /// Whether it may still finish.
    pub(crate) open: bool,
}

/// All nodes, and the machines on their way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) nodes: Vec<NodeLine>,
    pub(crate) booting: Vec<Booting>,
}

impl Report {
    /// How many nodes are in this state.
    pub(crate) fn count(&self, state: NodeState) -> usize {
        self.nodes.iter().filter(|node| node.state == state).count()
    }
}

/// The report as of now.
pub(crate) async fn report(broker: &Broker) -> Result<Report, Denial> {
    let invites = broker.invites.list().await?;
    let nodes = broker.engine.nodes().await?;
    Ok(explain(nodes, &invites, clock::now()))
}

fn explain(nodes: Vec<Node>, invites: &[InviteState], now: u64) -> Report {
    let booting: Vec<Booting> = invites
        .iter()
        .flat_map(|state| state.claims.uses.iter().map(move |(key, taken)| (state, key, taken)))
        .filter(|(_, _, taken)| taken.joined.is_none())
        .map(|(state, key, taken)| Booting {
            invite: state.policy.id().clone(),
            key: key.clone(),
            claimed: taken.claimed,
            redeemed: taken.redeemed.as_ref().map(|redemption| redemption.last),
            open: now < taken.claimed.saturating_add(crate::ledger::WINDOW),
        })
        .collect();
    let nodes = nodes.into_iter().map(|node| line(node, invites, &booting)).collect();
    Report { nodes, booting }
}

fn line(node: Node, invites: &[InviteState], booting: &[Booting]) -> NodeLine {
    let grant = node.labels.get(GRANT_LABEL).cloned();
    let adopted = node.labels.get(ADOPTED_LABEL).cloned();
    let granted = grant.as_deref().map(|grant| of_grant(grant, &node.id, invites));
    // A label that the ledger knows as another node's was copied by hand.
    let explained = adopted.is_some() || granted.as_ref().is_some_and(|granted| !matches!(granted, Granted::Another));
    let awaited = booting
        .iter()
        .any(|boot| boot.redeemed.is_some_and(|at| node.created.saturating_add(5) >= at.min(boot.claimed)));
    let state = match (explained, node.ready) {
        (true, false) => NodeState::Down,
        (true, true) if granted.is_some() => NodeState::Joined,
        (true, true) => NodeState::Adopted,
        (false, _) if grant.is_none() && awaited => NodeState::Pending,
        (false, _) => NodeState::Unexplained,
    };
    NodeLine {
        id: node.id,
        hostname: node.hostname,
        state,
        explained,
        grant,
        invite: granted.and_then(|granted| match granted {
            Granted::By(invite) => Some(invite),
            Granted::Another | Granted::Swept => None,
        }),
        adopted,
        role: node.role,
        availability: serde_json::to_value(node.availability)
            .ok()
            .and_then(|value| value.as_str().map(str::to_owned))
            .unwrap_or_default(),
        ready: node.ready,
        address: node.address,
        engine: node.engine,
        created: node.created,
        labels: node.labels,
    }
}

/// What the ledger says of the grant in a node's label.
enum Granted {
    By(InviteId),
    Another,
    /// The ledger knows nothing of it any more.
    Swept,
}

fn of_grant(grant: &str, node: &NodeId, invites: &[InviteState]) -> Granted {
    for state in invites {
        for join in state.claims.uses.values().filter_map(|taken| taken.joined.as_ref()) {
            if join.grant.as_str() == grant {
                return if join.node == *node { Granted::By(state.policy.id().clone()) } else { Granted::Another };
            }
        }
    }
    Granted::Swept
}
