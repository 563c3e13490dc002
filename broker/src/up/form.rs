//! Making the swarm, with what can only be set then.

use std::time::{Duration, Instant};

use joiner::Addresses;

use super::{Order, join};
use crate::audit::{self, Event, Record};
use crate::exit::{Code, Failure};
use crate::start;
use crate::state::Cluster;
use crate::swarm::{Engine, EngineError, Formation, Membership};

/// What can only be set when a swarm is made.
#[derive(Clone, Debug)]
pub(crate) struct FormOptions {
    pub(crate) pools: Vec<String>,
    pub(crate) pool_mask: Option<u32>,
    pub(crate) data_path_port: Option<u32>,
    pub(crate) certificates: Option<Duration>,
}

/// Makes the swarm, once the state directory says that this machine sets about it.
pub(super) async fn form(order: &Order, engine: &Engine, cluster: &mut Cluster, until: Instant) -> Result<(), Failure> {
    let options = order.options.clone();
    let (advertise, data_path, listen) = own(&order.join.addresses(), until).await?;
    let formation = Formation {
        listen,
        advertise,
        data_path,
        data_path_port: options.data_path_port,
        pools: options.pools,
        pool_mask: options.pool_mask,
        certificates: options.certificates,
    };
    cluster.remember_forming()?;
    match engine.form(formation).await {
        Ok(()) => {}
        // The next look at the engine tells what came of it.
        Err(EngineError::TimedOut) => return Ok(()),
        Err(EngineError::Other { message, .. }) => {
            let what = format!(
                "Docker does not make a swarm here: {message}. An address is given with --swarm-advertise-addr"
            );
            return Err(Failure::new(Code::Config, what));
        }
        Err(error) => return Err(start::engine_failure(&error)),
    }
    tracing::info!("made the swarm");
    record(cluster).await
}

/// Writes down that this machine made the swarm in which it is alone, if it did and the log does not say so: it was cut
/// off before it could, or Docker's answer did not come.
pub(super) async fn record_late(cluster: &Cluster, membership: &Membership) -> Result<(), Failure> {
    if !cluster.is_forming() || cluster.has_ledger() || membership.nodes != 1 {
        return Ok(());
    }
    if cluster.has_logged(Event::SwarmFormed)? { Ok(()) } else { record(cluster).await }
}

async fn record(cluster: &Cluster) -> Result<(), Failure> {
    audit::record_one(&cluster.folder().path(audit::FILE), cluster.broker(), Record::new(Event::SwarmFormed))
        .await
        .map_err(Failure::from)
}

/// The node's addresses as Docker takes them: a network is looked up among this machine's own.
async fn own(given: &Addresses, until: Instant) -> Result<(Option<String>, Option<String>, Option<String>), Failure> {
    let settled = joiner::own_addresses(given, until.saturating_duration_since(Instant::now())).await;
    settled.map(|own| (own.advertise, own.data_path, own.listen)).map_err(join::failed)
}
