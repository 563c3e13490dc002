//! What a machine that is to leave does: a function of the record, of the machine and of the engine's state.
//!
//! Must not do anything itself. Takes every doubt about whose node it is for somebody else's.

use protocol::{NodeId, Role};

use crate::docker::{LocalNode, LocalState};
use crate::state::{Machine, Record};

/// The next step.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step<'a> {
    /// It is in no swarm.
    Done,
    /// Docker is joining for the boot of the record and is no node yet: nobody needs to be told.
    GiveUp,
    /// Tell the brokers, then leave: it is the node of the record.
    Tell(&'a NodeId),
    /// Nothing can be done here.
    Stop(Stop<'a>),
}

/// Why nothing can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stop<'a> {
    /// The swarm is locked.
    Locked,
    /// It is the node of the record, and a manager.
    Manager(&'a NodeId),
    /// It is another node than the record's, or the record is another machine's.
    OtherNode(&'a NodeId),
    /// The engine does not say which node it is: that may be any, a manager's as well.
    Unclear,
}

/// The next step.
pub(super) fn next<'a>(record: &Record, machine: &Machine, local: &'a LocalNode) -> Step<'a> {
    let own = !record.machine.differs_from(machine);
    let joining = record.swarm.is_some() && record.node.is_none() && !record.confirmed && record.role == Role::Worker;
    match (&local.state, &local.node) {
        (LocalState::Inactive, _) => Step::Done,
        (LocalState::Locked, _) => Step::Stop(Stop::Locked),
        (LocalState::Unknown(_), _) => Step::Stop(Stop::Unclear),
        (_, Some(node)) if !own || record.node.as_ref() != Some(node) => Step::Stop(Stop::OtherNode(node)),
        (_, Some(node)) if local.manager => Step::Stop(Stop::Manager(node)),
        (_, Some(node)) => Step::Tell(node),
        (LocalState::Pending | LocalState::Error, None) if own && joining => Step::GiveUp,
        // A node that was active once is never given up: an engine that cannot load its certificate names none.
        (LocalState::Pending | LocalState::Error | LocalState::Active, None) => Step::Stop(Stop::Unclear),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::invite::tests::invite;

    const NODE: &str = "k9vqn1p0r3a8j2m4x6t5b7c1d";
    const OTHER: &str = "00000000000000000000other";

    fn id(text: &str) -> NodeId {
        text.parse().expect("a node id")
    }

    fn engine(state: &str, node: &str, manager: bool) -> LocalNode {
        let local = serde_json::json!({ "LocalNodeState": state, "NodeID": node, "ControlAvailable": manager });
        serde_json::from_value(local).expect("reads")
    }

    /// Of machine a: Docker was told to join.
    fn joining() -> Record {
        let mut record = Record::new(&invite(), Machine::named("a"));
        record.swarm = Some("zzzzzzzzzzzzzzzzzzzzzzzzz".parse().expect("a swarm id"));
        record
    }

    /// It has.
    fn joined() -> Record {
        let mut record = joining();
        (record.node, record.confirmed) = (Some(id(NODE)), true);
        record
    }

    fn step<'a>(record: &Record, local: &'a LocalNode) -> Step<'a> {
        next(record, &Machine::named("a"), local)
    }

    #[test]
    fn the_node_of_the_record_goes_and_a_manager_stays() {
        let node = id(NODE);
        for state in ["active", "pending", "error"] {
            assert_eq!(step(&joined(), &engine(state, NODE, false)), Step::Tell(&node), "{state}");
            assert_eq!(step(&joined(), &engine(state, NODE, true)), Step::Stop(Stop::Manager(&node)), "{state}");
        }
        assert_eq!(step(&joined(), &engine("inactive", "", false)), Step::Done);
        assert_eq!(step(&joined(), &engine("locked", NODE, false)), Step::Stop(Stop::Locked));
        assert_eq!(step(&joined(), &engine("paused", NODE, false)), Step::Stop(Stop::Unclear));
    }

    #[test]
    fn a_node_that_the_record_does_not_name_is_left_alone() {
        let (node, other) = (id(NODE), id(OTHER));
        for manager in [false, true] {
            let by_hand = engine("active", OTHER, manager);
            assert_eq!(step(&joined(), &by_hand), Step::Stop(Stop::OtherNode(&other)), "it left, and joined by hand");
            assert_eq!(step(&joining(), &by_hand), Step::Stop(Stop::OtherNode(&other)), "nobody knows who told it");
        }
        let copied = engine("active", NODE, false);
        let at = |machine| next(&joined(), &machine, &copied);
        assert_eq!(at(Machine::named("b")), Step::Stop(Stop::OtherNode(&node)), "a copy of the machine's disk");
        assert_eq!(at(Machine::unknown()), Step::Tell(&node), "a machine without an id is no other one");
    }

    #[test]
    fn a_join_is_given_up_while_it_is_this_boots_and_no_node_came_of_it() {
        for state in ["pending", "error"] {
            let local = engine(state, "", false);
            assert_eq!(step(&joining(), &local), Step::GiveUp, "{state}");
            assert_eq!(next(&joining(), &Machine::named("b"), &local), Step::Stop(Stop::Unclear), "a copied record");
            let begun = Record::new(&invite(), Machine::named("a"));
            let (mut manager, mut unconfirmed) = (joining(), joined());
            (manager.role, unconfirmed.confirmed) = (Role::Manager, false);
            for record in [joined(), unconfirmed, begun, manager] {
                assert_eq!(step(&record, &local), Step::Stop(Stop::Unclear), "{state} with {record:?}");
            }
        }
        assert_eq!(step(&joining(), &engine("active", "", false)), Step::Stop(Stop::Unclear));
    }
}
