//! The key that signs this broker's grants.
//!
//! Keeps promise 6: the former key's grants stay good until the last of them has ended. After a leak they are not
//! redeemed any more, and who shows one is told to ask for another. Must not sign before the key is listed.

use certs::SigningKey;

use super::Rotated;
use crate::broker::Broker;
use crate::clock::{self, Time};
use crate::denial::Denial;
use crate::grants::TYP;
use crate::jwt::Signer;
use crate::ledger::{Peer, Retire};
use crate::state::OwnKey;

/// Replaces it: listed, then on disk, then in use. Cut off between any two of these, the next start lists the key that is
/// on disk, and whatever was listed beside it is good for a grant's lifetime.
pub(super) async fn rotate(broker: &Broker, now: bool) -> Result<Rotated, Denial> {
    let key = SigningKey::generate().map_err(|error| Denial::Unavailable(error.to_string()))?;
    let signer = Signer::new(TYP, &key);
    let retire = if now { Retire::AtOnce } else { Retire::AfterLast };
    let entry = Peer { key: signer.public().to_text(), ..entry(broker)? };
    let entry = broker.directory.renew(entry, retire).await?;
    broker.keys.keep(OwnKey::Grant, key).await?;
    let kid = signer.public().id().to_string();
    broker.keys.grant.replace(signer);
    // The next grant may come back to this very broker.
    broker.directory.refresh().await?;
    let former_until = entry.retired.iter().filter(|former| !former.void).map(|former| former.until).max();
    let former_until = former_until.map(Time);
    Ok(Rotated { former_until, ..Rotated::new(entry.generation, entry.since, kid) })
}

/// The key in use.
pub(super) async fn current(broker: &Broker) -> Result<Rotated, Denial> {
    broker.directory.refresh().await?;
    let entry = broker.directory.live(clock::now()).into_iter().find(|peer| peer.id == broker.id);
    let entry = entry.ok_or_else(|| Denial::Unavailable("this broker's entry is not in the ledger yet".into()))?;
    let kid = broker.keys.grant.get().public().id().to_string();
    Ok(Rotated::new(entry.generation, entry.since, kid))
}

fn entry(broker: &Broker) -> Result<Peer, Denial> {
    let membership = broker.membership();
    let membership = membership.ok_or_else(|| Denial::Unavailable("the engine does not answer as a manager".into()))?;
    Ok(broker.entry(membership.node))
}
