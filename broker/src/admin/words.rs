//! What is said over the admin socket; also what `--json` prints. The names are stable.

use std::collections::BTreeMap;
use std::path::PathBuf;

use ipnet::IpNet;
use protocol::{BrokerAddress, ClusterId, Invite, InviteId, KeyHash, NodeId, Pin, Role, SwarmId};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::joiners::JoinerShown;
use crate::keys::What;
use crate::ledger::{Claims, InviteState, Policy};

/// A new invite.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InviteLineReply {
    /// The line for user-data: a bearer text.
    pub(crate) line: String,
    #[serde(flatten)]
    pub(crate) invite: InviteShown,
}

/// An invite as `broker invite list` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct InviteShown {
    pub(crate) id: InviteId,
    /// `open`, `used-up`, `ended` or `revoked`.
    pub(crate) state: String,
    pub(crate) role: Option<Role>,
    /// How many keys it admits.
    pub(crate) uses: u32,
    /// How many have claimed a use.
    pub(crate) claimed: usize,
    /// How many of those have joined.
    pub(crate) joined: usize,
    pub(crate) made: Option<String>,
    pub(crate) ends: Option<String>,
    pub(crate) from: Vec<IpNet>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) brokers: Vec<BrokerAddress>,
}

impl InviteShown {
    /// An invite that was made just now.
    pub(crate) fn unclaimed(invite: &Invite) -> Self {
        let policy = Policy::Invite(Box::new(invite.clone()));
        Self::of(&InviteState { policy, claims: Claims::default(), version: 0 }, invite.iat)
    }

    /// An invite as the ledger has it at `now`.
    pub(crate) fn of(state: &InviteState, now: u64) -> Self {
        let invite = state.policy.invite();
        let claimed = state.claims.uses.len();
        let uses = invite.map_or(0, |invite| invite.uses);
        let word = match invite {
            _ if state.claims.revoked.is_some() => "revoked",
            Some(invite) if now >= invite.exp => "ended",
            _ if claimed >= usize::try_from(uses).unwrap_or(usize::MAX) => "used-up",
            _ => "open",
        };
        Self {
            id: state.policy.id().clone(),
            state: word.into(),
            role: invite.map(|invite| invite.role),
            uses,
            claimed,
            joined: state.claims.uses.values().filter(|taken| taken.joined.is_some()).count(),
            made: invite.map(|invite| clock::shown(invite.iat)),
            ends: invite.map(|invite| clock::shown(invite.exp)),
            from: invite.map(|invite| invite.from.clone()).unwrap_or_default(),
            labels: invite.map(|invite| invite.labels.clone()).unwrap_or_default(),
            brokers: invite.map(|invite| invite.brokers.clone()).unwrap_or_default(),
        }
    }
}

/// What became of a revocation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Revoked {
    pub(crate) id: InviteId,
    /// False when it was revoked before.
    pub(crate) changed: bool,
    /// False when no broker has seen the invite.
    pub(crate) seen: bool,
}

/// Which nodes to adopt.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdoptOrder {
    /// Node ids or hostnames; empty means all that are unexplained.
    pub(crate) nodes: Vec<String>,
    pub(crate) reason: String,
}

/// The nodes that were adopted.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Adopted {
    pub(crate) nodes: Vec<NodeId>,
}

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
#[derive(Debug, Serialize, Deserialize)]
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
    /// The other live brokers, each of which needs the new one.
    pub(crate) brokers: Vec<BrokerCa>,
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

/// An invite, and what becomes of it.
#[derive(Debug, Serialize, Deserialize)]
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

/// What is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Status {
    pub(crate) cluster: ClusterId,
    pub(crate) name: String,
    pub(crate) pin: Pin,
    pub(crate) generation: u32,
    pub(crate) issuing_ends: String,
    /// Where the issuing key came from: `state`, `file`, `credential` or `command`.
    #[serde(default)]
    pub(crate) issuing_key: String,
    pub(crate) swarm: Option<SwarmId>,
    pub(crate) release: String,
    pub(crate) ready: bool,
    /// Why it is not ready.
    pub(crate) missing: Vec<String>,
    /// The join tokens; none while the ledger cannot be read.
    #[serde(default)]
    pub(crate) tokens: Vec<TokenShown>,
    pub(crate) brokers: Vec<BrokerShown>,
    pub(crate) alarms: u64,
    /// The joiners that this broker serves, or should.
    #[serde(default)]
    pub(crate) joiners: Vec<JoinerShown>,
    /// What lies in the folder of joiners and is none, and why.
    #[serde(default)]
    pub(crate) joiners_left_out: Vec<String>,
}

/// All joiners.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JoinersShown {
    pub(crate) joiners: Vec<JoinerShown>,
}

/// A broker as the ledger lists it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BrokerShown {
    pub(crate) id: String,
    pub(crate) address: Option<BrokerAddress>,
    pub(crate) addresses: Vec<BrokerAddress>,
    pub(crate) node: NodeId,
    pub(crate) ready: bool,
    pub(crate) leader: bool,
    pub(crate) release: String,
}
