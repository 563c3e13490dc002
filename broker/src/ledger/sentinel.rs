//! Whether the ledger is still the one it was: its sentinel, its floor, and the versions and claims seen before.
//!
//! Keeps promise 5: a raft restored from an old snapshot, or configs deleted by a clean-up script, would give spent
//! uses back; then nobody is admitted. Must not forget what was seen, and never makes a sentinel a second time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use protocol::{ClusterId, InviteId, KeyHash, Pin};
use serde::{Deserialize, Serialize};

use super::{LedgerError, names};
use crate::audit::{Claimed, Known};
use crate::swarm::{Engine, EngineError, Object, Stored};

/// Watches over the ledger as a whole.
pub(crate) struct Sentinel {
    cluster: ClusterId,
    /// The highest version of the raft store that was ever seen.
    seen: AtomicU64,
    floor: AtomicU64,
    claims: Mutex<HashMap<InviteId, Claimed>>,
    health: RwLock<Health>,
}

/// Whether the ledger can be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// Not looked at yet.
    Unknown,
    /// It is what it was.
    Sound,
    /// It is not: why. It stays so until the broker is told otherwise.
    Lost(String),
}

/// A floor that is in the ledger: only below it may anything be swept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raised(u64);

impl Raised {
    /// The floor, in seconds since 1970.
    pub(super) fn floor(self) -> u64 {
        self.0
    }
}

#[derive(Serialize, Deserialize)]
struct Data {
    cluster: ClusterId,
    made: u64,
    /// The cluster's root, for a manager that comes later.
    #[serde(default)]
    pin: Option<Pin>,
}

/// The cluster that a swarm's ledger belongs to, and its root.
pub(crate) async fn cluster_of(engine: &Engine) -> Result<Option<(ClusterId, Option<Pin>)>, EngineError> {
    let stored = engine.read(&names::sentinel()).await?;
    let data = stored.and_then(|stored| serde_json::from_slice::<Data>(&stored.object.data).ok());
    Ok(data.map(|data| (data.cluster, data.pin)))
}

impl Sentinel {
    /// Knows what the audit log knows.
    pub(crate) fn new(cluster: ClusterId, known: &Known) -> Self {
        Self {
            cluster,
            seen: AtomicU64::new(known.version),
            floor: AtomicU64::new(0),
            claims: Mutex::new(known.claims.clone()),
            health: RwLock::new(Health::Unknown),
        }
    }

    /// Whether the ledger can be trusted now.
    pub(crate) fn health(&self) -> Health {
        self.health.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Unavailable unless the ledger can be trusted.
    pub(crate) fn check(&self) -> Result<(), LedgerError> {
        match self.health() {
            Health::Sound => Ok(()),
            Health::Unknown => Err(LedgerError::Unavailable("the ledger was not read yet".into())),
            Health::Lost(why) => Err(LedgerError::Unavailable(why)),
        }
    }

    /// Below this time, in seconds since 1970, no invite admits anybody, whatever a clock says.
    pub(crate) fn floor(&self) -> u64 {
        self.floor.load(Ordering::Relaxed)
    }

    /// The highest version of the raft store seen so far.
    pub(crate) fn version(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    /// Makes the sentinel of a new ledger. False if there is one.
    pub(crate) async fn make(&self, engine: &Engine, pin: Pin, now: u64) -> Result<bool, LedgerError> {
        let data = Data { cluster: self.cluster.clone(), made: now, pin: Some(pin) };
        let object = Object {
            name: names::sentinel(),
            data: serde_json::to_vec(&data).map_err(|error| LedgerError::Unavailable(error.to_string()))?,
            labels: BTreeMap::from([
                (names::KIND.to_owned(), names::SENTINEL.to_owned()),
                (names::FLOOR.to_owned(), "0".to_owned()),
            ]),
        };
        match engine.create(&object).await {
            Ok(()) => Ok(true),
            Err(EngineError::Exists) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Reads the sentinel and decides whether the ledger is sound.
    pub(crate) async fn look(&self, engine: &Engine) -> Result<(), LedgerError> {
        match engine.read(&names::sentinel()).await? {
            Some(stored) => self.read(&stored),
            None => Err(self.lose("its sentinel is gone: somebody deleted the broker's configs")),
        }
    }

    /// The same, for a moment when the absence of something else must be believed.
    pub(crate) async fn confirm_present(&self, engine: &Engine) -> Result<(), LedgerError> {
        self.look(engine).await?;
        self.check()
    }

    fn read(&self, stored: &Stored) -> Result<(), LedgerError> {
        let data: Option<Data> = serde_json::from_slice(&stored.object.data).ok();
        let floor = stored.object.labels.get(names::FLOOR).and_then(|text| text.parse::<u64>().ok());
        let (Some(data), Some(floor)) = (data, floor) else {
            return Err(self.lose("its sentinel does not read"));
        };
        if data.cluster != self.cluster {
            return Err(self.lose("its sentinel belongs to another cluster's broker"));
        }
        if floor < self.floor() {
            return Err(self.lose("its floor went back: the raft store was restored from an older state"));
        }
        if self.floor.swap(floor, Ordering::Relaxed) < floor {
            self.forget_below_floor();
        }
        self.saw(stored.version);
        let mut health = self.health.write().unwrap_or_else(PoisonError::into_inner);
        if *health == Health::Unknown {
            *health = Health::Sound;
        }
        Ok(())
    }

    /// Raises the floor, before anything that ended below it is swept. None if it is that high already: then another
    /// broker sweeps.
    pub(crate) async fn raise_floor(&self, engine: &Engine, floor: u64) -> Result<Option<Raised>, LedgerError> {
        let Some(stored) = engine.read(&names::sentinel()).await? else {
            return Err(self.lose("its sentinel is gone: somebody deleted the broker's configs"));
        };
        self.read(&stored)?;
        if floor <= self.floor() {
            return Ok(None);
        }
        let mut labels = stored.object.labels.clone();
        labels.insert(names::FLOOR.to_owned(), floor.to_string());
        match engine.relabel(&stored, labels).await {
            Ok(()) => {}
            Err(EngineError::OutOfSequence) => return Ok(None),
            Err(error) => return Err(error.into()),
        }
        self.floor.fetch_max(floor, Ordering::Relaxed);
        self.forget_below_floor();
        Ok(Some(Raised(floor)))
    }

    /// Remembers a version that was read.
    pub(crate) fn saw(&self, version: u64) {
        self.seen.fetch_max(version, Ordering::Relaxed);
    }

    /// Holds the version of an object that was changed just now against the highest one seen before the change:
    /// every change of the raft store gets a higher one.
    pub(crate) fn moved_on(&self, before: u64, after: u64) -> Result<(), LedgerError> {
        if after > before {
            self.saw(after);
            return Ok(());
        }
        Err(self.lose("the raft store went back: it was restored from an older state"))
    }

    /// Holds an invite's claims against those that this broker committed or its audit log knows. What ended below the
    /// floor may have been swept.
    pub(super) fn known_claims<'a>(
        &self,
        invite: &InviteId,
        present: impl Iterator<Item = &'a KeyHash>,
    ) -> Result<(), LedgerError> {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = claims.get(invite).filter(|known| known.ends >= self.floor()) else { return Ok(()) };
        let present: HashSet<&KeyHash> = present.collect();
        if known.keys.iter().all(|key| present.contains(key)) {
            return Ok(());
        }
        drop(claims);
        Err(self
            .lose(&format!("claims on invite {invite} are gone: the raft store was restored or configs were deleted")))
    }

    /// Remembers the claims on an invite that ends then.
    pub(super) fn claimed<'a>(&self, invite: &InviteId, ends: u64, keys: impl Iterator<Item = &'a KeyHash>) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = claims.entry(invite.clone()).or_default();
        claimed.ends = claimed.ends.max(ends);
        claimed.keys.extend(keys.cloned());
    }

    /// Forgets the claims on what ended below the floor.
    fn forget_below_floor(&self) {
        let floor = self.floor();
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, known| known.ends >= floor);
    }

    fn lose(&self, why: &str) -> LedgerError {
        let why = format!("the ledger was lost: {why}. Nobody is admitted until it is recovered");
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = Health::Lost(why.clone());
        LedgerError::Unavailable(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sound(known: &Known) -> Sentinel {
        let sentinel = Sentinel::new(ClusterId::random(), known);
        *sentinel.health.write().expect("no panic") = Health::Sound;
        sentinel
    }

    #[test]
    fn a_raft_store_that_went_back_loses_the_ledger() {
        let sentinel = sound(&Known { version: 50, ..Known::default() });
        assert!(sentinel.moved_on(sentinel.version(), 51).is_ok());
        assert!(sentinel.moved_on(sentinel.version(), 20).is_err());
        assert!(matches!(sentinel.health(), Health::Lost(_)) && sentinel.check().is_err());
        assert!(sentinel.moved_on(20, 60).is_ok());
        assert!(sentinel.check().is_err(), "and it stays lost");
    }

    #[test]
    fn claims_that_are_gone_lose_the_ledger_unless_they_were_swept() {
        let (invite, key) = (InviteId::random(), KeyHash::of_spki(b"key"));
        let sentinel = sound(&Known::default());
        sentinel.claimed(&invite, 100, std::iter::once(&key));
        assert!(sentinel.known_claims(&invite, std::iter::once(&key)).is_ok());
        sentinel.floor.store(101, Ordering::Relaxed);
        assert!(sentinel.known_claims(&invite, std::iter::empty()).is_ok(), "below the floor it may be swept");
        sentinel.floor.store(100, Ordering::Relaxed);
        assert!(sentinel.known_claims(&invite, std::iter::empty()).is_err());
        assert!(sentinel.check().is_err());
    }
}
