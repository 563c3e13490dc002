//! The brokers and their public keys, and the invite keys: written by each broker, read by all.
//!
//! Keeps promise 8 (any broker will do): a grant signed by one broker is verified by every other.
//! Must not hold a private key, and a key id is derived from the key, never taken from a name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use protocol::{BrokerAddress, NodeId, Role};
use serde::{Deserialize, Serialize};

use super::{LedgerError, Sentinel, names};
use crate::jwt::{KeyId, PublicKey};
use crate::swarm::{Engine, EngineError, Node, Object, Stored};

/// An unknown key id makes the directory read again, but not more often than this.
const REREAD: Duration = Duration::from_secs(1);
/// A broker that did not renew its entry for this long, in seconds, is not live.
pub(crate) const LIVE: u64 = 60;

/// The entry of a broker that is gone for good goes after this long, in seconds: a grant lives for minutes.
const GONE: u64 = 60 * 60;

const ENTRY: &str = "swarm-broker.entry";

/// A broker as the ledger knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// The broker's id.
    pub(crate) id: String,
    /// Where it can be reached.
    pub(crate) addresses: Vec<BrokerAddress>,
    /// The node it runs on.
    pub(crate) node: NodeId,
    /// The public key of its grants.
    pub(crate) key: String,
    /// When it wrote this last, in seconds since 1970.
    pub(crate) renewed: u64,
    /// Its release.
    pub(crate) release: String,
}

/// The directory as it was read last.
pub(crate) struct Directory {
    engine: Engine,
    sentinel: Arc<Sentinel>,
    read: RwLock<Read>,
    refreshing: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Read {
    at: Option<Instant>,
    peers: Vec<Peer>,
    grants: HashMap<KeyId, PublicKey>,
    invites: HashMap<KeyId, PublicKey>,
}

/// Where the brokers of a swarm are, the one that was heard of last first: for a broker that does not serve yet.
pub(crate) async fn addresses(engine: &Engine) -> Result<Vec<BrokerAddress>, EngineError> {
    let mut peers = peers(&engine.list(names::KIND, names::BROKER).await?);
    peers.sort_by_key(|peer| std::cmp::Reverse(peer.renewed));
    Ok(peers.into_iter().flat_map(|peer| peer.addresses).collect())
}

fn peers(stored: &[Stored]) -> Vec<Peer> {
    stored.iter().filter_map(|stored| serde_json::from_str(stored.object.labels.get(ENTRY)?).ok()).collect()
}

#[derive(Serialize, Deserialize)]
struct InviteKey {
    key: String,
}

impl Directory {
    pub(crate) fn new(engine: Engine, sentinel: Arc<Sentinel>) -> Self {
        Self { engine, sentinel, read: RwLock::default(), refreshing: tokio::sync::Mutex::default() }
    }

    /// Writes this broker's entry. The write is also a probe: its version must be higher than all that were seen.
    pub(crate) async fn renew(&self, peer: &Peer) -> Result<(), LedgerError> {
        let name = names::broker(&peer.id);
        let entry = serde_json::to_string(peer).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let labels = BTreeMap::from([(names::KIND.to_owned(), names::BROKER.to_owned()), (ENTRY.to_owned(), entry)]);
        let before = self.sentinel.version();
        let replaced = self.engine.read(&name).await?;
        match &replaced {
            Some(stored) => self.engine.relabel(stored, labels).await?,
            None => {
                self.engine.create(&Object { name: name.clone(), data: peer.id.clone().into_bytes(), labels }).await?;
            }
        }
        let after = self.engine.read(&name).await?.ok_or(EngineError::NotFound)?;
        if replaced.is_some_and(|replaced| replaced.version == after.version) {
            // The change is committed and not shown yet, as after a change of leader: that proves nothing.
            return Err(LedgerError::Unavailable("the engine shows an older state".into()));
        }
        self.sentinel.moved_on(before, after.version)
    }

    /// Writes the entry of a broker that does not serve yet. When this returns, this engine has committed to it.
    pub(crate) async fn enlist(&self, peer: &Peer) -> Result<(), LedgerError> {
        let renewed = {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            read.peers.iter().find(|known| known.id == peer.id).map_or(peer.renewed, |known| known.renewed)
        };
        self.renew(&Peer { renewed, ..peer.clone() }).await
    }

    /// Lists an invite key, so that invites signed by it are accepted.
    pub(crate) async fn list_invite_key(&self, key: &PublicKey) -> Result<(), LedgerError> {
        let data = serde_json::to_vec(&InviteKey { key: key.to_text() })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let labels = BTreeMap::from([(names::KIND.to_owned(), names::INVITE_KEY.to_owned())]);
        match self.engine.create(&Object { name: names::invite_key(&key.id()), data, labels }).await {
            Ok(()) | Err(EngineError::Exists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the directory.
    pub(crate) async fn refresh(&self) -> Result<(), LedgerError> {
        let brokers = self.engine.list(names::KIND, names::BROKER).await?;
        let keys = self.engine.list(names::KIND, names::INVITE_KEY).await?;
        let peers = peers(&brokers);
        let by_id = |key: PublicKey| (key.id(), key);
        let grants = peers.iter().filter_map(|peer| PublicKey::from_text(&peer.key)).map(by_id).collect();
        let invites = keys
            .iter()
            .filter_map(|stored| serde_json::from_slice::<InviteKey>(&stored.object.data).ok())
            .filter_map(|listed| PublicKey::from_text(&listed.key))
            .map(by_id)
            .collect();
        *self.read.write().unwrap_or_else(PoisonError::into_inner) =
            Read { at: Some(Instant::now()), peers, grants, invites };
        Ok(())
    }

    /// The key that signs invites under this id, if the ledger lists it.
    pub(crate) async fn invite_key(&self, id: &KeyId) -> Result<Option<PublicKey>, LedgerError> {
        self.find(|read| read.invites.get(id).cloned()).await
    }

    /// The key that signs a broker's grants under this id.
    pub(crate) async fn grant_key(&self, id: &KeyId) -> Result<Option<PublicKey>, LedgerError> {
        self.find(|read| read.grants.get(id).cloned()).await
    }

    /// The brokers that are live at `now`.
    pub(crate) fn live(&self, now: u64) -> Vec<Peer> {
        let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
        read.peers.iter().filter(|peer| now < peer.renewed.saturating_add(LIVE)).cloned().collect()
    }

    /// All brokers that the ledger lists, the dead ones, too.
    pub(crate) fn all(&self) -> Vec<Peer> {
        self.read.read().unwrap_or_else(PoisonError::into_inner).peers.clone()
    }

    /// Removes the entries of brokers whose node is no manager any more, once nothing that they signed can be good.
    pub(crate) async fn sweep(&self, nodes: &[Node], now: u64) -> Result<(), LedgerError> {
        for stored in self.engine.list(names::KIND, names::BROKER).await? {
            let Some(peer) = peers(std::slice::from_ref(&stored)).pop() else { continue };
            let manages = nodes.iter().any(|node| node.id == peer.node && node.role == Role::Manager);
            if !manages && now >= peer.renewed.saturating_add(GONE) {
                self.engine.remove(&stored).await?;
            }
        }
        Ok(())
    }

    /// Looks again in the ledger for what is not known here. An honest key may be a second old; a forged one costs
    /// its sender the wait.
    async fn find(&self, find: impl Fn(&Read) -> Option<PublicKey>) -> Result<Option<PublicKey>, LedgerError> {
        let (found, age) = {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            (find(&read), read.at.map_or(REREAD, |at| at.elapsed()))
        };
        if found.is_some() {
            return Ok(found);
        }
        if let Some(wait) = REREAD.checked_sub(age) {
            tokio::time::sleep(wait).await;
        }
        let mut refreshing = self.refreshing.lock().await;
        if refreshing.is_none_or(|at| at.elapsed() >= REREAD) {
            self.refresh().await?;
            *refreshing = Some(Instant::now());
        }
        let found = find(&self.read.read().unwrap_or_else(PoisonError::into_inner));
        if found.is_none() {
            // It may be unknown because the ledger is gone.
            self.sentinel.confirm_present(&self.engine).await?;
        }
        Ok(found)
    }
}
