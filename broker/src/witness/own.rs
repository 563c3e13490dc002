//! This broker's own log, held against what the ledger knows of it.
//!
//! Keeps promise 11: an older copy of all its files is a log like any other, and is found here. Must not pass for good
//! what cannot be read.

use crate::audit::{self, Event, Files, Record};
use crate::broker::Broker;
use crate::exit::{Code, Failure};

/// That the log goes on from the head that this broker listed last; if not, it stops, with an alarm in the log.
pub(crate) async fn assert_continued(broker: &Broker) -> Result<(), Failure> {
    let own = broker.directory.all().into_iter().find(|peer| peer.id == broker.id);
    let Some(listed) = own.and_then(|peer| peer.log) else { return Ok(()) };
    let files = Files::of(&broker.state.join(audit::FILE));
    let (size, key) = (listed.size, broker.audit.key().public().as_str() == listed.key);
    let found = tokio::task::spawn_blocking(move || audit::root_of(&files, size)).await;
    let io = |error: &dyn std::fmt::Display| Failure::new(Code::Io, format!("the audit log's hashes: {error}"));
    let root = found.map_err(|error| io(&error))?.map_err(|error| io(&error))?;
    let what = match root {
        _ if !key => "the ledger lists another key of this broker's log".to_owned(),
        None => format!("it has fewer than the {size} records that the ledger knows of: an older copy was put back"),
        Some(root) if root.to_string() != listed.root => {
            format!("its first {size} records are not those that the ledger knows of")
        }
        Some(_) => return Ok(()),
    };
    broker.audit.record(Record::alarm(Event::LogForked, what.clone())).await?;
    Err(Failure::new(
        Code::Data,
        format!(
            "the audit log was put back or replaced: {what}. The other brokers keep copies of it (in {}/BROKER/ of their \
             state directories). If the files of {} cannot be had back as they were, this broker ends with them: move that \
             folder away, keep it for the reviewer, and bring up another broker in its place ('broker up' beside one that \
             serves, or 'broker restore' of a backup)",
            audit::COPIES,
            broker.state.display()
        ),
    ))
}
