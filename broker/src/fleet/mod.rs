//! The nodes after the join: which are explained, which are not, which are missing, how a node is adopted, and what is done
//! about the brokers of those that are gone.
//!
//! Keeps promise 10 (every node is explained, or `broker nodes` and the audit log say which is not).
//! Must not remove a node: that is `departure`'s, for those that leave or were ephemeral.

mod adopt;
mod compare;
mod enforce;
mod expected;
mod gone;
mod quorum;
mod recent;
mod report;
mod roles;
mod seen;
mod watch;

pub(crate) use adopt::{adopt, adopt_first, call_ephemeral};
pub(crate) use compare::{
    Absent, Compared, Comparison, GONE, Missing, NEVER_SEEN, NO_APPROVAL, NO_CONFIRM, NO_TOKEN, OnTheWay, WINDOW_ENDED,
    compare,
};
pub(crate) use enforce::{DRAINED_LABEL, Enforce, in_the_way};
pub(crate) use expected::{Expected, read as read_expected};
pub(crate) use gone::{gone, remove_gone};
pub(crate) use quorum::Quorum;
pub(crate) use recent::{Recent, recent};
pub(crate) use report::{Booting, Look, NodeLine, NodeState, Report, explain, look, report};
pub(crate) use roles::{RoleChanged, change_role};
pub(crate) use seen::Seen;
pub(crate) use watch::watch;
