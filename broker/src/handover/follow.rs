//! A broker that serves gets the shared keys that were replaced on another manager, by itself.
//!
//! Keeps promise 8 (any broker will do) and promise 5: what is not known to be the current key is not taken, and it is tried
//! again. Must not ask where it would be refused: a refusal is an alarm at the other broker.

use std::sync::Arc;
use std::time::Duration;

use protocol::{BrokerAddress, SharedKey};

use super::ask::{Asker, ONE, Trouble, ask};
use super::voucher::{LABEL, Voucher, trusted};
use crate::broker::Broker;
use crate::clock;
use crate::keys::{self, Behind, What};
use crate::ledger::Peer;
use crate::peers::{Peers, each_of};
use crate::state::{Cluster, KeySource};
use crate::swarm::{EngineError, Membership};

/// How often it looks whether it is behind.
const LOOK: Duration = Duration::from_secs(2);
/// After so many tries that failed, the pause between two does not double any more: 32 s.
const SLOWEST: u32 = 4;

/// Looks after it for as long as the broker serves.
pub(crate) async fn follow(broker: Arc<Broker>) {
    let mut failed = 0;
    loop {
        tokio::time::sleep(LOOK * 2_u32.pow(failed)).await;
        let behind = look(&broker).await;
        let (mut problem, mut asked) = (None, false);
        for behind in behind {
            match get(&broker, &behind).await {
                Ok(()) => {}
                Err(Unmet::Here(why)) => problem = Some(why),
                Err(Unmet::There(why)) => (problem, asked) = (Some(why), true),
            }
        }
        if problem.is_some() && problem != *broker.keys.not_followed.get() {
            tracing::warn!(
                why = problem,
                "a key was replaced on another manager, and is not here yet; it is tried again"
            );
        }
        failed = if asked { (failed + 1).min(SLOWEST) } else { 0 };
        broker.keys.not_followed.replace(problem);
    }
}

/// What this broker lacks, by the ledger as it is now.
async fn look(broker: &Broker) -> Vec<Behind> {
    if broker.sentinel.check().is_err() {
        return Vec::new();
    }
    // Who replaces a key knows better. What cannot be read now is read the next time.
    if let Ok(_turn) = broker.keys.turn.try_lock() {
        let _ = broker.directory.refresh().await;
        let _ = keys::follow(broker).await;
    }
    keys::behind(broker)
}

/// Why a key is not here yet.
enum Unmet {
    /// Something is missing here: nobody was asked.
    Here(String),
    /// Others were asked.
    There(String),
}

impl From<String> for Unmet {
    fn from(why: String) -> Self {
        Self::Here(why)
    }
}

/// Gets one key from a broker that has it.
async fn get(broker: &Broker, behind: &Behind) -> Result<(), Unmet> {
    let wanted = match behind.what {
        What::Ca if broker.issuing_key != KeySource::State => {
            return Err(Unmet::Here(format!(
                "the issuing key is kept elsewhere ({}): put the new one there, then type 'broker ca install FILE' with its certificate",
                broker.issuing_key.kind()
            )));
        }
        What::Ca => SharedKey::Ca,
        _ => SharedKey::InviteKey,
    };
    let membership = broker.membership().ok_or_else(|| "the engine does not answer as a manager".to_owned())?;
    let proof = is_believed(broker, &membership).await?;
    // As it is on disk: that one is listed before it is used.
    let grant_key = Cluster::open(&broker.state).map_err(|error| error.to_string())?.grant_key;
    let asker = Asker {
        joiner: &broker.joiner_state,
        node: &membership.node,
        cluster: &broker.cluster,
        broker: &broker.id,
        grant_key: &grant_key,
        addresses: &broker.addresses,
    };
    if proof && asker.identity().map_err(|failure| failure.to_string())?.is_none() {
        return Err(Unmet::Here(format!(
            "the key that brought this node in is not in {} any more: type 'broker adopt NODE --reason TEXT' for this node, where the key was replaced",
            broker.joiner_state.display()
        )));
    }
    let request = asker.request(Some(wanted)).map_err(|failure| failure.to_string())?;
    // Who has the key of a former issuing CA may serve as a broker.
    let generation = broker.keys.generations.get().newest().max(1);
    let peers = Peers::of(broker.cluster.clone(), broker.pin(), generation, broker.provider.clone());
    let mut last = "no other broker that has it is live".to_owned();
    for peer in holders(broker, behind) {
        for address in &addresses(&peer).await {
            let asked = tokio::time::timeout(ONE, ask(&peers, &broker.engine, address, request.clone())).await;
            last = match asked {
                Ok(Ok(given)) => match keys::take_up(broker, behind, &given, &peer).await {
                    Ok(()) => return Ok(()),
                    Err(why) => format!("{address}: {why}"),
                },
                Ok(Err(Trouble::Refused(request))) => {
                    format!("{address}: refused (request {request}); the audit log there says why")
                }
                Ok(Err(Trouble::Passing(why))) => format!("{address}: {why}"),
                Err(_) => format!("{address}: no answer within {} s", ONE.as_secs()),
            };
        }
    }
    Err(Unmet::There(last))
}

async fn addresses(peer: &Peer) -> Vec<BrokerAddress> {
    let mut addresses = Vec::new();
    for named in &peer.addresses {
        addresses.extend(each_of(named).await);
    }
    addresses
}

/// The live brokers that say they have it, the one that was heard of last first.
fn holders(broker: &Broker, behind: &Behind) -> Vec<Peer> {
    let mut holders: Vec<Peer> = broker.directory.live(clock::now());
    holders.retain(|peer| peer.id != broker.id);
    holders.retain(|peer| match &behind.kid {
        Some(kid) => peer.invite.as_ref() == Some(kid),
        None => u64::from(peer.issuing) == behind.current,
    });
    holders.sort_by_key(|peer| std::cmp::Reverse(peer.renewed));
    holders
}

/// Whether this node is explained as a manager, by a CA that is trusted now; and whether its own key must ask.
async fn is_believed(broker: &Broker, membership: &Membership) -> Result<bool, String> {
    let node = broker.engine.node(&membership.node).await.map_err(|error: EngineError| error.to_string())?;
    let read = |label: &String| {
        Voucher::read(label, &trusted(broker), &broker.cluster, &membership.swarm, &membership.node).ok()
    };
    let voucher = node.labels.get(LABEL).and_then(read).ok_or_else(|| {
        format!(
            "nothing says any more that this manager may have the cluster's keys. If it is yours, type where the key was replaced: broker adopt {} --reason TEXT",
            node.hostname
        )
    })?;
    Ok(voucher.key.is_some())
}
