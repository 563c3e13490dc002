//! The keys that this broker signs with, and how each is replaced while it serves.
//!
//! Keeps promise 6 for our own keys: what the one before signed stays good for as long as it must, or, after a leak, is
//! refused from that moment on. Must not hand out a private key: what leaves here is a signature.

mod behind;
mod ca;
mod cut_off;
mod ends;
mod followed;
mod invite_key;
mod order;
mod records;
mod request;
mod server_cert;
mod signing_key;
mod unlock_key;

pub(crate) use behind::{Behind, behind};
pub(crate) use ca::{Failed, Plan, enlist, follow, is_believed, is_newest, plan, put_back as put_back_cas, request};
pub(crate) use cut_off::tell as tell_cut_off;
pub(crate) use ends::{ending, warn};
pub(crate) use followed::take_up;
pub(crate) use invite_key::{assert_not_void, refuse_void};
pub(crate) use order::{Asked, Made, Rotated, What, install, preview, rotate};
pub(crate) use records::AFTER_A_LEAK;
pub(crate) use request::CaRequest;

pub(crate) use unlock_key::{rotate_unlock_key, unlock_key};

pub(crate) use server_cert::{Server, rotate as renew_server_certificate};

use std::sync::{Arc, PoisonError, RwLock};

use certs::{Issuing, IssuingCertificate, SigningKey};

use crate::denial::Denial;
use crate::jwt::Signer;
use crate::ledger::Generations;
use crate::state::{Folder, OwnKey, StateError, replace_key};

/// The keys in use.
pub(crate) struct Keys {
    /// Signs this broker's grants.
    pub(crate) grant: Current<Signer>,
    /// Signs invites.
    pub(crate) invite: Current<Signer>,
    /// Signs identities and server certificates.
    pub(crate) issuing: Current<Issuing>,
    /// Which issuing CAs are trusted, as the ledger said last.
    pub(crate) generations: Current<Generations>,
    /// Those that are, with the root's signature.
    pub(crate) trusted: Current<Vec<IssuingCertificate>>,
    /// The certificate that this broker serves with.
    pub(crate) server: Server,
    folder: Folder,
    /// Why this broker has not got a key yet that was replaced elsewhere.
    pub(crate) not_followed: Current<Option<String>>,
    /// How often the end of the issuing CA and of the root was told.
    told: std::sync::Mutex<[usize; 2]>,
    /// Held by whoever replaces a key, and while this broker's entry is written: one at a time.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Keys {
    pub(crate) fn new(folder: Folder, grant: Signer, invite: Signer, issuing: Issuing, server: Server) -> Self {
        Self {
            grant: Current::new(grant),
            invite: Current::new(invite),
            trusted: Current::new(vec![issuing.public().clone()]),
            issuing: Current::new(issuing),
            generations: Current::new(Generations::default()),
            server,
            folder,
            not_followed: Current::new(None),
            told: std::sync::Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }
    }

    /// The audit log beside the keys.
    pub(crate) fn log(&self) -> std::path::PathBuf {
        self.folder.path(crate::audit::FILE)
    }

    /// Writes a key to disk, in place of the one before. Not on the runtime's threads: a disk may take its time.
    async fn keep(&self, which: OwnKey, key: SigningKey) -> Result<(), Denial> {
        let folder = self.folder.clone();
        let written = tokio::task::spawn_blocking(move || replace_key(&folder, which, &key)).await;
        let written = written.map_err(|_| Denial::Unavailable("the broker is stopping".into()))?;
        written.map_err(|error| Denial::Unavailable(error.to_string()))
    }
}

/// What can be replaced while it is used: who has the one before keeps it for the moment of its use.
pub(crate) struct Current<T>(RwLock<Arc<T>>);

impl<T> Current<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(RwLock::new(Arc::new(value)))
    }

    /// The one in use.
    pub(crate) fn get(&self) -> Arc<T> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Uses another one from now on.
    pub(crate) fn replace(&self, value: T) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(value);
    }
}

/// Work with files, which may take its time.
async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StateError> + Send + 'static,
) -> Result<T, StateError> {
    let stopped =
        || StateError::Io { path: std::path::PathBuf::new(), error: std::io::Error::other("the broker is stopping") };
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|_| Err(stopped()))
}
