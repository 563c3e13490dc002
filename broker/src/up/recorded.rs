//! What the store says about this machine's cluster.
//!
//! Must not take a store that does not answer, or a record that is not good, for one that holds nothing.

use std::time::{Duration, Instant};

use protocol::{ClusterId, Invite, Pin};
use rustls::crypto::CryptoProvider;

use super::plan::{Place, Recorded};
use super::store::{Lock, Read, Record, Store, StoreError, Trust};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::ledger;
use crate::state::Cluster;
use crate::swarm::Engine;

/// How often a store or an engine is asked that does not answer.
const POLL: Duration = Duration::from_secs(1);

/// Whose record it must be.
pub(super) struct Known {
    cluster: ClusterId,
    pin: Pin,
    /// The lowest generation of issuing CA that is believed.
    generation: u32,
    /// This machine is a manager of the swarm in which it has served: the record tells it nothing that it needs.
    serves: bool,
    provider: CryptoProvider,
}

impl Known {
    /// As the state directory says, or the invite. None: this machine was told of no cluster yet.
    pub(super) async fn of(
        cluster: Option<&Cluster>,
        invite: Option<&Invite>,
        place: &Place,
        engine: &Engine,
        until: Instant,
    ) -> Result<Option<Self>, Failure> {
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let held = cluster.map(|cluster| (cluster.id().clone(), cluster.issuing.pin(), cluster.issuing.generation));
        let told = || invite.map(|invite| (invite.iss.clone(), invite.pin.clone(), invite.generation));
        let Some((id, pin, own)) = held.or_else(told) else { return Ok(None) };
        let is_manager = matches!(place, Place::Manager(_));
        // Brokers go on with the issuing CA before theirs for a while: the ledger says which are good.
        let generation = if is_manager { accepted(engine, until).await? } else { own };
        let serves = is_manager && cluster.is_some_and(Cluster::has_ledger);
        Ok(Some(Self { cluster: id, pin, generation, serves, provider }))
    }

    /// What the store says, and the record if there is one. A store that does not answer is asked again until then, and so is
    /// one whose record an issuing CA signed that is void by now: a broker that serves puts the right one there.
    pub(super) async fn look(&self, store: &Store, until: Instant) -> Result<(Recorded, Option<Record>), Failure> {
        let mut told = false;
        loop {
            let trouble = match self.ask(store).await {
                Err(trouble @ (StoreError::Unavailable(..) | StoreError::Void(_))) => trouble,
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
        let generation = self.generation;
        let trust = Trust { cluster: &self.cluster, pin: &self.pin, generation, provider: &self.provider };
        let record = match Record::read(store, &trust).await? {
            Read::Good(published) => published.record,
            // Whoever has the key of an issuing CA that leaked can write such a record.
            Read::Void(_) if !self.serves => return Err(store.void()),
            // Once this broker serves it puts the right one there.
            Read::Nothing | Read::Void(_) => {
                let formed = Lock::formed(store, &self.cluster).await?;
                return Ok((formed.map_or(Recorded::Nothing, Recorded::Gone), None));
            }
        };
        let swarm = record.swarm.clone();
        let ended = record.has_ended(clock::now());
        Ok((if ended { Recorded::Ended(swarm, record.renewed) } else { Recorded::Swarm(swarm) }, Some(record)))
    }
}

/// The lowest generation of issuing CA that the swarm's ledger believes. An engine that does not answer is asked again.
async fn accepted(engine: &Engine, until: Instant) -> Result<u32, Failure> {
    loop {
        match ledger::generations(engine).await {
            Ok(generations) => return Ok(generations.accepted(clock::now())),
            Err(error) if Instant::now() >= until => return Err(Failure::new(Code::TryAgain, error.to_string())),
            Err(_) => tokio::time::sleep(POLL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use certs::{Issuing, Root};

    use super::*;

    async fn store() -> (tempfile::TempDir, Store) {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("shared-by-managers"), "").expect("written");
        let store = Store::open(&format!("file://{}", folder.path().display()), &[]).await.expect("opens");
        (folder, store)
    }

    fn record(cluster: &ClusterId) -> Record {
        let (iss, swarm) = (cluster.clone(), "k9vqn1p0r3a8j2m4x6t5b7c1d".parse().expect("an id"));
        Record { iss, swarm, made: clock::now(), renewed: clock::now(), form_until: 0, brokers: Vec::new() }
    }

    /// A machine that believes this issuing CA and later ones.
    fn believer(cluster: &ClusterId, issuing: &Issuing, serves: bool) -> Known {
        let (pin, generation) = (issuing.pin(), issuing.public().generation);
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Known { cluster: cluster.clone(), pin, generation, serves, provider }
    }

    #[tokio::test]
    async fn a_record_that_a_void_issuing_ca_signed_is_waited_out_and_not_believed() {
        let (_folder, store) = store().await;
        let cluster = ClusterId::random();
        let root = Root::create(&cluster, "test", clock::unix(clock::now())).expect("made");
        let [void, next] = [1, 2].map(|number| root.issue(number, clock::unix(clock::now())).expect("made"));
        assert!(record(&cluster).publish(&store, &void).await.expect("an outcome"));
        let known = believer(&cluster, &next, false);

        // As every broker's unit finds it in the moment after 'rotate ca --now': an end for good would be one for ever.
        let failure = known.look(&store, Instant::now()).await.expect_err("nobody signs it anew");
        assert!(failure.code == Code::TryAgain && failure.to_string().contains("void"), "{failure}");
        // One that has served in its swarm needs nothing of it.
        let served = believer(&cluster, &next, true).look(&store, Instant::now()).await;
        assert!(matches!(served, Ok((Recorded::Nothing, None))));

        let renew = async {
            let trust = Trust { cluster: &cluster, pin: &known.pin, generation: 2, provider: &known.provider };
            let Ok(Read::Void(version)) = Record::read(&store, &trust).await else { panic!("a void one") };
            assert!(record(&cluster).renew(&store, &next, &version).await.expect("an outcome"));
        };
        let until = Instant::now() + Duration::from_secs(30);
        let (found, ()) = tokio::join!(known.look(&store, until), renew);
        assert!(matches!(found, Ok((Recorded::Swarm(_), Some(_)))));
    }
}
