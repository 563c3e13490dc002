//! What the brokers agree on, kept in Swarm's own raft store.
//!
//! Keeps promise 1 (at most N) and promise 5 (fail closed): a claim is a compare-and-swap by version, an unknown
//! outcome is "unavailable", and a ledger that went back in time admits nobody.
//! Must not hold a secret, and never answers a refusal from a state that it could not commit to.

mod claims;
mod directory;
mod invites;
mod issuing;
mod joiners;
mod listed;
#[cfg(test)]
mod model;
mod names;
mod objects;
mod operators;
mod policy;
mod rotation;
mod sentinel;
mod uses;

pub(crate) use claims::{Claims, Operation, Outcome};
pub(crate) use directory::{Directory, addresses};
pub(crate) use invites::{InviteState, Invites, LONGEST, Signed};
pub(crate) use issuing::{Generations, IssuingCas, OVERLAP, generations};
pub(crate) use joiners::{Facts, Listing, Listings, MOST_JOINERS, is_room_for};
pub(crate) use listed::{InviteKey, ListedLog, POLICY, Peer, Retire, Standing};
pub(crate) use objects::{LedgerObject, entry_of, objects};
pub(crate) use operators::{Operator, Operators, Right};
pub(crate) use policy::Policy;
pub(crate) use rotation::{Generation, ReadState, Rotating, Rotations, TokenState};
pub(crate) use sentinel::{Health, Raised, Sentinel, WENT_BACK, cluster_of};
pub(crate) use uses::{Answer, Asker, Join, Redemption, Use};

#[cfg(test)]
pub(crate) use claims::tests;
#[cfg(test)]
pub(crate) use operators::tests::operator;
#[cfg(test)]
pub(crate) use rotation::tests::live;

use crate::audit::Reason;
use crate::swarm::EngineError;

/// How long a use may take from its claim to the end of its boot, in seconds (DESIGN §2).
pub(crate) const WINDOW: u64 = 60 * 60;

/// Invites stay listed for this long after their last use's window, in seconds.
pub(crate) const KEPT: u64 = 24 * 60 * 60;

/// Why the ledger gave no outcome.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum LedgerError {
    /// Final, and committed to.
    #[error("refused")]
    Refused(Reason),
    /// The grant is not the key's open one.
    #[error("another grant is the open one")]
    AskAgain,
    /// Not now, by the invite's own terms: the caller may know these words.
    #[error("{0}")]
    Later(&'static str),
    /// The outcome is not known, or the ledger cannot be trusted.
    #[error("{0}")]
    Unavailable(String),
}

impl From<EngineError> for LedgerError {
    fn from(error: EngineError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
