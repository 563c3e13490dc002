//! The nodes after the join: which are explained, which are not, how a node is adopted, and what is done about the brokers
//! of those that are gone.
//!
//! Keeps promise 10 (every node is explained, or `broker nodes` and the audit log say which is not).
//! Must not remove a node.

mod adopt;
mod gone;
mod recent;
mod report;
mod watch;

pub(crate) use adopt::{adopt, adopt_first};
pub(crate) use gone::{gone, remove_gone};
pub(crate) use recent::{Recent, recent};
pub(crate) use report::{Booting, Look, NodeLine, NodeState, Report, look, report};
pub(crate) use watch::watch;
