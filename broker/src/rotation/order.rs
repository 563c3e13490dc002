//! `broker rotate`: what an operator asks for, and what it came to.
//!
//! Must not show a token: what is replaced has a number and a time.

use std::time::Duration;

use protocol::{InviteId, KeyHash, Role};

use super::perform::carry_out;
use super::plan::{self, Order, View};
use super::policy::Policy;
use super::records::{self, Cause};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::keys::Asked;
use crate::ledger::{Generation, Rotating};

/// What a rotation came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) rotated: Vec<(Role, Generation)>,
    /// How long it waited for machines on their way.
    pub(crate) waited: Duration,
    /// How many of them it did not wait for any longer: their join is tried again, with the next token.
    pub(crate) late: usize,
    /// Whether another rotation at the same time had done it.
    pub(crate) shared: bool,
}

/// What a rotation would find.
#[derive(Debug)]
pub(crate) struct Preview {
    pub(crate) tokens: Vec<(Role, Generation, Policy)>,
    pub(crate) on_the_way: Vec<OnTheWay>,
    /// Objects of invites that do not read: of their machines nothing is known.
    pub(crate) unread: Vec<String>,
    /// The rotation that is under way.
    pub(crate) rotating: Option<Rotating>,
    pub(crate) wait: Duration,
}

/// A machine that was given a token a moment ago, and has not confirmed.
#[derive(Debug)]
pub(crate) struct OnTheWay {
    pub(crate) role: Role,
    pub(crate) invite: InviteId,
    pub(crate) key: KeyHash,
    /// When it was given the token, in seconds since 1970.
    pub(crate) since: u64,
}

/// Replaces the tokens of these roles. With `now` it waits for nobody.
pub(crate) async fn rotate(broker: &Broker, roles: Vec<Role>, asked: &Asked) -> Result<Outcome, Denial> {
    let (from, _) = broker.engine.live().await?;
    let order = Order { roles, from };
    let cause = Cause { operator: asked.operator.clone(), reason: format!("manual: {}", asked.reason) };
    let wait = if asked.now { Duration::ZERO } else { broker.rotation.policies.wait };
    let carried = carry_out(broker, Some(&order), Some(cause.clone()), wait).await?;
    for role in &order.roles {
        // Done by another one; or here, and another one has written it down, since this broker was held up.
        if !carried.replaced || broker.rotation.known(*role).rotating {
            records::shared(broker, &carried.state, *role, &cause).await?;
        }
    }
    Ok(Outcome {
        rotated: order.roles.iter().map(|role| (*role, carried.state.of(*role).clone())).collect(),
        waited: carried.waited,
        late: carried.late,
        shared: !carried.replaced,
    })
}

/// What there is to replace, and who is on the way. Changes nothing.
pub(crate) async fn preview(broker: &Broker, roles: &[Role]) -> Result<Preview, Denial> {
    let state = broker.rotations.read().await?.state;
    let (live, _) = broker.engine.live().await?;
    let (invites, unread) = broker.invites.list_each().await?;
    let now = clock::now();
    let mut on_the_way = Vec::new();
    for invite in &invites {
        for (key, taken) in &invite.claims.uses {
            let handed = plan::handed_to(invite, taken);
            let handed: Vec<_> = handed.into_iter().filter(|handed| roles.contains(&handed.role)).collect();
            let view = View { state: &state, live: &live, handed: &handed };
            on_the_way.extend(roles.iter().flat_map(|role| plan::on_the_way(now, view, *role)).map(|handed| {
                OnTheWay { role: handed.role, invite: invite.policy.id().clone(), key: key.clone(), since: handed.last }
            }));
        }
    }
    let policy = |role| broker.rotation.policies.of(role, state.inherited);
    Ok(Preview {
        tokens: roles.iter().map(|role| (*role, state.of(*role).clone(), policy(*role))).collect(),
        on_the_way,
        unread,
        rotating: state.rotating,
        wait: broker.rotation.policies.wait,
    })
}
