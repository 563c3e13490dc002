//! A joiner that an operator gives: kept and listed like one of the package, but not renewed by itself.

use hyper::body::Bytes;
use protocol::JoinerHash;

use super::keep::{decide_alone, list, read_listed, until_from_now};
use super::program::Program;
use super::put;
use super::shelf::Origin;
use crate::broker::Broker;
use crate::denial::Denial;

/// Keeps a joiner and lists it, for as long as user-data may name it that is made now. The inner error is what is wrong
/// with it, for the operator.
pub(crate) async fn upload(
    broker: &Broker,
    bytes: Bytes,
    operator: String,
) -> Result<JoinerHash, Result<String, Denial>> {
    let program = Program::read(bytes).map_err(|error| Ok(format!("this is no joiner: {error}")))?;
    let joiners = &broker.joiners;
    let _alone = joiners.deciding.lock().await;
    // What is over makes room.
    decide_alone(broker).await.map_err(Err)?;
    let hash = program.hash().clone();
    let new = joiners.listed().iter().all(|listing| listing.facts.sha256 != hash);
    let had = joiners.shelf.has(&hash);
    if new {
        broker.listings.room_for(program.bytes().len() as u64).await.map_err(|error| Err(error.into()))?;
    }

    // What the folder has stays the package's.
    let from = if joiners.found().has(&hash) { Origin::Package } else { Origin::Upload };
    let (shelf, note) = (joiners.shelf.clone(), joiners.new_note(from));
    let kept = tokio::task::spawn_blocking(move || put(&shelf, &program, note)).await;
    kept.unwrap_or_else(|error| Err(error.to_string())).map_err(|why| Err(Denial::Unavailable(why)))?;

    if let Err(denial) = list(broker, &hash, until_from_now(joiners), new, Some(operator)).await {
        // Nobody was told of it: it takes no place.
        if !had && let Err(error) = joiners.shelf.remove(&hash) {
            tracing::warn!(%error, "a joiner that was not listed cannot be removed");
        }
        return Err(Err(denial));
    }
    read_listed(broker).await.map_err(Err)?;
    Ok(hash)
}
