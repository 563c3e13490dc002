//! Refusals of one kind from one source are written one by one up to a number a minute, and counted after that.
//!
//! Keeps promise 12: whoever can reach the listener cannot fill the disk. Must not drop a refusal without counting it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::{Outcome, Reason, Record};

/// How many of one kind from one source are written in a minute.
const EACH: u64 = 20;
const MINUTE: Duration = Duration::from_mins(1);
/// How many sources are told apart; all others are counted as one.
const SOURCES: usize = 1024;

/// What was refused lately.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<HashMap<(IpAddr, Reason), Minute>>);

struct Minute {
    since: Instant,
    seen: u64,
}

impl Refusals {
    /// Whether this refusal is to be written by itself; it is counted either way.
    pub(crate) fn count(&self, source: IpAddr, reason: Reason, now: Instant) -> bool {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = minutes.len() < SOURCES || minutes.contains_key(&(source, reason));
        let source = if known { source } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let minute = minutes.entry((source, reason)).or_insert(Minute { since: now, seen: 0 });
        minute.seen += 1;
        minute.seen <= EACH
    }

    /// Whether as many of this kind came from this source as are written one by one.
    pub(crate) fn is_flood(&self, source: IpAddr, reason: Reason, now: Instant) -> bool {
        let minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let of = |source| minutes.get(&(source, reason));
        let minute = of(source).or_else(|| of(IpAddr::V6(Ipv6Addr::UNSPECIFIED)));
        minute.is_some_and(|minute| minute.seen >= EACH && now.duration_since(minute.since) < MINUTE)
    }

    /// One alarm for each kind and source of which more came than were written, once their minute is over: no machine of
    /// ours asks so often.
    pub(crate) fn summaries(&self, now: Instant) -> Vec<Record> {
        let mut minutes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut summaries = Vec::new();
        minutes.retain(|(source, reason), minute| {
            if now.duration_since(minute.since) < MINUTE {
                return true;
            }
            if let Some(more) = minute.seen.checked_sub(EACH).filter(|more| *more > 0) {
                let detail = Some(format!("and {more} more of this kind within a minute"));
                let refusal = Record { source: Some(*source), detail, ..Record::refusal(*reason) };
                summaries.push(Record { outcome: Outcome::Alarm, ..refusal });
            }
            false
        });
        summaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_a_few_records_and_a_count() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        let source = IpAddr::from([10, 0, 0, 1]);
        let written = (0..1000).filter(|_| refusals.count(source, Reason::NotSigned, now)).count();
        assert_eq!(written, 20);
        assert!(refusals.is_flood(source, Reason::NotSigned, now) && !refusals.is_flood(source, Reason::UsedUp, now));
        assert!(!refusals.is_flood(source, Reason::NotSigned, now + MINUTE));
        assert!(refusals.count(source, Reason::UsedUp, now), "another kind is not hidden by it");
        assert!(refusals.summaries(now).is_empty());
        let summaries = refusals.summaries(now + MINUTE);
        assert_eq!(summaries.len(), 1);
        assert_eq!(summaries[0].detail.as_deref(), Some("and 980 more of this kind within a minute"));
        assert_eq!(summaries[0].outcome, Outcome::Alarm, "one, with a count");
        assert!(refusals.count(source, Reason::NotSigned, now + MINUTE));
    }

    #[test]
    fn a_flood_from_everywhere_takes_bounded_memory() {
        let (refusals, now) = (Refusals::default(), Instant::now());
        for number in 0..100_000_u32 {
            refusals.count(IpAddr::from(number.to_be_bytes()), Reason::NotSigned, now);
        }
        assert!(refusals.0.lock().expect("no panic").len() <= SOURCES + 1);
    }
}
