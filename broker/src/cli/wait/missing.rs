//! Why a machine did not come, for each one that did not. A pure function of what was heard.

use std::net::IpAddr;

use protocol::{InviteId, NodeId};
use serde::Serialize;

use super::tally::Tally;
use crate::audit::Reason;
use crate::clock;

/// What became of a machine that did not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum State {
    /// A broker refused it.
    Refused,
    /// It has a use and did not confirm.
    Stuck,
    /// It joined, and is not Ready.
    Down,
    /// Nothing was heard of it.
    NeverSeen,
    /// No broker answered.
    Unknown,
}

/// One machine that did not come. The names are stable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Missing {
    pub(super) state: State,
    /// One word of a fixed set; of a refusal, as the audit log has it.
    pub(super) reason: String,
    pub(super) node: Option<NodeId>,
    pub(super) source: Option<IpAddr>,
    pub(super) hostname: Option<String>,
    pub(super) invite: Option<InviteId>,
    pub(super) since: Option<String>,
}

impl Missing {
    fn new(state: State, reason: &str) -> Self {
        let reason = reason.to_owned();
        Self { state, reason, node: None, source: None, hostname: None, invite: None, since: None }
    }

    /// What it means, and what to do.
    pub(super) fn words(&self) -> &'static str {
        match (self.state, self.reason.as_str()) {
            (State::Stuck, WINDOW_ENDED) => {
                "it did not confirm within its hour: run 'joiner join' on it with a new invite"
            }
            (State::Stuck, NO_APPROVAL) => {
                "it waits for your answer: 'broker pending', then 'broker approve' or 'broker deny'"
            }
            (State::Stuck, NO_CONFIRM) => {
                "it has the token and did not confirm: look at 'joiner status' on it, run 'joiner join' again"
            }
            (State::Stuck, _) => {
                "it has a use and did not ask for the token: look at 'joiner status' on it, run 'joiner join' again"
            }
            (State::Down, _) => "it joined and is not Ready: look at Docker on it, or remove the node",
            (State::NeverSeen, _) => "it never asked",
            (State::Unknown, _) => "no broker answered",
            (State::Refused, _) => {
                let reason = serde_json::from_value::<Reason>(self.reason.as_str().into());
                reason.map_or("see docs/audit-log.md", Reason::words)
            }
        }
    }
}

const NO_CONFIRM: &str = "no-confirm";
const NO_APPROVAL: &str = "no-approval";
const NO_TOKEN: &str = "no-token";
const WINDOW_ENDED: &str = "window-ended";
const NOT_READY: &str = "not-ready";
const NEVER_SEEN: &str = "never-seen";
const NO_ANSWER: &str = "no-answer";

impl Tally {
    /// Each machine that did not come; none if enough did. There may be more than are wanting: who was refused need
    /// not be one of those that were waited for.
    pub(super) fn missing(&self) -> Vec<Missing> {
        let wanting = self.count.saturating_sub(self.joined().count());
        if wanting == 0 {
            return Vec::new();
        }
        if self.is_new() {
            return vec![Missing::new(State::Unknown, NO_ANSWER); wanting];
        }
        let refused = self.refused().map(|(machine, seen)| Missing {
            source: machine.source,
            hostname: machine.hostname.clone(),
            invite: seen.invite.clone(),
            since: Some(clock::shown(seen.at)),
            ..Missing::new(State::Refused, seen.refused.as_deref().unwrap_or_default())
        });
        let stuck = self.stuck().map(|(machine, boot)| {
            let reason = match boot.redeemed {
                _ if boot.waits => NO_APPROVAL,
                _ if !boot.open => WINDOW_ENDED,
                Some(_) => NO_CONFIRM,
                None => NO_TOKEN,
            };
            Missing {
                source: machine.source,
                hostname: machine.hostname,
                invite: Some(boot.invite.clone()),
                since: Some(clock::shown(boot.redeemed.unwrap_or(boot.claimed))),
                ..Missing::new(State::Stuck, reason)
            }
        });
        let down = self.down().map(|node| Missing {
            node: Some(node.id.clone()),
            source: node.address.parse().ok(),
            hostname: Some(node.hostname.clone()),
            invite: node.invite.clone(),
            ..Missing::new(State::Down, NOT_READY)
        });
        let mut missing: Vec<Missing> = refused.chain(stuck).chain(down).collect();
        let never = wanting.saturating_sub(missing.len());
        let of_invite = Missing { invite: self.invite.clone(), ..Missing::new(State::NeverSeen, NEVER_SEEN) };
        missing.extend(std::iter::repeat_n(of_invite, never));
        missing
    }
}
