//! What `broker status` shows.

use std::collections::HashSet;
use std::sync::Arc;

use tokio::task::JoinSet;

use super::rotate;
use super::server::Reply;
use super::words::{BehindShown, BrokerShown, Status};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::keys::{self, Behind};
use crate::peers::Peers;
use crate::server::json;
use crate::{clock, health};

/// The ids of the brokers that are ready: each other one is asked, all at once.
async fn ready(broker: &Broker, this: bool) -> HashSet<String> {
    let peers = Arc::new(Peers::beside(broker));
    let mut asked = JoinSet::new();
    for peer in broker.directory.all().into_iter().filter(|peer| peer.id != broker.id) {
        for address in peer.addresses {
            let (peers, id) = (peers.clone(), peer.id.clone());
            asked.spawn(async move { peers.is_ready(&address).await.then_some(id) });
        }
    }
    let mut ready: HashSet<String> = asked.join_all().await.into_iter().flatten().collect();
    if this {
        ready.insert(broker.id.clone());
    }
    ready
}

/// The keys that this broker has not got yet.
fn behind(broker: &Broker) -> Vec<BehindShown> {
    let problem = broker.keys.not_followed.get();
    let behind = keys::behind(broker).into_iter();
    behind
        .map(|Behind { what, has, current, .. }| BehindShown {
            what,
            generation: has,
            current,
            problem: (*problem).clone(),
        })
        .collect()
}

/// The cluster, its brokers, and what is missing here.
pub(super) async fn status(broker: &Broker) -> Result<Reply, Denial> {
    let missing = health::missing(broker);
    let issuing = broker.keys.issuing.get();
    let nodes = broker.engine.nodes().await.unwrap_or_default();
    // Whoever came just now is shown. Without quorum, what was read last has to do.
    if let Err(error) = broker.directory.refresh().await {
        tracing::info!(%error, "the directory could not be read again");
    }
    let ready = ready(broker, missing.is_empty()).await;
    let brokers = broker.directory.all().into_iter().map(|peer| BrokerShown {
        ready: ready.contains(&peer.id),
        leader: nodes.iter().any(|node| node.id == peer.node && node.leader),
        address: peer.addresses.first().cloned(),
        addresses: peer.addresses,
        id: peer.id,
        node: peer.node,
        release: peer.release,
    });
    Ok(json(&Status {
        cluster: broker.cluster.clone(),
        name: broker.name.clone(),
        pin: broker.pin(),
        generation: issuing.public().generation,
        issuing_ends: clock::shown(issuing.public().ends),
        issuing_key: broker.issuing_key.kind().into(),
        swarm: broker.membership().map(|membership| membership.swarm),
        release: env!("CARGO_PKG_VERSION").into(),
        ready: missing.is_empty(),
        behind: behind(broker),
        tokens: rotate::tokens(broker).await,
        brokers: brokers.collect(),
        missing,
        alarms: broker.audit.alarms(),
        logs: broker.witness.watched(),
        joiners: broker.joiners.shown(),
        joiners_left_out: broker.joiners.left_out(),
    }))
}
