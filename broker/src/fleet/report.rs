//! What every node is, as a pure function of nodes, ledger and time.

use std::collections::{BTreeMap, HashSet};

use protocol::{InviteId, KeyHash, NodeId, Role};
use serde::{Deserialize, Serialize};

use super::DRAINED_LABEL;
use crate::admission::{ADOPTED_LABEL, GRANT_LABEL};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::departure::{self, Concerned};
use crate::ledger::InviteState;
use crate::swarm::{Availability, Node};

/// The clocks of two managers differ by no more than this, in seconds.
const CLOCKS: u64 = 5;

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
    /// When it came into the swarm, in seconds since 1970.
    pub(crate) created: u64,
    /// When it confirmed, in seconds since 1970; none if the ledger has swept its invite.
    #[serde(default)]
    pub(crate) joined: Option<u64>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// A machine that claimed a use and has not confirmed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Booting {
    pub(crate) invite: InviteId,
    pub(crate) role: Option<Role>,
    pub(crate) key: KeyHash,
    /// When it claimed its use, in seconds since 1970.
    pub(crate) claimed: u64,
    /// When it was handed the token, if it was.
    pub(crate) redeemed: Option<u64>,
    /// Whether it may still finish.
    pub(crate) open: bool,
    /// Whether it waits for a person's answer.
    #[serde(default)]
    pub(crate) waits: bool,
}

/// All nodes, and the machines on their way.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) nodes: Vec<NodeLine>,
    pub(crate) booting: Vec<Booting>,
}

/// How long a node that confirmed may wait for its label, in seconds: a call to the engine follows the other.
const LABELLED: u64 = 30;

/// The report, and the invites that it was made with.
pub(crate) struct Look {
    pub(crate) report: Report,
    pub(crate) invites: Vec<InviteState>,
    /// The nodes that leave or may have gone, as they were read.
    pub(crate) departing: Vec<Concerned>,
    /// The managers that the leader does not reach.
    pub(crate) silent: Vec<NodeId>,
    /// The names of the ledger's objects that pass for invites and do not read: they explain and admit nobody.
    pub(crate) unread: Vec<String>,
}

impl Report {
    /// How many nodes are in this state.
    pub(crate) fn count(&self, state: NodeState) -> usize {
        self.nodes.iter().filter(|node| node.state == state).count()
    }
}

/// The report as of now.
pub(crate) async fn report(broker: &Broker) -> Result<Report, Denial> {
    look(broker).await.map(|look| look.report)
}

/// The report, and the invites that it was made with.
pub(crate) async fn look(broker: &Broker) -> Result<Look, Denial> {
    // The nodes first: what brought one in was committed before it came, and so is in what is read after it.
    let nodes = broker.engine.nodes().await?;
    let (invites, unread) = broker.invites.list_each().await?;
    let (departing, silent) = (departure::concerned(&nodes), departure::silent(&nodes));
    Ok(Look { report: explain(nodes, &invites, clock::now()), invites, departing, silent, unread })
}

/// What each node is.
pub(crate) fn explain(nodes: Vec<Node>, invites: &[InviteState], now: u64) -> Report {
    let booting: Vec<Booting> = invites
        .iter()
        .flat_map(|state| state.claims.uses.iter().map(move |(key, taken)| (state, key, taken)))
        .filter(|(_, _, taken)| taken.is_on_its_way() || taken.waits(now))
        .map(|(state, key, taken)| Booting {
            invite: state.policy.id().clone(),
            role: state.policy.invite().map(|invite| invite.role),
            key: key.clone(),
            claimed: taken.claimed,
            redeemed: taken.redeemed.as_ref().map(|redemption| redemption.last),
            open: taken.waits(now) || now < taken.window_ends(),
            waits: taken.waits(now),
        })
        .collect();
    // Those that confirmed a moment ago first: none of them takes the place of a machine that is on its way.
    let confirming = confirming(&nodes, invites, now);
    let on_the_way: Vec<&Node> = nodes.iter().filter(|node| !confirming.contains(&node.id)).collect();
    let mut pending = pending(&on_the_way, &booting);
    pending.extend(confirming);
    let nodes = nodes.into_iter().map(|node| line(node, invites, &pending)).collect();
    Report { nodes, booting }
}

/// The nodes that may be machines on their way: drained, without a label of ours, come after a use was claimed whose
/// token was handed out and whose window is open. Each such use accounts for one node, so that a machine which never
/// confirms hides nobody else.
fn pending(nodes: &[&Node], booting: &[Booting]) -> HashSet<NodeId> {
    let mut waiting: Vec<&Booting> = booting.iter().filter(|boot| boot.open && boot.redeemed.is_some()).collect();
    waiting.sort_by_key(|boot| boot.claimed);
    // One that was drained because nothing explained it is no machine on its way.
    let ours = [GRANT_LABEL, ADOPTED_LABEL, DRAINED_LABEL];
    let labelled = |node: &Node| ours.iter().any(|label| node.labels.contains_key(*label));
    let mut unlabelled: Vec<&Node> =
        nodes.iter().copied().filter(|node| !labelled(node) && node.availability == Availability::Drain).collect();
    unlabelled.sort_by_key(|node| node.created);
    let mut pending = HashSet::new();
    for node in unlabelled {
        let came_after =
            |boot: &&Booting| boot.role == Some(node.role) && node.created.saturating_add(CLOCKS) >= boot.claimed;
        if let Some(at) = waiting.iter().position(came_after) {
            waiting.remove(at);
            pending.insert(node.id.clone());
        }
    }
    pending
}

/// The nodes that confirmed a moment ago: the ledger says so, and the label was on its way when the nodes were read.
fn confirming(nodes: &[Node], invites: &[InviteState], now: u64) -> HashSet<NodeId> {
    let uses = invites.iter().flat_map(|state| state.claims.uses.values());
    let confirmed =
        uses.filter_map(|taken| taken.joined.as_ref()).filter(|join| now < join.at.saturating_add(LABELLED));
    let confirmed: HashSet<&NodeId> = confirmed.map(|join| &join.node).collect();
    let drained = nodes.iter().filter(|node| node.availability == Availability::Drain);
    drained.filter(|node| confirmed.contains(&node.id)).map(|node| node.id.clone()).collect()
}

fn line(node: Node, invites: &[InviteState], pending: &HashSet<NodeId>) -> NodeLine {
    let grant = node.labels.get(GRANT_LABEL).cloned();
    let adopted = node.labels.get(ADOPTED_LABEL).cloned();
    let granted = grant.as_deref().map(|grant| of_grant(grant, &node.id, invites));
    // A label that the ledger knows as another node's was copied by hand.
    let explained = adopted.is_some() || granted.as_ref().is_some_and(|granted| !matches!(granted, Granted::Another));
    let state = match (explained, node.ready) {
        (true, false) => NodeState::Down,
        (true, true) if granted.is_some() => NodeState::Joined,
        (true, true) => NodeState::Adopted,
        (false, _) if pending.contains(&node.id) => NodeState::Pending,
        (false, _) => NodeState::Unexplained,
    };
    let (invite, joined) = match granted {
        Some(Granted::By { invite, at }) => (Some(invite), Some(at)),
        Some(Granted::Another | Granted::Swept) | None => (None, None),
    };
    NodeLine {
        id: node.id,
        hostname: node.hostname,
        state,
        explained,
        grant,
        invite,
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
        joined,
        labels: node.labels,
    }
}

/// What the ledger says of the grant in a node's label.
enum Granted {
    By {
        invite: InviteId,
        at: u64,
    },
    Another,
    /// The ledger knows nothing of it any more.
    Swept,
}

fn of_grant(grant: &str, node: &NodeId, invites: &[InviteState]) -> Granted {
    for state in invites {
        for join in state.claims.uses.values().filter_map(|taken| taken.joined.as_ref()) {
            if join.grant.as_str() == grant {
                let by = || Granted::By { invite: state.policy.id().clone(), at: join.at };
                return if join.node == *node { by() } else { Granted::Another };
            }
        }
    }
    Granted::Swept
}

#[cfg(test)]
mod tests {
    use protocol::GrantId;

    use super::*;
    use crate::ledger::Operation;
    use crate::ledger::tests::invite;

    fn node(last: char, availability: Availability, created: u64) -> Node {
        let id = format!("{}{last}", "a".repeat(24)).parse().expect("a node id");
        Node::example(id, availability, created)
    }

    fn boot(claimed: u64, redeemed: bool, open: bool) -> Booting {
        Booting {
            invite: InviteId::random(),
            role: Some(Role::Worker),
            key: KeyHash::of_spki(b"key"),
            claimed,
            redeemed: redeemed.then_some(claimed),
            open,
            waits: false,
        }
    }

    #[test]
    fn a_machine_that_never_confirms_hides_no_other_node() {
        let nodes = [node('x', Availability::Drain, 105), node('y', Availability::Drain, 110)];
        let pending = pending(&nodes.each_ref(), &[boot(100, true, true)]);
        assert_eq!(pending.into_iter().collect::<Vec<_>>(), [nodes[0].id.clone()]);
    }

    #[test]
    fn a_node_that_confirmed_a_moment_ago_waits_for_its_label() {
        let node = node('x', Availability::Drain, 1);
        let invites = [joined(&node.id, &GrantId::random())];
        let state = |now| explain(vec![node.clone()], &invites, now).nodes[0].state;
        assert_eq!(state(1 + LABELLED - 1), NodeState::Pending, "not unexplained: no alarm");
        assert_eq!(state(1 + LABELLED), NodeState::Unexplained, "nobody labelled it");
        let mut active = node.clone();
        active.availability = Availability::Active;
        assert_eq!(explain(vec![active], &invites, 1).nodes[0].state, NodeState::Unexplained, "it takes tasks");
    }

    #[test]
    fn a_node_that_confirmed_takes_no_place_of_a_machine_on_its_way() {
        let (first, second) = (node('x', Availability::Drain, 105), node('y', Availability::Drain, 106));
        let mut invite = joined(&first.id, &GrantId::random());
        let (key, grant) = (KeyHash::of_spki(b"another"), GrantId::random().hash());
        let policy = crate::ledger::tests::invite(2);
        for operation in [
            Operation::Claim { key: key.clone() },
            Operation::Open { key: key.clone(), grant: grant.clone() },
            Operation::Redeem { key, grant, generation: 1 },
        ] {
            invite.claims.apply(Some(&policy), &operation, 1).expect("done");
        }
        // The first confirmed after the nodes were read, and before the invites were.
        let report = explain(vec![first, second], &[invite], 2);
        assert_eq!(report.count(NodeState::Pending), 2, "no alarm: {:?}", report.nodes);
    }

    #[test]
    fn only_a_drained_newcomer_can_be_pending() {
        let none = |nodes: &[Node; 1], boots: &[Booting]| pending(&nodes.each_ref(), boots).is_empty();
        let drained = [node('x', Availability::Drain, 105)];
        assert!(!none(&drained, &[boot(100, true, true)]));
        assert!(none(&drained, &[boot(100, false, true)]), "no token was handed out");
        assert!(none(&drained, &[boot(100, true, false)]), "the window has ended");
        assert!(none(&drained, &[boot(200, true, true)]), "it was there before");
        assert!(none(&[node('x', Availability::Active, 105)], &[boot(100, true, true)]), "our joiner drains");
        let mut told = node('x', Availability::Drain, 105);
        told.labels.insert(DRAINED_LABEL.to_owned(), "now".to_owned());
        assert!(none(&[told], &[boot(100, true, true)]), "it was drained because nothing explained it");
    }

    /// An invite whose one use became this node with this grant.
    fn joined(node: &NodeId, grant: &GrantId) -> InviteState {
        crate::ledger::tests::joined(invite(1), node, &grant.hash())
    }

    #[test]
    fn a_grants_label_explains_its_own_node_only() {
        let grant = GrantId::random();
        let labelled = |last: char, label: &str, value: &str| {
            let mut node = node(last, Availability::Active, 1);
            node.labels.insert(label.to_owned(), value.to_owned());
            node
        };
        let own = labelled('x', GRANT_LABEL, grant.hash().as_str());
        let mut down = own.clone();
        down.ready = false;
        let invites = [joined(&own.id, &grant)];
        let nodes = vec![
            own,
            down,
            labelled('y', GRANT_LABEL, grant.hash().as_str()),
            // The ledger has swept its invite.
            labelled('z', GRANT_LABEL, GrantId::random().hash().as_str()),
            labelled('z', ADOPTED_LABEL, "by hand"),
            node('z', Availability::Active, 1),
        ];
        let states: Vec<_> = explain(nodes, &invites, 1).nodes.into_iter().map(|node| node.state).collect();
        let expected = [
            NodeState::Joined,
            NodeState::Down,
            NodeState::Unexplained,
            NodeState::Joined,
            NodeState::Adopted,
            NodeState::Unexplained,
        ];
        assert_eq!(states, expected);
    }
}
