//! What is to be done about the joiners: a pure function of the time, the ledger, the shelf and the folder.
//!
//! Keeps promise 13: a joiner that live user-data may name is held by every broker. Must not do anything itself.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::JoinerHash;

use super::package::Found;
use crate::ledger::{Listing, WINDOW};

const DAY: u64 = 24 * 60 * 60;

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// List it, for the first time or for longer: it is in the folder.
    List { hash: JoinerHash, until: u64, new: bool },
    /// Remember until when the ledger keeps it.
    Note { hash: JoinerHash, until: u64 },
    /// Get it from another broker: the ledger lists it, and it is not here.
    Fetch(Listing),
    /// Hold it no more: no live user-data names it.
    Drop { hash: JoinerHash },
}

/// Until when a joiner is kept that user-data may name now: for the longest that an invite may live, and the window of
/// a use after that. Two days more, since this is renewed once a day, and a broker may be away for a day.
pub(super) fn until(now: u64, longest: Duration) -> u64 {
    now.saturating_add(longest.as_secs()).saturating_add(WINDOW + 2 * DAY)
}

/// What is to be done at `now`. `kept` says until when each joiner here is kept at least, as was remembered, and `full`
/// that there may be no room for another.
pub(super) fn plan(
    now: u64,
    longest: Duration,
    listed: &[Listing],
    kept: &BTreeMap<JoinerHash, u64>,
    full: bool,
    folder: &Found,
) -> Vec<Step> {
    let mut steps = Vec::new();
    let listing = |hash: &JoinerHash| listed.iter().find(|listing| listing.facts.sha256 == *hash);
    for (hash, _) in folder.joiners.iter().filter(|(hash, _)| kept.contains_key(hash)) {
        let (known, until) = (listing(hash).map(|listing| listing.until), until(now, longest));
        if known.is_none_or(|known| known.saturating_add(DAY) <= until) {
            steps.push(Step::List { hash: hash.clone(), until, new: known.is_none() });
        }
    }
    for listing in listed.iter().filter(|listing| now < listing.until) {
        let (hash, until) = (listing.facts.sha256.clone(), listing.until);
        match kept.get(&hash) {
            None => steps.push(Step::Fetch(listing.clone())),
            Some(noted) if *noted < until => steps.push(Step::Note { hash, until }),
            Some(_) => {}
        }
    }
    for (hash, noted) in kept.iter().filter(|(hash, _)| !folder.has(hash)) {
        // Without a listing, its end was swept from the ledger, or somebody removed it there: kept as long as was noted,
        // unless it takes another's place.
        let over = listing(hash).map_or(full || *noted <= now, |listing| listing.until <= now);
        if over {
            steps.push(Step::Drop { hash: hash.clone() });
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use protocol::Architecture;

    use super::*;
    use crate::ledger::Facts;

    const LONGEST: Duration = Duration::from_hours(90 * 24);
    const NOW: u64 = 1_000_000_000;

    fn hash(name: &str) -> JoinerHash {
        JoinerHash::of(name.as_bytes())
    }

    fn listed(name: &str, until: u64) -> Listing {
        let facts = Facts { sha256: hash(name), architecture: Architecture::X86_64, size: 1, release: "1".into() };
        Listing { facts, until }
    }

    fn folder(names: &[&str]) -> Found {
        let joiners = names.iter().map(|name| (hash(name), Architecture::X86_64)).collect();
        Found { joiners, left_out: Vec::new() }
    }

    fn kept(names: &[(&str, u64)]) -> BTreeMap<JoinerHash, u64> {
        names.iter().map(|(name, until)| (hash(name), *until)).collect()
    }

    #[test]
    fn a_joiner_of_the_folder_is_listed_and_renewed_once_a_day() {
        let here = kept(&[("a", 0)]);
        let steps = |now, listed: &[Listing]| plan(now, LONGEST, listed, &here, false, &folder(&["a"]));
        let end = until(NOW, LONGEST);
        assert_eq!(steps(NOW, &[]), [Step::List { hash: hash("a"), until: end, new: true }]);
        let note = Step::Note { hash: hash("a"), until: end };
        assert_eq!(steps(NOW + DAY - 1, &[listed("a", end)]), std::slice::from_ref(&note));
        let renewed = Step::List { hash: hash("a"), until: end + DAY, new: false };
        assert_eq!(steps(NOW + DAY, &[listed("a", end)]), [renewed, note]);
    }

    #[test]
    fn an_invite_made_at_any_moment_ends_before_the_joiner_does() {
        // The worst moment: a day after the renewal, with another day that no broker of ours ran.
        let made = NOW + 2 * DAY;
        assert!(until(NOW, LONGEST) >= made + LONGEST.as_secs() + WINDOW);
    }

    #[test]
    fn a_shorter_setting_shortens_nothing() {
        let end = until(NOW, LONGEST);
        let steps =
            plan(NOW, Duration::from_hours(1), &[listed("a", end)], &kept(&[("a", end)]), false, &folder(&["a"]));
        assert_eq!(steps, []);
    }

    #[test]
    fn what_is_listed_and_not_here_is_fetched_until_it_ends() {
        let steps = |now| plan(now, LONGEST, &[listed("a", NOW)], &kept(&[]), false, &folder(&[]));
        assert_eq!(steps(NOW - 1), [Step::Fetch(listed("a", NOW))]);
        assert_eq!(steps(NOW), []);
    }

    #[test]
    fn what_ended_is_dropped_unless_the_folder_has_it() {
        let here = kept(&[("a", 5)]);
        let steps = |now, folder: &Found| plan(now, LONGEST, &[listed("a", NOW)], &here, false, folder);
        assert_eq!(steps(NOW - 1, &folder(&[])), [Step::Note { hash: hash("a"), until: NOW }]);
        assert_eq!(steps(NOW, &folder(&[])), [Step::Drop { hash: hash("a") }]);
        assert!(matches!(&steps(NOW, &folder(&["a"]))[..], [Step::List { new: false, .. }]));
    }

    #[test]
    fn what_the_ledger_lists_no_more_is_kept_as_long_as_it_was_listed() {
        let steps = |now| plan(now, LONGEST, &[], &kept(&[("a", NOW)]), false, &folder(&[]));
        assert_eq!(steps(NOW - 1), []);
        assert_eq!(steps(NOW), [Step::Drop { hash: hash("a") }]);
    }

    #[test]
    fn what_the_ledger_lists_no_more_takes_no_place_from_another() {
        let (listed, here) = ([listed("a", NOW + 9)], kept(&[("a", NOW + 9), ("b", NOW + 9)]));
        let steps = |full| plan(NOW, LONGEST, &listed, &here, full, &folder(&[]));
        assert_eq!(steps(false), []);
        assert_eq!(steps(true), [Step::Drop { hash: hash("b") }]);
    }

    #[test]
    fn what_could_not_be_kept_is_not_listed_either() {
        assert_eq!(plan(NOW, LONGEST, &[], &kept(&[]), false, &folder(&["a"])), []);
    }
}
