//! When the tokens are replaced without anybody asking for it.

use std::fmt;
use std::time::Duration;

use protocol::Role;

use crate::clock;

/// When a role's token is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    /// Soon after a machine was given it: once nobody is on the way with it, or after [`LONGEST_ON_THE_WAY`].
    ///
    /// [`LONGEST_ON_THE_WAY`]: super::plan::LONGEST_ON_THE_WAY
    AfterJoin,
    /// When it is that old.
    Interval(Duration),
    /// When somebody asks for it.
    Manual,
}

impl Policy {
    /// What a setting may say, for messages.
    pub(crate) const WORDS: &str = "after-join, manual, or interval:DURATION from 1m to 366d";

    /// Reads a setting.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        match text {
            "after-join" => Some(Self::AfterJoin),
            "manual" => Some(Self::Manual),
            text => {
                let interval = humantime::parse_duration(text.strip_prefix("interval:")?).ok()?;
                let allowed = Duration::from_mins(1)..=Duration::from_hours(366 * 24);
                allowed.contains(&interval).then_some(Self::Interval(interval))
            }
        }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AfterJoin => f.write_str("after-join"),
            Self::Interval(interval) => write!(f, "interval:{}", clock::length(*interval)),
            Self::Manual => f.write_str("manual"),
        }
    }
}

/// What was set for both roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Policies {
    /// Nothing where nothing was set.
    pub(crate) worker: Option<Policy>,
    pub(crate) manager: Option<Policy>,
    /// How long a rotation waits at most for machines that are on their way with the token.
    pub(crate) wait: Duration,
}

impl Policies {
    /// The policy of a role. In a swarm that had other nodes than the founder before it had a broker, somebody or
    /// some script may hold the tokens: there nothing is replaced unless that was set.
    pub(crate) fn of(&self, role: Role, inherited: bool) -> Policy {
        let set = match role {
            Role::Worker => self.worker,
            Role::Manager => self.manager,
        };
        set.unwrap_or(if inherited { Policy::Manual } else { Policy::AfterJoin })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_reads_as_it_is_shown() {
        for text in ["after-join", "manual", "interval:12h", "interval:1m", "interval:366d"] {
            assert_eq!(Policy::parse(text).expect("a policy").to_string(), text);
        }
        for text in ["", "never", "12h", "interval", "interval:59s", "interval:367d", "After-Join"] {
            assert_eq!(Policy::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_swarm_that_was_there_before_keeps_its_tokens_unless_told_otherwise() {
        let unset = Policies { worker: None, manager: None, wait: Duration::ZERO };
        let set = Policies { worker: Some(Policy::AfterJoin), ..unset };
        assert_eq!(unset.of(Role::Worker, false), Policy::AfterJoin);
        assert_eq!(unset.of(Role::Manager, false), Policy::AfterJoin);
        assert_eq!(unset.of(Role::Worker, true), Policy::Manual);
        assert_eq!(set.of(Role::Worker, true), Policy::AfterJoin);
        assert_eq!(set.of(Role::Manager, true), Policy::Manual);
    }
}
