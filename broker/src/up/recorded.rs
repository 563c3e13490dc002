//! What the store says about this machine's cluster.
//!
//! Must not take a store that does not answer, or a record that is not good, for one that holds nothing.

use std::time::{Duration, Instant};

use protocol::{ClusterId, Invite, Pin};
use rustls::crypto::CryptoProvider;

use super::plan::Recorded;
use super::store::{Lock, Record, Store, StoreError, Trust};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::state::Cluster;

/// How often a store is asked that does not answer.
const POLL: Duration = Duration::from_secs(1);

/// Whose record it must be.
pub(super) struct Known {
    cluster: ClusterId,
    pin: Pin,
    generation: u32,
    provider: CryptoProvider,
}

impl Known {
    /// As the state directory says, or the invite. None: this machine was told of no cluster yet.
    pub(super) fn of(cluster: Option<&Cluster>, invite: Option<&Invite>) -> Option<Self> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let held = cluster.map(|cluster| (cluster.id().clone(), cluster.issuing.pin(), cluster.issuing.generation));
        let told = || invite.map(|invite| (invite.iss.clone(), invite.pin.clone(), invite.generation));
        let (cluster, pin, generation) = held.or_else(told)?;
        Some(Self { cluster, pin, generation, provider })
    }

    /// What the store says, and the record if there is one. A store that does not answer is asked again until then.
    pub(super) async fn look(&self, store: &Store, until: Instant) -> Result<(Recorded, Option<Record>), Failure> {
        let mut told = false;
        loop {
            let trouble = match self.ask(store).await {
                Err(trouble @ StoreError::Unavailable(..)) => trouble,
                answer => return Ok(answer?),
            };
            if Instant::now() >= until {
                return Err(Failure::new(Code::TryAgain, format!("{trouble}. Run this again")));
            }
            if !told {
                tracing::info!(%trouble, "waiting for the store");
                told = true;
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn ask(&self, store: &Store) -> Result<(Recorded, Option<Record>), StoreError> {
        let trust =
            Trust { cluster: &self.cluster, pin: &self.pin, generation: self.generation, provider: &self.provider };
        let Some(published) = Record::read(store, &trust).await? else {
            let formed = Lock::formed(store, &self.cluster).await?;
            return Ok((formed.map_or(Recorded::Nothing, Recorded::Gone), None));
        };
        let record = published.record;
        let swarm = record.swarm.clone();
        let ended = record.has_ended(clock::now());
        Ok((if ended { Recorded::Ended(swarm, record.renewed) } else { Recorded::Swarm(swarm) }, Some(record)))
    }
}
