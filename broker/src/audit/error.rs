//! Why a log cannot be read, gone on with or written.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::exit::{Code, Failure};

/// What is wrong with a log.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AuditError {
    /// The record could not be made durable.
    #[error("the audit log cannot be written: {0}")]
    Write(Arc<str>),
    /// The writer has ended.
    #[error("the audit log is closed")]
    Closed,
    /// It is not what was written: nobody goes on with it.
    #[error("{0}")]
    Damaged(String),
    /// A file of it cannot be read or written now.
    #[error("{}: {what}", .path.display())]
    Io { path: PathBuf, what: String },
}

impl AuditError {
    /// A file that cannot be read or written.
    pub(super) fn io(path: &Path, error: &dyn fmt::Display) -> Self {
        Self::Io { path: path.to_owned(), what: error.to_string() }
    }
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        let code = match error {
            AuditError::Damaged(_) => Code::Data,
            AuditError::Write(_) | AuditError::Closed | AuditError::Io { .. } => Code::Io,
        };
        Self::new(code, error.to_string())
    }
}
