//! Tells the machine that begins the ledger from those that came into a swarm which another one made.
//!
//! Keeps promises 1 and 5: whoever came in, by whatever way, takes a ledger that is not there for lost.
//! Must not take it for lost while the machine that begins it is still at it.

use std::time::Instant;

use super::{POLL, Place};
use crate::exit::Failure;
use crate::ledger;
use crate::start;
use crate::state::Cluster;
use crate::swarm::Engine;

/// Remembers it, where this machine came in, once the ledger is there or the time is up. `shared` says that other machines can
/// have the cluster's keys besides those that got them from a broker; `named`, that the operator named this one as the founder.
pub(super) async fn remember(
    cluster: Option<Cluster>,
    (shared, named): (bool, bool),
    place: &Place,
    engine: &Engine,
    until: Instant,
) -> Result<Option<Cluster>, Failure> {
    let (Some(mut cluster), Place::Manager(membership)) = (cluster, place) else { return Ok(None) };
    if named && cluster.was_brought() && cluster.is_forming() && membership.nodes == 1 {
        cluster.remember_founding(&membership.swarm)?;
    }
    let came_in = (shared || cluster.was_brought()) && !cluster.founds(&membership.swarm);
    if came_in && !cluster.has_ledger() && !cluster.was_taken() {
        await_ledger(engine, until).await?;
        cluster.remember_joined()?;
    }
    Ok(Some(cluster))
}

/// Waits until somebody has begun the ledger. If nobody does, the broker starts all the same and says that it is lost: that is
/// where `broker recover` mends it.
async fn await_ledger(engine: &Engine, until: Instant) -> Result<(), Failure> {
    let mut told = false;
    loop {
        let trouble = match ledger::cluster_of(engine).await {
            Ok(Some(_)) => return Ok(()),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if Instant::now() >= until {
            return trouble.map_or(Ok(()), |error| Err(start::engine_failure(&error)));
        }
        if !told {
            tracing::info!(
                "waiting for the ledger, which is the work of the machine that made the swarm. If it was lost: run 'broker recover' \
                 on a manager whose broker runs"
            );
            told = true;
        }
        tokio::time::sleep(POLL).await;
    }
}
