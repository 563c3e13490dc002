//! The joiner programs that brokers hand to new machines, each known by its SHA-256.
//!
//! Keeps promise 13 (user-data made by an older release still boots): every broker holds each joiner that live user-data
//! may name. Must not give out bytes that have not the hash they were asked for by, and never runs one.

mod fetch;
mod keep;
mod package;
mod plan;
mod program;
mod shelf;
mod shown;
mod upload;

pub(crate) use keep::{keep, look};
pub(crate) use package::DEFAULT;
pub(crate) use program::{MOST_BYTES, Program};
pub(crate) use shown::JoinerShown;
pub(crate) use upload::upload;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};

use hyper::body::Bytes;
use protocol::JoinerHash;
use tokio::sync::Notify;

use self::package::{Found, Package};
use self::shelf::{Note, Origin, Shelf};
use crate::clock;
use crate::denial::Denial;
use crate::ledger::{Facts, Listing};
use crate::state::StateError;

/// The joiners of this broker.
pub(crate) struct Joiners {
    shelf: Arc<Shelf>,
    package: Arc<Mutex<Package>>,
    /// What the folder held when it was looked at last: the package itself is locked while a disk is slow.
    found: RwLock<Found>,
    /// The longest that an invite may live.
    longest: Duration,
    /// What the ledger listed when it was read last.
    listed: RwLock<Vec<Listing>>,
    /// What is listed and could not be fetched.
    missing: Mutex<BTreeMap<JoinerHash, Missing>>,
    /// Why the ledger could not be kept in the last round.
    trouble: Mutex<Option<String>>,
    /// Held by who changes what is kept for a reason that it has just read.
    deciding: tokio::sync::Mutex<()>,
    wake: Notify,
}

/// A joiner that no other broker gave.
struct Missing {
    why: String,
    tries: u32,
    again: Instant,
}

impl Joiners {
    /// Reads back what is kept in the state directory, and takes in what the folder has.
    pub(crate) fn open(state: &Path, folder: PathBuf, longest: Duration) -> Result<Self, StateError> {
        let mut package = Package::at(folder);
        let note = new_note(Origin::Package, longest);
        let shelf = Shelf::open(state, &Note { from: Origin::Peer, ..note.clone() })?;
        package.read(|program| put(&shelf, program, note.clone()));
        Ok(Self {
            shelf: Arc::new(shelf),
            found: RwLock::new(package.found().clone()),
            package: Arc::new(Mutex::new(package)),
            longest,
            listed: RwLock::default(),
            missing: Mutex::default(),
            trouble: Mutex::default(),
            deciding: tokio::sync::Mutex::default(),
            wake: Notify::new(),
        })
    }

    /// The bytes of a joiner; None if there is none of that hash. One that should be here and is not is unavailable.
    pub(crate) async fn load(&self, hash: &JoinerHash) -> Result<Option<Bytes>, Denial> {
        let had = self.shelf.has(hash);
        match self.shelf.load(hash).await {
            Ok(Some(bytes)) => Ok(Some(bytes)),
            Ok(None) if had => {
                // It turned out to be damaged: another one is got at once.
                self.wake.notify_one();
                Err(Denial::Unavailable(format!("joiner {hash} is damaged here")))
            }
            Ok(None) if self.is_listed(hash) => Err(Denial::Unavailable(format!("joiner {hash} is not here yet"))),
            Ok(None) => Ok(None),
            Err(error) => Err(Denial::Unavailable(error.to_string())),
        }
    }

    fn is_listed(&self, hash: &JoinerHash) -> bool {
        let now = clock::now();
        self.listed().iter().any(|listing| listing.facts.sha256 == *hash && now < listing.until)
    }

    fn listed(&self) -> Vec<Listing> {
        self.listed.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn found(&self) -> Found {
        self.found.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// A note on a joiner that comes here now.
    fn new_note(&self, from: Origin) -> Note {
        new_note(from, self.longest)
    }
}

fn new_note(from: Origin, longest: Duration) -> Note {
    Note { until: plan::until(clock::now(), longest), from, release: env!("CARGO_PKG_VERSION").into() }
}

fn put(shelf: &Shelf, program: &Program, note: Note) -> Result<(), String> {
    shelf.put(program, note).map_err(|error| error.to_string())
}

/// What the ledger lists of a joiner.
fn facts(hash: &JoinerHash, kept: &shelf::Kept) -> Facts {
    let release = kept.note().release;
    Facts { sha256: hash.clone(), architecture: kept.architecture, size: kept.size, release }
}
