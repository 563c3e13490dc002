//! The admin socket's routes for `broker rotate`.

use std::sync::Arc;

use protocol::{ProblemKind, Role};

use super::order::{Order, to_its_end};
use super::rotation_words::{InFlight, RotateReply, RotationPreview, TokenRotated, TokenShown};
use super::server::{Reply, complaint, read};
use crate::broker::Broker;
use crate::clock::Time;
use crate::denial::Denial;
use crate::ledger::Generation;
use crate::rotation::{self, Policy};
use crate::server::json;

pub(super) async fn rotate(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let (roles, asked) = read::<Order<Vec<Role>>>(body)?.by(operator)?;
    if let Err(lost) = broker.sentinel.check() {
        let by_hand: Vec<_> = roles.iter().map(|role| format!("docker swarm join-token --rotate {role}")).collect();
        let what = format!("{lost}. Until then, rotate by hand: {}", by_hand.join("; "));
        return Ok(complaint(ProblemKind::Unavailable, what));
    }
    let broker = broker.clone();
    let done = to_its_end(async move { rotation::rotate(&broker, roles, &asked).await }).await??;
    let rotated: Vec<TokenRotated> =
        done.rotated.into_iter().map(|(role, generation)| token_rotated(role, &generation)).collect();
    let one = match &rotated[..] {
        [one] => Some(one.clone()),
        _ => None,
    };
    let waited_ms = u64::try_from(done.waited.as_millis()).unwrap_or(u64::MAX);
    Ok(json(&RotateReply { one, rotated, waited_ms, not_waited_for: done.late, shared: done.shared }))
}

pub(super) async fn preview(broker: &Broker, body: &[u8]) -> Result<Reply, Denial> {
    let Order { what: roles, now, .. } = read::<Order<Vec<Role>>>(body)?;
    let found = rotation::preview(broker, &roles).await?;
    let wait = if now { 0 } else { found.wait.as_millis() };
    Ok(json(&RotationPreview {
        dry_run: true,
        tokens: found.tokens.iter().map(|(role, generation, policy)| token_shown(*role, generation, *policy)).collect(),
        in_flight: found
            .on_the_way
            .into_iter()
            .map(|machine| InFlight {
                role: machine.role,
                invite: machine.invite,
                key: machine.key,
                since: Time(machine.since),
            })
            .collect(),
        unread: found.unread,
        wait_ms: u64::try_from(wait).unwrap_or(u64::MAX),
        under_way: found.rotating.map(|rotating| rotating.by),
    }))
}

/// The tokens for `broker status`.
pub(super) async fn tokens(broker: &Broker) -> Vec<TokenShown> {
    let Ok(read) = broker.rotations.read().await else { return Vec::new() };
    let shown = |role| token_shown(role, read.state.of(role), broker.rotation.policies.of(role, read.state.inherited));
    vec![shown(Role::Worker), shown(Role::Manager)]
}

fn token_rotated(role: Role, generation: &Generation) -> TokenRotated {
    TokenRotated { role, generation: generation.number, rotated_at: Time(generation.since) }
}

fn token_shown(role: Role, generation: &Generation, policy: Policy) -> TokenShown {
    TokenShown { token: token_rotated(role, generation), policy: policy.to_string() }
}
