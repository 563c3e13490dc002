//! Whether the ledger is still the one it was: its sentinel, its floor, and the versions and claims seen before.
//!
//! Keeps promise 5: a raft restored from an old snapshot, or configs deleted by a clean-up script, would give spent
//! uses back; then nobody is admitted. Must not forget what was seen, and never makes a sentinel a second time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use protocol::{ClusterId, InviteId, Pin};
use serde::{Deserialize, Serialize};

use super::{Claims, InviteState, LedgerError, names};
use crate::audit::{Claimed, Known};
use crate::clock;
use crate::swarm::{Engine, EngineError, Object, Stored};

/// How often a change is tried that others keep overtaking.
const TRIES: usize = 8;

/// Why a ledger is lost whose versions are lower than they were.
pub(crate) const WENT_BACK: &str = "the raft store went back: it was restored from an older state";

/// Watches over the ledger as a whole.
pub(crate) struct Sentinel {
    cluster: ClusterId,
    /// The highest version of the raft store that was ever seen.
    seen: AtomicU64,
    floor: AtomicU64,
    /// Invites that were made until then are good only where the ledger has them. 0 if it was never recovered.
    recovered: AtomicU64,
    /// The same, as far as this broker's audit log says so.
    noted: AtomicU64,
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
            recovered: AtomicU64::new(known.recovered),
            noted: AtomicU64::new(known.recovered),
            claims: Mutex::new(known.claims.clone()),
            // What was lost stays lost over a restart: its versions may have climbed past the known ones since.
            health: RwLock::new(known.lost.clone().map_or(Health::Unknown, Health::Lost)),
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

    /// Invites that were made until then, in seconds since 1970, are good only where the ledger has them.
    pub(crate) fn recovered(&self) -> u64 {
        self.recovered.load(Ordering::Relaxed)
    }

    /// The last recovery, if this broker's audit log does not know of it.
    pub(crate) fn unnoted(&self) -> Option<u64> {
        let recovered = self.recovered();
        (recovered > self.noted.load(Ordering::Relaxed)).then_some(recovered)
    }

    /// The audit log knows of the recovery until then.
    pub(crate) fn noted(&self, until: u64) {
        self.noted.fetch_max(until, Ordering::Relaxed);
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

    /// Makes the sentinel again, or marks the one that is there: from here on the ledger counts as recovered, and
    /// invites that were made until then are good only where it has them. Gives that time and the sentinel's version.
    pub(crate) async fn recover(
        &self,
        engine: &Engine,
        pin: Pin,
        floor: u64,
        until: u64,
    ) -> Result<(u64, u64), LedgerError> {
        for _ in 0..TRIES {
            let stored = engine.read(&names::sentinel()).await?;
            let reads = stored.as_ref().and_then(|stored| serde_json::from_slice::<Data>(&stored.object.data).ok());
            if reads.as_ref().is_some_and(|data| data.cluster != self.cluster) {
                let what = "the sentinel is another cluster's: this broker's ledger is not in this swarm";
                return Err(LedgerError::Unavailable(what.into()));
            }
            let mut labels = stored.as_ref().map(|stored| stored.object.labels.clone()).unwrap_or_default();
            let before = labels.get(names::RECOVERED).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
            let until = until.max(before + 1).max(self.recovered() + 1);
            labels.insert(names::KIND.to_owned(), names::SENTINEL.to_owned());
            labels.insert(names::FLOOR.to_owned(), floor.to_string());
            labels.insert(names::RECOVERED.to_owned(), until.to_string());
            let written = match (&stored, reads) {
                (Some(stored), Some(_)) => engine.relabel(stored, labels).await,
                (Some(stored), None) => engine.remove(stored).await.and(Err(EngineError::NotFound)),
                (None, _) => {
                    let data = Data { cluster: self.cluster.clone(), made: clock::now(), pin: Some(pin.clone()) };
                    let data = serde_json::to_vec(&data).map_err(|e| LedgerError::Unavailable(e.to_string()))?;
                    engine.create(&Object { name: names::sentinel(), data, labels }).await
                }
            };
            match written {
                Ok(()) => {}
                Err(EngineError::OutOfSequence | EngineError::Exists | EngineError::NotFound) => continue,
                Err(error) => return Err(error.into()),
            }
            let stored = engine.read(&names::sentinel()).await?.ok_or(EngineError::NotFound)?;
            self.read(&stored)?;
            self.check()?;
            return Ok((until, stored.version));
        }
        Err(LedgerError::Unavailable("others keep changing the sentinel: run this again".into()))
    }

    /// Reads the sentinel and decides whether the ledger is sound.
    pub(crate) async fn look(&self, engine: &Engine) -> Result<(), LedgerError> {
        match engine.read(&names::sentinel()).await? {
            Some(stored) => self.read(&stored),
            None => Err(self.lose("its sentinel is gone: somebody deleted the broker's configs")),
        }
    }

    /// Whether all that the ledger has is older than what was seen, so that a raft store was restored: told by reading, for
    /// a start, whose first write would hide it. Decides nothing: an engine with a new leader may not show all of it yet.
    pub(crate) async fn went_back(&self, engine: &Engine) -> Result<bool, LedgerError> {
        let seen = self.version();
        let highest = engine.list(names::KIND, "").await?.iter().map(|stored| stored.version).max();
        Ok(highest.unwrap_or(0) < seen)
    }

    /// The same, for a moment when the absence of something else must be believed.
    pub(crate) async fn confirm_present(&self, engine: &Engine) -> Result<(), LedgerError> {
        self.look(engine).await?;
        self.check()
    }

    /// Writes the sentinel as it is: only an engine that can commit gets here, and what it shows afterwards counts.
    pub(super) async fn commit(&self, engine: &Engine) -> Result<(), LedgerError> {
        for _ in 0..TRIES {
            let Some(stored) = engine.read(&names::sentinel()).await? else {
                return Err(self.lose("its sentinel is gone: somebody deleted the broker's configs"));
            };
            self.read(&stored)?;
            self.check()?;
            match engine.relabel(&stored, stored.object.labels.clone()).await {
                Err(EngineError::OutOfSequence) => {}
                written => return Ok(written?),
            }
        }
        Err(LedgerError::Unavailable("others keep changing the sentinel".into()))
    }

    fn read(&self, stored: &Stored) -> Result<(), LedgerError> {
        let data: Option<Data> = serde_json::from_slice(&stored.object.data).ok();
        let number = |label: &str| stored.object.labels.get(label).map(|text| text.parse::<u64>());
        let floor = number(names::FLOOR).and_then(Result::ok);
        let (Some(data), Some(floor), Ok(recovered)) = (data, floor, number(names::RECOVERED).unwrap_or(Ok(0))) else {
            return Err(self.lose("its sentinel does not read"));
        };
        if data.cluster != self.cluster {
            return Err(self.lose("its sentinel belongs to another cluster's broker"));
        }
        if recovered < self.recovered() {
            return Err(self.lose("its recovery is gone: the raft store was restored from an older state"));
        }
        if recovered > self.recovered() {
            // It was put right: its versions and its floor count anew, what was claimed does not.
            self.recovered.store(recovered, Ordering::Relaxed);
            self.seen.store(stored.version, Ordering::Relaxed);
            self.floor.store(floor, Ordering::Relaxed);
            *self.health.write().unwrap_or_else(PoisonError::into_inner) = Health::Unknown;
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
        self.check()?;
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
        Err(self.lose(WENT_BACK))
    }

    /// Holds an invite's claims against those that this broker committed or its audit log knows. What ended below the
    /// floor may have been swept.
    pub(super) fn known_claims(&self, invite: &InviteId, present: &Claims) -> Result<(), LedgerError> {
        let lacks = self.known(invite).and_then(|known| lacks(&known, invite, present));
        lacks.map_or(Ok(()), |why| Err(self.lose(&why)))
    }

    /// An invite of which something seems to be missing. What was claimed since these were read is missing, too.
    pub(crate) fn suspect(&self, present: &[InviteState]) -> Option<InviteId> {
        let present: HashMap<&InviteId, &Claims> =
            present.iter().map(|state| (state.policy.id(), &state.claims)).collect();
        let (claims, none) = (self.claims.lock().unwrap_or_else(PoisonError::into_inner), Claims::default());
        let lacking = claims.iter().find(|(invite, known)| {
            known.ends >= self.floor() && lacks(known, invite, present.get(invite).copied().unwrap_or(&none)).is_some()
        });
        lacking.map(|(invite, _)| invite.clone())
    }

    /// Whether something would be missing without the object of this name, as far as is known here: it is an invite's.
    pub(crate) fn needs(&self, name: &str) -> bool {
        let missing = |invite| lacks(&self.known(&invite)?, &invite, &Claims::default());
        names::invite_of(name).and_then(missing).is_some()
    }

    /// What is missing of an invite, by a read that came after all that is known. Decides nothing: an engine with a new
    /// leader may not show it yet.
    pub(crate) async fn missing(&self, engine: &Engine, invite: &InviteId) -> Result<Option<String>, LedgerError> {
        // What ended below a floor that was raised just now may be gone.
        self.look(engine).await?;
        let Some(known) = self.known(invite) else { return Ok(None) };
        let present = match engine.read(&names::invite(invite)).await? {
            Some(stored) => Claims::from_labels(&stored.object.labels)?,
            None => Claims::default(),
        };
        Ok(lacks(&known, invite, &present))
    }

    fn known(&self, invite: &InviteId) -> Option<Claimed> {
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        claims.get(invite).filter(|known| known.ends >= self.floor()).cloned()
    }

    /// Remembers what became of an invite that ends then.
    pub(super) fn claimed(&self, invite: &InviteId, ends: u64, present: &Claims) {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = claims.entry(invite.clone()).or_default();
        claimed.ends = claimed.ends.max(ends);
        claimed.revoked |= present.revoked.is_some();
        // What a person was asked about and has not said yes to spends nothing: a log need not tell of it.
        let admitted = present.uses.iter().filter(|(_, taken)| taken.is_admitted());
        claimed.keys.extend(admitted.map(|(key, _)| key.clone()));
    }

    /// Forgets the claims on what ended below the floor.
    fn forget_below_floor(&self) {
        let floor = self.floor();
        self.claims.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, known| known.ends >= floor);
    }

    pub(crate) fn lose(&self, why: &str) -> LedgerError {
        let why = format!(
            "the ledger was lost: {why}. Nobody is admitted until it is recovered: see 'broker recover --dry-run'"
        );
        *self.health.write().unwrap_or_else(PoisonError::into_inner) = Health::Lost(why.clone());
        LedgerError::Unavailable(why)
    }
}

/// What an invite lacks of what is known.
fn lacks(known: &Claimed, invite: &InviteId, present: &Claims) -> Option<String> {
    let what = if present.revoked.is_some() {
        // Nobody is admitted by it, whatever else is missing.
        return None;
    } else if known.revoked {
        "the revocation"
    } else if known.keys.iter().all(|key| present.uses.contains_key(key)) {
        return None;
    } else {
        "claims"
    };
    Some(format!("{what} of invite {invite} went missing: the raft store was restored or configs were deleted"))
}

#[cfg(test)]
mod tests {
    use protocol::KeyHash;

    use super::*;
    use crate::ledger::Operation;
    use crate::ledger::tests::invite;

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
        let (invite, none) = (InviteId::random(), Claims::default());
        let claims = claims_of(&[Operation::Claim { key: KeyHash::of_spki(b"key") }]);
        let sentinel = sound(&Known::default());
        sentinel.claimed(&invite, 100, &claims);
        assert!(sentinel.known_claims(&invite, &claims).is_ok());
        assert!(sentinel.needs(&names::invite(&invite)), "whatever its object is");
        assert!(!sentinel.needs(&names::invite(&InviteId::random())) && !sentinel.needs(&names::sentinel()));
        sentinel.floor.store(101, Ordering::Relaxed);
        assert!(!sentinel.needs(&names::invite(&invite)), "it ended");
        assert!(sentinel.known_claims(&invite, &none).is_ok(), "below the floor it may be swept");
        sentinel.floor.store(100, Ordering::Relaxed);
        assert!(sentinel.suspect(&[]) == Some(invite.clone()) && sentinel.check().is_ok(), "looking decides nothing");
        assert!(sentinel.known_claims(&invite, &none).is_err());
        assert!(sentinel.check().is_err());
    }

    #[test]
    fn a_revocation_that_is_gone_loses_the_ledger() {
        let invite = InviteId::random();
        let revoked = Claimed { ends: 100, revoked: true, ..Claimed::default() };
        let sentinel = sound(&Known { claims: HashMap::from([(invite.clone(), revoked)]), ..Known::default() });
        assert!(sentinel.known_claims(&invite, &claims_of(&[Operation::Revoke])).is_ok());
        assert!(sentinel.known_claims(&invite, &Claims::default()).is_err());
        assert!(sentinel.check().is_err());
    }

    fn claims_of(operations: &[Operation]) -> Claims {
        let (invite, mut claims) = (invite(1), Claims::default());
        for operation in operations {
            claims.apply(Some(&invite), operation, 10).expect("done");
        }
        claims
    }

    fn stored(sentinel: &Sentinel, recovered: Option<u64>, floor: u64, version: u64) -> Stored {
        let data = Data { cluster: sentinel.cluster.clone(), made: 1, pin: None };
        let mut labels = BTreeMap::from([(names::FLOOR.to_owned(), floor.to_string())]);
        labels.extend(recovered.map(|until| (names::RECOVERED.to_owned(), until.to_string())));
        let data = serde_json::to_vec(&data).expect("writes");
        Stored::example(Object { name: names::sentinel(), data, labels }, version)
    }

    #[test]
    fn a_ledger_that_was_recovered_is_sound_again_and_a_recovery_is_never_undone() {
        let sentinel = sound(&Known { version: 900, ..Known::default() });
        assert!(sentinel.read(&stored(&sentinel, None, 500, 901)).is_ok());
        assert!(sentinel.read(&stored(&sentinel, None, 400, 20)).is_err() && sentinel.check().is_err());
        assert!(sentinel.read(&stored(&sentinel, None, 500, 21)).is_ok() && sentinel.check().is_err(), "it stays lost");

        assert!(sentinel.read(&stored(&sentinel, Some(7), 450, 30)).is_ok() && sentinel.check().is_ok());
        assert_eq!((sentinel.version(), sentinel.floor(), sentinel.unnoted()), (30, 450, Some(7)));
        sentinel.noted(7);
        assert_eq!(sentinel.unnoted(), None);
        assert!(sentinel.read(&stored(&sentinel, None, 450, 31)).is_err() && sentinel.check().is_err());
        let restarted = sound(&Known { recovered: 7, ..Known::default() });
        assert!(restarted.read(&stored(&restarted, None, 450, 31)).is_err());
    }

    #[test]
    fn a_ledger_that_was_lost_stays_lost_over_a_restart_until_it_was_recovered() {
        let known = Known { lost: Some("lost".into()), recovered: 7, version: 900, ..Known::default() };
        let sentinel = Sentinel::new(ClusterId::random(), &known);
        assert!(sentinel.read(&stored(&sentinel, Some(7), 0, 901)).is_ok() && sentinel.check().is_err());
        assert!(sentinel.read(&stored(&sentinel, Some(8), 0, 30)).is_ok() && sentinel.check().is_ok());
    }
}
