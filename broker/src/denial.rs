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
    /// Come back, by the terms of the caller's own invite: it may know these words.
    Later(String),
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
            Self::Unavailable(_) | Self::Later(_) => ProblemKind::Unavailable,
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
            LedgerError::Later(why) => Self::Later(why.to_owned()),
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
