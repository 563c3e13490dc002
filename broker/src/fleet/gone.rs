//! The brokers whose node is no manager any more.
//!
//! What they signed is good for nothing once they are not listed. Must not remove an entry before the record of it is
//! durable.

use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::denial::Denial;

/// Their ids.
pub(crate) async fn gone(broker: &Broker) -> Result<Vec<String>, Denial> {
    broker.directory.refresh().await?;
    let gone = broker.directory.gone(&broker.engine.nodes().await?);
    Ok(gone.into_iter().map(|peer| peer.id).collect())
}

/// Removes their entries from the ledger, and gives their ids.
pub(crate) async fn remove_gone(broker: &Broker, reason: &str, operator: &str) -> Result<Vec<String>, Denial> {
    broker.sentinel.check()?;
    let gone = gone(broker).await?;
    for id in &gone {
        let record = Record {
            peer: Some(id.clone()),
            operator: Some(operator.to_owned()),
            detail: Some(reason.to_owned()),
            ..Record::new(Event::BrokerRemoved)
        };
        broker.audit.record(record).await?;
        broker.directory.remove(id).await?;
    }
    broker.directory.refresh().await?;
    Ok(gone)
}
