//! The admin socket's routes for `broker rotate` of our own keys.

use std::sync::Arc;

use super::server::{Reply, read, unfit};
use super::words::{InviteOfKey, KeyOrder, KeyShown};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::keys::{self, Asked, Rotated, What};
use crate::server::json;

pub(super) async fn rotate(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let KeyOrder { what, now, reason } = read(body)?;
    if let Some(wrong) = reason.as_deref().and_then(unfit) {
        return Ok(wrong);
    }
    let reason = reason.as_deref().map_or("no reason was given", str::trim).to_owned();
    // A task of its own: what was begun is ended, though who asked for it went away.
    let broker = broker.clone();
    let rotated = tokio::spawn(async move { keys::rotate(&broker, what, &Asked { operator, reason, now }).await });
    let rotated = rotated.await.map_err(|_| Denial::Unavailable("the broker is stopping".into()))??;
    Ok(json(&shown(what, rotated, false)))
}

pub(super) async fn preview(broker: &Broker, body: &[u8]) -> Result<Reply, Denial> {
    let KeyOrder { what, .. } = read(body)?;
    Ok(json(&shown(what, keys::preview(broker, what).await?, true)))
}

fn shown(what: What, rotated: Rotated, dry_run: bool) -> KeyShown {
    let Rotated { generation, since, kid, former_until, invites } = rotated;
    let invite = |made: keys::Made| InviteOfKey { id: made.id, ends: clock::shown(made.ends), revoked: made.revoked };
    KeyShown {
        what,
        generation,
        rotated_at: clock::shown(since),
        kid,
        dry_run,
        former_until: former_until.map(clock::shown),
        invites: invites.into_iter().map(invite).collect(),
    }
}
