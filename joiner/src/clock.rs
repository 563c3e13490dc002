//! Time: the total deadline, the machine's clock, and whether Docker's join can work with it.
//!
//! Keeps DESIGN §3 (names and clocks): Docker's join looks at the clock, so the joiner waits until it agrees.
//! Must not decide on the machine's clock alone: it may be wrong by years.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::exit::Error;
use crate::narrate;

/// The swarm's certificates begin an hour before they are made; ten minutes of that are kept in reserve.
const MAX_BEHIND: u64 = 50 * 60;
/// A node certificate lasts 90 days.
const MAX_AHEAD: u64 = 60 * 24 * 60 * 60;
/// How often to look whether the clock was set.
const CLOCK_POLL: Duration = Duration::from_millis(500);

/// When everything must be done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline(Instant);

impl Deadline {
    /// This far from now. A time that no clock can show is a year.
    pub(crate) fn after(timeout: Duration) -> Self {
        let now = Instant::now();
        Self(now.checked_add(timeout).unwrap_or(now + Duration::from_hours(365 * 24)))
    }

    /// What is left.
    pub(crate) fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether nothing is left.
    pub(crate) fn has_passed(self) -> bool {
        self.remaining().is_zero()
    }

    /// Waits this long, or until the deadline if that is sooner.
    pub(crate) async fn pause(self, wait: Duration) {
        tokio::time::sleep(wait.min(self.remaining())).await;
    }
}

/// The machine's clock, in seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A time in words (RFC 3339), from seconds since 1970.
pub(crate) fn in_words(seconds: u64) -> String {
    // The largest time that RFC 3339 can write is the end of the year 9999.
    let shown = UNIX_EPOCH + Duration::from_secs(seconds.min(253_402_300_799));
    humantime::format_rfc3339_seconds(shown).to_string()
}

/// How the machine's clock stands to the broker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agreement {
    /// Well enough for Docker's join.
    Agrees,
    /// The swarm's certificates would not be valid yet.
    Behind,
    /// The swarm's certificates would have ended.
    Ahead,
}

/// Compares the machine's clock with a broker's.
pub(crate) fn compare(machine: u64, broker: u64) -> Agreement {
    if machine.saturating_add(MAX_BEHIND) < broker {
        Agreement::Behind
    } else if machine > broker.saturating_add(MAX_AHEAD) {
        Agreement::Ahead
    } else {
        Agreement::Agrees
    }
}

/// What a broker's clock showed, and when.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BrokerTime {
    seconds: u64,
    read: Instant,
}

impl BrokerTime {
    /// A broker's clock shows this now.
    pub(crate) fn read_now(seconds: u64) -> Self {
        Self { seconds, read: Instant::now() }
    }

    /// What it shows now.
    pub(crate) fn now(self) -> u64 {
        self.seconds.saturating_add(self.read.elapsed().as_secs())
    }
}

/// Waits until the machine's clock agrees with the broker's: on a machine without a battery-backed clock, somebody (NTP,
/// usually) sets it some time after the network is there.
pub(crate) async fn agree(broker: BrokerTime, deadline: Deadline) -> Result<(), Error> {
    agree_by(now, broker, deadline).await
}

async fn agree_by(machine: impl Fn() -> u64, broker: BrokerTime, deadline: Deadline) -> Result<(), Error> {
    let mut told = false;
    loop {
        if compare(machine(), broker.now()) == Agreement::Agrees {
            if told {
                narrate::step("clock: it was set, going on");
            }
            return Ok(());
        }
        let (own, theirs) = (in_words(machine()), in_words(broker.now()));
        if deadline.has_passed() {
            return Err(Error::Clock { machine: own, broker: theirs });
        }
        if !told {
            narrate::step(&format!(
                "clock: this machine says {own}, the broker {theirs}; Docker's join would fail, waiting for the clock to be set"
            ));
            told = true;
        }
        deadline.pause(CLOCK_POLL).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_agrees_when_the_swarms_certificates_are_valid_by_it() {
        let broker = 1_800_000_000;
        let hour = 60 * 60;
        for (machine, agreement) in [
            (broker, Agreement::Agrees),
            (broker - 49 * 60, Agreement::Agrees),
            (broker - 51 * 60, Agreement::Behind),
            (0, Agreement::Behind),
            (broker + 59 * 24 * hour, Agreement::Agrees),
            (broker + 61 * 24 * hour, Agreement::Ahead),
            (u64::MAX, Agreement::Ahead),
        ] {
            assert_eq!(compare(machine, broker), agreement, "{machine}");
        }
    }

    #[test]
    fn a_clock_that_is_set_while_it_is_waited_for_lets_the_boot_go_on() {
        let broker = BrokerTime::read_now(1_800_000_000);
        let looks = std::cell::Cell::new(0);
        let set_at_the_third_look = || {
            looks.set(looks.get() + 1);
            // Each turn that does not agree looks twice: to compare, and to tell.
            if looks.get() <= 4 { 0 } else { 1_800_000_000 }
        };
        let waiting = agree_by(set_at_the_third_look, broker, Deadline::after(Duration::from_mins(1)));
        crate::process::run(waiting).expect("goes on");
        assert_eq!(looks.get(), 5);

        let never = agree_by(|| 0, broker, Deadline::after(Duration::from_millis(10)));
        let error = crate::process::run(never).expect_err("was never set");
        assert_eq!(error.code(), 75);
        assert!(error.to_string().contains("1970-01-01T00:00:00Z"), "{error}");
    }

    #[test]
    fn times_are_told_in_words() {
        assert_eq!(in_words(0), "1970-01-01T00:00:00Z");
        assert_eq!(in_words(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
