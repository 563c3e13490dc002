//! `POST /v1/sightings`: which machines the logs saw, this broker's and its copies of the others', page by page.
//!
//! For whoever shows machines that are no nodes yet. Asks no other broker: what one of them saw is here within seconds.
//! Must not keep anything of a caller.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::audit::{self, Page};
use crate::broker::Broker;
use crate::denial::Denial;

/// What of the logs.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SightingsOrder {
    /// For each broker the position that the answer before this one gave.
    pub(crate) after: BTreeMap<String, u64>,
}

/// What they saw.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Sightings {
    /// A page of each broker's log.
    pub(crate) logs: BTreeMap<String, Page>,
}

/// The pages after those positions.
pub(super) async fn sightings(broker: &Broker, order: SightingsOrder) -> Result<Sightings, Denial> {
    let own = broker.audit.sightings(order.after.get(&broker.id).copied(), None).await?;
    let mut logs = audit::copied(broker.state.join(audit::COPIES), order.after).await?;
    logs.insert(broker.id.clone(), own);
    Ok(Sightings { logs })
}
