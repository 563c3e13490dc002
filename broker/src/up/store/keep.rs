//! What a serving broker does for the cluster record: puts it back, renews it, and names those that are live.
//!
//! Must not touch the record of another swarm, nor one that a newer release wrote.

use std::sync::Arc;
use std::time::Duration;

use super::{Listed, Lock, Read, Record, Store, StoreError, Trust};
use crate::broker::Broker;
use crate::clock;
use crate::swarm::Membership;

/// How often the store is looked at while a machine with the keys could make a swarm: one that finds the store emptied waits
/// for longer than this before it believes that there is none.
pub(crate) const WATCHFUL: Duration = Duration::from_secs(5);
/// How often later.
const LOOK: Duration = Duration::from_secs(30);
/// The record is signed anew so often, in seconds, also where nothing has changed.
const RENEW: u64 = 60;

/// Keeps the record as long as the broker serves.
pub(crate) async fn keep(broker: Arc<Broker>, store: Store, form_until: u64) {
    let mut told = String::new();
    let mut form_until = form_until;
    loop {
        let trouble = match broker.membership() {
            Some(membership) => look(&broker, &store, &membership, &mut form_until).await.err(),
            // A broker that is not sure of its swarm says nothing about it.
            None => None,
        };
        let trouble = trouble.map(|error| error.to_string()).unwrap_or_default();
        if trouble != told {
            if !trouble.is_empty() {
                tracing::error!(trouble, "the cluster record is not kept");
            }
            told = trouble;
        }
        tokio::time::sleep(if clock::now() < form_until { WATCHFUL } else { LOOK }).await;
    }
}

async fn look(broker: &Broker, store: &Store, membership: &Membership, form_until: &mut u64) -> Result<(), StoreError> {
    let pin = broker.pin();
    let trust = Trust {
        cluster: &broker.cluster,
        pin: &pin,
        generation: broker.keys.generations.get().accepted(clock::now()),
        provider: &broker.provider,
    };
    let (now, issuing) = (clock::now(), broker.keys.issuing.get());
    let own = issuing.public().generation;
    if own < trust.generation {
        // It gets the next one within seconds, from a broker that has it, and who has it keeps the record meanwhile.
        return Ok(());
    }
    let fresh = |made: u64, form_until: u64| Record {
        iss: broker.cluster.clone(),
        swarm: membership.swarm.clone(),
        made,
        renewed: now,
        form_until,
        brokers: live(broker, now),
    };
    match Record::read(store, &trust).await? {
        Read::Nothing => {
            if fresh(now, *form_until).publish(store, &issuing).await? {
                tracing::info!(%store, "published the cluster record");
            }
        }
        Read::Void(version) => {
            if fresh(now, *form_until).renew(store, &issuing, &version).await? {
                tracing::warn!(%store, "put the cluster record in the place of one that a void issuing CA signed");
            }
        }
        Read::Good(published) if published.record.swarm != membership.swarm => {
            let what = format!(
                "it names swarm {}, and this broker serves in swarm {}",
                published.record.swarm, membership.swarm
            );
            return Err(store.bad("cluster-record", what));
        }
        Read::Good(published) => {
            *form_until = published.record.form_until;
            let next = fresh(published.record.made, published.record.form_until);
            // One that a former issuing CA signed is not for machines that were told of this one.
            let former = !published.is_from(own, &trust);
            let old = now >= published.record.renewed.saturating_add(RENEW);
            if old || former || published.record.brokers != next.brokers {
                next.renew(store, &issuing, &published.version).await?;
            }
        }
    }
    Lock::ensure_formed(store, &broker.cluster, &membership.swarm).await
}

/// The brokers that are live, in an order that does not change by itself.
fn live(broker: &Broker, now: u64) -> Vec<Listed> {
    let mut brokers: Vec<Listed> = broker
        .directory
        .live(now)
        .into_iter()
        .map(|peer| Listed { id: peer.id, addresses: peer.addresses, key: peer.key })
        .collect();
    if !brokers.iter().any(|listed| listed.id == broker.id) {
        let key = broker.keys.grant.get().public().to_text();
        brokers.push(Listed { id: broker.id.clone(), addresses: broker.addresses.clone(), key });
    }
    brokers.sort_by(|one, other| one.id.cmp(&other.id));
    brokers
}
