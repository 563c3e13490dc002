//! What a request is told when it does not get what it asked for.
//!
//! Keeps promise 5: what is not known is unavailable. Must not carry the reason of a refusal.

use protocol::ProblemKind;

use crate::audit::{AuditError, Reason};
use crate::ledger::LedgerError;
use crate::swarm::EngineError;

/// Why a request failed, before it is a reply.
#[derive(Debug)]
pub(crate) enum Denial {
    /// Final; the reason is for the audit log.
    Refused(Reason),
    /// Come back. The words are for our own log.
    Unavailable(String),
    /// Ask for a new grant.
    AskAgain,
    /// The request does not read.
    Malformed(&'static str),
}

impl Denial {
    /// The problem the caller is shown.
    pub(crate) fn kind(&self) -> ProblemKind {
        match self {
            Self::Refused(_) => ProblemKind::Refused,
            Self::Unavailable(_) => ProblemKind::Unavailable,
            Self::AskAgain => ProblemKind::AskAgain,
            Self::Malformed(_) => ProblemKind::Malformed,
        }
    }
}

impl From<Reason> for Denial {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

impl From<LedgerError> for Denial {
    fn from(error: LedgerError) -> Self {
        match error {
            LedgerError::Refused(reason) => Self::Refused(reason),
            LedgerError::AskAgain => Self::AskAgain,
            LedgerError::Unavailable(why) => Self::Unavailable(why),
        }
    }
}

impl From<EngineError> for Denial {
    fn from(error: EngineError) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<AuditError> for Denial {
    fn from(error: AuditError) -> Self {
        Self::Unavailable(error.to_string())
    }
}
