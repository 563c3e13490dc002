//! Room for a new manager: an ephemeral one that has not answered for its time is demoted and removed before another comes.
//!
//! Scaling groups replace managers, and Swarm keeps the dead in raft: with the second replacement the quorum is lost
//! (moby #30847). Keeps DESIGN's words: the label of the managers decides. Must not touch a manager that answers, one that
//! nobody called ephemeral, nor demote anybody where the rest would have no quorum; and takes every doubt for "not now".

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::{NodeId, Role};

use super::{EPHEMERAL_LABEL, GONE_LABEL};
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::fleet::Quorum;
use crate::handover;
use crate::swarm::{EngineError, Node, NodeChange};

/// After so long without a look, what was seen before counts for nothing. And so long the managers may be without a leader
/// before that is an alarm: they elect one.
const BLIND: Duration = Duration::from_secs(30);
/// So long, in seconds, a manager is given at least, whatever its label says: one that is restarted does not answer for a while.
pub(crate) const MANAGER_GONE: u64 = 20;
/// And so long at the most: the one that comes for it has an hour for its boot.
pub(crate) const MANAGER_GONE_MOST: u64 = 10 * 60;

/// For how long this broker has seen each manager not to answer.
#[derive(Default)]
pub(crate) struct Silence(Mutex<Silent>);

#[derive(Default)]
struct Silent {
    last: Option<Instant>,
    since: HashMap<NodeId, Instant>,
    /// Since when a manager is kept out.
    kept_out: Option<Instant>,
}

impl Silence {
    /// Takes in a look, in which the leader did not reach these.
    pub(crate) fn look(&self, silent: &[NodeId], at: Instant) {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.last.replace(at).is_none_or(|last| at.saturating_duration_since(last) > BLIND) {
            seen.since.clear();
        }
        seen.since.retain(|node, _| silent.contains(node));
        for node in silent {
            seen.since.entry(node.clone()).or_insert(at);
        }
    }

    fn of(&self, node: &NodeId, at: Instant) -> Duration {
        let seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let blind = seen.last.is_none_or(|last| at.saturating_duration_since(last) > BLIND);
        let since = seen.since.get(node).filter(|_| !blind);
        since.map_or(Duration::ZERO, |since| at.saturating_duration_since(*since))
    }

    /// For how long a manager has been kept out, which it is now, or is not.
    fn kept_out(&self, is: bool, at: Instant) -> Duration {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let since = if is { Some(seen.kept_out.unwrap_or(at)) } else { None };
        seen.kept_out = since;
        since.map_or(Duration::ZERO, |since| at.saturating_duration_since(since))
    }
}

/// Those of the nodes that are managers which the leader does not reach.
pub(crate) fn silent(nodes: &[Node]) -> Vec<NodeId> {
    nodes.iter().filter(|node| is_silent(node)).map(|node| node.id.clone()).collect()
}

/// Of a row that is no member of raft, nothing depends.
fn is_silent(node: &Node) -> bool {
    is_member(node) && !node.reachable
}

fn is_member(node: &Node) -> bool {
    node.role == Role::Manager && node.manager.is_some()
}

/// Whether another manager may come.
#[derive(Debug)]
enum Room {
    Free,
    /// Not yet: why.
    Wait(&'static str),
    /// Not yet: this one is to go first.
    Demote(Box<Node>),
    /// Not by itself: the numbers that speak against it.
    Stuck(String),
}

/// What the nodes say, of which each has been silent for so long.
fn room(nodes: &[Node], silence: impl Fn(&NodeId) -> Duration) -> Room {
    let demoted = |node: &Node| node.labels.contains_key(GONE_LABEL) && node.down && node.role == Role::Worker;
    if nodes.iter().any(demoted) {
        return Room::Wait("a manager that is gone is being removed");
    }
    let after = |node: &Node| {
        let seconds: u64 = node.labels.get(EPHEMERAL_LABEL)?.parse().ok()?;
        Some(Duration::from_secs(seconds.clamp(MANAGER_GONE, MANAGER_GONE_MOST)))
    };
    let gone = nodes.iter().filter(|node| is_silent(node)).filter_map(|node| Some((node, after(node)?)));
    let mut gone: Vec<_> = gone.map(|(node, after)| (node, silence(&node.id) >= after)).collect();
    gone.sort_by_key(|(node, due)| (!due, !node.down));
    match gone.first() {
        None => Room::Free,
        Some((_, false)) => Room::Wait("a manager does not answer: it is removed first, when its time is over"),
        // The managers' dispatcher hears of it: its tasks go on, and it may be on its way back.
        Some((node, true)) if !node.down => {
            Room::Stuck(format!("manager {} does not answer the others, and is not down", node.id))
        }
        Some((node, true)) => {
            let members: Vec<Node> = nodes.iter().filter(|node| is_member(node)).cloned().collect();
            let before = Quorum::of(&members);
            match before.once(node, Role::Worker) {
                Ok(_) if before.has() => Room::Demote(Box::new((*node).clone())),
                Ok(_) => Room::Stuck("most of the managers do not answer".to_owned()),
                Err(why) => Room::Stuck(why),
            }
        }
    }
}

/// Makes room for a manager that asks to come in. It is told to come back until there is.
pub(crate) async fn make_room(broker: &Broker) -> Result<(), Denial> {
    let nodes = match broker.engine.nodes().await {
        Ok(nodes) => nodes,
        Err(error @ EngineError::NoQuorum) => return Err(kept_out(broker, error.to_string()).await),
        Err(error) => return Err(error.into()),
    };
    let at = Instant::now();
    match room(&nodes, |node| broker.silence.of(node, at)) {
        Room::Free => {
            broker.silence.kept_out(false, at);
            broker.alarmed.forget(KEPT_OUT);
            Ok(())
        }
        Room::Wait(why) => {
            broker.silence.kept_out(false, at);
            Err(Denial::Later(why.to_owned()))
        }
        Room::Stuck(why) => Err(kept_out(broker, why).await),
        Room::Demote(node) => {
            broker.silence.kept_out(false, at);
            demote(broker, &node).await?;
            Err(Denial::Later("a manager that is gone is being removed".to_owned()))
        }
    }
}

/// What the alarm is about.
const KEPT_OUT: &str = "manager.kept-out";

/// Alarms, if it is so for longer than an election takes, and says to come back.
async fn kept_out(broker: &Broker, why: String) -> Denial {
    if broker.silence.kept_out(true, Instant::now()) < BLIND {
        return Denial::Unavailable(why);
    }
    let detail = format!("a manager that asks to come in is told to come back: {why}");
    let alarm = Record::alarm(Event::ManagerKeptOut, detail);
    if let Err(error) = broker.alarmed.once(&broker.audit, KEPT_OUT.to_owned(), alarm).await {
        return error.into();
    }
    Denial::Unavailable(why)
}

/// Demotes it. That its row goes is what its label says, to whichever broker looks next.
async fn demote(broker: &Broker, node: &Node) -> Result<(), Denial> {
    broker.sentinel.check()?;
    let record = |event| Record {
        node: Some(node.id.clone()),
        hostname: Some(node.hostname.clone()),
        role: Some(Role::Worker),
        detail: Some("it is ephemeral and does not answer, and another manager asks to come in".to_owned()),
        ..Record::new(event)
    };
    broker.audit.record(record(Event::NodeRoleChanging)).await?;
    let change = NodeChange {
        labels: BTreeMap::from([(GONE_LABEL.to_owned(), clock::now().to_string())]),
        without: vec![handover::LABEL.to_owned()],
        role: Some(Role::Worker),
        ..NodeChange::default()
    };
    match broker.engine.change_node(node, change).await {
        Ok(()) => broker.audit.record(record(Event::NodeRoleChanged)).await.map(drop)?,
        // Somebody else was at it.
        Err(EngineError::OutOfSequence) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Availability;

    fn manager(last: char, reachable: bool, ephemeral: bool) -> Node {
        let id = format!("{}{last}", "a".repeat(24)).parse().expect("a node id");
        let mut node = Node::example(id, Availability::Active, 1);
        (node.role, node.reachable, node.down) = (Role::Manager, reachable, !reachable);
        node.manager = Some("10.0.0.1:2377".into());
        if ephemeral {
            node.labels.insert(EPHEMERAL_LABEL.into(), "120".into());
        }
        node
    }

    fn after(nodes: &[Node], seconds: u64) -> String {
        match room(nodes, |_| Duration::from_secs(seconds)) {
            Room::Free => "free".into(),
            Room::Wait(_) => "wait".into(),
            Room::Demote(node) => format!("demote {}", node.id.as_str().chars().next_back().unwrap_or_default()),
            Room::Stuck(why) => why,
        }
    }

    #[test]
    fn a_manager_that_is_gone_goes_before_another_comes() {
        let (a, b, gone) = (manager('a', true, true), manager('b', true, true), manager('c', false, true));
        assert_eq!(after(&[a.clone(), b.clone()], 999), "free");
        let three = [a.clone(), b.clone(), gone.clone()];
        assert_eq!([after(&three, 119), after(&three, 120)], ["wait", "demote c"]);
        let mut worker_once = gone.clone();
        worker_once.labels.insert(EPHEMERAL_LABEL.into(), "1".into());
        let three = [a.clone(), b.clone(), worker_once];
        assert_eq!([after(&three, MANAGER_GONE - 1), after(&three, MANAGER_GONE)], ["wait", "demote c"]);
        let mut demoted = gone;
        demoted.role = Role::Worker;
        demoted.labels.insert(GONE_LABEL.into(), "1".into());
        assert_eq!(after(&[a.clone(), b.clone(), demoted.clone()], 120), "wait", "its row is not gone yet");
        demoted.down = false;
        assert_eq!(after(&[a, b, demoted], 120), "free", "it came back, and is a worker");
    }

    #[test]
    fn nobody_else_goes_and_never_towards_a_lost_quorum() {
        let (a, b, c) = (manager('a', true, false), manager('b', true, false), manager('c', false, false));
        assert_eq!(
            after(&[a.clone(), b.clone(), c.clone()], 9999),
            "free",
            "nobody called it ephemeral: an operator's to judge"
        );
        let (two, three) = (manager('c', false, true), manager('d', false, true));
        let five = [a.clone(), b, c, two.clone(), three];
        assert!(after(&five, 9999).contains("lose its quorum"), "{}", after(&five, 9999));
        let stale = after(&[a.clone(), two.clone()], 9999);
        assert_eq!(stale, "most of the managers do not answer", "what is read is of before that");
        let mut restarting = two.clone();
        restarting.down = false;
        let three = |third: &Node| after(&[a.clone(), manager('b', true, false), third.clone()], 9999);
        assert_eq!(three(&two), "demote c");
        assert!(three(&restarting).ends_with("is not down"), "an operator's to judge: {}", three(&restarting));
        // A row that raft does not have, as of a manager whose join failed: neither does it count, nor is it waited for.
        let mut row = two;
        row.manager = None;
        assert_eq!(three(&row), "free");
    }

    #[test]
    fn a_manager_that_answered_in_between_or_was_not_looked_at_begins_anew() {
        let (silence, at) = (Silence::default(), Instant::now());
        let node = manager('c', false, true).id;
        let seen = |seconds: u64, silent: bool| {
            let at = at + Duration::from_secs(seconds);
            silence.look(if silent { std::slice::from_ref(&node) } else { &[] }, at);
            silence.of(&node, at).as_secs()
        };
        assert_eq!([seen(0, true), seen(20, true), seen(40, true)], [0, 20, 40]);
        assert_eq!([seen(42, false), seen(44, true), seen(46, true)], [0, 0, 2]);
        assert_eq!([seen(60, true), seen(91, true)], [16, 0], "nothing was seen for half a minute");
        assert_eq!(silence.of(&node, at + Duration::from_secs(110)).as_secs(), 19);
        assert_eq!(silence.of(&node, at + Duration::from_secs(122)).as_secs(), 0, "nor is any now");
    }
}
