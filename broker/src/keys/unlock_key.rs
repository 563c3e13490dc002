//! The key that opens a manager's state when its engine starts, where the swarm has autolock on.
//!
//! It is the engine's, not ours: we have it replaced, and pass the new one to who ordered it. Must not put it anywhere else.

use protocol::KeyText;

use super::ca::Failed;
use super::{Asked, Rotated, What, records};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::swarm::EngineError;

/// How often an update is tried that others keep overtaking.
const TRIES: usize = 16;
const OFF: &str = "this swarm has no unlock key: autolock is off ('docker swarm update --autolock=true' turns it on)";

/// Whether managers keep their state locked, and the number of their key.
pub(crate) async fn unlock_key(broker: &Broker) -> Result<(bool, u64), Denial> {
    let (_, settings) = broker.engine.live().await?;
    Ok((settings.locks(), broker.rotations.read().await?.state.unlock_key()))
}

/// Has it replaced. The new one is in the answer, and nowhere else.
pub(crate) async fn rotate_unlock_key(broker: &Broker, asked: &Asked) -> Result<(Rotated, KeyText), Failed> {
    let _turn = broker.keys.turn.lock().await;
    broker.sentinel.check().map_err(|error| Err(error.into()))?;
    if !unlock_key(broker).await.map_err(Err)?.0 {
        return Err(Ok(OFF.into()));
    }
    records::rotating(broker, What::UnlockKey, asked).await.map_err(|error| Err(error.into()))?;
    let replaced = replaced(broker).await;
    let told = match &replaced {
        Ok((rotated, _)) => records::rotated(broker, What::UnlockKey, asked, rotated).await.map_err(Denial::from),
        Err(error) => {
            records::failed(broker, What::UnlockKey, asked, error).await;
            Ok(())
        }
    };
    told.map_err(Err)?;
    replaced.map_err(Err)
}

async fn replaced(broker: &Broker) -> Result<(Rotated, KeyText), Denial> {
    let generation = numbered(broker).await?;
    let mut tries = 0;
    loop {
        let (_, settings) = broker.engine.live().await?;
        match broker.engine.replace_unlock_key(&settings).await {
            Ok(()) => break,
            Err(EngineError::OutOfSequence) if tries < TRIES => tries += 1,
            Err(error) => return Err(error.into()),
        }
    }
    let key = broker.engine.unlock_key().await.map_err(|error| {
        Denial::Unavailable(format!(
            "it was replaced, and could not be read: {error}. 'docker swarm unlock-key' shows it"
        ))
    })?;
    let kid = "shown to who ordered it".to_owned();
    Ok((Rotated::new(generation, clock::now(), kid), key))
}

/// Takes the next number. One may be skipped, where the engine did not follow.
async fn numbered(broker: &Broker) -> Result<u64, Denial> {
    for _ in 0..TRIES {
        let read = broker.rotations.read().await?;
        let next = read.state.with_next_unlock_key();
        if broker.rotations.change(&read, &next).await? {
            return Ok(next.unlock_key());
        }
    }
    Err(Denial::Unavailable("others keep changing the ledger. Try again".into()))
}
