//! Places for downloads: few enough that boots always find a seat, and nobody's for ever.
//!
//! Keeps promise 12: a reader that is slow, or takes many places, gives way to one that has none. A reader that keeps
//! up is not sent away for another: a fleet that boots at once gets its joiners one after the other.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::seats::Held;

/// Downloads at a time, at most. Each has some 100 kB of a joiner on its way: that many fill any link.
const PLACES: usize = 128;
/// How long a request waits for a place before it is told to come back.
const WAIT: Duration = Duration::from_secs(15);
/// How often who waits looks whether somebody has fallen behind since.
const LOOK: Duration = Duration::from_secs(1);
/// Who takes less than this, in bytes a second, is slow. It is no limit: a slow reader may go on where nobody waits.
const PACE: u64 = 16 * 1024;
/// For so long nobody is called slow.
const GRACE: Duration = Duration::from_secs(10);

/// All places.
pub(super) struct Places {
    most: usize,
    taken: Mutex<Taken>,
    freed: Notify,
}

#[derive(Default)]
struct Taken {
    next: u64,
    downloads: HashMap<u64, Download>,
}

struct Download {
    held: Held,
    began: Instant,
    sent: Arc<AtomicU64>,
}

/// A place; free again when dropped. Meanwhile its connection's seat is not taken away for a newcomer's.
pub(super) struct Place {
    number: u64,
    held: Held,
    sent: Arc<AtomicU64>,
    places: Arc<Places>,
}

impl Places {
    /// Places for so many seats: a few of them, since a seat with a download is not free for a boot.
    pub(super) fn of(seats: usize) -> Arc<Self> {
        Self::with(PLACES.min(seats / 8).max(1))
    }

    fn with(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default(), freed: Notify::new() })
    }

    /// A place for the holder of a seat, after a bounded wait if need be. None: come back.
    pub(super) async fn take(self: &Arc<Self>, held: &Held) -> Option<Place> {
        let deadline = Instant::now() + WAIT;
        loop {
            let now = Instant::now();
            if let Some(place) = self.take_at(held, now) {
                return Some(place);
            }
            if now >= deadline {
                return None;
            }
            // A wait that is over for any reason looks again.
            let _ = tokio::time::timeout(LOOK, self.freed.notified()).await;
        }
    }

    fn take_at(self: &Arc<Self>, held: &Held, now: Instant) -> Option<Place> {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.downloads.len() >= self.most {
            let number = taken.gives_way(held.source(), now)?;
            if let Some(download) = taken.downloads.remove(&number) {
                download.held.evict();
            }
        }
        let number = taken.next;
        taken.next += 1;
        let sent = Arc::new(AtomicU64::new(0));
        taken.downloads.insert(number, Download { held: held.clone(), began: now, sent: sent.clone() });
        held.set_busy(true);
        Some(Place { number, held: held.clone(), sent, places: self.clone() })
    }
}

impl Taken {
    /// Who loses its place to a newcomer: the oldest download of the caller with the most, if that is left with no fewer
    /// than the newcomer then has; else the slowest of the slow; else nobody.
    fn gives_way(&self, source: IpAddr, now: Instant) -> Option<u64> {
        let mut by_source: HashMap<IpAddr, usize> = HashMap::new();
        for download in self.downloads.values() {
            *by_source.entry(download.held.source()).or_default() += 1;
        }
        let places_of = |source: IpAddr| by_source.get(&source).copied().unwrap_or(0);
        let oldest = |(number, download): &(&u64, &Download)| (places_of(download.held.source()), u64::MAX - **number);
        let greediest = self.downloads.iter().max_by_key(oldest)?;
        if places_of(greediest.1.held.source()) > places_of(source) + 1 {
            return Some(*greediest.0);
        }
        let slow = self.downloads.iter().filter_map(|(number, download)| Some((download.pace_if_slow(now)?, *number)));
        slow.min().map(|(_, number)| number)
    }
}

impl Download {
    /// Bytes a second since it began, of one that has fallen behind.
    fn pace_if_slow(&self, now: Instant) -> Option<u64> {
        let lasted = now.saturating_duration_since(self.began);
        let pace = self.sent.load(Ordering::Relaxed) / lasted.as_secs().max(1);
        (lasted >= GRACE && pace < PACE).then_some(pace)
    }
}

impl Place {
    /// Counts what was handed over to the connection.
    pub(super) fn sent(&self, bytes: usize) {
        self.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.held.set_busy(false);
        self.places.taken.lock().unwrap_or_else(PoisonError::into_inner).downloads.remove(&self.number);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn caller(last: u8) -> Held {
        Held::example([10, 0, 0, last].into())
    }

    fn has(places: &Places, place: &Place) -> bool {
        places.taken.lock().expect("no panic").downloads.contains_key(&place.number)
    }

    #[test]
    fn a_caller_with_many_places_gives_one_to_a_newcomer() {
        let (places, now) = (Places::with(3), Instant::now());
        let take = |last| places.take_at(&caller(last), now);
        let greedy = [take(1), take(1), take(1)].map(|place| place.expect("free"));
        let newcomer = take(2).expect("the oldest gives way");
        assert_eq!(greedy.each_ref().map(|place| has(&places, place)), [false, true, true]);
        assert!(take(2).is_none(), "two of three would be as greedy");
        assert!(take(1).is_none() && has(&places, &newcomer));
        assert!(take(3).is_some() && has(&places, &newcomer), "the greedy one had two yet");
    }

    #[test]
    fn who_keeps_up_is_not_sent_away_and_the_slowest_is() {
        let (places, began) = (Places::with(3), Instant::now());
        let (fast, slow, slowest) = (
            places.take_at(&caller(1), began).expect("free"),
            places.take_at(&caller(2), began).expect("free"),
            places.take_at(&caller(3), began).expect("free"),
        );
        fast.sent(usize::try_from(20 * PACE).expect("fits"));
        slow.sent(5000);
        slowest.sent(4000);
        assert!(places.take_at(&caller(4), began + GRACE / 2).is_none(), "nobody is slow yet");
        let newcomer = places.take_at(&caller(4), began + GRACE * 2).expect("the slowest gives way");
        assert!(has(&places, &fast) && has(&places, &slow) && !has(&places, &slowest));
        let another = places.take_at(&caller(5), began + GRACE * 2).expect("the other slow one gives way");
        assert!(places.take_at(&caller(6), began + GRACE * 2).is_none());
        assert!([&fast, &newcomer, &another].into_iter().all(|place| has(&places, place)));
    }

    #[test]
    fn a_seat_with_a_download_is_busy_until_it_is_over() {
        let (places, held) = (Places::with(1), caller(1));
        let place = places.take_at(&held, Instant::now()).expect("free");
        assert!(held.is_busy());
        drop(place);
        assert!(!held.is_busy() && places.take_at(&held, Instant::now()).is_some());
    }
}
