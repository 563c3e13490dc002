//! `broker up`: makes the swarm or brings this machine into it, gets the cluster's keys, then serves.
//!
//! Keeps DESIGN §3b: safe to run again at any point, since every turn begins with what state directory and engine say.
//! Must not make a second swarm for a cluster that had one.

mod discover;
mod elect;
mod form;
mod join;
mod joined;
mod keys_file;
mod own_invite;
mod plan;
mod recorded;
mod store;

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{BrokerAddress, Invite, InviteLine};

use crate::broker::Broker;
use crate::clock;
use crate::config::Settings;
use crate::exit::{Code, Failure};
use crate::handover::{self, Giver, Taker};
use crate::ledger;
use crate::start;
use crate::state::{Cluster, KeySource};
use crate::swarm::{Engine, EngineError};

use discover::Found;
pub(crate) use discover::Sources;
use elect::Election;
pub(crate) use form::FormOptions;
pub(crate) use join::JoinOptions;
use plan::{Held, Place, Recorded, Step};
use recorded::Known;
use store::Store;
pub(crate) use store::checked as checked_store;

/// How often to look at something that will change by itself.
const POLL: Duration = Duration::from_millis(500);
/// How long brokers are asked for the keys before the ledger is read again.
const ASKED: Duration = Duration::from_secs(10);

/// What `broker up` is told.
pub(crate) struct Order {
    /// The settings of the broker that will serve.
    pub(crate) settings: Settings,
    /// Whether making the swarm is this machine's work.
    pub(crate) form: bool,
    /// How to make it, wherever it turns out to be made.
    pub(crate) options: FormOptions,
    /// How to come into it.
    pub(crate) join: JoinOptions,
    /// Where managers that come up together find each other: a URL, and options of its kind.
    pub(crate) store: Option<(String, Vec<(String, String)>)>,
    /// Where the cluster's keys are, for a machine that may make its swarm.
    pub(crate) keys_file: Option<KeySource>,
    /// Something else brings this machine in, as a manager.
    pub(crate) wait: bool,
    /// For everything before the broker serves.
    pub(crate) timeout: Duration,
}

/// Does all of it, and serves until SIGTERM or SIGINT.
pub(crate) async fn up(order: Order) -> Result<(), Failure> {
    let until = Instant::now() + order.timeout;
    let engine = Engine::new(&order.settings.docker);
    let given_invite = order.join.invite()?;
    let store = match &order.store {
        Some((url, options)) => Some(Store::open(url, options).await?),
        None => None,
    };
    keys_file::take(&order).await?;
    let mut election = Election::new();
    let (mut came_in, mut told) = (false, false);
    let cluster = loop {
        let cluster = cluster(&order.settings)?;
        let place = look(&engine, until).await?;
        let unfinished = !came_in && is_unfinished(&order)?;
        let finishing = unfinished && !matches!(place, Place::Out);
        let kept = |cluster| own_invite::kept(cluster, finishing, clock::now());
        let own_invite = cluster.as_ref().map(kept).transpose()?.flatten();
        let invite = given_invite.as_ref().or(own_invite.as_ref());
        if let (Some(cluster), Place::Manager(membership)) = (&cluster, &place) {
            form::record_late(cluster, membership).await?;
        }
        let held = cluster.as_ref().map(held);
        let known = match &store {
            Some(_) => Known::of(cluster.as_ref(), invite.map(InviteLine::unverified), &place, &engine, until).await?,
            None => None,
        };
        let shared = store.as_ref().zip(known.as_ref());
        let (recorded, record) = match shared {
            Some((store, known)) => known.look(store, until).await?,
            None if store.is_some() => (Recorded::Nothing, None),
            None => (Recorded::NoStore, None),
        };
        let given = plan::Given {
            form: order.form,
            invite: invite.map(InviteLine::unverified),
            wait: order.wait,
            unfinished,
            recorded,
        };
        match (plan::next(held.as_ref(), &place, &given, clock::now()), cluster, shared) {
            (Step::Serve, cluster, _) => {
                let (shared, by_store) = (store.is_some() || came_in, store.is_some());
                let known = joined::Known { shared, named: order.form, by_store, record: record.as_ref() };
                break joined::remember(cluster, &known, &place, &engine, until).await?;
            }
            (Step::Form, Some(mut cluster), _) => form::form(&order, &engine, &mut cluster, until).await?,
            (Step::Elect, Some(cluster), Some((store, known))) => {
                election.run(&order, (store, known), &engine, cluster, until).await?;
            }
            (Step::Leave(swarm), ..) => elect::leave(&engine, &swarm).await?,
            (Step::Join, cluster, _) => {
                let brokers = record.map(|record| record.addresses()).unwrap_or_default();
                let own = match (given.invite, cluster) {
                    (None, Some(cluster)) => {
                        Some(own_invite::invite(&cluster, brokers.clone(), order.settings.ephemeral).await?)
                    }
                    _ => None,
                };
                came_in = join::join(&order, own.as_ref().or(invite), brokers, until).await?;
            }
            (Step::Wait, ..) => {
                if !told && matches!(place, Place::Manager(_)) {
                    tracing::info!("a manager: waiting until a broker has confirmed the join");
                    told = true;
                }
                wait(until).await?;
            }
            (Step::AwaitRecord, ..) => elect::pause(until).await?,
            (Step::Take, ..) => take(&order, &engine, &place, given.invite, until).await?,
            (Step::Stop(stop), ..) => return Err(Failure::new(Code::Config, stop.to_string())),
            (Step::Form | Step::Elect, ..) => {
                return Err(Failure::new(Code::Internal, "a swarm is made with the keys"));
            }
        }
    };
    serve(order.settings, cluster, store).await
}

/// All is there: serves, and keeps the record.
async fn serve(settings: Settings, cluster: Option<Cluster>, store: Option<Store>) -> Result<(), Failure> {
    let mut form_until = 0;
    if let Some(cluster) = cluster {
        form_until = cluster.form_until();
        own_invite::forget(&cluster)?;
    }
    let keep = store.map(|store| {
        let keep = move |broker: Arc<Broker>| tokio::spawn(store::keep(broker, store, form_until));
        Box::new(keep) as start::Beside
    });
    start::serve(settings, keep).await
}

/// Whether a join that was begun here is not confirmed, and will be.
fn is_unfinished(order: &Order) -> Result<bool, Failure> {
    let state = &order.join.state;
    if order.wait { joiner::is_under_way(state) } else { joiner::is_unfinished(state) }.map_err(join::failed)
}

/// What the state directory holds.
fn cluster(settings: &Settings) -> Result<Option<Cluster>, Failure> {
    if !Cluster::is_at(&settings.state)? {
        return Ok(None);
    }
    Ok(Some(Cluster::open(&settings.state)?))
}

fn held(cluster: &Cluster) -> Held {
    Held {
        cluster: cluster.id().clone(),
        served: cluster.has_ledger() || cluster.was_taken(),
        form_until: cluster.form_until(),
        forming: cluster.is_forming(),
    }
}

/// Where the engine is, once that can be told.
async fn look(engine: &Engine, until: Instant) -> Result<Place, Failure> {
    let (begun, mut told) = (Instant::now(), String::new());
    loop {
        let passing = match engine.membership().await {
            Ok(membership) => return Ok(Place::Manager(membership)),
            Err(EngineError::NotManager) => return Ok(Place::Out),
            Err(EngineError::Worker) if begun.elapsed() >= start::WORKER_BELIEVED => return Ok(Place::Worker),
            Err(error @ (EngineError::SocketDenied(_) | EngineError::Locked)) => {
                return Err(start::engine_failure(&error));
            }
            Err(error) => error,
        };
        if Instant::now() >= until {
            return Err(start::engine_failure(&passing));
        }
        if told != passing.to_string() {
            told = passing.to_string();
            tracing::info!(told, "waiting for the engine");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Waits a little for what brings this machine in.
async fn wait(until: Instant) -> Result<(), Failure> {
    if Instant::now() >= until {
        let what = "this machine did not become a manager, confirmed by a broker, in time: look at 'joiner status', and at 'docker node ls' on a manager. Run this again";
        return Err(Failure::new(Code::TryAgain, what));
    }
    tokio::time::sleep(POLL).await;
    Ok(())
}

/// Gets the keys from a broker that the invite names, or that the swarm's ledger lists.
async fn take(
    order: &Order,
    engine: &Engine,
    place: &Place,
    invite: Option<&Invite>,
    until: Instant,
) -> Result<(), Failure> {
    let Place::Manager(membership) = place else {
        return Err(Failure::new(Code::Internal, "the keys are for a manager"));
    };
    // The swarm's own ledger lists the brokers by now: what cannot be asked is told, and needed no more.
    let found = order.join.discover.look(until).await.unwrap_or_else(|failure| {
        tracing::warn!("{failure}");
        Found::default()
    });
    let giver = giver(engine, invite, &found.addresses).await?;
    let addresses = start::addresses(&order.settings, &[], membership)?;
    let taker =
        Taker { state: &order.settings.state, joiner: &order.join.state, engine, node: &membership.node, addresses };
    let turn = until.min(Instant::now() + ASKED);
    match handover::take(taker, giver, turn).await {
        // By now the ledger may list other brokers, and say that an issuing CA is void.
        Err(failure) if failure.code == Code::TryAgain && Instant::now() >= turn && turn < until => Ok(()),
        taken => taken,
    }
}

/// The swarm's own ledger says where the brokers are now; an invite, from which cluster they must be.
async fn giver(engine: &Engine, invite: Option<&Invite>, discovered: &[BrokerAddress]) -> Result<Giver, Failure> {
    let unavailable = |error: EngineError| start::engine_failure(&error);
    let listed = ledger::cluster_of(engine).await.map_err(unavailable)?;
    let mut brokers: Vec<BrokerAddress> = ledger::addresses(engine).await.map_err(unavailable)?;
    let told = invite.into_iter().flat_map(|invite| &invite.brokers).chain(discovered);
    for address in told {
        if !brokers.contains(address) {
            brokers.push(address.clone());
        }
    }
    let generations = ledger::generations(engine).await;
    let lowest = generations.map_err(|error| Failure::new(Code::Unavailable, error.to_string()))?.lowest;
    let generation = invite.map_or(lowest, |invite| invite.generation.max(lowest));
    match (invite, listed) {
        (Some(invite), Some((cluster, _))) if invite.iss != cluster => {
            let what = format!(
                "this machine is a manager of a swarm whose broker is of another cluster ({cluster}) than the invite's ({}). It was left alone",
                invite.iss
            );
            Err(Failure::new(Code::Config, what))
        }
        (Some(invite), _) => Ok(Giver { cluster: invite.iss.clone(), pin: invite.pin.clone(), generation, brokers }),
        (None, Some((cluster, Some(pin)))) => Ok(Giver { cluster, pin, generation, brokers }),
        (None, Some((_, None)) | None) => Err(Failure::new(
            Code::Config,
            "this machine is a manager, and no broker has served in its swarm yet: run 'broker init --cluster NAME' here, then this again. If one serves elsewhere, give a manager invite of it with --invite-file",
        )),
    }
}
