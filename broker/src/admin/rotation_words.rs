//! What is said over the admin socket about `broker rotate` and `broker ca`; also what `--json` prints. The names are stable.

use std::path::PathBuf;

use protocol::{InviteId, KeyHash, Role};
use serde::{Deserialize, Serialize};

use crate::keys::What;

/// Which join tokens to replace.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RotateOrder {
    pub(crate) roles: Vec<Role>,
    /// Waits for no machine that is on its way.
    pub(crate) now: bool,
    /// For the audit log.
    pub(crate) reason: Option<String>,
}

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
    pub(crate) rotated_at: String,
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

/// Which key of ours to replace.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyOrder {
    pub(crate) what: What,
    /// After a leak: what the ones before signed is refused from now on.
    pub(crate) now: bool,
    /// For the audit log.
    pub(crate) reason: Option<String>,
}

/// A key that was replaced; or, with `dry_run`, the one in use.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct KeyShown {
    pub(crate) what: What,
    pub(crate) generation: u64,
    pub(crate) rotated_at: String,
    /// The id of its public half.
    pub(crate) kid: String,
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
    /// Until when what the one before signed is good, where that ends by itself and soon.
    pub(crate) former_until: Option<String>,
    /// Invites of former keys (with `dry_run`, of this one, too) that have not ended.
    pub(crate) invites: Vec<InviteOfKey>,
    /// Objects of invites that do not read. They admit nobody, and are not among the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<String>,
    /// Of an issuing CA after a leak: managers that must be adopted, before their brokers are given it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) adopt: Vec<String>,
}

/// What a rotation of the issuing CA would do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct CaPlan {
    pub(crate) what: What,
    /// The generation in use, and when it ends.
    pub(crate) generation: u64,
    pub(crate) ends: String,
    /// The next one.
    pub(crate) next: u64,
    /// Until when the former one would be trusted, without `--now`.
    pub(crate) overlap_ends: String,
    pub(crate) root_ends: String,
    /// Invites that accept a server of a former generation; with `--now` they must be made anew.
    pub(crate) invites: Vec<InviteOfKey>,
    /// Objects of invites that do not read. They admit nobody, and are not among the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<String>,
    /// The other live brokers, each of which gets the new one by itself.
    pub(crate) brokers: Vec<BrokerCa>,
    /// With `--now`: managers that must be adopted, before their brokers are given it.
    #[serde(default)]
    pub(crate) adopt: Vec<String>,
    /// The state directory, in which the root's key may be.
    pub(crate) state: PathBuf,
    /// Always: nothing was changed.
    pub(crate) dry_run: bool,
}

/// The issuing CA of another broker.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BrokerCa {
    pub(crate) id: String,
    pub(crate) generation: u32,
}

/// The request for the next issuing CA is wanted.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaRequestOrder {
    /// After a leak: with a key that was not there before.
    pub(crate) now: bool,
}

/// The certificate of an issuing CA that is to be put to use.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaOrder {
    /// PEM.
    pub(crate) certificate: String,
    /// After a leak: nothing of the former ones is good any more.
    pub(crate) now: bool,
    /// For the audit log.
    pub(crate) reason: Option<String>,
}

/// The entries of brokers that are no managers any more are to be removed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct GoneOrder {
    /// For the audit log.
    pub(crate) reason: Option<String>,
}

/// Brokers whose node is no manager any more.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Gone {
    /// Their ids.
    pub(crate) brokers: Vec<String>,
}

/// An invite, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InviteOfKey {
    pub(crate) id: InviteId,
    pub(crate) ends: String,
    pub(crate) revoked: bool,
}

/// A join token as the brokers know it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct TokenShown {
    pub(crate) role: Role,
    pub(crate) generation: u64,
    /// Since when it is live, as far as a broker knows.
    pub(crate) rotated_at: String,
    /// When it is replaced without being asked for.
    pub(crate) policy: String,
}

/// A machine that is on its way with a token.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InFlight {
    pub(crate) role: Role,
    pub(crate) invite: InviteId,
    pub(crate) key: KeyHash,
    pub(crate) since: String,
}
