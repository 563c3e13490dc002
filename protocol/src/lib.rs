//! The words both sides speak: requests, replies, problems, ids and the invite line.
//!
//! Keeps promise 13 (versions mix): what stands here is the wire, and a change here is a change of it.
//! Must not do any I/O, look at a clock, or know about TLS, Docker or HTTP servers.

mod address;
mod conditions;
mod ids;
mod invite;
mod messages;
mod problem;
mod random;
mod secret;
mod statement;
mod token;

pub use address::{AddressError, BrokerAddress, DEFAULT_PORT};
pub use conditions::{Availability, Conditions, HostnamePattern, Rate};
pub use ids::{
    Architecture, ClusterId, GrantHash, GrantId, IdError, InviteId, JoinerHash, KeyHash, NodeId, Pin, Role, SwarmId,
};
pub use invite::{INVITE_AUDIENCE, INVITE_PREFIX, INVITE_TYP, Invite, InviteError, InviteLine, MAX_INVITE_LINE};
pub use messages::{
    GRANTS, GrantReply, HANDOVERS, HEALTHZ, HandoverReply, HandoverRequest, IDENTITIES, IdentityReply, IdentityRequest,
    JOINER, JOINS, JoinReply, JoinRequest, LEAVES, LOG, LeaveReply, LeaveRequest, LogPage, MAX_BODY, MAX_GRANT,
    MAX_HOSTNAME, MembershipReply, Proof, READYZ, REDEEM, RedeemReply, RedeemRequest, SharedKey,
};
pub use problem::{PROBLEM_JSON, Problem, ProblemKind};
pub use random::random;
pub use secret::KeyText;
pub use statement::{HandoverStatement, Signable, Statement};
pub use token::{SwarmToken, TokenError};

/// The one name in every broker's server certificate: the joiner checks it whatever address it dialled.
#[must_use]
pub fn server_name(cluster: &ClusterId) -> String {
    format!("{cluster}.swarm-broker.internal")
}
