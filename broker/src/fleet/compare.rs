//! What was expected, held against what is. A pure function of the list, the nodes, the ledger, the logs and the time.
//!
//! Must not call a machine there that is not: a node that nothing explains is there, and unexplained.

use std::collections::BTreeMap;
use std::net::IpAddr;

use protocol::{InviteId, KeyHash, NodeId, Role};
use serde::Serialize;

use super::expected::{Expected, ExpectedMachine, Match};
use super::report::{Booting, NodeLine, NodeState, Report};
use super::seen::Seen;
use crate::audit::Sighting;
use crate::clock::Time;

/// What there is, and what is missing. The names are stable.
#[derive(Debug, Serialize)]
pub(crate) struct Comparison {
    /// How many machines are expected; null without a list.
    pub(crate) expected: Option<usize>,
    /// How many of them have joined, or were adopted, and are Ready.
    pub(crate) there: usize,
    pub(crate) nodes: Vec<Compared>,
    pub(crate) booting: Vec<OnTheWay>,
    /// The expected machines that have not joined.
    pub(crate) missing: Vec<Missing>,
}

/// A node.
#[derive(Debug, Serialize)]
pub(crate) struct Compared {
    #[serde(flatten)]
    pub(crate) node: NodeLine,
    /// The expected machine that it is, as the list names it.
    pub(crate) expected: Option<String>,
    /// The expected machine that it calls itself, while another node is that one.
    pub(crate) twin_of: Option<String>,
    /// Where the list has it, if that is elsewhere.
    pub(crate) listed_at: Option<IpAddr>,
    /// How long it has been in the swarm, in seconds.
    pub(crate) age_s: u64,
}

/// A machine that claimed a use and has not confirmed.
#[derive(Debug, Serialize)]
pub(crate) struct OnTheWay {
    #[serde(flatten)]
    pub(crate) boot: Booting,
    /// What it calls itself, and where it called from, as the logs have it.
    pub(crate) hostname: Option<String>,
    pub(crate) source: Option<IpAddr>,
}

/// How far an expected machine came that has not joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Absent {
    /// It has a use, and may still confirm.
    Booting,
    /// A broker refused it, and it did not come again.
    Refused,
    /// Neither.
    Missing,
}

/// An expected machine that has not joined.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Missing {
    pub(crate) state: Absent,
    /// One word of a fixed set; of a refusal, as the audit log has it.
    pub(crate) reason: String,
    /// As the list names it.
    pub(crate) hostname: String,
    pub(crate) address: Option<IpAddr>,
    /// Where it called from.
    pub(crate) source: Option<IpAddr>,
    /// The node that it became, if it waits for its confirm.
    pub(crate) node: Option<NodeId>,
    pub(crate) invite: Option<InviteId>,
    pub(crate) role: Option<Role>,
    pub(crate) key: Option<KeyHash>,
    pub(crate) since: Option<Time>,
}

/// The reasons of those that no broker refused.
pub(crate) const NO_APPROVAL: &str = "no-approval";
pub(crate) const NO_TOKEN: &str = "no-token";
pub(crate) const NO_CONFIRM: &str = "no-confirm";
pub(crate) const WINDOW_ENDED: &str = "window-ended";
pub(crate) const GONE: &str = "gone";
pub(crate) const NEVER_SEEN: &str = "never-seen";

impl Comparison {
    /// How many nodes are in this state.
    pub(crate) fn count(&self, state: NodeState) -> usize {
        self.nodes.iter().filter(|one| one.node.state == state).count()
    }

    /// How many nodes call themselves as an expected machine does that another one is: on a spent name, perhaps.
    pub(crate) fn twins(&self) -> usize {
        self.nodes.iter().filter(|one| one.twin_of.is_some()).count()
    }

    /// How many expected machines came so far and no farther.
    pub(crate) fn absent(&self, state: Absent) -> usize {
        self.missing.iter().filter(|one| one.state == state).count()
    }

    /// How many expected machines have not joined, or are not Ready.
    pub(crate) fn wanting(&self) -> usize {
        self.expected.unwrap_or(0).saturating_sub(self.there)
    }
}

/// Compares. Without a list nothing is missing.
pub(crate) fn compare(report: Report, expected: Option<&Expected>, seen: &Seen, now: u64) -> Comparison {
    let Report { nodes, booting } = report;
    let nothing = Expected::default();
    let machines = expected.unwrap_or(&nothing);
    let whose = whose(&nodes, machines);
    let mut of_machine: BTreeMap<usize, Vec<&NodeLine>> = BTreeMap::new();
    for (node, whose) in nodes.iter().zip(&whose) {
        if let Whose::Is(at) = whose {
            of_machine.entry(*at).or_default().push(node);
        }
    }
    let (mut missing, mut there) = (Vec::new(), 0);
    for (at, machine) in machines.machines().iter().enumerate() {
        let nodes = of_machine.get(&at).map_or(&[][..], Vec::as_slice);
        match standing(machine, nodes, seen.last(at), &booting) {
            Standing::There => there += 1,
            Standing::Missing(one) => missing.push(*one),
            Standing::ANode => {}
        }
    }
    let compared = nodes.into_iter().zip(whose).map(|(node, whose)| {
        let age_s = now.saturating_sub(node.created);
        let machine = |at: usize| machines.machines().get(at);
        let name = |at: usize| machine(at).map(|machine| machine.name.clone());
        let (expected, twin_of, listed) = match whose {
            Whose::Is(at) => (name(at), None, machine(at).and_then(|machine| machine.address)),
            Whose::Twin(at) => (None, name(at), None),
            Whose::Nobodys => (None, None, None),
        };
        let own = address(&node);
        let listed_at = listed.filter(|listed| own.is_some_and(|own| own != *listed));
        Compared { node, expected, twin_of, listed_at, age_s }
    });
    let compared = compared.collect();
    let on_the_way = booting.into_iter().map(|boot| {
        let caller = seen.caller(&boot.key).cloned();
        let (hostname, source) = caller.map_or((None, None), |caller| (caller.hostname, caller.source));
        OnTheWay { boot, hostname, source }
    });
    let booting = on_the_way.collect();
    Comparison { expected: expected.map(|list| list.machines().len()), there, nodes: compared, booting, missing }
}

/// What a node is to the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// The machine at this place of it.
    Is(usize),
    /// It calls itself so, and another node is that machine.
    Twin(usize),
    Nobodys,
}

/// For each node what it is to the list. A machine is one node that is not down, and any number of rows that are: those of its
/// former lives, known by the name only, since their address may be another machine's by now.
fn whose(nodes: &[NodeLine], expected: &Expected) -> Vec<Whose> {
    let found = nodes.iter().map(|node| {
        let address = if node.state == NodeState::Down { None } else { address(node) };
        expected.find(Some(&node.hostname), address)
    });
    let found: Vec<Option<Match>> = found.collect();
    // Of several that may be one machine the best; of those the one that came first.
    let mut best: BTreeMap<usize, (Rank, usize)> = BTreeMap::new();
    for (number, (node, found)) in nodes.iter().zip(&found).enumerate() {
        if let Some(found) = found.filter(|_| node.state != NodeState::Down) {
            let mine = (rank(node, found, expected), number);
            best.entry(found.at()).and_modify(|best| *best = mine.min(*best)).or_insert(mine);
        }
    }
    let whose = found.into_iter().enumerate().map(|(number, found)| {
        let Some(found) = found else { return Whose::Nobodys };
        let chosen = best.get(&found.at()).is_some_and(|(_, chosen)| *chosen == number);
        match found {
            found if chosen || nodes[number].state == NodeState::Down => Whose::Is(found.at()),
            Match::Name(at) => Whose::Twin(at),
            Match::Address(_) => Whose::Nobodys,
        }
    });
    whose.collect()
}

/// How little it speaks for a node that it is a machine: that nothing explains it; that the list has the machine elsewhere;
/// that it has another name; that it came late. Whoever has an invite chooses a hostname, and not where it is.
type Rank = (bool, bool, bool, u64);

fn rank(node: &NodeLine, found: Match, expected: &Expected) -> Rank {
    let unexplained = node.state == NodeState::Unexplained;
    let listed = expected.machines().get(found.at()).and_then(|machine| machine.address);
    let elsewhere = listed.is_some() && listed != address(node);
    (unexplained, elsewhere, matches!(found, Match::Address(_)), node.created)
}

fn address(node: &NodeLine) -> Option<IpAddr> {
    node.address.parse().ok()
}

/// What became of an expected machine.
enum Standing {
    There,
    /// It is a node that is down, or that nothing explains: the node tells it.
    ANode,
    Missing(Box<Missing>),
}

fn standing(machine: &ExpectedMachine, nodes: &[&NodeLine], last: Option<&Sighting>, booting: &[Booting]) -> Standing {
    let is = |state: NodeState| nodes.iter().find(|node| node.state == state);
    if is(NodeState::Joined).or(is(NodeState::Adopted)).is_some() {
        return Standing::There;
    }
    let missing = absence(machine, last, booting);
    if let Some(pending) = is(NodeState::Pending) {
        return Standing::Missing(Box::new(unconfirmed(missing, pending)));
    }
    let came = nodes.iter().map(|node| node.joined.unwrap_or(node.created)).max();
    // The row of a former life says less than what the machine does since.
    let since_then = || last.is_some_and(|seen| came.is_none_or(|came| seen.at > came));
    match came {
        None => Standing::Missing(Box::new(missing)),
        Some(_) if is(NodeState::Unexplained).is_some() => Standing::ANode,
        Some(_) if missing.state != Absent::Missing && since_then() => Standing::Missing(Box::new(missing)),
        Some(_) => Standing::ANode,
    }
}

/// A machine that is a node already, and waits for its confirm, unless that was refused.
fn unconfirmed(missing: Missing, node: &NodeLine) -> Missing {
    let (role, since) = (missing.role.or(Some(node.role)), missing.since.or(Some(Time(node.created))));
    let (state, reason) = match missing.state {
        Absent::Refused => (Absent::Refused, missing.reason),
        Absent::Booting | Absent::Missing => (Absent::Booting, NO_CONFIRM.to_owned()),
    };
    Missing { state, reason, node: Some(node.id.clone()), role, since, ..missing }
}

/// What is known of a machine that is no node.
fn absence(machine: &ExpectedMachine, last: Option<&Sighting>, booting: &[Booting]) -> Missing {
    let unseen = Missing {
        state: Absent::Missing,
        reason: NEVER_SEEN.into(),
        hostname: machine.name.clone(),
        address: machine.address,
        source: None,
        node: None,
        invite: None,
        role: None,
        key: None,
        since: None,
    };
    let Some(last) = last else { return unseen };
    let boot = booting.iter().find(|boot| Some(&boot.key) == last.key.as_ref());
    let (state, reason) = match (&last.refused, boot) {
        (Some(reason), _) => (Absent::Refused, reason.as_str()),
        (None, None) => (Absent::Missing, GONE),
        (None, Some(boot)) if boot.waits => (Absent::Booting, NO_APPROVAL),
        (None, Some(boot)) if !boot.open => (Absent::Missing, WINDOW_ENDED),
        (None, Some(boot)) if boot.redeemed.is_some() => (Absent::Booting, NO_CONFIRM),
        (None, Some(_)) => (Absent::Booting, NO_TOKEN),
    };
    Missing {
        state,
        reason: reason.to_owned(),
        source: last.source,
        invite: last.invite.clone(),
        role: last.role,
        key: last.key.clone(),
        since: Some(Time(last.at)),
        ..unseen
    }
}

#[cfg(test)]
#[path = "compare_tests.rs"]
mod tests;
