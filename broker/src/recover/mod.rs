//! `broker recover`: putting a ledger right that was lost, from the audit logs.
//!
//! Keeps promises 1 and 5 over the worst day: what was spent or revoked stays so, and where nobody can prove what was,
//! the invite is revoked. Must not run by itself: an operator says so, with a reason.

mod history;
mod perform;
mod plan;

pub(crate) use history::History;
pub(crate) use perform::{note, recover};

use protocol::InviteId;
use serde::{Deserialize, Serialize};

/// What an operator asks for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecoverOrder {
    /// Why, for the audit log.
    pub(crate) reason: String,
    /// Say what would be done, and do nothing.
    pub(crate) dry_run: bool,
    /// The operator says that the logs hold all that was claimed.
    pub(crate) trust_logs: bool,
    /// The swarm is another one than the ledger was in.
    pub(crate) new_swarm: bool,
    /// The logs of other brokers.
    pub(crate) logs: Vec<History>,
}

/// What was done, or would be.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Recovery {
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
    /// Why the ledger is lost, if it is.
    pub(crate) lost: Option<String>,
    /// Whether there was nothing to put right.
    pub(crate) sound: bool,
    /// Why the logs may not tell all that was claimed; empty if they do.
    pub(crate) gaps: Vec<String>,
    /// Whether the logs were taken for whole all the same, by an operator's word.
    pub(crate) trusted: bool,
    /// The invites that are not over.
    pub(crate) invites: Vec<InviteRecovered>,
    /// Objects of invites that do not read, and admit nobody.
    #[serde(default)]
    pub(crate) unread: Vec<String>,
    /// Invites that were made until then and are not listed here admit nobody. None if nothing was changed.
    pub(crate) until: Option<String>,
    /// The nodes that were adopted, in a new swarm.
    pub(crate) adopted: usize,
}

/// One invite.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InviteRecovered {
    pub(crate) id: InviteId,
    /// `kept`, `put-back` or `revoked`; or what it is to be.
    pub(crate) action: String,
    /// Whether it is revoked now, or was before.
    pub(crate) revoked: bool,
    /// How many uses are spent.
    pub(crate) spent: usize,
    /// Of how many. None if no log has the invite itself.
    pub(crate) uses: Option<u32>,
    /// How many of them the ledger lacked.
    pub(crate) missing: usize,
}
