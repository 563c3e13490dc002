//! Which issuing CAs the brokers trust: their certificates, and the lowest generation that is good for anything.
//!
//! Keeps DESIGN §3b (two keys): a leaked issuing CA is replaced by the next generation of the same root, at all brokers.
//! Must not be believed about a certificate: that the root signed it is checked by who trusts it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{LedgerError, Sentinel, names};
use crate::swarm::{Engine, EngineError, Object, Stored};

/// For how long a former issuing CA's identities are taken, in seconds: each broker has the next one by then.
pub(crate) const OVERLAP: u64 = 24 * 60 * 60;

/// How often a change is tried that others keep overtaking.
const TRIES: usize = 16;

const CA: &str = "swarm-broker.ca.";
const LOWEST: &str = "swarm-broker.lowest";

/// The object in the ledger.
pub(crate) struct IssuingCas {
    engine: Engine,
    sentinel: Arc<Sentinel>,
}

/// The issuing CAs, by generation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generations {
    /// Below it nothing is trusted: no CA, and no invite that accepts one.
    pub(crate) lowest: u32,
    listed: BTreeMap<u32, ListedCa>,
    /// Labels of a newer release, kept as they are.
    other: BTreeMap<String, String>,
}

/// An issuing CA. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedCa {
    /// Its certificate, PEM; empty once it has ended and there is another one.
    pub(crate) certificate: String,
    /// The broker that listed it.
    pub(crate) by: String,
    pub(crate) since: u64,
    /// Until when its identities are taken, once there is a next one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
}

impl Default for Generations {
    fn default() -> Self {
        Self { lowest: 1, listed: BTreeMap::new(), other: BTreeMap::new() }
    }
}

impl Generations {
    /// With this one, at `now`: from then on those before it are trusted for an overlap. Of those that have ended only the
    /// certificate is dropped, which grows with each generation: that they were there stays known, so that nobody lists one
    /// of them anew, and nothing that it signed is believed again.
    pub(crate) fn with(&self, generation: u32, certificate: &str, by: &str, now: u64) -> Self {
        let mut next = self.clone();
        let listed = ListedCa { certificate: certificate.to_owned(), by: by.to_owned(), since: now, until: None };
        next.listed.insert(generation, listed);
        let newest = next.newest();
        for (_, former) in next.listed.iter_mut().filter(|(number, _)| **number < newest) {
            if *former.until.get_or_insert(now.saturating_add(OVERLAP)) <= now {
                former.certificate.clear();
            }
        }
        next
    }

    /// With nothing below this generation.
    pub(crate) fn only_from(&self, generation: u32) -> Self {
        let mut next = self.clone();
        next.lowest = next.lowest.max(generation);
        next.listed.retain(|number, _| *number >= next.lowest);
        next
    }

    /// One that is listed.
    pub(crate) fn of(&self, generation: u32) -> Option<&ListedCa> {
        self.listed.get(&generation)
    }

    /// The highest number that was ever given.
    pub(crate) fn newest(&self) -> u32 {
        self.listed.keys().next_back().copied().unwrap_or(0).max(self.lowest - 1)
    }

    /// Whether this generation is good for anything at `now`.
    pub(crate) fn trusts(&self, generation: u32, now: u64) -> bool {
        generation >= self.lowest
            && self.of(generation).is_none_or(|listed| listed.until.is_none_or(|until| now < until))
    }

    /// Those that are trusted at `now`.
    pub(crate) fn trusted(&self, now: u64) -> impl Iterator<Item = (u32, &ListedCa)> {
        self.listed
            .iter()
            .map(|(number, listed)| (*number, listed))
            .filter(move |(number, _)| self.trusts(*number, now))
    }

    /// The lowest generation that a broker may be serving with at `now`: what a new invite accepts.
    pub(crate) fn accepted(&self, now: u64) -> u32 {
        self.trusted(now).map(|(number, _)| number).next().unwrap_or(self.lowest)
    }

    fn from_labels(labels: &BTreeMap<String, String>) -> Result<Self, LedgerError> {
        let damaged = || LedgerError::Unavailable(format!("the ledger's object '{}' does not read", names::issuing()));
        let mut read = Self::default();
        for (label, value) in labels {
            if let Some(number) = label.strip_prefix(CA) {
                let number: u32 = number.parse().map_err(|_| damaged())?;
                read.listed.insert(number, serde_json::from_str(value).map_err(|_| damaged())?);
            } else if label == LOWEST {
                read.lowest = value.parse().ok().filter(|lowest| *lowest > 0).ok_or_else(damaged)?;
            } else {
                read.other.insert(label.clone(), value.clone());
            }
        }
        Ok(read)
    }

    fn to_labels(&self) -> Result<BTreeMap<String, String>, LedgerError> {
        let mut labels = self.other.clone();
        labels.insert(names::KIND.into(), names::ISSUING.into());
        labels.insert(LOWEST.into(), self.lowest.to_string());
        for (number, listed) in &self.listed {
            let value = serde_json::to_string(listed).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
            labels.insert(format!("{CA}{number}"), value);
        }
        Ok(labels)
    }
}

/// The issuing CAs of a swarm's ledger: for a broker that does not serve yet.
pub(crate) async fn generations(engine: &Engine) -> Result<Generations, LedgerError> {
    let stored = engine.read(&names::issuing()).await?;
    stored.map_or_else(|| Ok(Generations::default()), |stored| Generations::from_labels(&stored.object.labels))
}

/// What was read, and what a change of it must name.
pub(crate) struct ReadCas {
    pub(crate) generations: Generations,
    stored: Stored,
}

impl IssuingCas {
    pub(crate) fn new(engine: Engine, sentinel: Arc<Sentinel>) -> Self {
        Self { engine, sentinel }
    }

    /// Reads the object; None where there is none yet.
    pub(crate) async fn find(&self) -> Result<Option<ReadCas>, LedgerError> {
        self.sentinel.check()?;
        self.read().await
    }

    /// Puts back what went missing of it, whatever the ledger's health: what `change` makes of what is there.
    pub(crate) async fn put_back(
        &self,
        change: impl Fn(&Generations) -> Generations,
    ) -> Result<Generations, LedgerError> {
        for _ in 0..TRIES {
            let read = self.read().await?;
            let after = change(&read.as_ref().map(|read| read.generations.clone()).unwrap_or_default());
            if read.as_ref().is_some_and(|read| read.generations == after) || self.put(read.as_ref(), &after).await? {
                return Ok(after);
            }
        }
        Err(LedgerError::Unavailable("others keep changing the list of issuing CAs".into()))
    }

    async fn read(&self) -> Result<Option<ReadCas>, LedgerError> {
        let Some(stored) = self.engine.read(&names::issuing()).await? else { return Ok(None) };
        self.sentinel.saw(stored.version);
        Ok(Some(ReadCas { generations: Generations::from_labels(&stored.object.labels)?, stored }))
    }

    /// Makes the object, or changes it if it is still as it was read. False if another broker was faster.
    pub(crate) async fn write(&self, read: Option<&ReadCas>, generations: &Generations) -> Result<bool, LedgerError> {
        self.sentinel.check()?;
        self.put(read, generations).await
    }

    async fn put(&self, read: Option<&ReadCas>, generations: &Generations) -> Result<bool, LedgerError> {
        let labels = generations.to_labels()?;
        let written = match read {
            Some(read) => self.engine.relabel(&read.stored, labels).await,
            None => self.engine.create(&Object { name: names::issuing(), data: b"{}".to_vec(), labels }).await,
        };
        match written {
            Ok(()) => Ok(true),
            Err(EngineError::OutOfSequence | EngineError::NotFound | EngineError::Exists) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    #[test]
    fn both_are_trusted_for_an_overlap_and_after_a_leak_only_the_new_one() {
        let first = Generations::default().with(1, "one", "a", NOW);
        assert_eq!((first.accepted(NOW), first.newest()), (1, 1));
        let both = first.with(2, "two", "a", NOW);
        assert!(both.trusts(1, NOW + OVERLAP - 1) && both.trusts(2, NOW + OVERLAP - 1));
        assert_eq!(both.accepted(NOW), 1, "a broker may still serve with the former one");
        assert!(!both.trusts(1, NOW + OVERLAP) && both.trusts(2, NOW + OVERLAP));
        assert_eq!((both.accepted(NOW + OVERLAP), both.lowest), (2, 1));
        let leaked = both.only_from(2);
        assert!(!leaked.trusts(1, NOW) && leaked.trusts(2, NOW));
        assert_eq!((leaked.accepted(NOW), leaked.newest(), leaked.of(1)), (2, 2, None));
        assert_eq!(leaked.only_from(1).lowest, 2, "it never goes back");
        // A broker that starts with a former one lists it, and that makes nobody else a former one.
        let late = both.with(1, "one", "b", NOW + 5);
        assert!(late.trusts(1, NOW + 5) && late.of(2).is_some_and(|listed| listed.until.is_none()));
        assert!(late.of(1).is_some_and(|listed| listed.until.is_some()));
    }

    #[test]
    fn of_one_that_has_ended_no_more_is_kept_than_that_it_was_there() {
        let both = Generations::default().with(1, "one", "a", NOW).with(2, "two", "a", NOW);
        let third = both.with(3, "three", "a", NOW + OVERLAP - 1);
        assert!(third.of(1).is_some_and(|listed| listed.certificate == "one"), "it is trusted for a second");
        let fourth = third.with(4, "four", "a", NOW + OVERLAP);
        let certificates: Vec<&str> = fourth.listed.values().map(|listed| listed.certificate.as_str()).collect();
        assert_eq!(certificates, ["", "two", "three", "four"]);
        assert!(!fourth.trusts(1, NOW + OVERLAP) && fourth.of(1).is_some_and(|listed| listed.until.is_some()));
        assert_eq!(
            Generations::from_labels(&fourth.to_labels().expect("writes")).expect("reads").listed,
            fourth.listed
        );
    }

    #[test]
    fn it_reads_as_it_was_written() {
        let mut both = Generations::default().with(1, "one", "a", NOW).with(2, "two", "b", NOW);
        both.other.insert("swarm-broker.newer".into(), "kept".into());
        let labels = both.to_labels().expect("writes");
        both.other.insert(names::KIND.into(), names::ISSUING.into());
        assert_eq!(Generations::from_labels(&labels).expect("reads"), both);
        for (label, value) in [(LOWEST, "0"), (LOWEST, "x"), ("swarm-broker.ca.x", "{}"), ("swarm-broker.ca.3", "{")] {
            let mut damaged = labels.clone();
            damaged.insert(label.into(), value.into());
            assert!(Generations::from_labels(&damaged).is_err(), "{label}={value}");
        }
    }
}
