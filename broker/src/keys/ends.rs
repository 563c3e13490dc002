//! When the root and the issuing CA end: told in time, and again as the end comes near.
//!
//! Must not wait for the end: past it nobody is admitted.

use std::sync::PoisonError;

use super::What;
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;

const DAY: u64 = 24 * 60 * 60;
/// So many days before an end it is told, and told again.
const DAYS: [u64; 6] = [60, 30, 14, 7, 3, 1];

/// What there is to say of an end at `now`; nothing while it is more than 60 days away.
pub(crate) fn ending(what: What, ends: u64, now: u64) -> Option<String> {
    let name = match what {
        What::Root => "the root",
        _ => "the issuing CA",
    };
    let cure = match what {
        What::Root => "all invites and user-data pin it: begin a new cluster identity before that, see the manual",
        _ => "'broker rotate ca' makes the next one",
    };
    let left = ends.saturating_sub(now) / DAY;
    let when = match left {
        _ if now >= ends => "has ended".to_owned(),
        0 => "ends today".to_owned(),
        1 => "ends in 1 day".to_owned(),
        left if left < DAYS[0] => format!("ends in {left} days"),
        _ => return None,
    };
    Some(format!("{name} {when}, at {}, and nobody is admitted from then on: {cure}", clock::shown(ends)))
}

/// How often it is to be told by `now`.
fn times(ends: u64, now: u64) -> usize {
    let left = ends.saturating_sub(now);
    DAYS.iter().filter(|days| left < **days * DAY).count() + usize::from(now >= ends)
}

/// Raises the alarm about what ends soon: once for each time it is to be told, and at each start.
pub(crate) async fn warn(broker: &Broker) {
    let (issuing, now) = (broker.keys.issuing.get(), clock::now());
    for (place, what, ends) in [(0, What::Ca, issuing.public().ends), (1, What::Root, issuing.public().root_ends)] {
        let (times, told) = {
            let told = broker.keys.told.lock().unwrap_or_else(PoisonError::into_inner);
            (times(ends, now), told[place])
        };
        let words = ending(what, ends, now).filter(|_| times > told);
        if let Some(words) = words {
            let record =
                Record { what: Some(what.to_string()), ends: Some(ends), ..Record::alarm(Event::KeyEnding, words) };
            if broker.audit.record(record).await.is_err() {
                continue;
            }
        }
        broker.keys.told.lock().unwrap_or_else(PoisonError::into_inner)[place] = times;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_end_is_told_from_sixty_days_before_and_again_as_it_comes_near() {
        let ends = 1_900_000_000;
        let at = |days: u64| (ending(What::Ca, ends, ends - days * DAY), times(ends, ends - days * DAY));
        assert_eq!(at(400), (None, 0));
        assert_eq!(at(60), (None, 0));
        for (days, told, words) in
            [(59, 1, "in 59 days"), (29, 2, "in 29 days"), (2, 5, "in 2 days"), (1, 5, "in 1 day,")]
        {
            let (said, times) = at(days);
            assert!(said.as_deref().is_some_and(|said| said.contains(words)), "{said:?}");
            assert_eq!(times, told, "{days}");
        }
        assert!(
            ending(What::Ca, ends, ends - 5).is_some_and(|said| said.contains("today") && said.contains("rotate ca"))
        );
        let over = ending(What::Root, ends, ends).expect("told");
        assert!(over.contains("the root has ended") && !over.contains("rotate ca"), "{over}");
        assert_eq!((times(ends, ends - 1), times(ends, ends)), (6, 7));
        assert!(ending(What::Ca, ends, ends + 9 * DAY).is_some_and(|said| said.contains("has ended")));
    }
}
