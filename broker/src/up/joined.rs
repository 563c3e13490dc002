//! Tells the machine that begins the ledger from those that came into a swarm which another one made.
//!
//! Keeps promises 1 and 5: whoever came in, by whatever way, takes a ledger that is not there for lost.
//! Must not take it for lost while the machine that begins it is still at it.

use std::time::Instant;

use super::store::Record;
use super::{POLL, Place};
use crate::exit::Failure;
use crate::ledger;
use crate::start;
use crate::state::Cluster;
use crate::swarm::{Engine, Membership};

/// What is known of the ledger's beginning besides what is in the state directory.
pub(super) struct Known<'a> {
    /// Other machines can have the cluster's keys besides those that got them from a broker.
    pub(super) shared: bool,
    /// The operator named this machine as the founder.
    pub(super) named: bool,
    /// A store was given.
    pub(super) by_store: bool,
    /// The cluster record that is in it now.
    pub(super) record: Option<&'a Record>,
}

/// This machine's part in the ledger's beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// It is told already, or there is only one machine that can begin it.
    Told,
    /// This one begins it.
    Begins,
    /// Another one does, or did.
    CameIn,
}

/// Remembers it, where this machine came in, once the ledger is there or the time is up.
pub(super) async fn remember(
    cluster: Option<Cluster>,
    known: &Known<'_>,
    place: &Place,
    engine: &Engine,
    until: Instant,
) -> Result<Option<Cluster>, Failure> {
    let (Some(mut cluster), Place::Manager(membership)) = (cluster, place) else { return Ok(None) };
    match part(&cluster, known, membership) {
        Part::Told => {}
        Part::Begins => cluster.remember_founding(&membership.swarm)?,
        Part::CameIn => {
            await_ledger(engine, until).await?;
            cluster.remember_joined()?;
        }
    }
    Ok(Some(cluster))
}

/// Where there is a record, only that says who begins the ledger: it is created once, and whoever it lists without
/// having served has created it. Anything else this machine remembers may be of an election that another one has won.
fn part(cluster: &Cluster, known: &Known<'_>, membership: &Membership) -> Part {
    let published = known.record.is_some_and(|record| {
        record.swarm == membership.swarm && record.brokers.iter().any(|listed| listed.id == cluster.broker())
    });
    let named =
        known.named && known.record.is_none() && cluster.was_brought() && cluster.is_forming() && membership.nodes == 1;
    let was_named = !known.by_store && cluster.founds(&membership.swarm);
    if cluster.has_ledger() || cluster.was_taken() {
        Part::Told
    } else if published || named {
        Part::Begins
    } else if was_named || !(known.shared || cluster.was_brought()) {
        Part::Told
    } else {
        Part::CameIn
    }
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

#[cfg(test)]
#[path = "joined_tests.rs"]
pub(super) mod tests;
