//! What is said over the admin socket about `broker rotate` and `broker ca`; also what `--json` prints. The names are stable.

use protocol::{InviteId, KeyHash, Role};
use serde::{Deserialize, Serialize};

use crate::clock::Time;
use crate::keys::{Plan, Rotated, What};

/// What was replaced.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RotateReply {
    /// The role, the generation and the time also stand here, when one role was asked for.
    #[serde(flatten)]
    pub(crate) one: Option<TokenRotated>,
    pub(crate) rotated: Vec<TokenRotated>,
    /// For how long it waited for machines on their way, in milliseconds.
    pub(crate) waited_ms: u64,
    /// How many of them it did not wait for any longer.
    pub(crate) not_waited_for: usize,
    /// Whether another rotation at the same time did it.
    pub(crate) shared: bool,
}

/// A token that was replaced.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenRotated {
    pub(crate) role: Role,
    pub(crate) generation: u64,
    pub(crate) rotated_at: Time,
}

/// What a rotation would do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct RotationPreview {
    /// Always: nothing was changed.
    pub(crate) dry_run: bool,
    pub(crate) tokens: Vec<TokenShown>,
    /// Machines that were given a token a moment ago, and have not confirmed.
    pub(crate) in_flight: Vec<InFlight>,
    /// Objects of invites that do not read. Whether machines are on their way with them is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<String>,
    /// For how long it would wait for them at most, in milliseconds.
    pub(crate) wait_ms: u64,
    /// The broker that is replacing a token now.
    pub(crate) under_way: Option<String>,
}

/// Something about a key of ours.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shown<K> {
    pub(crate) what: What,
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
    #[serde(flatten)]
    pub(crate) key: K,
}

/// A key that was replaced; or, with `dry_run`, the one in use.
pub(crate) type KeyShown = Shown<Rotated>;

/// What a rotation of the issuing CA would do.
pub(crate) type CaPlan = Shown<Plan>;

/// The request for the next issuing CA is wanted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaRequestOrder {
    /// After a leak: with a key that was not there before.
    pub(crate) now: bool,
}

/// Brokers whose node is no manager any more.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Gone {
    /// Their ids.
    pub(crate) brokers: Vec<String>,
}

/// A join token as the brokers know it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenShown {
    /// Since when it is live, as far as a broker knows.
    #[serde(flatten)]
    pub(crate) token: TokenRotated,
    /// When it is replaced without being asked for.
    pub(crate) policy: String,
}

/// A machine that is on its way with a token.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InFlight {
    pub(crate) role: Role,
    pub(crate) invite: InviteId,
    pub(crate) key: KeyHash,
    pub(crate) since: Time,
}
