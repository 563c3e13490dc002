//! `broker serve`: from settings to a graceful stop.

use std::sync::{Arc, RwLock};
use std::time::Instant;

use certs::{ClientTrust, Issuing};
use protocol::INVITE_TYP;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::alarms::Teller;
use super::parts::Parts;
use super::{keeper, steps};
use crate::audit::{self, Alarmed, Audit, Event, Record, Refusals};
use crate::broker::{Broker, Limits};
use crate::config::Settings;
use crate::departure::Silence;
use crate::exit::{Code, Failure};
use crate::fleet::Recent;
use crate::joiners::{self, Joiners};
use crate::jwt::Signer;
use crate::keys::{self, Keys};
use crate::ledger::{Directory, Invites, IssuingCas, Listings, Operators, Rotations, Sentinel};
use crate::metrics::Metrics;
use crate::operators::Orders;
use crate::rotation::Rotation;
use crate::server::{Listener, bind};
use crate::state::{Cluster, FROM_KEYS_FILE, next_issuing};
use crate::swarm::Engine;
use crate::witness::{self, Witness};
use crate::{admin, clock, handover, server};

/// What takes connections, and finishes them when the broker stops.
const LISTENER: &str = "the listener";

/// Something that runs beside the broker, as long as it serves.
pub(crate) type Beside = Box<dyn FnOnce(Arc<Broker>) -> tokio::task::JoinHandle<()> + Send>;

/// Serves until SIGTERM or SIGINT, or until a part of it fails.
pub(crate) async fn serve(settings: Settings, beside: Option<Beside>) -> Result<(), Failure> {
    let cluster = Cluster::open(&settings.state)?;
    let _lock = cluster.folder().lock()?;
    // An issuing CA that was about to be put to use when the last run ended.
    next_issuing::finish(cluster.folder())?;
    let issuing = cluster.issuing_key(&settings.issuing_key)?;
    let (audit, known) = cluster.open_log()?;
    let teller = Teller::of(&audit, settings.on_alarm.as_ref());
    let ended = with_log(cluster, issuing, audit, known, settings, beside).await;
    teller.finish().await;
    ended
}

/// From the log on: each step may raise an alarm.
async fn with_log(
    mut cluster: Cluster,
    issuing: Issuing,
    audit: Audit,
    known: audit::Known,
    settings: Settings,
    beside: Option<Beside>,
) -> Result<(), Failure> {
    // A run that was cut off between the keys and this record has left a log without it.
    if known.is_new() && (cluster.was_taken() || cluster.was_brought()) {
        let late = "by a run that was cut off before it wrote this down";
        let detail = if cluster.was_brought() { format!("{FROM_KEYS_FILE}, {late}") } else { late.to_owned() };
        write(&audit, Record { detail: Some(detail), ..Record::new(Event::KeysTaken) }).await?;
    }
    // Taken before anything is changed in the swarm: a second broker on this address stops here.
    let socket = bind(settings.listen)?;
    let metrics = settings.metrics.map(bind).transpose()?;

    let engine = Engine::new(&settings.docker);
    let membership = steps::membership(&engine).await?;
    let sentinel = Arc::new(Sentinel::new(cluster.id().clone(), &known));
    let first = steps::ledger(&cluster, &engine, &sentinel, &audit, &membership.swarm).await?;

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let addresses = steps::addresses(&settings, cluster.advertise(), &membership)?;
    let directory = Directory::new(engine.clone(), sentinel.clone());
    let grant_signer = Signer::new(crate::grants::TYP, &cluster.grant_key);
    let invite_signer = Signer::new(INVITE_TYP, &cluster.invite_key);

    let tls_failure =
        |error: &dyn std::fmt::Display| Failure::new(Code::Internal, format!("TLS cannot be set up: {error}"));
    let trust = ClientTrust::new(provider.clone(), &[cluster.issuing.clone()]).map_err(|error| tls_failure(&error))?;
    trust.trust_nodes(&membership.roots).map_err(|error| tls_failure(&error))?;
    let server = keys::Server::new(&provider, &issuing, clock::now()).map_err(|error| tls_failure(&error))?;
    let tls_config = server.tls().config(trust.clone()).map_err(|error| tls_failure(&error))?;

    // Not before the start can hardly fail any more: one that fails changes nothing in the state.
    let joiners = Joiners::open(&settings.state, settings.joiners.clone(), settings.max_ttl)?;

    let broker = Arc::new(Broker {
        cluster: cluster.id().clone(),
        name: cluster.name().to_owned(),
        id: cluster.broker().to_owned(),
        addresses,
        provider,
        state: settings.state.clone(),
        joiner_state: settings.joiner_state.clone(),
        issuing_key: settings.issuing_key.clone(),
        trust,
        keys: Keys::new(cluster.folder().clone(), grant_signer, invite_signer, issuing, server),
        grant_lifetime: settings.grant_lifetime,
        enforce: settings.enforce,
        limits: Limits { uses: settings.max_uses, ttl: settings.max_ttl },
        invites: Invites::new(engine.clone(), sentinel.clone()),
        listings: Listings::new(engine.clone(), sentinel.clone()),
        operators: Operators::new(engine.clone(), sentinel.clone()),
        issuing_cas: IssuingCas::new(engine.clone(), sentinel.clone()),
        joiners,
        witness: Witness::default(),
        rotations: Rotations::new(engine.clone(), sentinel.clone()),
        rotation: Rotation::new(settings.policies, known.tokens.clone()),
        engine,
        audit,
        refusals: Refusals::default(),
        sentinel,
        directory,
        metrics: Metrics::new(),
        membership: RwLock::new(Some((membership.clone(), Instant::now()))),
        unseen: RwLock::new(None),
        looks: Recent::default(),
        tasks: Recent::default(),
        orders: Orders::default(),
        silence: Silence::default(),
        alarmed: Alarmed::default(),
    });
    // Before the entry is written anew: it says how far this broker's log was signed.
    broker.directory.refresh().await.map_err(|error| steps::ledger_failure(&error))?;
    witness::assert_continued(&broker).await?;
    steps::enlist(&broker, membership.node.clone()).await?;
    if first {
        steps::adopt_first(&broker, &membership, settings.ephemeral).await?;
    }
    // Last of what only a first start does: one that is cut off before it is a first start again.
    if !cluster.has_ledger() {
        cluster.remember_ledger()?;
    }
    steps::enforce(&broker, cluster.folder()).await?;
    keys::tell_cut_off(&broker).await?;
    steps::tokens(&broker).await?;
    let beside = beside.map(|beside| beside(broker.clone()));
    let ended = run(broker, tls_config, socket, metrics, &settings).await;
    if let Some(beside) = beside {
        beside.abort();
    }
    ended
}

async fn run(
    broker: Arc<Broker>,
    tls_config: rustls::ServerConfig,
    socket: tokio::net::TcpListener,
    metrics: Option<tokio::net::TcpListener>,
    settings: &Settings,
) -> Result<(), Failure> {
    let system = |error: std::io::Error| Failure::new(Code::System, format!("signals cannot be received: {error}"));
    let (mut terminate, mut interrupt) =
        (signal(SignalKind::terminate()).map_err(system)?, signal(SignalKind::interrupt()).map_err(system)?);
    let (stop, stopping) = watch::channel(false);
    let mut parts = Parts::default();
    parts.add("the admin socket", admin::serve(broker.clone(), &settings.admin)?);
    if let Some(listener) = metrics {
        parts.add("the metrics' listener", tokio::spawn(server::serve_metrics(broker.clone(), listener)));
    }
    let (say, demoted) = oneshot::channel();
    parts.add("the keeper", tokio::spawn(keeper::keep(broker.clone(), say)));
    parts.add("what follows keys", tokio::spawn(handover::follow(broker.clone())));
    parts.add("what keeps the joiners", tokio::spawn(joiners::keep(broker.clone())));
    parts.add("what watches the other brokers' logs", tokio::spawn(witness::keep(broker.clone())));
    let seen = |event| Record { version: Some(broker.sentinel.version()), ..Record::new(event) };
    write(&broker.audit, seen(Event::BrokerStarted)).await?;
    parts.add(LISTENER, tokio::spawn(Listener::new(socket, tls_config, broker.clone()).run(stopping)));
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
    let addresses: Vec<String> = broker.addresses.iter().map(ToString::to_string).collect();
    tracing::info!(cluster = broker.name, listen = %settings.listen, advertise = addresses.join(","), "serving");

    let ended = tokio::select! {
        _ = terminate.recv() => None,
        _ = interrupt.recv() => None,
        Ok(why) = demoted => Some(steps::engine_failure(&why)),
        failure = parts.one_has_ended() => Some(failure),
    };
    if let Some(why) = &ended {
        tracing::error!(%why, "stopping");
    } else {
        tracing::info!("stopping");
    }
    let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
    let _ = stop.send(true);
    parts.finish(LISTENER).await;
    drop(parts);
    let _ = std::fs::remove_file(&settings.admin);
    let detail = ended.as_ref().map(ToString::to_string);
    let written = write(&broker.audit, Record { detail, ..seen(Event::BrokerStopped) }).await;
    steps::list_log(&broker).await;
    ended.map_or(written, Err)
}

async fn write(audit: &Audit, record: Record) -> Result<(), Failure> {
    audit.record(record).await.map(|_| ()).map_err(|error| Failure::new(Code::Io, error.to_string()))
}
