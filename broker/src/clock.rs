//! The clock. Decisions never read it: they are given `now`.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};

/// Seconds since 1970. A clock before 1970 counts as 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The same as certificates take it.
pub(crate) fn unix(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// A time for people: RFC 3339 in UTC, to the second.
pub(crate) fn shown(seconds: u64) -> String {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| seconds.to_string(), |time| time.to_string())
}

/// A time, in seconds since 1970; as people read it where it is shown or written as JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub(crate) struct Time(pub(crate) u64);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&shown(self.0))
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        read(&text).map(Self).ok_or("no time in RFC 3339")
    }
}

/// Seconds since 1970 of a time in RFC 3339.
pub(crate) fn read(text: &str) -> Option<u64> {
    text.parse::<jiff::Timestamp>().ok().and_then(|time| u64::try_from(time.as_second()).ok())
}

/// A length of time as people type it: in the largest unit that fits without a rest.
pub(crate) fn length(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86400, "d"), (3600, "h"), (60, "m")];
    let fits = units.into_iter().find(|(unit, _)| seconds >= *unit && seconds.is_multiple_of(*unit));
    fits.map_or_else(|| format!("{seconds}s"), |(unit, letter)| format!("{}{letter}", seconds / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_json_is_what_people_read_and_comes_back() {
        let json = serde_json::to_string(&Time(1_800_000_000)).expect("writes");
        assert_eq!(json, r#""2027-01-15T08:00:00Z""#);
        assert_eq!(serde_json::from_str::<Time>(&json).expect("reads"), Time(1_800_000_000));
        assert!(serde_json::from_str::<Time>(r#""soon""#).is_err());
    }

    #[test]
    fn lengths_read_as_they_are_typed() {
        for text in ["90s", "10m", "1h", "90d", "36h", "0s"] {
            let time = humantime::parse_duration(text).expect("a length");
            assert_eq!(length(time), text);
        }
    }
}
