//! The brokers and their public keys, and the invite keys: written by each broker, read by all.
//!
//! Keeps promise 8 (any broker will do): a grant signed by one broker is verified by every other.
//! Must not hold a private key, and a key id is derived from the key, never taken from a name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use protocol::{BrokerAddress, Role};

use super::listed::{
    ENTRY, GENERATION, GrantKey, InviteKey, InviteKeyData, Peer, Retire, SINCE, VOIDED, entry, grant_keys,
};
use super::{LedgerError, Sentinel, names};
use crate::clock;
use crate::jwt::{KeyId, PublicKey};
use crate::swarm::{Engine, EngineError, Node, Object};

/// An unknown key id makes the directory read again, but not more often than this.
const REREAD: Duration = Duration::from_secs(1);
/// A broker that did not renew its entry for this long, in seconds, is not live.
pub(crate) const LIVE: u64 = 60;

/// The directory as it was read last.
pub(crate) struct Directory {
    engine: Engine,
    sentinel: Arc<Sentinel>,
    read: RwLock<Read>,
    /// When the last look for a key that was not known began. One at a time.
    looked: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Default)]
struct Read {
    at: Option<Instant>,
    peers: Vec<Peer>,
    grants: HashMap<KeyId, GrantKey>,
    invites: HashMap<KeyId, InviteKey>,
}

/// The number of the next invite key.
fn next(keys: &[InviteKey]) -> u64 {
    keys.iter().map(|key| key.generation).max().unwrap_or(0) + 1
}

/// Where the brokers of a swarm are, the one that was heard of last first: for a broker that does not serve yet.
pub(crate) async fn addresses(engine: &Engine) -> Result<Vec<BrokerAddress>, EngineError> {
    let mut peers: Vec<Peer> = engine.list(names::KIND, names::BROKER).await?.iter().filter_map(entry).collect();
    peers.sort_by_key(|peer| std::cmp::Reverse(peer.renewed));
    Ok(peers.into_iter().flat_map(|peer| peer.addresses).collect())
}

fn manages(peer: &Peer, nodes: &[Node]) -> bool {
    nodes.iter().any(|node| node.id == peer.node && node.role == Role::Manager)
}

impl Directory {
    pub(crate) fn new(engine: Engine, sentinel: Arc<Sentinel>) -> Self {
        Self { engine, sentinel, read: RwLock::default(), looked: tokio::sync::Mutex::default() }
    }

    /// Writes this broker's entry, and gives what it is then. The write is also a probe: its version must be higher than
    /// all that were seen.
    pub(crate) async fn renew(&self, peer: Peer, retire: Retire) -> Result<Peer, LedgerError> {
        let name = names::broker(&peer.id);
        let before = self.sentinel.version();
        let replaced = self.engine.read(&name).await?;
        let peer = match replaced.as_ref().and_then(entry) {
            Some(former) => peer.over(&former, retire, clock::now()),
            None => Peer { since: clock::now(), ..peer },
        };
        let entry = serde_json::to_string(&peer).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let labels = BTreeMap::from([(names::KIND.to_owned(), names::BROKER.to_owned()), (ENTRY.to_owned(), entry)]);
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
        self.sentinel.moved_on(before, after.version)?;
        Ok(peer)
    }

    /// Writes the entry of a broker that does not serve yet, or not any more: it is heard of no later for that. When this returns, this engine has committed to it.
    pub(crate) async fn enlist(&self, peer: Peer) -> Result<(), LedgerError> {
        let renewed = {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            read.peers.iter().find(|known| known.id == peer.id).map_or(peer.renewed, |known| known.renewed)
        };
        self.renew(Peer { renewed, ..peer }, Retire::AfterLast).await.map(drop)
    }

    /// Whether the ledger has an entry of this broker now.
    pub(crate) async fn is_listed(&self, id: &str) -> Result<bool, LedgerError> {
        Ok(self.engine.read(&names::broker(id)).await?.is_some())
    }

    /// Lists the invite key that this broker starts with, if it is not listed: as the next one, or as the first. A ledger
    /// that was recovered on another broker may have forgotten that this one leaked: then it is listed as void.
    pub(crate) async fn list_own_invite_key(&self, key: &PublicKey) -> Result<(), LedgerError> {
        let keys = self.invite_keys().await?;
        if keys.iter().any(|listed| listed.key == *key) {
            return Ok(());
        }
        let (next, now) = (next(&keys), clock::now());
        if self.sentinel.recovered() == 0 || keys.is_empty() {
            return self.list_invite_key(key, next, now).await;
        }
        tracing::error!(
            "this broker's invite key is not among those that the ledger was recovered with, and is void: what it signed admits nobody. 'broker rotate invite-key' makes another"
        );
        self.create_invite_key(key, next, now, Some(now)).await
    }

    /// In a recovery, on the broker that carries it out: lists its invite key, if it is not listed.
    pub(crate) async fn put_back_invite_key(&self, key: &PublicKey, now: u64) -> Result<(), LedgerError> {
        self.list_invite_key(key, next(&self.invite_keys().await?), now).await
    }

    /// Lists an invite key, so that invites signed by it are accepted. One that is listed stays as it is.
    pub(crate) async fn list_invite_key(&self, key: &PublicKey, generation: u64, now: u64) -> Result<(), LedgerError> {
        self.create_invite_key(key, generation, now, None).await
    }

    async fn create_invite_key(
        &self,
        key: &PublicKey,
        generation: u64,
        now: u64,
        voided: Option<u64>,
    ) -> Result<(), LedgerError> {
        let data = serde_json::to_vec(&InviteKeyData { key: key.to_text() })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let mut labels = BTreeMap::from([
            (names::KIND.to_owned(), names::INVITE_KEY.to_owned()),
            (GENERATION.to_owned(), generation.to_string()),
            (SINCE.to_owned(), now.to_string()),
        ]);
        labels.extend(voided.map(|since| (VOIDED.to_owned(), since.to_string())));
        match self.engine.create(&Object { name: names::invite_key(&key.id()), data, labels }).await {
            Ok(()) | Err(EngineError::Exists) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the directory.
    pub(crate) async fn refresh(&self) -> Result<(), LedgerError> {
        let brokers = self.engine.list(names::KIND, names::BROKER).await?;
        let keys = self.invite_keys().await?;
        let peers: Vec<Peer> = brokers.iter().filter_map(entry).collect();
        let grants = peers.iter().flat_map(grant_keys).map(|grant| (grant.key.id(), grant)).collect();
        let invites = keys.into_iter().map(|key| (key.key.id(), key)).collect();
        *self.read.write().unwrap_or_else(PoisonError::into_inner) =
            Read { at: Some(Instant::now()), peers, grants, invites };
        Ok(())
    }

    /// The key that signs invites under this id, if the ledger lists it.
    pub(crate) async fn invite_key(&self, id: &KeyId) -> Result<Option<PublicKey>, LedgerError> {
        self.find(|read| read.invites.get(id).map(|listed| listed.key.clone())).await
    }

    /// All keys that ever signed invites, as the ledger has them now.
    pub(crate) async fn invite_keys(&self) -> Result<Vec<InviteKey>, LedgerError> {
        let keys = self.engine.list(names::KIND, names::INVITE_KEY).await?;
        Ok(keys.iter().filter_map(InviteKey::read).collect())
    }

    /// All of them, as they were read last.
    pub(crate) fn known_invite_keys(&self) -> Vec<InviteKey> {
        self.read.read().unwrap_or_else(PoisonError::into_inner).invites.values().cloned().collect()
    }

    /// Whether a key that is listed signs no invite any more that admits somebody. Asked of the ledger each time: what was
    /// read a few seconds ago does not do after a leak.
    pub(crate) async fn is_void(&self, id: &KeyId) -> Result<bool, LedgerError> {
        let stored = self.engine.read(&names::invite_key(id)).await?;
        // One that is not there any more was listed a moment ago: the ledger lost it.
        let gone = || LedgerError::Unavailable("an invite key is not in the ledger any more".into());
        Ok(InviteKey::read(&stored.ok_or_else(gone)?).is_none_or(|key| key.voided.is_some()))
    }

    /// Declares all invite keys but this one void, from `now` on.
    pub(crate) async fn void_other_invite_keys(&self, kept: &KeyId, now: u64) -> Result<(), LedgerError> {
        for stored in self.engine.list(names::KIND, names::INVITE_KEY).await? {
            let Some(key) = InviteKey::read(&stored) else { continue };
            if key.key.id() != *kept && key.voided.is_none() {
                let mut labels = stored.object.labels.clone();
                labels.insert(VOIDED.to_owned(), now.to_string());
                self.engine.relabel(&stored, labels).await?;
            }
        }
        Ok(())
    }

    /// The key that signs a broker's grants under this id.
    pub(crate) async fn grant_key(&self, id: &KeyId) -> Result<Option<GrantKey>, LedgerError> {
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

    /// Removes the entries of brokers that are gone for good, once nothing that they signed can be good.
    pub(crate) async fn sweep(&self, nodes: &[Node], now: u64) -> Result<(), LedgerError> {
        let listed = self.engine.list(names::KIND, names::BROKER).await?;
        let peers: Vec<Peer> = listed.iter().filter_map(entry).collect();
        for stored in &listed {
            let Some(peer) = entry(stored) else { continue };
            if peer.is_gone(manages(&peer, nodes), &peers, now) {
                self.engine.remove(stored).await?;
            }
        }
        Ok(())
    }

    /// Removes the entry of a broker at once: nothing that it signed is good any more.
    pub(crate) async fn remove(&self, id: &str) -> Result<(), LedgerError> {
        match self.engine.read(&names::broker(id)).await? {
            Some(stored) => Ok(self.engine.remove(&stored).await?),
            None => Ok(()),
        }
    }

    /// The brokers whose node is no manager any more.
    pub(crate) fn gone(&self, nodes: &[Node]) -> Vec<Peer> {
        self.all().into_iter().filter(|peer| !manages(peer, nodes)).collect()
    }

    /// Looks again in the ledger for what is not known here. An honest key may be a second old; a forged one costs
    /// its sender the wait.
    async fn find<T>(&self, find: impl Fn(&Read) -> Option<T>) -> Result<Option<T>, LedgerError> {
        let (found, age) = {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            (find(&read), read.at.map_or(REREAD, |at| at.elapsed()))
        };
        if found.is_some() {
            return Ok(found);
        }
        let asked = Instant::now();
        if let Some(wait) = REREAD.checked_sub(age) {
            tokio::time::sleep(wait).await;
        }
        let mut begun = self.looked.lock().await;
        // One that began before may have read the list before the key was in it.
        if begun.is_none_or(|begun| begun < asked) {
            if let Some(wait) = begun.and_then(|begun| REREAD.checked_sub(begun.elapsed())) {
                tokio::time::sleep(wait).await;
            }
            let now = Instant::now();
            self.refresh().await?;
            *begun = Some(now);
        }
        let found = find(&self.read.read().unwrap_or_else(PoisonError::into_inner));
        if found.is_none() {
            // It may be unknown because the ledger is gone.
            self.sentinel.confirm_present(&self.engine).await?;
        }
        Ok(found)
    }
}
