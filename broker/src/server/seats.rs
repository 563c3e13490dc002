//! Seats for connections: bounded, and fair between callers when they run out.
//!
//! Keeps promise 12: whoever holds many seats and does nothing in them loses one to whoever comes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

/// All seats.
pub(super) struct Seats {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Default)]
struct Taken {
    next: u64,
    seats: HashMap<u64, Held>,
}

/// A seat as it looks from outside.
#[derive(Clone)]
pub(super) struct Held {
    source: IpAddr,
    busy: Arc<AtomicBool>,
    evicted: Arc<Notify>,
}

/// A seat; free again when dropped.
pub(super) struct Seat {
    number: u64,
    held: Held,
    seats: Arc<Seats>,
}

impl Seats {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// A seat for a caller; where none is free, an idle one of the caller with the most seats is freed, the oldest
    /// first. None when every seat is busy. The flag says whether somebody was evicted.
    pub(super) fn take(self: &Arc<Self>, source: IpAddr) -> (Option<Seat>, bool) {
        let mut taken = self.taken.lock().unwrap_or_else(PoisonError::into_inner);
        let mut evicted = false;
        if taken.seats.len() >= self.most {
            let Some(victim) = taken.victim() else { return (None, false) };
            if let Some(held) = taken.seats.remove(&victim) {
                held.evict();
                evicted = true;
            }
        }
        let number = taken.next;
        taken.next += 1;
        let held = Held { source, busy: Arc::default(), evicted: Arc::default() };
        taken.seats.insert(number, held.clone());
        (Some(Seat { number, held, seats: self.clone() }), evicted)
    }
}

impl Taken {
    fn victim(&self) -> Option<u64> {
        let mut by_source: HashMap<IpAddr, usize> = HashMap::new();
        for held in self.seats.values() {
            *by_source.entry(held.source).or_default() += 1;
        }
        self.seats
            .iter()
            .filter(|(_, held)| !held.busy.load(Ordering::Relaxed))
            .max_by_key(|(number, held)| (by_source.get(&held.source).copied(), std::cmp::Reverse(**number)))
            .map(|(number, _)| *number)
    }
}

impl Seat {
    /// Ends when the seat was given to somebody else.
    pub(super) async fn evicted(&self) {
        self.held.evicted.notified().await;
    }

    /// The seat, for those who answer what is asked on it.
    pub(super) fn held(&self) -> &Held {
        &self.held
    }
}

impl Held {
    /// Who has it.
    pub(super) fn source(&self) -> IpAddr {
        self.source
    }

    /// Says whether a request is being answered: such a seat is not taken away.
    pub(super) fn set_busy(&self, busy: bool) {
        self.busy.store(busy, Ordering::Relaxed);
    }

    /// Takes it away.
    pub(super) fn evict(&self) {
        self.evicted.notify_one();
    }

    /// Whether it is busy.
    #[cfg(test)]
    pub(super) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Relaxed)
    }

    /// A seat of nobody's.
    #[cfg(test)]
    pub(super) fn example(source: IpAddr) -> Self {
        Self { source, busy: Arc::default(), evicted: Arc::default() }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.taken.lock().unwrap_or_else(PoisonError::into_inner).seats.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_greediest_idle_caller_loses_its_oldest_seat() {
        let seats = Seats::new(3);
        let (greedy, honest): (IpAddr, IpAddr) = ([10, 0, 0, 1].into(), [10, 0, 0, 2].into());
        let first = seats.take(greedy).0.expect("free");
        let second = seats.take(greedy).0.expect("free");
        let third = seats.take(honest).0.expect("free");
        let (fourth, evicted) = seats.take(honest);
        assert!(fourth.is_some() && evicted);
        let holds = |seat: &Seat| seats.taken.lock().expect("no panic").seats.contains_key(&seat.number);
        assert!(!holds(&first) && holds(&second) && holds(&third));
    }

    #[test]
    fn a_busy_seat_is_never_taken_away() {
        let seats = Seats::new(1);
        let source: IpAddr = [10, 0, 0, 1].into();
        let seat = seats.take(source).0.expect("free");
        seat.held().set_busy(true);
        assert!(seats.take(source).0.is_none());
        drop(seat);
        assert!(seats.take(source).0.is_some());
    }
}
