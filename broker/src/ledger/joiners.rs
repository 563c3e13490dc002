//! The joiners that every broker holds, and until when: what live user-data may name.
//!
//! Keeps promise 13 (user-data made by an older release still boots) and promise 8 (any broker will do).
//! Must not hold a program: an object of the raft store has 500 kB at most, and all managers have it in memory.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::{Architecture, JoinerHash};
use serde::{Deserialize, Serialize};

use super::invites::Retry;
use super::{LedgerError, Raised, Sentinel, names};
use crate::clock;
use crate::swarm::{Engine, Object, Stored};

/// The most joiners that are listed, and that a broker keeps: some years of releases for two kinds of processor.
pub(crate) const MOST_JOINERS: usize = 32;
/// Their size together, in bytes: this much memory they take at the most, if all are asked for at once.
const MOST_TOGETHER: u64 = 256 * 1024 * 1024;

/// Whether there is room for one more joiner of this size beside those of these sizes.
pub(crate) fn is_room_for(size: u64, beside: impl IntoIterator<Item = u64>) -> bool {
    let (count, total) =
        beside.into_iter().fold((0, size), |(count, total), size| (count + 1, size.saturating_add(total)));
    count < MOST_JOINERS && total <= MOST_TOGETHER
}
/// How often a change is tried that others keep overtaking.
const TRIES: usize = 8;

/// The joiners in the ledger.
pub(crate) struct Listings {
    engine: Engine,
    sentinel: Arc<Sentinel>,
}

/// What never changes of a joiner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Facts {
    pub(crate) sha256: JoinerHash,
    pub(crate) architecture: Architecture,
    /// In bytes.
    pub(crate) size: u64,
    /// The release of the broker that listed it.
    pub(crate) release: String,
}

/// A joiner as the ledger lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listing {
    pub(crate) facts: Facts,
    /// Until when it is kept, in seconds since 1970. It only ever grows.
    pub(crate) until: u64,
}

impl Listings {
    pub(crate) fn new(engine: Engine, sentinel: Arc<Sentinel>) -> Self {
        Self { engine, sentinel }
    }

    /// All joiners that are listed, unless the ledger was lost. What a newer release wrote in another way is left out.
    pub(crate) async fn list(&self) -> Result<Vec<Listing>, LedgerError> {
        self.sentinel.check()?;
        let stored = self.engine.list(names::KIND, names::JOINER).await?;
        Ok(stored.iter().filter_map(|stored| Listing::read(&stored.object)).collect())
    }

    /// Lists a joiner until then, at least.
    pub(crate) async fn put(&self, facts: &Facts, until: u64) -> Result<(), LedgerError> {
        self.sentinel.check()?;
        let name = names::joiner(&facts.sha256);
        for _ in 0..TRIES {
            let written = match self.engine.read(&name).await? {
                Some(stored) => self.extend(&stored, facts, until).await,
                None => self.create(&name, facts, until).await,
            };
            match written {
                Err(Retry::Overtaken) => {}
                Err(Retry::Failed(error)) => return Err(error),
                Ok(()) => return Ok(()),
            }
        }
        Err(LedgerError::Unavailable("other brokers keep changing what is listed of this joiner".into()))
    }

    async fn extend(&self, stored: &Stored, facts: &Facts, until: u64) -> Result<(), Retry> {
        let known = Listing::read(&stored.object).filter(|listing| listing.facts.sha256 == facts.sha256);
        let Some(known) = known else {
            let name = &stored.object.name;
            return Err(LedgerError::Unavailable(format!("the ledger's object '{name}' is not this joiner's")).into());
        };
        if until > known.until {
            let mut labels = stored.object.labels.clone();
            labels.insert(names::UNTIL.to_owned(), until.to_string());
            self.engine.relabel(stored, labels).await?;
        }
        Ok(())
    }

    async fn create(&self, name: &str, facts: &Facts, until: u64) -> Result<(), Retry> {
        self.room_for(facts.size).await?;
        let data = serde_json::to_vec(facts).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let labels = BTreeMap::from([
            (names::KIND.to_owned(), names::JOINER.to_owned()),
            (names::UNTIL.to_owned(), until.to_string()),
        ]);
        Ok(self.engine.create(&Object { name: name.to_owned(), data, labels }).await?)
    }

    /// Unavailable unless one more joiner of this size can be listed now.
    pub(crate) async fn room_for(&self, size: u64) -> Result<(), LedgerError> {
        // That it is not listed yet may be because the ledger is gone.
        self.sentinel.confirm_present(&self.engine).await?;
        let now = clock::now();
        let listed: Vec<Listing> = self.list().await?.into_iter().filter(|listing| now < listing.until).collect();
        if is_room_for(size, listed.iter().map(|listing| listing.facts.size)) {
            return Ok(());
        }
        let Some(first) = listed.iter().min_by_key(|listing| listing.until) else { return Ok(()) };
        let (count, together) = (listed.len(), MOST_TOGETHER / 1024 / 1024);
        let (ends, name) = (clock::shown(first.until), names::joiner(&first.facts.sha256));
        Err(LedgerError::Unavailable(format!(
            "{count} joiners are listed; there can be {MOST_JOINERS}, of {together} MiB together. The first of them ends at {ends}. If no user-data names it any more: docker config rm {name}"
        )))
    }

    /// Removes what ended below the floor: by then every broker that runs has seen that it ended.
    pub(crate) async fn sweep(&self, raised: Raised) -> Result<usize, LedgerError> {
        let mut swept = 0;
        for stored in self.engine.list(names::KIND, names::JOINER).await? {
            if Listing::read(&stored.object).is_some_and(|listing| listing.until < raised.floor()) {
                self.engine.remove(&stored).await?;
                swept += 1;
            }
        }
        Ok(swept)
    }
}

impl Listing {
    fn read(object: &Object) -> Option<Self> {
        let facts: Facts = serde_json::from_slice(&object.data).ok()?;
        let until = object.labels.get(names::UNTIL)?.parse().ok()?;
        (object.name == names::joiner(&facts.sha256)).then_some(Self { facts, until })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(data: &str, until: &str) -> Object {
        let labels = BTreeMap::from([(names::UNTIL.to_owned(), until.to_owned())]);
        Object { name: names::joiner(&JoinerHash::of(b"a")), data: data.as_bytes().to_vec(), labels }
    }

    fn data(program: &[u8], more: &str) -> String {
        let hash = JoinerHash::of(program);
        format!(r#"{{"sha256":"{hash}","architecture":"x86_64","size":7,"release":"9.9.9"{more}}}"#)
    }

    #[test]
    fn a_listing_reads_with_fields_of_a_newer_release() {
        let listing = Listing::read(&object(&data(b"a", r#","signed":true"#), "12")).expect("reads");
        assert_eq!((listing.until, listing.facts.size), (12, 7));
    }

    #[test]
    fn a_listing_that_is_not_whole_or_under_anothers_name_is_none() {
        assert_eq!(Listing::read(&object(&data(b"b", ""), "12")), None, "another joiner's hash");
        assert_eq!(Listing::read(&object(&data(b"a", ""), "soon")), None);
        assert_eq!(Listing::read(&object("{}", "12")), None);
    }

    #[test]
    fn there_is_room_for_so_many_and_for_so_much() {
        assert!(is_room_for(1, vec![1; MOST_JOINERS - 1]) && !is_room_for(1, vec![1; MOST_JOINERS]));
        assert!(is_room_for(MOST_TOGETHER, []) && !is_room_for(MOST_TOGETHER, [1]));
        assert!(!is_room_for(1, [u64::MAX, u64::MAX]));
    }

    #[test]
    fn the_name_of_a_listing_is_one_that_swarm_takes() {
        let name = names::joiner(&JoinerHash::of(b"a"));
        assert!(name.len() <= 64 && name == name.to_lowercase(), "{name}");
    }
}
