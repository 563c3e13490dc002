//! What the logs saw of machines: who has which key, and what became of an expected machine that is no node yet.
//!
//! Pure. Must not be filled by names that somebody makes up: only those of expected machines, and of keys that claimed a
//! use, are kept. Must not be taken for proof: a machine calls itself what it likes.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use protocol::KeyHash;

use super::expected::{Expected, Match};
use crate::audit::Sighting;

/// What was seen so far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The ledger knows machines by their keys only.
    keys: HashMap<KeyHash, Caller>,
    /// What was seen last of each expected machine, by its place in the list.
    last: BTreeMap<usize, Sighting>,
}

/// A machine by what it said, and where it called from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Caller {
    pub(crate) hostname: Option<String>,
    pub(crate) source: Option<IpAddr>,
}

impl Seen {
    /// Takes in what one log has, in its order. Several logs may be taken in any order, page by page.
    pub(crate) fn take(&mut self, expected: &Expected, sightings: Vec<Sighting>) {
        for mut seen in sightings {
            let known = seen.key.as_ref().and_then(|key| self.keys.get(key));
            if let (None, Some(known)) = (&seen.hostname, known) {
                seen.hostname.clone_from(&known.hostname);
            }
            if let (None, Some(key)) = (&seen.refused, &seen.key) {
                let caller = Caller { hostname: seen.hostname.clone(), source: seen.source };
                self.keys.insert(key.clone(), caller);
            }
            let found = expected.find(seen.hostname.as_deref(), seen.source);
            if let Some(Match::Name(at) | Match::Address(at)) = found
                && self.last.get(&at).is_none_or(|before| before.at <= seen.at)
            {
                self.last.insert(at, seen);
            }
        }
    }

    /// Who has this key.
    pub(super) fn caller(&self, key: &KeyHash) -> Option<&Caller> {
        self.keys.get(key)
    }

    /// What was seen last of the expected machine at this place in the list.
    pub(super) fn last(&self, at: usize) -> Option<&Sighting> {
        self.last.get(&at)
    }
}
