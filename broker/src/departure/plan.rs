//! What a look at the nodes makes of those that leave or have gone: a function of the nodes, of the time, and of how long they
//! were seen as they are.
//!
//! Must not do anything itself, and takes every doubt for "not now". Two clocks must agree that a node was down for its
//! time: the swarm's, which an outage does not stop and somebody may set, and this broker's own, which begins at its start.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use protocol::{NodeId, Role};

use super::{EPHEMERAL_LABEL, GONE_LABEL, LEAVING_LABEL, REMOVING_LABEL, REPLACES_LABEL};
use crate::admission::GRANT_LABEL;
use crate::swarm::{Availability, Node};

/// The clocks of two managers differ by no more than this, in seconds.
const CLOCKS: u64 = 5;
/// For so long the broker that has taken a removal on has it alone, in seconds.
const TURN: u64 = 30;
/// When it lets it go, counted from before it took it on: its last call to the engine ends before another's turn may begin.
pub(super) const LATEST: Duration = Duration::from_secs(20);
/// So long at the most a broker must itself have seen an ephemeral node down: a machine that was cut off together with the
/// managers, or by a clock that was set, has that time to come back.
const SEEN: Duration = Duration::from_mins(10);
/// So long, in seconds, a node that said that it leaves is taken at its word as soon as it is down.
const FRESH: u64 = 60 * 60;
/// The swarm sees so late, in seconds, that a machine's former life is over, where the next one begins at once.
const CHANGE_OF_LIVES: u64 = 120;
/// After so long without a look, what was seen before counts for nothing.
const BLIND: Duration = Duration::from_secs(30);

/// What is to be done about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It had said that it leaves, and somebody has set it active since; or it was demoted because it was gone, and came
    /// back. It stays.
    Keep,
    /// Its row goes.
    Remove(Why),
}

/// Why a node's row goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// It said that it leaves, and is down.
    Left,
    /// It is ephemeral, and has been down for longer than this, in seconds.
    Gone(u64),
    /// It is down, and another node of its name has confirmed since, whose invite says that it replaces it.
    Replaced,
    /// It was a manager that did not answer, and was demoted for another one.
    Demoted,
}

/// A node that something may be to be done about.
#[derive(Clone, Debug)]
pub(crate) struct Concerned {
    pub(super) node: Node,
    /// When the first of those came that have taken its place, in seconds since 1970.
    pub(super) replaced: Option<u64>,
}

/// Those of all nodes that something may be to be done about.
pub(crate) fn concerned(nodes: &[Node]) -> Vec<Concerned> {
    let has = |node: &Node, label: &str| node.labels.contains_key(label);
    let may_be_replaced = |node: &Node| node.down && has(node, REPLACES_LABEL) && has(node, GRANT_LABEL);
    let later = |node: &Node| nodes.iter().filter(|other| replaces(other, node)).map(|other| other.created).min();
    let replaced = |node: &Node| if may_be_replaced(node) { later(node) } else { None };
    let labels = [EPHEMERAL_LABEL, LEAVING_LABEL, GONE_LABEL];
    let has_gone = |node: &Node| node.down && labels.iter().any(|label| has(node, label));
    let all = nodes.iter().map(|node| Concerned { node: node.clone(), replaced: replaced(node) });
    all.filter(|one| one.replaced.is_some() || has_gone(&one.node) || was_kept(&one.node)).collect()
}

/// Whether the one is a later life of the other, which it replaces: both by the word of their invites, since a machine chooses
/// what it is called.
fn replaces(new: &Node, old: &Node) -> bool {
    let has = |label: &str| new.labels.contains_key(label);
    let confirmed = has(REPLACES_LABEL) && has(GRANT_LABEL) && !new.down;
    confirmed && new.created > old.created && new.hostname.eq_ignore_ascii_case(&old.hostname)
}

/// Since when this broker has seen each node down, without a change of it.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    since: HashMap<NodeId, (u64, Instant)>,
    last: Option<Instant>,
}

impl Watch {
    /// What is to be done about these nodes at `now`, which the clock of this process calls `at`. Those that left come first:
    /// they are waited for.
    pub(crate) fn look(&mut self, nodes: Vec<Concerned>, now: u64, at: Instant) -> Vec<(Node, Step)> {
        let mut before = std::mem::take(&mut self.since);
        if self.last.replace(at).is_none_or(|last| at.saturating_duration_since(last) > BLIND) {
            before.clear();
        }
        let mut steps = Vec::new();
        for Concerned { node, replaced } in nodes {
            let seen = before.get(&node.id).filter(|(version, _)| *version == node.version);
            let since = seen.map_or(at, |(_, since)| *since);
            if node.down {
                self.since.insert(node.id.clone(), (node.version, since));
            }
            let gone = || due(&node, replaced, now, at.saturating_duration_since(since)).map(Step::Remove);
            if let Some(step) = was_kept(&node).then_some(Step::Keep).or_else(gone) {
                steps.push((node, step));
            }
        }
        steps.sort_by_key(|(_, step)| matches!(step, Step::Remove(Why::Gone(_))));
        steps
    }
}

/// Whether the row of a node goes at `now`, and why, if this broker has seen it down for so long.
fn due(node: &Node, replaced: Option<u64>, now: u64, seen: Duration) -> Option<Why> {
    let taken = Taken::of(node).is_some_and(|taken| now.abs_diff(taken.at) < TURN);
    if !may_go(node) || taken {
        return None;
    }
    if has_left(node) {
        // Said long ago, as of a leave that was cut off or a raft that was restored, it may have been for another day.
        let fresh = seconds(node, LEAVING_LABEL).is_some_and(|at| now.abs_diff(at) < FRESH);
        return (fresh || seen >= SEEN).then_some(Why::Left);
    }
    // One that was up beside the newer one is another machine of the same name, until it stays away.
    let made_way = |came: u64| down_since(node).is_some_and(|since| since <= came.saturating_add(CHANGE_OF_LIVES));
    if replaced.is_some_and(|came| made_way(came) || seen >= SEEN) {
        return Some(Why::Replaced);
    }
    if node.labels.contains_key(GONE_LABEL) {
        return Some(Why::Demoted);
    }
    // That it went down was a change of it, so it is down since its last change, or for longer.
    let (after, since) = (seconds(node, EPHEMERAL_LABEL)?, down_since(node)?);
    let long = now > since.checked_add(after)?.saturating_add(CLOCKS);
    (long && seen >= SEEN.min(Duration::from_secs(after))).then_some(Why::Gone(after))
}

/// Whether nothing speaks against a removal that a broker has taken on with this label.
pub(super) fn is_still(node: &Node, why: Why, taken: &str) -> bool {
    let meant = match why {
        Why::Left => has_left(node),
        Why::Gone(after) => seconds(node, EPHEMERAL_LABEL) == Some(after) && !was_kept(node),
        Why::Demoted => node.labels.contains_key(GONE_LABEL),
        Why::Replaced => node.labels.contains_key(REPLACES_LABEL) && !was_kept(node),
    };
    may_go(node) && meant && node.labels.get(REMOVING_LABEL).is_some_and(|label| label == taken)
}

/// The label by which a broker takes a node's removal on.
pub(super) fn taken(node: &Node, now: u64, broker: &str) -> String {
    format!("{now} {broker} {}", down_since(node).unwrap_or(now))
}

/// What the label of a removal says that a broker has taken on.
struct Taken {
    /// When that was.
    at: u64,
    /// Since when the node was down then: that it was labelled is a change of it, too.
    since: Option<u64>,
}

impl Taken {
    fn of(node: &Node) -> Option<Self> {
        let mut words = node.labels.get(REMOVING_LABEL)?.split(' ');
        let at = words.next()?.parse().ok()?;
        Some(Self { at, since: words.nth(1).and_then(|since| since.parse().ok()) })
    }
}

fn down_since(node: &Node) -> Option<u64> {
    let updated = node.updated?;
    let taken = Taken::of(node).filter(|taken| taken.at.abs_diff(updated) <= CLOCKS).and_then(|taken| taken.since);
    Some(taken.map_or(updated, |since| since.min(updated)))
}

/// Whether it is a worker that is down. A manager that was demoted a moment ago may be in raft still.
fn may_go(node: &Node) -> bool {
    node.role == Role::Worker && node.manager.is_none() && node.down
}

fn has_left(node: &Node) -> bool {
    node.labels.contains_key(LEAVING_LABEL) && node.availability == Availability::Drain
}

/// Whether it had said that it leaves, and somebody has thought better of it; or it was demoted because it was gone, and came
/// back.
fn was_kept(node: &Node) -> bool {
    let stays = node.labels.contains_key(LEAVING_LABEL) && node.availability != Availability::Drain;
    stays || (node.labels.contains_key(GONE_LABEL) && node.ready)
}

fn seconds(node: &Node, label: &str) -> Option<u64> {
    node.labels.get(label)?.parse().ok()
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
