//! Replacing the join tokens: when somebody asks, by a policy, and what becomes of it when somebody else does.
//!
//! Keeps promise 6 (rotation strands nobody): a machine that was handed a token has a moment to use it, and one that
//! asks during a rotation gets the next token. Must not read a token: what is replaced is known by its mark.

mod courtesy;
mod look;
mod order;
mod perform;
mod plan;
mod policy;
mod records;
#[cfg(test)]
mod simulation;

pub(crate) use courtesy::{settled, stands};
pub(crate) use look::{look, notice, start};
pub(crate) use order::{preview, rotate};
pub(crate) use policy::{Policies, Policy};

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use protocol::Role;

use crate::audit::KnownToken;
use crate::ledger::{ReadState, TokenState};

/// What a broker keeps in mind about rotations.
pub(crate) struct Rotation {
    pub(crate) policies: Policies,
    /// Held by whoever carries a rotation out: one at a time.
    turn: tokio::sync::Mutex<()>,
    /// The version of the rotation under way, and when it was seen first.
    seen: Mutex<Option<(u64, Instant)>>,
    /// What the audit log says of each role's token.
    known: Mutex<BTreeMap<Role, KnownToken>>,
    /// The state as it was read last by somebody who waits for the end of a rotation.
    glimpse: tokio::sync::Mutex<Option<(Instant, TokenState)>>,
}

impl Rotation {
    pub(crate) fn new(policies: Policies, known: BTreeMap<Role, KnownToken>) -> Self {
        Self {
            policies,
            turn: tokio::sync::Mutex::default(),
            seen: Mutex::default(),
            known: Mutex::new(known),
            glimpse: tokio::sync::Mutex::default(),
        }
    }

    /// For how long the rotation under way has been seen as it is.
    fn seen_for(&self, read: &ReadState) -> Duration {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if read.state.rotating.is_none() {
            *seen = None;
            return Duration::ZERO;
        }
        match *seen {
            Some((version, first)) if version == read.version() => first.elapsed(),
            _ => {
                *seen = Some((read.version(), Instant::now()));
                Duration::ZERO
            }
        }
    }

    /// What the audit log says of a role's token.
    fn known(&self, role: Role) -> KnownToken {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(&role).copied().unwrap_or_default()
    }

    /// Keeps in mind what was written into the audit log.
    fn wrote(&self, role: Role, known: impl FnOnce(&mut KnownToken)) {
        known(self.known.lock().unwrap_or_else(PoisonError::into_inner).entry(role).or_default());
    }
}
