//! `POST /v1/grants/redeem`: the grant for the live token.
//!
//! The order is the promise: verify all → record → claim → record → token. Must not be reordered.

use certs::MachineIdentity;
use protocol::{GrantHash, InviteId, MAX_GRANT, NodeId, RedeemReply, RedeemRequest, Role, SwarmId, SwarmToken};

use super::claims::{Claims, TYP};
use super::{about, invite_of, recorded};
use crate::audit::{Event, Reason, Record};
use crate::broker::{Broker, Call};
use crate::clock;
use crate::denial::Denial;
use crate::jwt;
use crate::ledger::{Operation, Outcome, Standing, TokenState};
use crate::rotation;
use crate::swarm::{EngineError, Node};

/// How often a redemption is committed anew because a token was replaced in between.
const TRIES: usize = 8;

/// Redeems a grant.
pub(crate) async fn redeem(
    broker: &Broker,
    call: &Call,
    identity: &MachineIdentity,
    request: RedeemRequest,
) -> Result<RedeemReply, Denial> {
    let redeemed = claim(broker, call, identity, &request.grant).await;
    recorded(broker, call, identity, redeemed).await
}

async fn claim(broker: &Broker, call: &Call, identity: &MachineIdentity, grant: &str) -> Result<RedeemReply, Denial> {
    let now = clock::now();
    let claims = verified(broker, grant, now).await?;
    claims.judge(&broker.cluster, identity, now)?;
    let (invite, tokens) =
        tokio::try_join!(invite_of(broker, call, identity), rotation::settled(broker, identity.role, call.started))?;

    let hash = claims.jti.hash();
    let record = |event| about(identity, Record { grant: Some(hash.clone()), ..Record::new(event) });
    broker.audit.record(call.on(record(Event::GrantRedeeming))).await?;

    let handed = hand_over(broker, call, identity, &invite.jti, &hash, tokens).await?;
    let event = match handed.outcome {
        Outcome::Yours => Event::GrantRedeemed,
        Outcome::YoursAlready | Outcome::Asked | Outcome::Waits => Event::GrantReplayed,
    };
    let (generation, version) = (Some(handed.generation), Some(handed.version));
    broker.audit.record(call.on(Record { generation, version, ..record(event) })).await?;
    let brokers = broker.directory.live(clock::now()).into_iter().flat_map(|peer| peer.addresses).collect();
    let Handed { token, managers, swarm, .. } = handed;
    Ok(RedeemReply { token, managers, swarm, role: invite.role, brokers })
}

/// A token, and the claim under which it is given.
struct Handed {
    token: SwarmToken,
    generation: u64,
    managers: Vec<String>,
    swarm: SwarmId,
    outcome: Outcome,
    version: u64,
}

/// Claims the redemption for the generation that is live, reads the token, and makes sure that every rotation from
/// then on finds the claim. If one came in between: again, with the next token.
async fn hand_over(
    broker: &Broker,
    call: &Call,
    identity: &MachineIdentity,
    invite: &InviteId,
    grant: &GrantHash,
    mut tokens: TokenState,
) -> Result<Handed, Denial> {
    let key = &identity.key;
    let mut first = None;
    for _ in 0..TRIES {
        let generation = tokens.of(identity.role).number;
        let redeem = Operation::Redeem { key: key.clone(), grant: grant.clone(), generation };
        let (outcome, version) = broker.invites.submit(invite, None, redeem).await?;
        let outcome = *first.get_or_insert(outcome);

        // From here on the answer is this key's, whatever fails: the same key asks again and gets it.
        let (after, (token, live), nodes) = tokio::try_join!(
            async { broker.rotations.read().await.map_err(Denial::from) },
            async {
                let token = match identity {
                    MachineIdentity::Worker(worker) => broker.engine.worker_token(worker).await,
                    MachineIdentity::Manager(manager) => broker.engine.manager_token(manager).await,
                };
                token.map_err(Denial::from)
            },
            async { broker.engine.nodes().await.map_err(Denial::from) },
        )?;
        if rotation::stands(identity.role, &tokens, &after.state, &live) {
            let managers = dialled(nodes, broker.membership().map(|membership| membership.node).as_ref());
            return Ok(Handed { token, generation, managers, swarm: live.swarm, outcome, version });
        }
        drop(token);
        let hold = Operation::Hold { key: key.clone(), grant: grant.clone() };
        broker.invites.submit(invite, None, hold).await?;
        rotation::notice(broker).await?;
        tokens = rotation::settled(broker, identity.role, call.started).await?;
    }
    Err(Denial::Unavailable("the join tokens keep being replaced".into()))
}

/// Where the machine's engine may join, the best first, since Docker dials no other. This broker's own manager has just
/// answered; one that the leader does not reach would be dialled in vain, and each time again.
fn dialled(mut nodes: Vec<Node>, own: Option<&NodeId>) -> Vec<String> {
    nodes.sort_by_key(|node| Some(&node.id) != own);
    nodes.into_iter().filter(|node| node.reachable || Some(&node.id) == own).filter_map(|node| node.manager).collect()
}

/// The claims of a grant that a broker of this cluster signed.
async fn verified(broker: &Broker, grant: &str, now: u64) -> Result<Claims, Denial> {
    broker.sentinel.check()?;
    let id = jwt::named_key(grant, MAX_GRANT).map_err(|_| Reason::NotSigned)?;
    let listed = broker.directory.grant_key(&id).await?.ok_or(Reason::NotSigned)?;
    let (claims, _) =
        jwt::verify::<Claims>(grant, TYP, MAX_GRANT, |_| Some(listed.key.clone())).map_err(|_| Reason::NotSigned)?;
    match listed.standing(now) {
        // Whoever took a manager over has its broker's key: once the node is no manager any more, an honest machine asks
        // again, and a forged grant is worth nothing.
        Standing::Good if !is_manager(broker, &listed.node).await? => Err(Denial::AskAgain),
        Standing::Good => Ok(claims),
        Standing::Void => Err(Denial::AskAgain),
        // An honest machine may hold such a grant, which has ended: the judge tells it to ask for another, and a thief
        // that it is one. One that has not ended was signed by whoever has the key now, and by no broker.
        Standing::Over if claims.exp <= now => Ok(claims),
        Standing::Over => Err(Reason::NotSigned.into()),
    }
}

/// Whether a broker's node is a manager now. This one's is, or it serves no more.
async fn is_manager(broker: &Broker, node: &NodeId) -> Result<bool, Denial> {
    if broker.membership().is_some_and(|membership| membership.node == *node) {
        return Ok(true);
    }
    match broker.engine.node(node).await {
        Ok(node) => Ok(node.role == Role::Manager),
        Err(EngineError::NotFound) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::swarm::Availability;

    #[test]
    fn a_machine_is_sent_to_this_brokers_manager_and_to_none_that_is_not_reached() {
        let node = |number: u8, reachable| {
            let id = format!("{number:025}").parse().expect("a node id");
            let mut node = Node::example(id, Availability::Active, 0);
            node.manager = (number < 4).then(|| format!("10.0.0.{number}:2377"));
            node.reachable = reachable;
            node
        };
        let nodes = || vec![node(1, false), node(2, true), node(3, true), node(4, false)];
        assert_eq!(dialled(nodes(), Some(&node(3, true).id)), ["10.0.0.3:2377", "10.0.0.2:2377"]);
        assert_eq!(dialled(nodes(), None), ["10.0.0.2:2377", "10.0.0.3:2377"]);
        // What it sees of itself may be a moment old.
        assert_eq!(dialled(nodes(), Some(&node(1, false).id)), ["10.0.0.1:2377", "10.0.0.2:2377", "10.0.0.3:2377"]);
    }
}
