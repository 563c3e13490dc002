//! The places of an invite that says --live: one comes free when its node was removed from the swarm, by whoever.
//!
//! Keeps promise 1 for such invites: a node that is not shown for a moment holds its place. Must not free one by a look alone.

use std::collections::{HashMap, HashSet};

use protocol::{InviteId, KeyHash, NodeId};

use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::ledger::{InviteState, Operation, Outcome};
use crate::swarm::EngineError;

/// In so many looks in a row a node must be missing, before it is asked for by its id: an engine with a new leader may not show
/// all nodes yet.
const BELIEVED: u32 = 3;

/// A place whose node is not in the swarm any more.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Freed {
    invite: InviteId,
    key: KeyHash,
    node: NodeId,
}

/// In how many looks in a row the node of each place was missing.
#[derive(Debug, Default)]
pub(crate) struct Places {
    missing: HashMap<Freed, u32>,
}

impl Places {
    /// The places that seem to have come free, by a look in which the nodes were read before the invites.
    pub(crate) fn look<'a>(&mut self, nodes: impl Iterator<Item = &'a NodeId>, invites: &[InviteState]) -> Vec<Freed> {
        let nodes: HashSet<&NodeId> = nodes.collect();
        let live = invites.iter().filter(|state| state.policy.invite().is_some_and(|invite| invite.conditions.live));
        let held = live.flat_map(|state| {
            state.claims.uses.iter().filter_map(|(key, taken)| {
                let node = taken.joined.as_ref()?.node.clone();
                Some(Freed { invite: state.policy.id().clone(), key: key.clone(), node })
            })
        });
        let before = std::mem::take(&mut self.missing);
        for place in held.filter(|place| !nodes.contains(&place.node)) {
            let looks = before.get(&place).copied().unwrap_or(0).saturating_add(1);
            self.missing.insert(place, looks);
        }
        self.missing.iter().filter(|(_, looks)| **looks >= BELIEVED).map(|(place, _)| place.clone()).collect()
    }
}

/// Frees those whose node the swarm does not know by its id either.
pub(super) async fn free(broker: &Broker, places: Vec<Freed>) {
    for place in places {
        if let Err(error) = free_one(broker, &place).await {
            tracing::warn!(?error, node = %place.node, "the place of a node that was removed is not free yet");
        }
    }
}

async fn free_one(broker: &Broker, place: &Freed) -> Result<(), Denial> {
    match broker.engine.node(&place.node).await {
        Err(EngineError::NotFound) => {}
        Ok(_) => return Ok(()),
        Err(error) => return Err(error.into()),
    }
    let operation = Operation::Free { key: place.key.clone(), node: place.node.clone() };
    let (outcome, version) = broker.invites.submit(&place.invite, None, operation).await?;
    if outcome == Outcome::Yours {
        let record = Record {
            invite: Some(place.invite.clone()),
            key: Some(place.key.clone()),
            node: Some(place.node.clone()),
            version: Some(version),
            detail: Some("its node was removed from the swarm, and its invite says live".to_owned()),
            ..Record::new(Event::PlaceFreed)
        };
        broker.audit.record(record).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use protocol::GrantId;

    use super::*;
    use crate::ledger::tests::{invite, joined};

    fn held(node: &NodeId, live: bool) -> InviteState {
        let mut invite = invite(1);
        invite.conditions.live = live;
        joined(invite, node, &GrantId::random().hash())
    }

    #[test]
    fn a_node_that_is_not_shown_for_a_moment_keeps_its_place() {
        let node: NodeId = "a".repeat(25).parse().expect("a node id");
        let (live, other) = ([held(&node, true)], [held(&node, false)]);
        let mut places = Places::default();
        let mut looks = |shown: &[&NodeId], invites: &[InviteState]| places.look(shown.iter().copied(), invites).len();
        assert_eq!([looks(&[], &live), looks(&[], &live), looks(&[&node], &live)], [0, 0, 0]);
        assert_eq!([looks(&[], &live), looks(&[], &live), looks(&[], &live)], [0, 0, 1], "it is gone");
        assert_eq!(looks(&[], &live), 1, "and is looked for until its place is free");
        assert_eq!((0..9).map(|_| looks(&[], &other)).sum::<usize>(), 0, "a use is one key's for ever");
    }
}
