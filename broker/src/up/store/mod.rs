//! A shared place in which managers that come up at the same time find each other: a folder, or an object store.
//!
//! Keeps DESIGN §3b: what elects is that an object is created only if absent, and updated only as it was read. A store is
//! believed to do so after it was tried. Must not hold a secret, and an answer that is not understood is never "none".

mod folder;
mod keep;
mod lock;
#[cfg(feature = "store")]
mod options;
mod probe;
mod record;
#[cfg(feature = "store")]
mod remote;

use std::path::PathBuf;
use std::time::Duration;

use crate::exit::{Code, Failure};
use folder::Folder;

pub(super) use keep::{WATCHFUL, keep};
pub(super) use lock::{Lock, Taken, Watch};
pub(super) use probe::probe;
pub(super) use record::{Listed, Read, Record, Trust};

/// No object of ours is larger, in bytes.
const MOST: usize = 64 * 1024;
/// For one call, with what the store's own client tries again by itself.
const CALL: Duration = Duration::from_secs(6);

/// Looks whether this can be the URL of a store, with options that may be arguments. Gives the folder, if it is one. Nothing is
/// asked: it may be another machine's.
pub(crate) fn checked<'u>(url: &'u str, options: &[(String, String)]) -> Result<Option<&'u str>, Failure> {
    let wrong = |what: &str| Failure::new(Code::Usage, format!("--store {url}: {what}"));
    let Some((scheme, folder)) = url.split_once("://") else {
        return Err(wrong(
            "write a folder that all managers share as file:///FOLDER, or s3://BUCKET/PREFIX and the like",
        ));
    };
    if scheme != "file" {
        return check_remote(url, options).map(|()| None).map_err(|what| wrong(&what));
    }
    if !folder.starts_with('/') || !options.is_empty() {
        return Err(wrong("a folder is named by its whole path, file:///FOLDER, and has no --store-option"));
    }
    Ok(Some(folder))
}

/// Where the cluster's record and the formation lock are.
#[derive(Clone, Debug)]
pub(super) struct Store {
    shown: String,
    place: Place,
}

#[derive(Clone, Debug)]
enum Place {
    Folder(Folder),
    #[cfg(feature = "store")]
    Remote(remote::Remote),
}

/// Which state of an object was read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    tag: Option<String>,
    /// Some stores go by a number instead.
    number: Option<String>,
}

/// An object as it was read.
#[derive(Debug)]
struct Found {
    bytes: Vec<u8>,
    version: Version,
}

/// What came of a conditional write.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Put {
    /// It is written.
    Done(Version),
    /// The condition did not hold: nothing was written.
    Conflict,
}

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub(super) enum StoreError {
    /// It may pass, and the outcome of a write is not known.
    #[error("the store {0} does not answer as it should: {1}")]
    Unavailable(String, String),
    /// What is there is not what was put there. It is never taken for nothing.
    #[error(
        "{name} in the store {store} is not good: {what}. Nothing was made or joined by it. Where a broker of the cluster serves, remove that object: the broker puts the right one back"
    )]
    Bad { store: String, name: &'static str, what: String },
    /// The record is nobody's word, until a broker that serves has signed it anew.
    #[error(
        "cluster-record in the store {0} is signed by an issuing CA that is void, or older than this machine's. Nothing was made or joined by it. A broker of the cluster that serves puts the right one there within a minute"
    )]
    Void(String),
    /// It does not keep conditions.
    #[error(
        "the store {0} cannot be used to form a swarm: {1}. Use one that honours conditional writes (If-None-Match and If-Match), or name the founder with --form"
    )]
    Unfit(String, &'static str),
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let code = match error {
            StoreError::Unavailable(..) | StoreError::Void(_) => Code::Unavailable,
            StoreError::Bad { .. } => Code::Data,
            StoreError::Unfit(..) => Code::Config,
        };
        Failure::new(code, error.to_string())
    }
}

impl Store {
    /// The store with this URL, and options of its kind.
    pub(super) async fn open(url: &str, options: &[(String, String)]) -> Result<Self, Failure> {
        let Some(rest) = checked(url, options)? else {
            return remote(url, options).map_err(|what| Failure::new(Code::Usage, format!("--store {url}: {what}")));
        };
        let folder = Folder::at(PathBuf::from(rest));
        // It may be mounted later: the unit starts the broker again.
        let checked = in_time(folder.run(Folder::check)).await;
        checked.map_err(|what| Failure::new(Code::TryAgain, format!("--store {url}: {what}")))?;
        Ok(Self { shown: url.to_owned(), place: Place::Folder(folder) })
    }

    /// The object of this name, if it is there.
    async fn get(&self, name: &str) -> Result<Option<Found>, StoreError> {
        let own = name.to_owned();
        let got = async {
            match &self.place {
                Place::Folder(folder) => folder.run(move |folder| folder.get(&own)).await,
                #[cfg(feature = "store")]
                Place::Remote(remote) => remote.get(name).await,
            }
        };
        self.in_time(got).await
    }

    /// Writes an object that must not be there.
    async fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Put, StoreError> {
        let own = name.to_owned();
        let created = async {
            match &self.place {
                Place::Folder(folder) => folder.run(move |folder| folder.create(&own, &bytes)).await,
                #[cfg(feature = "store")]
                Place::Remote(remote) => remote.create(name, bytes).await,
            }
        };
        self.in_time(created).await
    }

    /// Writes an object that must be as it was.
    async fn update(&self, name: &str, bytes: Vec<u8>, version: &Version) -> Result<Put, StoreError> {
        let (own, version) = (name.to_owned(), version.clone());
        let updated = async {
            match &self.place {
                Place::Folder(folder) => folder.run(move |folder| folder.update(&own, &bytes, &version)).await,
                #[cfg(feature = "store")]
                Place::Remote(remote) => remote.update(name, bytes, &version).await,
            }
        };
        self.in_time(updated).await
    }

    /// Removes an object, if it is there.
    async fn remove(&self, name: &str) -> Result<(), StoreError> {
        let own = name.to_owned();
        let removed = async {
            match &self.place {
                Place::Folder(folder) => folder.run(move |folder| folder.remove(&own)).await,
                #[cfg(feature = "store")]
                Place::Remote(remote) => remote.remove(name).await,
            }
        };
        self.in_time(removed).await
    }

    async fn in_time<T>(&self, call: impl Future<Output = Result<T, String>>) -> Result<T, StoreError> {
        in_time(call).await.map_err(|what| self.unavailable(&what))
    }

    fn unavailable(&self, error: &dyn std::fmt::Display) -> StoreError {
        StoreError::Unavailable(self.shown.clone(), error.to_string())
    }

    pub(super) fn void(&self) -> StoreError {
        StoreError::Void(self.shown.clone())
    }

    pub(super) fn bad(&self, name: &'static str, what: impl Into<String>) -> StoreError {
        StoreError::Bad { store: self.shown.clone(), name, what: what.into() }
    }
}

/// Does not wait for longer than the lease of a lock allows. Of a write that was given up, the outcome is not known.
async fn in_time<T>(call: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = |_| Err(format!("no answer within {} s", CALL.as_secs()));
    tokio::time::timeout(CALL, call).await.unwrap_or_else(late)
}

#[cfg(feature = "store")]
fn remote(url: &str, options: &[(String, String)]) -> Result<Store, String> {
    let remote = remote::Remote::open(url, options)?;
    Ok(Store { shown: url.to_owned(), place: Place::Remote(remote) })
}

#[cfg(feature = "store")]
fn check_remote(url: &str, options: &[(String, String)]) -> Result<(), String> {
    remote::check(url, options).map(drop)
}

#[cfg(not(feature = "store"))]
fn remote(_url: &str, _options: &[(String, String)]) -> Result<Store, String> {
    Err(FOLDERS_ONLY.into())
}

#[cfg(not(feature = "store"))]
fn check_remote(_url: &str, _options: &[(String, String)]) -> Result<(), String> {
    Err(FOLDERS_ONLY.into())
}

#[cfg(not(feature = "store"))]
const FOLDERS_ONLY: &str = "this broker knows folders only, file:///FOLDER: it was built without object stores. Build one that knows them with: cargo build --locked --release --package broker --features store";

impl std::fmt::Display for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

#[cfg(test)]
mod tests;
