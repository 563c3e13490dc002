//! Who comes in: an invite becomes an identity, and a joined node is confirmed.
//!
//! Keeps promises 1, 3 and 9. Data flows one way: checks, then the ledger, then the audit log, then the answer.
//! Must not read a swarm token.

mod approval;
mod confirm;
mod identities;
mod invites;
mod order;

pub(crate) use approval::{Answered, PendingMachine, answer, pending};
pub(crate) use confirm::{confirm, membership};
pub(crate) use identities::{SKEW, identity};
pub(crate) use invites::{Revocation, admits_from, make_invite, revoke_invite, sign};
pub(crate) use order::{InviteOrder, Maker, gone_after, made};

/// The label that ties a node to its grant (its value is the grant's hash).
pub(crate) const GRANT_LABEL: &str = "swarm-broker.grant";
/// The label of an adopted node (its value is when and why).
pub(crate) const ADOPTED_LABEL: &str = "swarm-broker.adopted";
/// No invite may set labels of ours.
pub(crate) const RESERVED: &str = "swarm-broker.";
