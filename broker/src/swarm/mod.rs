//! The swarm through the local engine: tokens, nodes, configs, membership.
//!
//! Keeps promise 7: a token read here leaves as a `SwarmToken` or not at all.
//! Must not decide anything: who is admitted is known elsewhere.

mod configs;
mod engine;
mod formation;
mod membership;
mod nodes;
mod tasks;
mod together;
mod tokens;
mod unlock_key;

pub(crate) use configs::{Object, Stored};
pub(crate) use engine::{Engine, EngineError, TRIED_WITH};
pub(crate) use formation::Formation;
pub(crate) use membership::Membership;
pub(crate) use nodes::{Availability, Node, NodeChange};
pub(crate) use tasks::Tasks;
pub(crate) use tokens::{Live, Mark};
