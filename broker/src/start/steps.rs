//! The steps of a start that can fail for reasons an operator must know.

use std::time::Duration;

use protocol::{BrokerAddress, NodeId, SwarmId};

use crate::audit::{Audit, Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::config::Settings;
use crate::denial::Denial;
use crate::exit::{Code, Failure};
use crate::fleet::{self, Enforce};
use crate::ledger::{Health, LedgerError, Retire, Sentinel, WENT_BACK};
use crate::state::{Cluster, Folder};
use crate::swarm::{Engine, EngineError, Membership};

/// How long a start waits for quorum: managers that boot together find each other.
const QUORUM: Duration = Duration::from_secs(20);

/// A manager's engine says for a moment that it is a worker while it starts or joins. Only one that says so for this
/// long is one.
pub(crate) const WORKER_BELIEVED: Duration = Duration::from_secs(6);

/// So many looks in a row, so far apart, must find that the ledger is older than it was: an engine with a new leader shows
/// less for a moment.
const BELIEVED: u32 = 3;
const AGAIN: Duration = Duration::from_secs(2);

/// How long a stop may take to list the log's last head.
const LIST_LOG: Duration = Duration::from_secs(3);

/// The engine's membership, after waiting a bounded time for quorum.
pub(super) async fn membership(engine: &Engine) -> Result<Membership, Failure> {
    let begun = tokio::time::Instant::now();
    let deadline = begun + QUORUM;
    loop {
        match engine.membership().await {
            Ok(membership) => return Ok(membership),
            Err(EngineError::Worker) if begun.elapsed() < WORKER_BELIEVED => {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(EngineError::NoQuorum | EngineError::NotYet | EngineError::TimedOut)
                if tokio::time::Instant::now() < deadline =>
            {
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(engine_failure(&error)),
        }
    }
}

/// What to tell of an engine that does not do what is needed.
pub(crate) fn engine_failure(error: &EngineError) -> Failure {
    let code = match error {
        EngineError::NoSocket(_) => Code::OsFile,
        EngineError::SocketDenied(_) => Code::NotAllowed,
        EngineError::NotManager | EngineError::Worker | EngineError::InUse => Code::Config,
        EngineError::NoQuorum
        | EngineError::NotYet
        | EngineError::Locked
        | EngineError::TimedOut
        | EngineError::OutOfSequence => Code::TryAgain,
        EngineError::Unreachable(_)
        | EngineError::NotFound
        | EngineError::Exists
        | EngineError::Other { .. }
        | EngineError::Incomplete(_) => Code::Unavailable,
    };
    Failure::new(code, error.to_string())
}

/// Makes the ledger if it never was, and looks whether it is what it was. Gives whether this is the cluster's first
/// start: so does one that comes after a first start that was cut off before its end.
pub(super) async fn ledger(
    cluster: &Cluster,
    engine: &Engine,
    sentinel: &Sentinel,
    audit: &Audit,
    swarm: &SwarmId,
) -> Result<bool, Failure> {
    let first = cluster.begins_ledger_in(swarm);
    if first {
        let made =
            sentinel.make(engine, cluster.issuing.pin(), clock::now()).await.map_err(|error| ledger_failure(&error))?;
        let detail = (!made).then(|| "by a first start that was cut off".to_owned());
        audit
            .record(Record { detail, ..Record::new(Event::LedgerMade) })
            .await
            .map_err(|error| Failure::new(Code::Io, error.to_string()))?;
    }
    match compared(engine, sentinel).await {
        Ok(()) => {
            let noted = crate::recover::note(audit, sentinel).await;
            noted.map(|()| first).map_err(|error| Failure::new(Code::Io, error.to_string()))
        }
        Err(error) => lost(audit, sentinel, &error).await.map(|()| false),
    }
}

/// Holds the ledger against what is known of it, before anything is written: what is written gets a higher version than
/// all that was there, and after enough of that a store that was restored would look like one that went on.
async fn compared(engine: &Engine, sentinel: &Sentinel) -> Result<(), LedgerError> {
    sentinel.look(engine).await?;
    sentinel.check()?;
    for look in 1.. {
        if !sentinel.went_back(engine).await? {
            break;
        }
        if look == BELIEVED {
            return Err(sentinel.lose(WENT_BACK));
        }
        tokio::time::sleep(AGAIN).await;
    }
    Ok(())
}

/// Goes on with a ledger that was lost: the admin socket is how it is recovered, and machines are told to come back.
/// Any other failure ends the start.
async fn lost(audit: &Audit, sentinel: &Sentinel, error: &LedgerError) -> Result<(), Failure> {
    let Health::Lost(why) = sentinel.health() else { return Err(ledger_failure(error)) };
    tracing::error!(why, "nobody is admitted");
    let record = Record::alarm(Event::LedgerLost, why);
    audit.record(record).await.map(drop).map_err(|error| Failure::new(Code::Io, error.to_string()))
}

/// Lists this broker and its keys, so that others can verify what it signs. Nothing is written into a ledger that was
/// lost, which may be another cluster's.
pub(super) async fn enlist(broker: &Broker, node: NodeId) -> Result<(), Failure> {
    if broker.sentinel.check().is_ok()
        && let Err(error) = list(broker, node).await
    {
        lost(&broker.audit, &broker.sentinel, &error).await?;
    }
    broker.directory.refresh().await.map_err(|error| ledger_failure(&error))
}

/// Lists the log's last head, where that can be done: an older copy of it is found by that at the next start.
pub(super) async fn list_log(broker: &Broker) {
    let listed = tokio::time::timeout(LIST_LOG, async {
        broker.sentinel.check()?;
        let _turn = broker.keys.turn.lock().await;
        match broker.membership() {
            // Who took it out while this broker stopped would not see it come back.
            Some(_) if !broker.directory.is_listed(&broker.id).await? => Ok(()),
            Some(membership) => broker.directory.enlist(broker.entry(membership.node)).await,
            None => Err(LedgerError::Unavailable("the engine is not a manager".into())),
        }
    });
    match listed.await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::info!(%error, "the log's last head is not in the ledger"),
        Err(_) => tracing::info!("the log's last head is not in the ledger: it took too long"),
    }
}

async fn list(broker: &Broker, node: NodeId) -> Result<(), LedgerError> {
    let directory = &broker.directory;
    directory.list_own_invite_key(broker.keys.invite.get().public()).await?;
    if let Err(error) = directory.renew(broker.entry(node), Retire::AfterLast).await {
        // The keeper tries again, unless it was found that the ledger is lost.
        tracing::error!(%error, "nobody is admitted");
        broker.sentinel.check()?;
    }
    crate::keys::enlist(broker).await.map_err(|denial| match denial {
        Denial::Unavailable(why) => LedgerError::Unavailable(why),
        other => LedgerError::Unavailable(format!("the issuing CA cannot be listed: {other:?}")),
    })
}

pub(super) fn ledger_failure(error: &LedgerError) -> Failure {
    Failure::new(Code::TryAgain, format!("the ledger cannot be written: {error}"))
}

/// Where this broker can be reached: as told, or the node's own address in the swarm.
pub(crate) fn addresses(
    settings: &Settings,
    from_init: &[BrokerAddress],
    membership: &Membership,
) -> Result<Vec<BrokerAddress>, Failure> {
    let told: &[BrokerAddress] = if settings.advertise.is_empty() { from_init } else { &settings.advertise };
    if !told.is_empty() {
        return Ok(told.to_vec());
    }
    let listen = settings.listen;
    let ip = if listen.ip().is_unspecified() { membership.address.parse().ok() } else { Some(listen.ip()) };
    ip.map(|ip| vec![BrokerAddress::from(std::net::SocketAddr::new(ip, listen.port()))]).ok_or_else(|| {
        Failure::new(Code::Config, "this node's address is not known: give the broker's with --advertise HOST[:PORT]")
    })
}

/// Ends a rotation of a token that was left half done. Nothing is done about a ledger that was lost.
pub(super) async fn tokens(broker: &Broker) -> Result<(), Failure> {
    if broker.sentinel.check().is_err() {
        return Ok(());
    }
    match crate::rotation::start(broker).await {
        Ok(()) => Ok(()),
        // The keeper looks again, and until then no token is handed out.
        Err(Denial::Unavailable(why)) if broker.audit.is_writable() => {
            tracing::warn!(why, "the join tokens cannot be looked at yet");
            Ok(())
        }
        Err(Denial::Unavailable(why)) => Err(Failure::new(Code::Io, why)),
        Err(other) => Err(Failure::new(Code::Internal, format!("looking at the join tokens failed: {other:?}"))),
    }
}

/// In the state directory since strict began here.
const STRICT: &str = "enforce.strict";

/// Strict begins with a swarm in which every node is explained: what was there before is adopted, not drained. Once it has begun,
/// a node that came while no broker ran is drained at the first look, and keeps nobody from being admitted.
pub(super) async fn enforce(broker: &Broker, folder: &Folder) -> Result<(), Failure> {
    if broker.enforce != Enforce::Strict {
        return Ok(folder.remove(STRICT)?);
    }
    if folder.path(STRICT).exists() {
        return Ok(());
    }
    let nodes = fleet::in_the_way(broker).await.map_err(not_now)?;
    if nodes.is_empty() {
        return Ok(folder.write(STRICT, "")?);
    }
    let nodes: Vec<String> = nodes.iter().map(|node| format!("{} ({})", node.hostname, node.id)).collect();
    let what = format!(
        "--enforce strict: nothing explains {}. No node was changed. If they belong here: start with --enforce warn, then \
         'broker adopt NODE --reason TEXT', then start with strict. If not: docker node update --availability drain NODE, or \
         remove them",
        nodes.join(", ")
    );
    Err(Failure::new(Code::TryAgain, what))
}

/// Adopts what was there before the first broker, where one manager can say so for all.
pub(super) async fn adopt_first(broker: &Broker, membership: &Membership, ephemeral: bool) -> Result<(), Failure> {
    if membership.managers != 1 {
        tracing::warn!(
            "this swarm has several managers: say which nodes belong here with 'broker adopt --all --reason …'"
        );
        return Ok(());
    }
    let count = fleet::adopt_first(broker).await.map_err(not_now)?;
    if ephemeral {
        fleet::call_ephemeral(broker, &membership.node).await.map_err(not_now)?;
    }
    tracing::info!(count, "adopted the nodes that were here before the broker");
    Ok(())
}

/// What keeps a start from what it does with the nodes.
fn not_now(denial: Denial) -> Failure {
    match denial {
        Denial::Unavailable(why) => Failure::new(Code::TryAgain, why),
        other => Failure::new(Code::Internal, format!("the swarm's nodes: {other:?}")),
    }
}
