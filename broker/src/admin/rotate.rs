//! The admin socket's routes for `broker rotate`.

use std::sync::Arc;

use protocol::{ProblemKind, Role};

use super::rotation_words::{InFlight, RotateOrder, RotateReply, RotationPreview, TokenRotated, TokenShown};
use super::server::{Reply, complaint, read, unfit};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::ledger::Generation;
use crate::rotation::{self, Policy};
use crate::server::json;

pub(super) async fn rotate(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let order: RotateOrder = read(body)?;
    if let Some(wrong) = order.reason.as_deref().and_then(unfit) {
        return Ok(wrong);
    }
    if let Err(lost) = broker.sentinel.check() {
        let by_hand: Vec<_> =
            order.roles.iter().map(|role| format!("docker swarm join-token --rotate {role}")).collect();
        let what = format!("{lost}. Until then, rotate by hand: {}", by_hand.join("; "));
        return Ok(complaint(ProblemKind::Unavailable, what));
    }
    // A task of its own: what was begun is ended, though who asked for it went away.
    let broker = broker.clone();
    let done = tokio::spawn(async move {
        let reason = order.reason.as_deref().map_or("no reason was given", str::trim);
        rotation::rotate(&broker, order.roles, order.now, reason, operator).await
    });
    let done = done.await.map_err(|_| Denial::Unavailable("the broker is stopping".into()))??;
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
    let order: RotateOrder = read(body)?;
    let found = rotation::preview(broker, &order.roles).await?;
    let wait = if order.now { 0 } else { found.wait.as_millis() };
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
                since: clock::shown(machine.since),
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
    TokenRotated { role, generation: generation.number, rotated_at: clock::shown(generation.since) }
}

fn token_shown(role: Role, generation: &Generation, policy: Policy) -> TokenShown {
    let TokenRotated { role, generation, rotated_at } = token_rotated(role, generation);
    TokenShown { role, generation, rotated_at, policy: policy.to_string() }
}
