//! What can go wrong with one request to one broker, and what to do about it.
//!
//! Keeps promise 5 (fail closed): a refusal is final only when a broker says so; an unknown outcome never is one.
//! Must not wait or dial: it is a function of the answer.

use std::time::Duration;

/// What went wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The broker refused. The request's id is in its audit log.
    Refused(Option<String>),
    /// The broker cannot serve now.
    Unavailable(String),
    /// The grant is not the one to redeem now.
    AskAgain,
    /// The broker does not understand the request.
    NotUnderstood(String),
    /// The broker did not accept our certificate, with this TLS alert.
    CertificateRefused(String),
    /// The server does not belong to the invite's cluster.
    OtherCluster(String),
    /// The server's certificate is not valid by this machine's clock.
    ServerClock(String),
    /// No connection, or it broke, or no answer came.
    Unreachable(String),
    /// The answer is none that this release understands.
    Unintelligible(String),
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// No other broker would say otherwise: hand the answer up.
    HandUp,
    /// Ask another broker; when all of them say the same, hand that up.
    OtherBrokerThenHandUp,
    /// Ask another broker, and begin a new round after a pause, until the deadline.
    OtherBroker,
}

impl Trouble {
    /// What to do about it.
    pub(crate) fn next(&self) -> Next {
        match self {
            Self::Refused(_) | Self::AskAgain | Self::NotUnderstood(_) => Next::HandUp,
            Self::CertificateRefused(_) => Next::OtherBrokerThenHandUp,
            Self::Unavailable(_)
            | Self::OtherCluster(_)
            | Self::ServerClock(_)
            | Self::Unreachable(_)
            | Self::Unintelligible(_) => Next::OtherBroker,
        }
    }

    /// Whether a broker of the cluster said it, so that somebody is there.
    pub(crate) fn is_an_answer(&self) -> bool {
        match self {
            Self::Refused(_)
            | Self::AskAgain
            | Self::NotUnderstood(_)
            | Self::CertificateRefused(_)
            | Self::Unavailable(_)
            | Self::Unintelligible(_) => true,
            Self::OtherCluster(_) | Self::ServerClock(_) | Self::Unreachable(_) => false,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(_) => f.write_str("refused"),
            Self::Unavailable(detail) if detail.is_empty() => f.write_str("unavailable for now"),
            Self::Unavailable(detail) => write!(f, "unavailable for now ({detail})"),
            Self::AskAgain => f.write_str("asks for a new grant"),
            Self::NotUnderstood(detail) => write!(f, "does not understand the request ({detail})"),
            Self::CertificateRefused(alert) => write!(f, "does not accept this machine's certificate ({alert})"),
            Self::OtherCluster(what) => write!(f, "is not of the invite's cluster ({what})"),
            Self::ServerClock(what) => {
                write!(f, "its certificate is not valid by this machine's clock, which is probably wrong ({what})")
            }
            Self::Unreachable(what) => write!(f, "cannot be reached ({what})"),
            Self::Unintelligible(what) => write!(f, "answered what this release does not understand ({what})"),
        }
    }
}

const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long to wait after the round of this number, from 0: doubling from 0.2 s to 5 s, half of it by chance, so that
/// machines that were started together do not come back together.
pub(crate) fn pause(round: u32, chance: u32) -> Duration {
    let whole = FIRST_PAUSE.saturating_mul(2_u32.saturating_pow(round)).min(LONGEST_PAUSE);
    whole / 2 + (whole / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX))
}

/// Chance for [`pause`] and for the order of brokers.
pub(crate) fn chance() -> u32 {
    u32::from_le_bytes(protocol::random())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_every_broker_would_say_ends_a_round() {
        let text = String::new;
        for (trouble, next, answer) in [
            (Trouble::Refused(None), Next::HandUp, true),
            (Trouble::AskAgain, Next::HandUp, true),
            (Trouble::NotUnderstood(text()), Next::HandUp, true),
            (Trouble::CertificateRefused(text()), Next::OtherBrokerThenHandUp, true),
            (Trouble::Unavailable(text()), Next::OtherBroker, true),
            (Trouble::Unintelligible(text()), Next::OtherBroker, true),
            (Trouble::OtherCluster(text()), Next::OtherBroker, false),
            (Trouble::ServerClock(text()), Next::OtherBroker, false),
            (Trouble::Unreachable(text()), Next::OtherBroker, false),
        ] {
            assert_eq!((trouble.next(), trouble.is_an_answer()), (next, answer), "{trouble}");
        }
    }

    #[test]
    fn pauses_double_up_to_five_seconds_and_differ_between_machines() {
        assert_eq!(pause(0, 0), Duration::from_millis(100));
        assert_eq!(pause(0, u32::MAX), Duration::from_millis(200));
        assert_eq!(pause(1, u32::MAX), Duration::from_millis(400));
        assert_eq!(pause(30, u32::MAX), Duration::from_secs(5));
        assert_eq!(pause(u32::MAX, 0), Duration::from_millis(2500));
    }
}
