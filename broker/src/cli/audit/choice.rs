//! Which records a command is about.

use serde_json::Value;

use crate::clock;

/// Which records
#[derive(Default, PartialEq, clap::Args)]
pub(in crate::cli) struct Choice {
    /// Only records from this time on: '2h' ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<u64>,
    /// Only records before this time: '10m' ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    /// Only these events: 'node.joined', or 'token' for all that begin with 'token.'; may be repeated
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// Only records about this node: its id, or its hostname
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only records about this invite: its id, or how it begins
    #[arg(long, value_name = "INVITE")]
    invite: Option<String>,
    /// Only records that ended so
    #[arg(long, value_name = "OUTCOME", value_parser = ["ok", "refused", "failed", "alarm"])]
    outcome: Option<String>,
    /// Only records of this broker: its id, or how it begins
    #[arg(long, value_name = "BROKER")]
    broker: Option<String>,
}

/// A time, in seconds since 1970: so long ago, or as RFC 3339 says it.
pub(super) fn time(text: &str) -> Result<u64, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(clock::now().saturating_sub(ago.as_secs()));
    }
    clock::read(text).ok_or_else(|| "it is no time: '2h' is so long ago, '2026-01-31T12:00:00Z' is then".to_owned())
}

impl Choice {
    /// Whether this record is one of them.
    pub(super) fn wants(&self, record: &Value) -> bool {
        let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
        let at = clock::read(text("time")).unwrap_or(0);
        let is = |event: &String| {
            text("event") == event || text("event").strip_prefix(event).is_some_and(|rest| rest.starts_with('.'))
        };
        let begins = |field: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| text(field).starts_with(wanted.as_str()))
        };
        self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && (self.events.is_empty() || self.events.iter().any(is))
            && self.node.as_ref().is_none_or(|node| text("node") == node || text("hostname") == node)
            && self.outcome.as_ref().is_none_or(|outcome| text("outcome") == outcome)
            && begins("invite", &self.invite)
            && begins("broker", &self.broker)
    }

    /// Whether it leaves none out.
    pub(super) fn is_all(&self) -> bool {
        *self == Self::default()
    }

    /// From when on, in seconds since 1970, if it says so.
    pub(super) fn since(&self) -> Option<u64> {
        self.since
    }
}
