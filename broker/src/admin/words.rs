//! What is said over the admin socket; also what `--json` prints. The names are stable.

use std::collections::BTreeMap;

use ipnet::IpNet;
use protocol::{BrokerAddress, ClusterId, Conditions, Invite, InviteId, KeyHash, NodeId, Pin, Role, SwarmId};
use serde::{Deserialize, Serialize};

use super::rotation_words::TokenShown;
use crate::clock;
use crate::joiners::JoinerShown;
use crate::keys::What;
use crate::ledger::{Claims, InviteState, Policy, Use};
use crate::witness::Watched;

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
    /// `open`, `full`, `used-up`, `ended` or `revoked`.
    pub(crate) state: String,
    pub(crate) role: Option<Role>,
    /// How many keys it admits.
    pub(crate) uses: u32,
    /// How many have claimed a use; of one whose places come free: how many places are taken.
    pub(crate) claimed: usize,
    /// How many of those have joined.
    pub(crate) joined: usize,
    pub(crate) made: Option<String>,
    pub(crate) ends: Option<String>,
    pub(crate) from: Vec<IpNet>,
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) brokers: Vec<BrokerAddress>,
    /// For how many seconds a node of its machines may be down before it is removed; none: it is not ephemeral.
    #[serde(default)]
    pub(crate) ephemeral: Option<u64>,
    /// What else it says of its machines.
    #[serde(default, skip_serializing_if = "Conditions::is_none")]
    pub(crate) conditions: Conditions,
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
        let claimed = state.claims.held(invite, now);
        let uses = invite.map_or(0, |invite| invite.uses);
        let word = match invite {
            _ if state.claims.revoked.is_some() => "revoked",
            Some(invite) if now >= invite.exp => "ended",
            _ if claimed < usize::try_from(uses).unwrap_or(usize::MAX) => "open",
            Some(invite) if invite.conditions.live => "full",
            _ => "used-up",
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
            ephemeral: invite.and_then(|invite| invite.ephemeral),
            conditions: invite.map(|invite| invite.conditions.clone()).unwrap_or_default(),
        }
    }
}

/// All invites.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InvitesShown {
    pub(crate) invites: Vec<InviteShown>,
    /// Objects of invites that do not read: they admit nobody.
    #[serde(default)]
    pub(crate) unread: Vec<String>,
}

/// What the ledger has of claims, for a look at whether the logs say the same.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ClaimsShown {
    pub(crate) invites: Vec<ClaimedInvite>,
    /// Objects of invites that do not read.
    pub(crate) unread: Vec<String>,
}

/// An invite's claims.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClaimedInvite {
    pub(crate) id: InviteId,
    pub(crate) uses: Vec<ClaimedUse>,
}

/// One of them.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ClaimedUse {
    pub(crate) key: KeyHash,
    /// In seconds since 1970.
    pub(crate) claimed: u64,
    /// False while a person was asked about it and has not said yes.
    #[serde(default = "yes")]
    pub(crate) admitted: bool,
}

fn yes() -> bool {
    true
}

impl ClaimedInvite {
    /// What the ledger has.
    pub(crate) fn of(state: &InviteState) -> Self {
        let uses = state.claims.uses.iter();
        let shown = |(key, taken): (&KeyHash, &Use)| ClaimedUse {
            key: key.clone(),
            claimed: taken.claimed,
            admitted: taken.is_admitted(),
        };
        let uses = uses.map(shown).collect();
        Self { id: state.policy.id().clone(), uses }
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
    /// Keys that were replaced on another manager and are not here yet.
    #[serde(default)]
    pub(crate) behind: Vec<BehindShown>,
    /// The join tokens; none while the ledger cannot be read.
    #[serde(default)]
    pub(crate) tokens: Vec<TokenShown>,
    pub(crate) brokers: Vec<BrokerShown>,
    pub(crate) alarms: u64,
    /// The copies of the other brokers' logs.
    #[serde(default)]
    pub(crate) logs: Vec<Watched>,
    /// The joiners that this broker serves, or should.
    #[serde(default)]
    pub(crate) joiners: Vec<JoinerShown>,
    /// What lies in the folder of joiners and is none, and why.
    #[serde(default)]
    pub(crate) joiners_left_out: Vec<String>,
}

/// A key that was replaced on another manager and is not here yet.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BehindShown {
    pub(crate) what: What,
    /// The number of the one here, and of the current one.
    pub(crate) generation: u64,
    pub(crate) current: u64,
    /// Why it could not be had; null while it is being asked for.
    pub(crate) problem: Option<String>,
}

impl BehindShown {
    /// In words.
    pub(crate) fn words(&self) -> String {
        let Self { what, generation, current, problem } = self;
        let how = problem.as_deref().unwrap_or("it is being asked for");
        format!("{what} was replaced on another manager (generation {generation} here, {current} there): {how}")
    }
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
