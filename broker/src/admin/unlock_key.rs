//! The admin socket's route for `broker rotate unlock-key`.
//!
//! Must not answer with the key but to the order that had it replaced.

use std::sync::Arc;

use protocol::{KeyText, ProblemKind};
use serde::{Deserialize, Serialize};

use super::order::{Order, to_its_end};
use super::server::{Reply, complaint, read};
use crate::broker::Broker;
use crate::clock::Time;
use crate::denial::Denial;
use crate::keys::{self, Rotated};
use crate::server::json;

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
    pub(crate) rotated_at: Time,
    pub(crate) key: KeyText,
}

pub(super) async fn shown(broker: &Broker) -> Result<Reply, Denial> {
    let (autolock, generation) = keys::unlock_key(broker).await?;
    Ok(json(&UnlockKeyShown { autolock, generation }))
}

pub(super) async fn rotate(broker: &Arc<Broker>, operator: String, body: &[u8]) -> Result<Reply, Denial> {
    let ((), asked) = read::<Order<()>>(body)?.by(operator)?;
    let broker = broker.clone();
    match to_its_end(async move { keys::rotate_unlock_key(&broker, &asked).await }).await? {
        Ok((Rotated { generation, since, .. }, key)) => {
            Ok(json(&UnlockKeyReplaced { generation, rotated_at: since, key }))
        }
        Err(Ok(words)) => Ok(complaint(ProblemKind::Malformed, words)),
        Err(Err(denial)) => Err(denial),
    }
}
