//! The keys that the operator brings to machines which make the swarm by themselves.
//!
//! Each of them gets a broker key of its own, so that brokers with the same file are still different ones.

use super::Order;
use crate::audit::{self, Event, Record};
use crate::exit::{Code, Failure};
use crate::state::{Brought, Cluster, FROM_KEYS_FILE, KeySource, Waiting};

/// Takes the keys, once. A file that is gone was taken before, or is not for this machine.
pub(super) async fn take(order: &Order) -> Result<(), Failure> {
    let Some(source) = &order.keys_file else { return Ok(()) };
    let state = &order.settings.state;
    if Cluster::is_at(state)? {
        let cluster = Cluster::open(state)?;
        // What a command prints is asked for once: the machine's right to it may end.
        if matches!(source, KeySource::File(_))
            && let Some(other) = Brought::read(source)?.filter(|brought| brought.cluster() != cluster.id())
        {
            let what = format!(
                "--keys-file is of cluster {}, and the state directory holds cluster {}: give another --state, or the right file",
                other.cluster(),
                cluster.id()
            );
            return Err(Failure::new(Code::Config, what));
        }
        // A run that was cut off between the keys and this record has left a log without it.
        let is_recorded = !cluster.was_brought() || cluster.has_logged(Event::KeysTaken)?;
        return if is_recorded { Ok(()) } else { record(&cluster).await };
    }
    let Some(brought) = Brought::read(source)? else { return Ok(()) };
    Waiting::at(state)?.take_brought(&brought)?;
    let cluster = Cluster::open(state)?;
    record(&cluster).await?;
    tracing::info!(from = source.kind(), broker = cluster.broker(), "has the cluster's keys");
    Ok(())
}

async fn record(cluster: &Cluster) -> Result<(), Failure> {
    let _lock = cluster.folder().lock()?;
    let record = Record { detail: Some(FROM_KEYS_FILE.into()), ..Record::new(Event::KeysTaken) };
    Ok(audit::record_one(&cluster.folder().path(audit::FILE), cluster.broker(), record).await?)
}
