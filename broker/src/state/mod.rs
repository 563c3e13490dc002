//! The state directory: keys, the cluster's identity and the audit log of this broker.
//!
//! Keeps promise 5 (corrupt state on disk: say so and stop, never start afresh in silence) and DESIGN §5.
//! Must not be read before its owner and modes were checked.

pub(crate) mod backup;
mod brought;
mod cluster;
mod cluster_file;
mod folder;
mod issuing_key;
mod logged;
pub(crate) mod next_issuing;
mod private;
mod restore;
mod waiting;

pub(crate) use brought::{Brought, FROM_KEYS_FILE, INTO_KEYS_FILE};
pub(crate) use cluster::{Cluster, OwnKey, init, open_root, replace_key};
pub(crate) use folder::{Folder, check_file, is_held, read_bounded};
pub(crate) use issuing_key::{KeySource, KeySourceError};
pub(crate) use private::PrivateFile;
pub(crate) use restore::restore;
pub(crate) use waiting::{Waiting, broker_id};

use std::path::{Path, PathBuf};

use crate::exit::{Code, Failure};

/// The state directory unless told otherwise.
pub(crate) const DEFAULT: &str = "/var/lib/broker";

/// Something is wrong with the state directory.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StateError {
    #[error("{0} is not there: run 'broker init --cluster NAME --state {1}' first")]
    NotInitialised(PathBuf, PathBuf),
    #[error(
        "{0} holds a cluster already ('{1}'). To make another, give another --state. To give this one up, with every node it explained, remove that folder"
    )]
    AlreadyInitialised(PathBuf, String),
    #[error("{path} can be read by others (mode {mode:o}): it must be private. Fix: chmod {fix} {path}")]
    Open { path: PathBuf, mode: u32, fix: &'static str },
    #[error("{path} belongs to user {owner}, but the broker runs as user {us}. Fix: chown -R {us} {path}")]
    Owner { path: PathBuf, owner: u32, us: u32 },
    #[error("{path} is damaged: {what}. The broker does not start with damaged state; restore it from a backup")]
    Corrupt { path: PathBuf, what: String },
    #[error("{path} is missing, though the cluster was initialised here. Restore it from a backup")]
    Missing { path: PathBuf },
    #[error(
        "{path} is missing, though the cluster was initialised here. Restore it from a backup, or say with --issuing-key where the key is kept"
    )]
    NoIssuingKey { path: PathBuf },
    #[error(
        "the issuing key from --issuing-key ({kind}) does not belong to {certificate}: {what}. Give the key that 'broker init' made with it"
    )]
    WrongIssuingKey { kind: &'static str, certificate: PathBuf, what: String },
    #[error(
        "the keys that another broker gave cannot be used: {what}. Nothing of them was kept; is it a broker of this cluster?"
    )]
    WrongKeys { what: String },
    #[error("{path} does not hold a cluster's keys ({what}): give the file that 'broker init --keys-file' wrote")]
    NoKeysFile { path: PathBuf, what: String },
    #[error(transparent)]
    KeySource(#[from] KeySourceError),
    #[error(
        "{path} was written by a newer broker (format {found}, this one knows up to {known}): install that release"
    )]
    Newer { path: PathBuf, found: u32, known: u32 },
    #[error("the backup cannot be made or used: {what}")]
    Backup { what: String },
    #[error(
        "{0} is not empty: a backup is restored into an empty folder only. Give another --state, or move what is there away"
    )]
    NotEmpty(PathBuf),
    #[error("a restore into {0} was cut off: run 'broker restore' again with the same backup")]
    Unfinished(PathBuf),
    #[error("another broker runs with the state in {0}. Stop it first, or give another --state")]
    Locked(PathBuf),
    #[error("{path}: {error}")]
    Io { path: PathBuf, error: std::io::Error },
    #[error("{0}")]
    Authority(#[from] certs::AuthorityError),
    #[error("{0}")]
    Key(#[from] certs::KeyError),
}

impl StateError {
    fn io(path: &Path, error: std::io::Error) -> Self {
        Self::Io { path: path.to_owned(), error }
    }
}

impl From<StateError> for Failure {
    fn from(error: StateError) -> Self {
        let code = match &error {
            StateError::NotInitialised(..) | StateError::Missing { .. } | StateError::NoIssuingKey { .. } => {
                Code::NoInput
            }
            StateError::AlreadyInitialised(..) | StateError::NotEmpty(_) => Code::CannotCreate,
            StateError::Open { .. } | StateError::Owner { .. } => Code::Config,
            StateError::Corrupt { .. }
            | StateError::Newer { .. }
            | StateError::WrongIssuingKey { .. }
            | StateError::WrongKeys { .. }
            | StateError::Backup { .. }
            | StateError::Unfinished(_)
            | StateError::NoKeysFile { .. } => Code::Data,
            StateError::KeySource(error) => error.code(),
            StateError::Locked(_) => Code::TryAgain,
            StateError::Io { .. } => Code::Io,
            StateError::Authority(_) | StateError::Key(_) => Code::Internal,
        };
        Failure::new(code, error.to_string())
    }
}
