//! The admin socket's route for `broker rotate unlock-key`.
//!
//! Must not answer with the key but to the order that had it replaced.

use std::sync::Arc;

use protocol::{KeyText, ProblemKind};
use serde::{Deserialize, Serialize};

use super::server::{Reply, complaint, read, unfit};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::keys::{self, Asked};
use crate::server::json;

/// The managers' unlock key is to be replaced.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnlockKeyOrder {
    /// For the audit log.
    pub(crate) reason: Option<String>,
}

/// What is known of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct UnlockKeyShown {
    /// Whether there is one.
    pub(crate) autolock: bool,
    pub(crate) generation: u64,
}

/// The new one. It has no `Debug`: it holds the key.
#[derive(Serialize, Deserialize)]
pub(crate) struct UnlockKeyReplaced {
    pub(crate) generation: u64,
    pub(crate) rotated_at: String,
    pub(crate) key: KeyText,
}

pub(super) async fn shown(broker: &Broker) -> Result<Reply, Denial> {
    let (autolock, generation) = keys::unlock_key(broker).await?;
    Ok(json(&UnlockKeyShown { autolock, generation }))
}

pub(super) async fn rotate(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let UnlockKeyOrder { reason } = read(body)?;
    if let Some(wrong) = reason.as_deref().and_then(unfit) {
        return Ok(wrong);
    }
    let reason = reason.as_deref().map_or("no reason was given", str::trim).to_owned();
    let broker = broker.clone();
    let asked = Asked { operator, reason, now: false };
    // A task of its own: what was begun is ended, though who asked for it went away.
    let replaced = tokio::spawn(async move { keys::rotate_unlock_key(&broker, &asked).await });
    match replaced.await.map_err(|_| Denial::Unavailable("the broker is stopping".into()))? {
        Ok((rotated, key)) => {
            let rotated_at = clock::shown(rotated.since);
            Ok(json(&UnlockKeyReplaced { generation: rotated.generation, rotated_at, key }))
        }
        Err(Ok(words)) => Ok(complaint(ProblemKind::Malformed, words)),
        Err(Err(denial)) => Err(denial),
    }
}
