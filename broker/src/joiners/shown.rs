//! The joiners as operators and `broker cloud-init` see them. The names in JSON are stable.

use std::collections::BTreeSet;
use std::sync::PoisonError;

use protocol::{Architecture, JoinerHash};
use serde::{Deserialize, Serialize};

use super::Joiners;
use super::shelf::Origin;
use crate::clock;
use crate::ledger::Listing;

/// A joiner that this broker serves, or should.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct JoinerShown {
    pub(crate) architecture: Architecture,
    pub(crate) sha256: JoinerHash,
    /// In bytes.
    pub(crate) size: u64,
    /// The release of the broker that listed it.
    pub(crate) release: String,
    /// Until when every broker keeps it.
    pub(crate) until: String,
    /// Where this broker has it from.
    pub(crate) from: Option<Origin>,
    /// Whether new user-data names it: it is in the folder of the installed package.
    pub(crate) current: bool,
    /// Whether this broker has it. If not, and nothing is wrong, it is on its way.
    pub(crate) served: bool,
    /// What is wrong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

impl Joiners {
    /// Every joiner that is here, or should be.
    pub(crate) fn shown(&self) -> Vec<JoinerShown> {
        let now = clock::now();
        let (kept, listed, current) = (self.shelf.kept(), self.listed(), self.found().current());
        let live = listed.iter().filter(|listing| now < listing.until).map(|listing| &listing.facts.sha256);
        let all: BTreeSet<&JoinerHash> = kept.keys().chain(live).collect();
        let shown = all.into_iter().filter_map(|hash| {
            let listing = listed.iter().find(|listing| listing.facts.sha256 == *hash);
            let kept = kept.get(hash);
            let note = kept.map(|kept| kept.note());
            let until = listing.map(|listing| listing.until).or(note.as_ref().map(|note| note.until))?;
            Some(JoinerShown {
                architecture: kept.map(|kept| kept.architecture).or(listing.map(|is| is.facts.architecture))?,
                sha256: hash.clone(),
                size: kept.map(|kept| kept.size).or(listing.map(|listing| listing.facts.size))?,
                release: listing
                    .map(|listing| listing.facts.release.clone())
                    .or(note.as_ref().map(|note| note.release.clone()))?,
                until: clock::shown(until),
                from: note.map(|note| note.from),
                current: current.contains(hash),
                served: kept.is_some(),
                problem: self.problem(hash, kept.is_some(), listing),
            })
        });
        let mut shown: Vec<JoinerShown> = shown.collect();
        shown.sort_by(|a, b| (b.current, &b.until, a.architecture).cmp(&(a.current, &a.until, b.architecture)));
        shown
    }

    /// What was found in the folder and left out, and why.
    pub(crate) fn left_out(&self) -> Vec<String> {
        self.found().left_out
    }

    fn problem(&self, hash: &JoinerHash, here: bool, listing: Option<&Listing>) -> Option<String> {
        if !here {
            let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
            return missing.get(hash).map(|missing| missing.why.clone());
        }
        if listing.is_none() && self.found().has(hash) {
            let trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            return Some(format!("not listed: {}", trouble.as_deref().unwrap_or("the ledger was not read yet")));
        }
        None
    }
}
