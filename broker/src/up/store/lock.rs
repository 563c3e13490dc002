//! The formation lock: an object that is created only if absent, names its holder, and moves on while the holder lives.
//! When the swarm is made, it says so for good.
//!
//! Keeps DESIGN §3b: a holder that died is replaced after its lease, by a conditional update. No machine's clock is asked:
//! the lease is over when nobody who looks has seen the lock move for so long.
//! Must not be what decides which swarm it is: that is the record, created only if absent.

use std::time::{Duration, Instant};

use protocol::{ClusterId, SwarmId};
use serde::{Deserialize, Serialize};

use super::{Put, Store, StoreError, Version};

const NAME: &str = "formation-lock";
/// A lock that did not move for so long has lost its holder.
const LEASE: Duration = Duration::from_secs(20);
/// How often the holder moves it.
const BEAT: Duration = Duration::from_secs(4);

/// What the object says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Words {
    cluster: ClusterId,
    /// Random, of one run on one machine.
    holder: String,
    /// When it took the lock, by its own clock: for people.
    since: u64,
    beat: u64,
    /// The swarm, once it is made and published: then nobody makes another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    formed: Option<SwarmId>,
}

/// What came of asking for the lock.
pub(crate) enum Taken<'s> {
    /// It is ours.
    Ours(Lock<'s>),
    /// A run elsewhere has it, since this time.
    Held(u64),
    /// There is nothing to lock any more: the swarm was made.
    Formed,
}

/// Watches a lock that another one has.
pub(crate) struct Watch {
    holder: String,
    seen: Option<(Version, Instant)>,
}

impl Watch {
    pub(crate) fn new() -> Self {
        Self { holder: protocol::GrantId::random().to_string(), seen: None }
    }

    /// Takes the lock, if nobody has it or its holder is gone.
    pub(crate) async fn take<'s>(
        &mut self,
        store: &'s Store,
        cluster: &ClusterId,
        now: u64,
    ) -> Result<Taken<'s>, StoreError> {
        let holder = self.holder.clone();
        let ours = Words { cluster: cluster.clone(), holder, since: now, beat: 0, formed: None };
        let Some((words, version)) = read(store, cluster).await? else {
            return Ok(match store.create(NAME, bytes(store, &ours)?).await? {
                Put::Done(version) => Taken::Ours(Lock { store, words: ours, version }),
                // Whoever was first is seen at the next look.
                Put::Conflict => Taken::Held(now),
            });
        };
        if words.formed.is_some() {
            return Ok(Taken::Formed);
        }
        if words.holder == self.holder {
            // Our own, whose answer was lost.
            return Ok(Taken::Ours(Lock { store, words, version }));
        }
        let lasts = |seen: &Instant| seen.elapsed() < LEASE;
        match &self.seen {
            Some((known, seen)) if *known == version => {
                if lasts(seen) {
                    return Ok(Taken::Held(words.since));
                }
            }
            _ => {
                self.seen = Some((version, Instant::now()));
                return Ok(Taken::Held(words.since));
            }
        }
        tracing::info!("whoever held the formation lock is gone: this machine takes it over");
        Ok(match store.update(NAME, bytes(store, &ours)?, &version).await? {
            Put::Done(version) => Taken::Ours(Lock { store, words: ours, version }),
            Put::Conflict => Taken::Held(now),
        })
    }
}

/// The lock, ours until another one took it over.
pub(crate) struct Lock<'s> {
    store: &'s Store,
    words: Words,
    version: Version,
}

impl Lock<'_> {
    /// The swarm that the lock says was made.
    pub(crate) async fn formed(store: &Store, cluster: &ClusterId) -> Result<Option<SwarmId>, StoreError> {
        Ok(read(store, cluster).await?.and_then(|(words, _)| words.formed))
    }

    /// Does the work while the lock is kept. None if the lock was lost over it.
    pub(crate) async fn during<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.beats() => None,
        }
    }

    /// Moves the lock on, until it is lost.
    async fn beats(&mut self) {
        let mut sure = Instant::now();
        loop {
            tokio::time::sleep(BEAT).await;
            match self.still_ours().await {
                Ok(true) => sure = Instant::now(),
                Ok(false) => return,
                Err(error) => {
                    tracing::warn!(%error, "the formation lock cannot be renewed");
                    // Before others may take it for lost.
                    if sure.elapsed() + BEAT >= LEASE {
                        return;
                    }
                }
            }
        }
    }

    /// Whether it is ours at this moment: moves it on.
    pub(crate) async fn still_ours(&mut self) -> Result<bool, StoreError> {
        let words = Words { beat: self.words.beat + 1, ..self.words.clone() };
        self.write(words).await
    }

    /// Says for good that the swarm is made.
    pub(crate) async fn set_formed(&mut self, swarm: &SwarmId) -> Result<bool, StoreError> {
        let words = Words { beat: self.words.beat + 1, formed: Some(swarm.clone()), ..self.words.clone() };
        self.write(words).await
    }

    async fn write(&mut self, words: Words) -> Result<bool, StoreError> {
        match self.store.update(NAME, bytes(self.store, &words)?, &self.version).await? {
            Put::Done(version) => (self.words, self.version) = (words, version),
            Put::Conflict => match read(self.store, &self.words.cluster).await? {
                // Our own, whose answer was lost.
                Some((found, version)) if found == words => (self.words, self.version) = (words, version),
                _ => return Ok(false),
            },
        }
        Ok(true)
    }

    /// Says so from outside: a broker that serves in that swarm.
    pub(crate) async fn ensure_formed(store: &Store, cluster: &ClusterId, swarm: &SwarmId) -> Result<(), StoreError> {
        let formed = Some(swarm.clone());
        match read(store, cluster).await? {
            Some((words, _)) if words.formed.is_some() => {}
            Some((words, version)) => {
                store.update(NAME, bytes(store, &Words { formed, ..words })?, &version).await?;
            }
            None => {
                let words = Words {
                    cluster: cluster.clone(),
                    holder: String::new(),
                    since: crate::clock::now(),
                    beat: 0,
                    formed,
                };
                store.create(NAME, bytes(store, &words)?).await?;
            }
        }
        Ok(())
    }
}

async fn read(store: &Store, cluster: &ClusterId) -> Result<Option<(Words, Version)>, StoreError> {
    let Some(found) = store.get(NAME).await? else { return Ok(None) };
    let words: Words = serde_json::from_slice(&found.bytes).map_err(|error| store.bad(NAME, error.to_string()))?;
    if words.cluster != *cluster {
        let what = format!("it is of another cluster ({}): give each cluster a place of its own", words.cluster);
        return Err(store.bad(NAME, what));
    }
    Ok(Some((words, found.version)))
}

fn bytes(store: &Store, words: &Words) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(words).map_err(|error| store.bad(NAME, error.to_string()))
}
