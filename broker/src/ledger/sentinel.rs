//! Whether the ledger is still the one it was: its sentinel, its floor, and the versions and claims seen before.
//!
//! Keeps promise 5: a raft restored from an old snapshot, or configs deleted by a clean-up script, would give spent
//! uses back; then nobody is admitted. Must not forget what was seen, and never makes a sentinel a second time.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use protocol::{ClusterId, InviteId, KeyHash};
use serde::{Deserialize, Serialize};

use super::{LedgerError, names};
use crate::audit::Known;
use crate::swarm::{Engine, EngineError, Object, Stored};

/// Watches over the ledger as a whole.
pub(crate) struct Sentinel {
    cluster: ClusterId,
    /// The highest version of the raft store that was ever seen.
    seen: AtomicU64,
    floor: AtomicU64,
    claims: Mutex<HashMap<InviteId, HashSet<KeyHash>>>,
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

#[derive(Serialize, Deserialize)]
struct Data {
    cluster: ClusterId,
    made: u64,
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
    pub(crate) async fn make(&self, engine: &Engine, now: u64) -> Result<bool, LedgerError> {
        let data = Data { cluster: self.cluster.clone(), made: now };
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
        self.floor.store(floor, Ordering::Relaxed);
        self.saw(stored.version);
        let mut health = self.health.write().unwrap_or_else(PoisonError::into_inner);
        if *health == Health::Unknown {
            *health = Health::Sound;
        }
        Ok(())
    }

    /// Raises the floor, before anything that ended below it is swept.
    pub(crate) async fn raise_floor(&self, engine: &Engine, floor: u64) -> Result<(), LedgerError> {
        let Some(stored) = engine.read(&names::sentinel()).await? else {
            return Err(self.lose("its sentinel is gone: somebody deleted the broker's configs"));
        };
        self.read(&stored)?;
        if floor > self.floor() {
            let mut labels = stored.object.labels.clone();
            labels.insert(names::FLOOR.to_owned(), floor.to_string());
            engine.relabel(&stored, labels).await?;
            self.floor.fetch_max(floor, Ordering::Relaxed);
        }
        Ok(())
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

    /// Holds an invite's claims against those that this broker committed or its audit log knows.
    pub(super) fn known_claims<'a>(
        &self,
        invite: &InviteId,
        present: impl Iterator<Item = &'a KeyHash>,
    ) -> Result<(), LedgerError> {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = claims.get(invite) else { return Ok(()) };
        let present: HashSet<&KeyHash> = present.collect();
        if known.iter().all(|key| present.contains(key)) {
            return Ok(());
        }
        drop(claims);
        Err(self
            .lose(&format!("claims on invite {invite} are gone: the raft store was restored or configs were deleted")))
    }

    /// Remembers an invite's claims.
    pub(super) fn claimed<'a>(&self, invite: &InviteId, keys: impl Iterator<Item = &'a KeyHash>) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.entry(invite.clone()).or_default().extend(keys.cloned());
    }

    fn lose(&self, why: &str) -> LedgerError {
        let why = format!("the ledger was lost: {why}. Nobody is admitted until it is recovered");
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = Health::Lost(why.clone());
        LedgerError::Unavailable(why)
    }
}
