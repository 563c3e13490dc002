//! What is said over the admin socket; also what `--json` prints. The names are stable.

use std::collections::BTreeMap;

use ipnet::IpNet;
use protocol::{BrokerAddress, ClusterId, InviteId, NodeId, Pin, Role, SwarmId};
use serde::{Deserialize, Serialize};

/// A new invite.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct InviteLineReply {
    /// The line for user-data: a bearer text.
    pub(crate) line: String,
    #[serde(flatten)]
    pub(crate) invite: InviteShown,
}

/// An invite as `broker invite list` shows it.
#[derive(Debug, Serialize, Deserialize)]
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
    pub(crate) swarm: Option<SwarmId>,
    pub(crate) release: String,
    pub(crate) ready: bool,
    /// Why it is not ready.
    pub(crate) missing: Vec<String>,
    pub(crate) brokers: Vec<BrokerShown>,
    pub(crate) alarms: u64,
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
