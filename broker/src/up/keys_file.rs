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
        return record_late(&cluster).await;
    }
    let Some(brought) = Brought::read(source)? else { return Ok(()) };
    Waiting::at(state)?.take_brought(&brought)?;
    let cluster = Cluster::open(state)?;
    record(&cluster).await?;
    tracing::info!(from = source.kind(), broker = cluster.broker(), "has the cluster's keys");
    Ok(())
}

/// Records what a run did not that was cut off after it took the keys. A log that was lost is left alone: the start says so.
async fn record_late(cluster: &Cluster) -> Result<(), Failure> {
    if !cluster.was_brought() || cluster.lost_its_log() || cluster.has_logged(Event::KeysTaken)? {
        return Ok(());
    }
    record(cluster).await
}

async fn record(cluster: &Cluster) -> Result<(), Failure> {
    let _lock = cluster.folder().lock()?;
    let record = Record { detail: Some(FROM_KEYS_FILE.into()), ..Record::new(Event::KeysTaken) };
    Ok(audit::record_one(&cluster.folder().path(audit::FILE), cluster.broker(), record).await?)
}

#[cfg(test)]
mod tests {
    use super::super::joined::tests::brought;
    use super::*;

    #[tokio::test]
    async fn a_run_that_was_cut_off_is_recorded_once_and_a_lost_log_stays_lost() {
        let folder = tempfile::tempdir().expect("a folder");
        let mut cluster = brought(folder.path());
        let log = cluster.folder().path(audit::FILE);
        record_late(&cluster).await.expect("recorded");
        let written = std::fs::read(&log).expect("is there");
        record_late(&cluster).await.expect("nothing is left to do");
        assert_eq!(std::fs::read(&log).expect("is there"), written);

        cluster.remember_ledger().expect("written");
        for entry in std::fs::read_dir(folder.path().join("state")).expect("lists") {
            let path = entry.expect("an entry").path();
            if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("audit.")) {
                std::fs::remove_file(path).expect("removed");
            }
        }
        record_late(&cluster).await.expect("the start says what is wrong");
        assert!(cluster.lost_its_log() && !log.exists(), "no other log is begun in its place");
    }
}
