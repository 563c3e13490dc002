//! Making the swarm where all managers have the same command line: lock → wait → look → init → publish.
//!
//! Keeps DESIGN §3b: whoever is killed in between is replaced, and there is one swarm, since the record is created only if
//! absent. Must not make a swarm without having said so on disk before: only a swarm of that kind is ever left again.

use std::time::{Duration, Instant};

use protocol::SwarmId;

use super::recorded::Known;
use super::store::{Listed, Lock, Record, Store, Taken, WATCHFUL, Watch, probe};
use super::{Order, form};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::jwt::PublicKey;
use crate::start;
use crate::state::Cluster;
use crate::swarm::{Engine, Membership};

/// How often to look what became of a lock that another one has.
const POLL: Duration = Duration::from_secs(1);
/// A store that holds nothing may have been emptied: brokers that serve put the record back within this.
const SETTLE: Duration = WATCHFUL.saturating_add(Duration::from_secs(3));

/// This machine's part in finding who makes the swarm.
pub(super) struct Election {
    watch: Watch,
    tried: bool,
    told: bool,
}

impl Election {
    pub(super) fn new() -> Self {
        Self { watch: Watch::new(), tried: false, told: false }
    }

    /// Makes the swarm, or publishes the one that this machine made before it was cut off; or waits a little for whoever
    /// is at it. What came of it is seen at the next look.
    pub(super) async fn run(
        &mut self,
        order: &Order,
        shared: (&Store, &Known),
        engine: &Engine,
        cluster: Cluster,
        until: Instant,
    ) -> Result<(), Failure> {
        match self.turn(order, shared, engine, cluster, until).await {
            // A store that was away for a moment is no reason to give up what was begun.
            Err(failure) if failure.code == Code::Unavailable && Instant::now() < until => {
                tracing::info!(%failure, "trying again");
                pause(until).await
            }
            ended => ended,
        }
    }

    async fn turn(
        &mut self,
        order: &Order,
        (store, known): (&Store, &Known),
        engine: &Engine,
        mut cluster: Cluster,
        until: Instant,
    ) -> Result<(), Failure> {
        if !self.tried {
            probe(store).await?;
            self.tried = true;
        }
        let id = cluster.id().clone();
        let mut lock = match self.watch.take(store, &id, clock::now()).await? {
            Taken::Ours(lock) => lock,
            Taken::Held(since) => {
                if !self.told {
                    tracing::info!(since = clock::shown(since), "another machine is making the swarm");
                    self.told = true;
                }
                return pause(until).await;
            }
            Taken::Formed => return Ok(()),
        };
        tracing::info!(%store, "has the formation lock");
        let work = async {
            tokio::time::sleep(SETTLE).await;
            if known.look(store, until).await?.1.is_some() {
                return Ok(None);
            }
            make(order, engine, &mut cluster, until).await.map(Some)
        };
        let Some(made) = lock.during(work).await else {
            tracing::warn!("another machine took the formation lock over");
            return Ok(());
        };
        let Some(membership) = made? else { return Ok(()) };
        publish(order, store, &cluster, &mut lock, &membership).await
    }
}

/// The swarm, made here if this machine is in none.
async fn make(order: &Order, engine: &Engine, cluster: &mut Cluster, until: Instant) -> Result<Membership, Failure> {
    loop {
        match super::look(engine, until).await? {
            super::Place::Manager(membership) => return Ok(membership),
            super::Place::Out => {
                form::form(order, engine, cluster, until).await?;
            }
            super::Place::Worker => {
                return Err(Failure::new(Code::Config, super::plan::Stop::Worker.to_string()));
            }
        }
    }
}

async fn publish(
    order: &Order,
    store: &Store,
    cluster: &Cluster,
    lock: &mut Lock<'_>,
    membership: &Membership,
) -> Result<(), Failure> {
    let issuing = cluster.issuing_key(&order.settings.issuing_key)?;
    let now = clock::now();
    let key = PublicKey::from_point(cluster.grant_key.public_point()).map(|key| key.to_text());
    let addresses = start::addresses(&order.settings, cluster.advertise(), membership)?;
    let record = Record {
        iss: cluster.id().clone(),
        swarm: membership.swarm.clone(),
        made: now,
        renewed: now,
        form_until: cluster.form_until(),
        brokers: vec![Listed { id: cluster.broker().to_owned(), addresses, key: key.unwrap_or_default() }],
    };
    if !lock.still_ours().await? {
        return Ok(());
    }
    // Whose record it is, begins the ledger. That is read from the record itself at the next look: said on disk before, it
    // would also be said by a machine that was cut off here, and whose lock another one has taken over since.
    if record.publish(store, &issuing).await? {
        tracing::info!(%store, swarm = %membership.swarm, "published the cluster record");
        lock.set_formed(&membership.swarm).await?;
    }
    Ok(())
}

/// Leaves a swarm that this machine made, and that is not the cluster's: where nothing runs in it.
pub(super) async fn leave(engine: &Engine, record: &SwarmId) -> Result<(), Failure> {
    tracing::warn!(%record, "another machine made the cluster's swarm: this one leaves its own, in which it is alone");
    engine.leave().await.map_err(|error| start::engine_failure(&error))
}

/// Waits a little for what others do.
pub(super) async fn pause(until: Instant) -> Result<(), Failure> {
    if Instant::now() >= until {
        return Err(Failure::new(Code::TryAgain, WAITED));
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}

/// Waiting came to its end.
const WAITED: &str = "no cluster record came into the store in time. Is a broker of the cluster serving with this --store? It puts the \
     record back. If there was never a swarm, or all of it is lost: see docs/high-availability.md, 'By a store'. Run this again";
