//! What to do next: a function of the record, the invite, the machine and the engine's state.
//!
//! Keeps promise 2 (a retry is the same key) and leaves alone every swarm that this boot did not join.
//! Must not do anything itself.

use std::time::Duration;

use protocol::{Invite, NodeId};

use crate::docker::{LocalNode, LocalState};
use crate::state::{Machine, Record};

/// How long Docker may go on joining in the background before this boot gives that join up.
const PATIENCE: Duration = Duration::from_mins(2);

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing: this boot was confirmed, and its node is in.
    AlreadyIn(NodeId),
    /// Make a new key, and begin.
    Begin(Beginning),
    /// Get a grant, redeem it, and tell Docker to join.
    Join,
    /// Look again: Docker is at it.
    Await,
    /// Tell Docker to give up the join that this boot asked for.
    GiveUp,
    /// Docker has joined for this boot: confirm.
    Confirm(NodeId),
    /// The node is in a swarm, but not through this boot: ask whether it is the invite's.
    AskMembership(NodeId),
    /// Nothing can be done here.
    Stop(Stop),
}

/// Why a boot begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Beginning {
    /// There was none.
    First,
    /// The one that was begun had another invite.
    OtherInvite,
    /// This machine was made from the image of another.
    Image,
    /// The node was confirmed, and has left the swarm since.
    Left,
}

/// Why nothing can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop {
    /// The swarm is locked.
    Locked,
    /// The engine is in a state that this boot did not cause.
    NotOurs,
}

/// The node of a boot that is done: confirmed, and still in.
pub(super) fn done<'a>(record: Option<&'a Record>, machine: &Machine, local: &LocalNode) -> Option<&'a NodeId> {
    let record = record.filter(|record| record.confirmed && !record.machine.differs_from(machine))?;
    let node = record.node.as_ref()?;
    (local.state == LocalState::Active && local.node.as_ref() == Some(node)).then_some(node)
}

/// The next step. `waited` is how long Docker has been pending in this run.
pub(super) fn next(
    record: Option<&Record>,
    invite: &Invite,
    machine: &Machine,
    local: &LocalNode,
    waited: Duration,
) -> Step {
    let ours = record.filter(|record| !record.machine.differs_from(machine));
    let joining = ours.filter(|record| record.swarm.is_some() && !record.confirmed);
    match &local.state {
        LocalState::Locked => Step::Stop(Stop::Locked),
        LocalState::Inactive => match ours {
            Some(record) if record.invite == invite.jti && !record.confirmed => Step::Join,
            Some(record) if record.confirmed => Step::Begin(Beginning::Left),
            Some(_) => Step::Begin(Beginning::OtherInvite),
            None if record.is_some() => Step::Begin(Beginning::Image),
            None => Step::Begin(Beginning::First),
        },
        LocalState::Pending if joining.is_some() && waited > PATIENCE => Step::GiveUp,
        LocalState::Pending => Step::Await,
        // A node that was active once is never given up: it may come back.
        LocalState::Error if joining.is_some_and(|record| record.node.is_none()) => Step::GiveUp,
        LocalState::Error | LocalState::Unknown(_) => Step::Stop(Stop::NotOurs),
        LocalState::Active => {
            let Some(node) = &local.node else { return Step::Await };
            let of_cluster = |record: &&Record| record.cluster == invite.iss;
            if ours.as_ref().is_some_and(of_cluster) && done(record, machine, local).is_some() {
                return Step::AlreadyIn(node.clone());
            }
            match joining.filter(of_cluster) {
                Some(record) if !in_another_swarm(record, local) => Step::Confirm(node.clone()),
                _ => Step::AskMembership(node.clone()),
            }
        }
    }
}

fn in_another_swarm(record: &Record, local: &LocalNode) -> bool {
    matches!((&record.swarm, local.swarm()), (Some(asked), Some(is)) if asked != is)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::tests::invite;
    use protocol::GrantId;

    const NODE: &str = "k9vqn1p0r3a8j2m4x6t5b7c1d";
    const OTHER_NODE: &str = "00000000000000000000other";
    const SWARM: &str = "zzzzzzzzzzzzzzzzzzzzzzzzz";

    fn node() -> NodeId {
        NODE.parse().expect("a node id")
    }

    fn engine(state: &str, node: &str) -> LocalNode {
        serde_json::from_value(serde_json::json!({ "LocalNodeState": state, "NodeID": node })).expect("reads")
    }

    fn manager(swarm: &str) -> LocalNode {
        let swarm = serde_json::json!({ "LocalNodeState": "active", "NodeID": NODE, "Cluster": { "ID": swarm } });
        serde_json::from_value(swarm).expect("reads")
    }

    /// The records that a run can find, in the order in which a boot writes them.
    struct Records {
        begun: Record,
        granted: Record,
        joining: Record,
        joined: Record,
        confirmed: Record,
    }

    fn records(invite: &Invite) -> Records {
        let but = |record: &Record, done: fn(&mut Record)| {
            let mut record = record.clone();
            done(&mut record);
            record
        };
        let begun = Record::new(invite, Machine::named("a"));
        let granted = but(&begun, |record| record.grant = Some(GrantId::random()));
        let joining = but(&granted, |record| record.swarm = Some(SWARM.parse().expect("a swarm id")));
        let joined = but(&joining, |record| record.node = Some(node()));
        let confirmed = but(&joined, |record| record.confirmed = true);
        Records { begun, granted, joining, joined, confirmed }
    }

    #[test]
    fn each_record_and_each_state_of_the_engine_has_its_step() {
        let invite = invite();
        let Records { begun, granted, joining, joined, confirmed } = records(&invite);
        let begin = Step::Begin;
        let not_ours = Step::Stop(Stop::NotOurs);
        let ask = Step::AskMembership(node());
        let confirm = Step::Confirm(node());
        let table = [
            // record, then the step for: inactive, pending, active, error
            (None, begin(Beginning::First), Step::Await, ask.clone(), not_ours.clone()),
            (Some(&begun), Step::Join, Step::Await, ask.clone(), not_ours.clone()),
            (Some(&granted), Step::Join, Step::Await, ask, not_ours.clone()),
            (Some(&joining), Step::Join, Step::Await, confirm.clone(), Step::GiveUp),
            (Some(&joined), Step::Join, Step::Await, confirm, not_ours.clone()),
            (Some(&confirmed), begin(Beginning::Left), Step::Await, Step::AlreadyIn(node()), not_ours),
        ];
        for (record, inactive, pending, active, error) in table {
            for (state, id, step) in
                [("inactive", "", inactive), ("pending", "", pending), ("active", NODE, active), ("error", "", error)]
            {
                let next = next(record, &invite, &Machine::named("a"), &engine(state, id), Duration::ZERO);
                assert_eq!(next, step, "{state} with {record:?}");
            }
            for (state, stop) in [("locked", Stop::Locked), ("paused", Stop::NotOurs)] {
                let next = next(record, &invite, &Machine::named("a"), &engine(state, NODE), Duration::ZERO);
                assert_eq!(next, Step::Stop(stop), "{state} with {record:?}");
            }
        }
    }

    fn step(record: &Record, invite: &Invite, machine: &str, local: &LocalNode, waited: u64) -> Step {
        next(Some(record), invite, &Machine::named(machine), local, Duration::from_secs(waited))
    }

    #[test]
    fn only_a_join_of_this_boot_is_given_up_and_only_after_a_while() {
        let invite = invite();
        let records = records(&invite);
        let pending = engine("pending", "");
        assert_eq!(step(&records.joining, &invite, "a", &pending, 119), Step::Await);
        assert_eq!(step(&records.joining, &invite, "a", &pending, 121), Step::GiveUp);
        assert_eq!(step(&records.granted, &invite, "a", &pending, 999), Step::Await);
        assert_eq!(step(&records.confirmed, &invite, "a", &pending, 999), Step::Await);
    }

    #[test]
    fn another_invite_finishes_a_boot_that_docker_has_joined_for_and_replaces_any_other() {
        let (first, second) = (invite(), invite());
        let second = Invite { iss: first.iss.clone(), ..second };
        let records = records(&first);
        let active = engine("active", NODE);
        assert_eq!(step(&records.joining, &second, "a", &active, 0), Step::Confirm(node()));
        assert_eq!(step(&records.confirmed, &second, "a", &active, 0), Step::AlreadyIn(node()));
        assert_eq!(
            step(&records.joining, &second, "a", &engine("inactive", ""), 0),
            Step::Begin(Beginning::OtherInvite)
        );
    }

    #[test]
    fn another_clusters_invite_never_passes_for_being_in() {
        let (first, other) = (invite(), invite());
        let records = records(&first);
        let active = engine("active", NODE);
        assert_eq!(step(&records.confirmed, &other, "a", &active, 0), Step::AskMembership(node()));
        assert_eq!(step(&records.joining, &other, "a", &active, 0), Step::AskMembership(node()));
    }

    #[test]
    fn a_machine_made_from_an_image_is_a_machine_of_its_own() {
        let invite = invite();
        let records = records(&invite);
        assert_eq!(step(&records.joining, &invite, "b", &engine("inactive", ""), 0), Step::Begin(Beginning::Image));
        assert_eq!(step(&records.confirmed, &invite, "b", &engine("active", NODE), 0), Step::AskMembership(node()));
        assert_eq!(step(&records.joining, &invite, "b", &engine("error", ""), 0), Step::Stop(Stop::NotOurs));
    }

    #[test]
    fn a_node_that_moved_by_hand_is_asked_about() {
        let invite = invite();
        let records = records(&invite);
        let other: NodeId = OTHER_NODE.parse().expect("a node id");
        assert_eq!(
            step(&records.confirmed, &invite, "a", &engine("active", OTHER_NODE), 0),
            Step::AskMembership(other)
        );
        assert_eq!(step(&records.joining, &invite, "a", &manager(SWARM), 0), Step::Confirm(node()));
        let elsewhere = manager("00000000000000000000swarm");
        assert_eq!(step(&records.joining, &invite, "a", &elsewhere, 0), Step::AskMembership(node()));
    }
}
