//! `broker uninstall`: taking out of a swarm all that brokers put there.
//!
//! Keeps promise 4's order: the log says so first. Must not run beside a broker, nor touch what brokers did not make: the
//! labels that invites gave to nodes are the operator's. Cut off anywhere, it is run again: the nodes come first, the sentinel
//! last.

mod plan;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tokio::net::TcpStream;

pub(crate) use plan::NodeUndone;

use crate::admin::operator;
use crate::audit::{Audit, Event, Known, Record};
use crate::clock;
use crate::exit::{Code, Failure};
use crate::fleet;
use crate::ledger::{self, Directory, Invites, LedgerError, LedgerObject, Peer, Sentinel};
use crate::start;
use crate::state::{Cluster, StateError};
use crate::swarm::{Availability, Engine, EngineError, NodeChange};

/// How long another broker is waited for that may be there.
const DIAL: Duration = Duration::from_secs(3);
/// Longer than from one renewal of a broker's entry to the next.
const RENEWED: Duration = Duration::from_secs(12);
/// How often it is looked for objects that came while others were removed.
const ROUNDS: usize = 3;
/// How often a node is read again that somebody else changes at the same time.
const TRIES: usize = 8;

/// What is there; and, unless it was only asked for, what was taken away.
#[derive(Debug, Serialize)]
pub(crate) struct Uninstalled {
    /// Whether nothing was changed.
    pub(crate) dry_run: bool,
    /// The cluster's name and id.
    pub(crate) name: String,
    pub(crate) cluster: String,
    /// The ledger's objects.
    pub(crate) configs: Vec<Config>,
    pub(crate) nodes: Vec<NodeUndone>,
}

/// An object of the ledger: a Swarm config.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Config {
    pub(crate) kind: String,
    pub(crate) name: String,
}

/// Takes it away, or says what that would be.
pub(crate) async fn uninstall(state: &Path, docker: &Path, dry_run: bool) -> Result<Uninstalled, Failure> {
    let cluster = Cluster::open(state)?;
    let engine = Engine::new(docker);
    engine.membership().await.map_err(|error| start::engine_failure(&error))?;
    if dry_run {
        return Ok(Work::look(&cluster, &engine).await?.told(true));
    }
    let _lock = cluster.folder().lock().map_err(|error| match error {
        StateError::Locked(state) => {
            let what = format!(
                "a broker runs with the state in {}. Stop it first: systemctl disable --now broker",
                state.display()
            );
            Failure::new(Code::TryAgain, what)
        }
        error => error.into(),
    })?;
    let work = Work::look(&cluster, &engine).await?;
    if work.objects.is_empty() && !work.nodes.iter().any(NodeUndone::is_changed) {
        return Ok(work.told(false));
    }
    work.others_are_stopped().await?;
    let (audit, _) = cluster.open_log()?;
    work.carry_out(&audit).await?;
    Ok(work.told(false))
}

/// What is to be done.
struct Work<'a> {
    cluster: &'a Cluster,
    engine: &'a Engine,
    /// The brokers that were heard of a moment ago.
    peers: Vec<Peer>,
    objects: Vec<LedgerObject>,
    nodes: Vec<NodeUndone>,
}

impl<'a> Work<'a> {
    async fn look(cluster: &'a Cluster, engine: &'a Engine) -> Result<Self, Failure> {
        let failed = |error: EngineError| start::engine_failure(&error);
        let unread = |error: LedgerError| Failure::new(Code::Unavailable, error.to_string());
        if let Some((other, _)) = ledger::cluster_of(engine).await.map_err(failed)?
            && other != *cluster.id()
        {
            let what = format!(
                "the brokers of this swarm are of another cluster ({other}) than the state directory here ({}): run this on one \
                 of their managers",
                cluster.id()
            );
            return Err(Failure::new(Code::Config, what));
        }
        let sentinel = Arc::new(Sentinel::new(cluster.id().clone(), &Known::default()));
        let directory = Directory::new(engine.clone(), sentinel.clone());
        directory.refresh().await.map_err(unread)?;
        let nodes = engine.nodes().await.map_err(failed)?;
        let (invites, _) = Invites::new(engine.clone(), sentinel).list_each().await.map_err(unread)?;
        let report = fleet::explain(nodes, &invites, clock::now());
        let objects = ledger::objects(engine).await.map_err(failed)?;
        Ok(Self { cluster, engine, peers: directory.live(clock::now()), objects, nodes: plan::nodes(&report) })
    }

    /// A broker that runs would find its ledger lost in the middle of this, and raise an alarm.
    async fn others_are_stopped(&self) -> Result<(), Failure> {
        for peer in self.peers.iter().filter(|peer| peer.id != self.cluster.broker()) {
            for address in &peer.addresses {
                let dialled = TcpStream::connect((address.host(), address.port()));
                let refused = matches!(
                    tokio::time::timeout(DIAL, dialled).await,
                    Ok(Err(error)) if error.kind() == std::io::ErrorKind::ConnectionRefused
                );
                if !refused {
                    let what = format!(
                        "the broker at {address} was heard of within the last minute: stop it there with 'systemctl disable --now \
                         broker', then run this again. If its machine is gone: run this again in a minute"
                    );
                    return Err(Failure::new(Code::TryAgain, what));
                }
            }
        }
        self.nobody_renews().await
    }

    /// Whatever clocks and addresses say, a broker that runs renews its entry.
    async fn nobody_renews(&self) -> Result<(), Failure> {
        let own = ledger::entry_of(self.cluster.broker());
        let others = |objects: &[LedgerObject]| -> BTreeMap<String, u64> {
            let brokers = objects.iter().filter(|object| object.is_broker() && object.stored.object.name != own);
            brokers.map(|object| (object.stored.object.name.clone(), object.stored.version)).collect()
        };
        let before = others(&self.objects);
        if before.is_empty() {
            return Ok(());
        }
        tracing::info!("looking for {} s whether another broker renews its entry", RENEWED.as_secs());
        tokio::time::sleep(RENEWED).await;
        let objects = ledger::objects(self.engine).await.map_err(|error| start::engine_failure(&error))?;
        match others(&objects).into_iter().find(|(name, version)| before.get(name) != Some(version)) {
            None => Ok(()),
            Some((name, _)) => {
                let what = format!("a broker runs somewhere that renews {name}: stop it, then run this again");
                Err(Failure::new(Code::TryAgain, what))
            }
        }
    }

    async fn carry_out(&self, audit: &Audit) -> Result<(), Failure> {
        let detail = format!("configs: {}, nodes: {}", self.objects.len(), self.nodes.len());
        let record = |event| Record {
            operator: Some(operator(rustix::process::geteuid().as_raw())),
            detail: Some(detail.clone()),
            ..Record::new(event)
        };
        audit.record(record(Event::BrokerUninstalling)).await?;
        for node in self.nodes.iter().filter(|node| node.is_changed()) {
            self.undo(node).await?;
        }
        self.remove_objects().await?;
        audit.record(record(Event::BrokerUninstalled)).await?;
        Ok(())
    }

    /// As they are now, until there are none.
    async fn remove_objects(&self) -> Result<(), Failure> {
        for _ in 0..ROUNDS {
            let objects = ledger::objects(self.engine).await.map_err(|error| start::engine_failure(&error))?;
            if objects.is_empty() {
                return Ok(());
            }
            for LedgerObject { stored, .. } in &objects {
                self.engine.remove(stored).await.map_err(|error| {
                    let name = &stored.object.name;
                    let what =
                        format!("the config {name} cannot be removed: {error}. Run this again when that is mended");
                    Failure::new(Code::TryAgain, what)
                })?;
            }
        }
        let what = "configs of the ledger come back while they are removed: stop every broker, then run this again";
        Err(Failure::new(Code::TryAgain, what))
    }

    /// Changes the node as it is now: somebody may have changed it since it was looked at.
    async fn undo(&self, undone: &NodeUndone) -> Result<(), Failure> {
        let failed = |error: EngineError| start::engine_failure(&error);
        for _ in 0..TRIES {
            let node = match self.engine.node(&undone.id).await {
                Err(EngineError::NotFound) => return Ok(()),
                node => node.map_err(failed)?,
            };
            let drained = undone.active.is_some() && node.availability == Availability::Drain;
            let change = NodeChange {
                without: undone.labels.clone(),
                availability: drained.then_some(Availability::Active),
                ..NodeChange::default()
            };
            match self.engine.change_node(&node, change).await {
                Err(EngineError::OutOfSequence) => {}
                done => return done.map_err(failed),
            }
        }
        Err(Failure::new(Code::TryAgain, format!("node {} keeps being changed by others: run this again", undone.id)))
    }

    fn told(self, dry_run: bool) -> Uninstalled {
        let config = |object: LedgerObject| Config { kind: object.kind, name: object.stored.object.name };
        Uninstalled {
            dry_run,
            name: self.cluster.name().to_owned(),
            cluster: self.cluster.id().to_string(),
            configs: self.objects.into_iter().map(config).collect(),
            nodes: self.nodes,
        }
    }
}
