//! The brokers and their public keys, and the invite keys: written by each broker, read by all.
//!
//! Keeps promise 8 (any broker will do): a grant signed by one broker is verified by every other, and promise 6 across a
//! change of keys: what a former key signed is known for as long as it must be.
//! Must not hold a private key, and a key id is derived from the key, never taken from a name.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use protocol::{BrokerAddress, NodeId, Role};
use serde::{Deserialize, Serialize};

use super::{LedgerError, Sentinel, names};
use crate::clock;
use crate::jwt::{KeyId, PublicKey};
use crate::swarm::{Engine, EngineError, Node, Object, Stored};

/// An unknown key id makes the directory read again, but not more often than this.
const REREAD: Duration = Duration::from_secs(1);
/// A broker that did not renew its entry for this long, in seconds, is not live.
pub(crate) const LIVE: u64 = 60;
/// Clocks of two brokers differ by no more than this, in seconds.
const SKEW: u64 = 5;

/// The entry of a broker that is gone for good goes after this long, in seconds: a grant lives for minutes.
const GONE: u64 = 60 * 60;

const ENTRY: &str = "swarm-broker.entry";
/// The labels on an invite key's object. One without them is of a time when there was but one key.
const GENERATION: &str = "swarm-broker.generation";
const SINCE: &str = "swarm-broker.since";
const VOIDED: &str = "swarm-broker.voided";

/// A broker as the ledger knows it. Times are in seconds since 1970.
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
    /// The key's number, one more with each.
    #[serde(default = "first")]
    pub(crate) generation: u64,
    /// Since when it is the key, as far as that is known.
    #[serde(default)]
    pub(crate) since: u64,
    /// The keys before it whose grants have not ended yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) retired: Vec<Retired>,
    /// The generation of its issuing CA.
    #[serde(default = "first_generation")]
    pub(crate) issuing: u32,
    /// For how long its grants are good, in seconds.
    #[serde(default = "longest")]
    pub(crate) grants: u64,
    /// When it wrote this last.
    pub(crate) renewed: u64,
    /// Its release.
    pub(crate) release: String,
}

/// A former key of a broker's grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retired {
    pub(crate) key: String,
    /// When the last grant that it signed has ended.
    pub(crate) until: u64,
    /// It has leaked: its grants are not redeemed, and who shows one asks for another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) void: bool,
}

/// What becomes of a key that another one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retire {
    /// Its grants are good until they end.
    AfterLast,
    /// Its grants are good no more.
    AtOnce,
}

/// A key of a broker's grants, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantKey {
    pub(crate) key: PublicKey,
    /// None for the one in use.
    until: Option<u64>,
    void: bool,
}

/// Whether a grant's key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// It was replaced after a leak, a moment ago: an honest machine may still come with a grant of it.
    Void,
    /// Every grant that it signed has ended.
    Over,
}

impl GrantKey {
    /// Whether it is good at `now`.
    pub(crate) fn standing(&self, now: u64) -> Standing {
        match self.until {
            Some(until) if now >= until => Standing::Over,
            _ if self.void => Standing::Void,
            _ => Standing::Good,
        }
    }
}

fn first() -> u64 {
    1
}

fn first_generation() -> u32 {
    1
}

fn longest() -> u64 {
    crate::grants::LONGEST
}

impl Peer {
    /// This entry as it takes the place of `before`, at `now`: a key that was there is remembered until the last grant
    /// that it may have signed has ended.
    fn over(mut self, before: &Self, retire: Retire, now: u64) -> Self {
        self.retired =
            before.retired.iter().filter(|former| former.key != self.key && now < former.until).cloned().collect();
        if before.key == self.key {
            self.generation = before.generation;
            self.since = if before.since == 0 { now } else { before.since };
        } else {
            self.generation = before.generation.saturating_add(1);
            self.since = now;
            let until = now.saturating_add(before.grants.max(self.grants)).saturating_add(SKEW);
            self.retired.push(Retired { key: before.key.clone(), until, void: false });
        }
        if retire == Retire::AtOnce {
            self.retired.iter_mut().for_each(|former| former.void = true);
        }
        self
    }
}

/// A key that signs invites. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InviteKey {
    pub(crate) key: PublicKey,
    /// Its number, one more with each.
    pub(crate) generation: u64,
    /// Since when it is listed, as far as that is known.
    pub(crate) since: u64,
    /// Since when nothing that it signed admits anybody.
    pub(crate) voided: Option<u64>,
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
    grants: HashMap<KeyId, GrantKey>,
    invites: HashMap<KeyId, InviteKey>,
}

/// Where the brokers of a swarm are, the one that was heard of last first: for a broker that does not serve yet.
pub(crate) async fn addresses(engine: &Engine) -> Result<Vec<BrokerAddress>, EngineError> {
    let mut peers: Vec<Peer> = engine.list(names::KIND, names::BROKER).await?.iter().filter_map(entry).collect();
    peers.sort_by_key(|peer| std::cmp::Reverse(peer.renewed));
    Ok(peers.into_iter().flat_map(|peer| peer.addresses).collect())
}

#[derive(Serialize, Deserialize)]
struct InviteKeyData {
    key: String,
}

impl InviteKey {
    fn read(stored: &Stored) -> Option<Self> {
        let data: InviteKeyData = serde_json::from_slice(&stored.object.data).ok()?;
        let number = |label: &str| stored.object.labels.get(label).and_then(|text| text.parse().ok());
        Some(Self {
            key: PublicKey::from_text(&data.key)?,
            generation: number(GENERATION).unwrap_or(1),
            since: number(SINCE).unwrap_or(0),
            // What does not read was written to say that it is void.
            voided: stored.object.labels.get(VOIDED).map(|text| text.parse().unwrap_or(0)),
        })
    }
}

impl Directory {
    pub(crate) fn new(engine: Engine, sentinel: Arc<Sentinel>) -> Self {
        Self { engine, sentinel, read: RwLock::default(), refreshing: tokio::sync::Mutex::default() }
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

    /// Writes the entry of a broker that does not serve yet. When this returns, this engine has committed to it.
    pub(crate) async fn enlist(&self, peer: Peer) -> Result<(), LedgerError> {
        let renewed = {
            let read = self.read.read().unwrap_or_else(PoisonError::into_inner);
            read.peers.iter().find(|known| known.id == peer.id).map_or(peer.renewed, |known| known.renewed)
        };
        self.renew(Peer { renewed, ..peer }, Retire::AfterLast).await.map(drop)
    }

    /// Lists the invite key that this broker started with, if it is not listed: as the next one, or as the first.
    pub(crate) async fn list_own_invite_key(&self, key: &PublicKey) -> Result<(), LedgerError> {
        let keys = self.invite_keys().await?;
        if keys.iter().any(|listed| listed.key == *key) {
            return Ok(());
        }
        let generation = keys.iter().map(|key| key.generation).max().unwrap_or(0) + 1;
        self.list_invite_key(key, generation, clock::now()).await
    }

    /// Lists an invite key, so that invites signed by it are accepted. One that is listed stays as it is.
    pub(crate) async fn list_invite_key(&self, key: &PublicKey, generation: u64, now: u64) -> Result<(), LedgerError> {
        let data = serde_json::to_vec(&InviteKeyData { key: key.to_text() })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let labels = BTreeMap::from([
            (names::KIND.to_owned(), names::INVITE_KEY.to_owned()),
            (GENERATION.to_owned(), generation.to_string()),
            (SINCE.to_owned(), now.to_string()),
        ]);
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

    /// The same as they were read last.
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

    /// Removes the entries of brokers whose node is no manager any more, once nothing that they signed can be good.
    pub(crate) async fn sweep(&self, nodes: &[Node], now: u64) -> Result<(), LedgerError> {
        for stored in self.engine.list(names::KIND, names::BROKER).await? {
            let Some(peer) = entry(&stored) else { continue };
            let manages = nodes.iter().any(|node| node.id == peer.node && node.role == Role::Manager);
            if !manages && now >= peer.renewed.saturating_add(GONE) {
                self.engine.remove(&stored).await?;
            }
        }
        Ok(())
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

/// A broker's entry, if it reads.
fn entry(stored: &Stored) -> Option<Peer> {
    serde_json::from_str(stored.object.labels.get(ENTRY)?).ok()
}

/// The keys of a broker's grants: the former ones first, so that a key that came back is the one in use.
fn grant_keys(peer: &Peer) -> Vec<GrantKey> {
    let former = peer.retired.iter().filter_map(|former| {
        let key = PublicKey::from_text(&former.key)?;
        Some(GrantKey { key, until: Some(former.until), void: former.void })
    });
    let current = PublicKey::from_text(&peer.key).map(|key| GrantKey { key, until: None, void: false });
    former.chain(current).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn peer(key: &str) -> Peer {
        Peer {
            id: "b".into(),
            addresses: Vec::new(),
            node: "a".repeat(25).parse().expect("a node id"),
            key: key.into(),
            generation: 1,
            since: NOW,
            retired: Vec::new(),
            issuing: 1,
            grants: 60,
            renewed: NOW,
            release: "1".into(),
        }
    }

    #[test]
    fn a_former_key_is_good_until_its_last_grant_has_ended() {
        let second = peer("two").over(&peer("one"), Retire::AfterLast, NOW + 10);
        assert_eq!((second.generation, second.since), (2, NOW + 10));
        let until = NOW + 10 + 60 + SKEW;
        assert_eq!(second.retired, [Retired { key: "one".into(), until, void: false }]);
        // The entry is renewed every few seconds: that changes nothing but what is over.
        let renewed = peer("two").over(&second, Retire::AfterLast, until - 1);
        assert_eq!((renewed.generation, renewed.since, &renewed.retired), (2, NOW + 10, &second.retired));
        assert_eq!(peer("two").over(&renewed, Retire::AfterLast, until).retired, []);
        let third = peer("three").over(&renewed, Retire::AfterLast, NOW + 20);
        assert_eq!(third.retired.iter().map(|former| former.key.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn after_a_leak_every_former_key_is_void_and_who_has_its_grant_asks_again() {
        let second = peer("two").over(&peer("one"), Retire::AfterLast, NOW);
        let third = peer("three").over(&second, Retire::AtOnce, NOW + 1);
        assert!(third.retired.iter().all(|former| former.void), "{third:?}");
        let renewed = peer("three").over(&third, Retire::AfterLast, NOW + 2);
        assert!(renewed.retired.iter().all(|former| former.void), "and it stays so: {renewed:?}");
        let key = PublicKey::from_point(&[4; 65]).expect("the form of a key");
        let former = |void| GrantKey { key: key.clone(), until: Some(NOW), void };
        assert_eq!(former(true).standing(NOW - 1), Standing::Void);
        assert_eq!(former(true).standing(NOW), Standing::Over);
        assert_eq!((former(false).standing(NOW - 1), former(false).standing(NOW)), (Standing::Good, Standing::Over));
        assert_eq!(GrantKey { until: None, ..former(false) }.standing(NOW), Standing::Good);
    }

    #[test]
    fn a_broker_that_comes_back_with_its_former_key_signs_with_that() {
        let second = peer("two").over(&peer("one"), Retire::AfterLast, NOW);
        let back = peer("one").over(&second, Retire::AfterLast, NOW + 1);
        assert_eq!(back.retired.iter().map(|former| former.key.as_str()).collect::<Vec<_>>(), ["two"]);
    }

    #[test]
    fn an_entry_of_an_older_release_reads() {
        let text =
            r#"{"id":"b","addresses":[],"node":"aaaaaaaaaaaaaaaaaaaaaaaaa","key":"one","renewed":5,"release":"1"}"#;
        let before: Peer = serde_json::from_str(text).expect("reads");
        assert_eq!((before.generation, before.since, before.grants), (1, 0, 300));
        assert_eq!(peer("one").over(&before, Retire::AfterLast, NOW).since, NOW, "as far as it is known");
    }
}
