//! The admin socket's routes for `broker rotate` of our own keys.

use std::sync::Arc;

use protocol::ProblemKind;

use super::rotation_words::{
    BrokerCa, CaOrder, CaPlan, CaRequestOrder, Gone, GoneOrder, InviteOfKey, KeyOrder, KeyShown,
};
use super::server::{Reply, complaint, read, unfit};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::fleet;
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

/// The brokers whose node is no manager any more.
pub(super) async fn gone(broker: &Broker) -> Result<Reply, Denial> {
    Ok(json(&Gone { brokers: fleet::gone(broker).await? }))
}

/// Removes their entries from the ledger: what they sign is good no more.
pub(super) async fn remove_gone(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let GoneOrder { reason } = read(body)?;
    if let Some(wrong) = reason.as_deref().and_then(unfit) {
        return Ok(wrong);
    }
    let reason = reason.as_deref().map_or("no reason was given", str::trim).to_owned();
    let broker = broker.clone();
    let removed = tokio::spawn(async move { fleet::remove_gone(&broker, &reason, &operator).await });
    let brokers = removed.await.map_err(|_| Denial::Unavailable("the broker is stopping".into()))??;
    Ok(json(&Gone { brokers }))
}

/// What a rotation of the issuing CA would do.
pub(super) async fn plan(broker: &Broker) -> Result<Reply, Denial> {
    let plan = keys::plan(broker).await?;
    Ok(json(&CaPlan {
        what: What::Ca,
        generation: plan.generation.into(),
        ends: clock::shown(plan.ends),
        next: plan.next.into(),
        overlap_ends: clock::shown(plan.overlap_ends),
        root_ends: clock::shown(plan.root_ends),
        invites: plan.invites.into_iter().map(invite).collect(),
        unread: plan.unread,
        brokers: plan.brokers.into_iter().map(|(id, generation)| BrokerCa { id, generation }).collect(),
        adopt: plan.adopt,
        state: plan.state,
        dry_run: true,
    }))
}

/// The request for the next issuing CA.
pub(super) async fn request(broker: &Broker, body: &[u8]) -> Result<Reply, Denial> {
    let CaRequestOrder { now } = read(body)?;
    match keys::request(broker, now).await {
        Ok(request) => Ok(json(&request)),
        Err(failed) => told(failed),
    }
}

/// Puts an issuing CA to use.
pub(super) async fn install(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let CaOrder { certificate, now, reason } = read(body)?;
    if let Some(wrong) = reason.as_deref().and_then(unfit) {
        return Ok(wrong);
    }
    let reason = reason.as_deref().map_or("no reason was given", str::trim).to_owned();
    let broker = broker.clone();
    let asked = Asked { operator, reason, now };
    let installed = tokio::spawn(async move { keys::install(&broker, certificate, &asked).await });
    match installed.await.map_err(|_| Denial::Unavailable("the broker is stopping".into()))? {
        Ok(rotated) => Ok(json(&shown(What::Ca, rotated, false))),
        Err(failed) => told(failed),
    }
}

fn told(failed: keys::Failed) -> Result<Reply, Denial> {
    failed.map(|words| complaint(ProblemKind::Malformed, words))
}

fn invite(made: keys::Made) -> InviteOfKey {
    InviteOfKey { id: made.id, ends: clock::shown(made.ends), revoked: made.revoked }
}

fn shown(what: What, rotated: Rotated, dry_run: bool) -> KeyShown {
    let Rotated { generation, since, kid, former_until, invites, unread, adopt } = rotated;
    KeyShown {
        what,
        generation,
        rotated_at: clock::shown(since),
        kid,
        dry_run,
        former_until: former_until.map(clock::shown),
        invites: invites.into_iter().map(invite).collect(),
        unread,
        adopt,
    }
}
