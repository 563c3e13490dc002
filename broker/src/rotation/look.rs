//! What a broker does about the tokens by itself: at its start, and every few seconds after.
//!
//! Keeps promise 6 across crashes: what a broker left half done is finished or undone, and said. Keeps an outside
//! rotation from being a riddle: it is the next generation, with a record.

use protocol::Role;

use super::perform::{carry_out, ended};
use super::plan::{self, Operation};
use super::records;
use crate::admission::GRANT_LABEL;
use crate::broker::Broker;
use crate::denial::Denial;
use crate::ledger::{InviteState, ReadState, TokenState};
use crate::{clock, swarm};

/// At the start: makes the rotation's object in a ledger that has none, ends what was left half done, and writes down
/// what this broker's log lacks.
pub(crate) async fn start(broker: &Broker) -> Result<(), Denial> {
    let (invites, _) = broker.invites.list_each().await?;
    let read = found(broker, &invites).await?;
    let (live, _) = broker.engine.live().await?;
    ended(broker, &read, &live, &[]).await?;
    records::late(broker, &broker.rotations.read().await?.state).await?;
    Ok(())
}

/// Looks once, and does what the policy asks for.
pub(crate) async fn look(broker: &Broker, invites: &[InviteState]) {
    let looked = async {
        if let Operation::Begin(..) = looked(broker, invites).await? {
            carry_out(broker, None, None, broker.rotation.policies.wait).await?;
        }
        Ok::<_, Denial>(())
    };
    if let Err(error) = looked.await {
        tracing::warn!(?error, "the tokens cannot be looked after; it is tried again");
    }
}

async fn looked(broker: &Broker, invites: &[InviteState]) -> Result<Operation, Denial> {
    // Who holds the turn looks by itself.
    let Ok(_turn) = broker.rotation.turn.try_lock() else { return Ok(Operation::LetBe) };
    let read = found(broker, invites).await?;
    records::late(broker, &read.state).await?;
    let (live, _) = broker.engine.live().await?;
    ended(broker, &read, &live, &plan::handed(invites)).await
}

/// Writes down a token that somebody else replaced, if that is what has happened: a redemption that came upon it need
/// not wait for the next look.
pub(crate) async fn notice(broker: &Broker) -> Result<(), Denial> {
    // In this order: if the ledger has not moved on when it is changed, it had not when the tokens were read.
    let read = broker.rotations.read().await?;
    let (live, _) = broker.engine.live().await?;
    if read.state.rotating.is_none() {
        ended(broker, &read, &live, &[]).await?;
    }
    Ok(())
}

/// The state in the ledger; made where there is none yet.
async fn found(broker: &Broker, invites: &[InviteState]) -> Result<ReadState, Denial> {
    if let Some(read) = broker.rotations.find().await? {
        return Ok(read);
    }
    let (live, _) = broker.engine.live().await?;
    let inherited = inherited(&broker.engine.nodes().await?);
    let handed = plan::handed(invites);
    // Not lower than a number that was told before the object was lost.
    let number = |role: Role| {
        let told = handed.iter().filter(|handed| handed.role == role).map(|handed| handed.generation);
        told.chain([broker.rotation.known(role).generation]).max().unwrap_or(0)
    };
    let state = TokenState::first(&live, number, inherited, &broker.id, clock::now());
    if broker.rotations.make(&state).await? {
        records::found(broker, &state).await?;
    }
    Ok(broker.rotations.read().await?)
}

/// Whether somebody else than a broker has brought nodes in beside the founder.
fn inherited(nodes: &[swarm::Node]) -> bool {
    nodes.iter().filter(|node| !node.labels.contains_key(GRANT_LABEL)).count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::{Availability, Node};

    #[test]
    fn a_swarm_is_inherited_if_nodes_came_without_a_grant() {
        let node = |last: char, granted: bool| {
            let id = format!("{}{last}", "a".repeat(24)).parse().expect("a node id");
            let mut node = Node::example(id, Availability::Active, 1);
            if granted {
                node.labels.insert(GRANT_LABEL.to_owned(), "hash".to_owned());
            }
            node
        };
        assert!(!inherited(&[node('a', false)]));
        assert!(!inherited(&[node('a', false), node('b', true), node('c', true)]));
        assert!(inherited(&[node('a', false), node('b', false), node('c', true)]));
    }
}
