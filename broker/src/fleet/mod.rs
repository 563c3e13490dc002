//! The nodes after the join: which are explained, which are not, and how a node is adopted.
//!
//! Keeps promise 10 (every node is explained, or `broker nodes` and the audit log say which is not).
//! Must not remove a node.

mod adopt;
mod recent;
mod report;
mod watch;

pub(crate) use adopt::{adopt, adopt_first};
pub(crate) use recent::{Recent, recent};
pub(crate) use report::{Booting, Look, NodeLine, NodeState, Report, look, report};
pub(crate) use watch::watch;
