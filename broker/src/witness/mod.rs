//! Brokers watch each other's logs: each keeps a copy of every other one, cosigns its head, and raises an alarm if it was
//! put back or forked.
//!
//! Keeps promise 11: a lost manager loses no log, and nobody signs another one unseen. Data flows one way: what another
//! broker gives → held against the copy → the copy, or an alarm. Must not believe what is not signed by the log's key.

mod ask;
mod give;
mod own;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

pub(crate) use give::give;
pub(crate) use own::assert_continued;

use crate::audit::{self, COPIES, Event, LogCopy, PublicLogKey, Record, Untaken};
use crate::broker::Broker;
use crate::clock;
use crate::ledger::Peer;
use crate::peers::Peers;

/// The admin socket's path for a look now.
pub(crate) const LOOK: &str = "/v1/logs/look";
/// How often the others' logs are looked at.
const EVERY: Duration = Duration::from_secs(10);

/// The copies of the others' logs.
#[derive(Default)]
pub(crate) struct Witness {
    /// Those that are open, by broker. One look at a time.
    open: Mutex<BTreeMap<String, LogCopy>>,
    seen: RwLock<BTreeMap<String, Watched>>,
}

/// What is known of another broker's log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Watched {
    /// The broker's id.
    pub(crate) broker: String,
    /// How many records are here.
    pub(crate) records: u64,
    /// When all that it had was here, in RFC 3339.
    pub(crate) copied: Option<String>,
    /// Why it is not now.
    pub(crate) problem: Option<String>,
}

/// Looks after them for as long as the broker serves.
pub(crate) async fn keep(broker: Arc<Broker>) {
    loop {
        tokio::time::sleep(EVERY).await;
        look(&broker).await;
    }
}

/// Brings every copy up to what its broker has now. Gives what came of it.
pub(crate) async fn look(broker: &Arc<Broker>) -> Vec<Watched> {
    let mut open = broker.witness.open.lock().await;
    let peers = Arc::new(Peers::beside(broker));
    let mut asked = JoinSet::new();
    for peer in broker.directory.all().into_iter().filter(|peer| peer.id != broker.id) {
        let (broker, peers, copy) = (broker.clone(), peers.clone(), open.remove(&peer.id));
        asked.spawn(async move {
            let (copy, ended) = one(&broker, &peers, &peer, copy).await;
            (peer.id, copy, ended)
        });
    }
    let asked = asked.join_all().await;
    broker.witness.forget_all_but(&asked.iter().map(|(id, ..)| id.as_str()).collect());
    for (id, copy, ended) in asked {
        broker.witness.told(&id, copy.as_ref(), ended);
        open.extend(copy.map(|copy| (id, copy)));
    }
    broker.witness.watched()
}

/// One broker's log.
async fn one(
    broker: &Broker,
    peers: &Peers,
    peer: &Peer,
    copy: Option<LogCopy>,
) -> (Option<LogCopy>, Result<(), String>) {
    let Some(listed) = &peer.log else {
        return (
            copy,
            Err("the ledger does not list its log: it is of an older release, or has not served yet".into()),
        );
    };
    let opened = match copy {
        Some(copy) if copy.is_of(&listed.key) => Ok(copy),
        _ => open(broker, peer, &listed.key).await,
    };
    let ended = match opened {
        Ok(copy) => ask::bring_up(broker, peers, peer, copy).await,
        Err(untaken) => (None, Err(untaken)),
    };
    match ended {
        (copy, Ok(())) => (copy, Ok(())),
        (copy, Err(untaken)) => (copy, Err(told(broker, peer, untaken).await)),
    }
}

async fn open(broker: &Broker, peer: &Peer, key: &str) -> Result<LogCopy, Untaken> {
    let key = PublicLogKey::read(key).filter(|key| is_plain(&peer.id) && key.broker() == peer.id);
    let key = key.ok_or_else(|| Untaken::Unfit("the ledger lists no key of its log that reads".into()))?;
    let folder = folder(broker, peer);
    let opened = tokio::task::spawn_blocking(move || LogCopy::open(&folder, &key))
        .await
        .unwrap_or_else(|error| Err(Untaken::Unfit(error.to_string())))?;
    if let Some(what) = opened.damage() {
        // Before anything else becomes of it.
        let alarm = alarm(peer, Event::LogDamaged, &what);
        broker.alarmed.once(&broker.audit, format!("log.damaged {}", peer.id), alarm).await?;
    }
    Ok(opened)
}

/// An alarm about another broker's log.
fn alarm(peer: &Peer, event: Event, what: &str) -> Record {
    Record { peer: Some(peer.id.clone()), node: Some(peer.node.clone()), ..Record::alarm(event, what) }
}

/// An id names a folder, and comes from the ledger: it follows from a key, and is hexadecimal.
fn is_plain(id: &str) -> bool {
    !id.is_empty() && id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn folder(broker: &Broker, peer: &Peer) -> PathBuf {
    broker.state.join(COPIES).join(&peer.id)
}

/// What is said of a log that was not taken; once in the audit log, if its broker has shown another one.
async fn told(broker: &Broker, peer: &Peer, untaken: Untaken) -> String {
    let words = untaken.to_string();
    let alarm = |what: &str| alarm(peer, Event::LogForked, what);
    let raised = match untaken {
        Untaken::Forked { what, proof } => {
            let folder = folder(broker, peer);
            if audit::proof_of_fork(&folder).is_some() {
                return words;
            }
            // The proof last: where it is, the alarm was written down.
            let written = broker.audit.record(alarm(&what)).await;
            written.and_then(|_| audit::keep_proof(&folder, &proof))
        }
        Untaken::OtherKey => broker.alarmed.once(&broker.audit, format!("log.forked {}", peer.id), alarm(&words)).await,
        Untaken::Unfit(_) | Untaken::Here(_) => Ok(()),
    };
    if let Err(error) = raised {
        tracing::error!(%error, broker = peer.id, "a log that was forked cannot be written down");
    }
    words
}

impl Witness {
    /// What is known of each other broker's log.
    pub(crate) fn watched(&self) -> Vec<Watched> {
        self.seen.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Brokers that left the ledger are watched no more.
    fn forget_all_but(&self, listed: &BTreeSet<&str>) {
        self.seen.write().unwrap_or_else(PoisonError::into_inner).retain(|id, _| listed.contains(id.as_str()));
    }

    fn told(&self, id: &str, copy: Option<&LogCopy>, ended: Result<(), String>) {
        let mut seen = self.seen.write().unwrap_or_else(PoisonError::into_inner);
        let former = seen.remove(id);
        let (records, copied) = former.map_or((0, None), |former| (former.records, former.copied));
        let watched = Watched {
            broker: id.to_owned(),
            records: copy.map_or(records, LogCopy::records),
            copied: if ended.is_ok() { Some(clock::shown(clock::now())) } else { copied },
            problem: ended.err(),
        };
        seen.insert(watched.broker.clone(), watched);
    }
}
