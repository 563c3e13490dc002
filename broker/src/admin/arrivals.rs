//! `POST /v1/arrivals`: what `broker wait` asks every second: who has joined, who is on the way, who was refused.
//!
//! Asks the engine at most once a second, however many wait, and reads on in the log from where the caller was.
//! Must not keep anything of a caller: it goes on with the next broker process as if nothing had been.

use protocol::{BrokerAddress, InviteId, Role};
use serde::{Deserialize, Serialize};

use super::words::InviteShown;
use crate::audit::Sighting;
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::fleet::{self, Booting, NodeLine};

/// Whose arrivals, and since when.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ArrivalsOrder {
    /// Of this invite only.
    pub(crate) invite: Option<InviteId>,
    /// In this role only.
    pub(crate) role: Option<Role>,
    /// The position that the answer before this one gave.
    pub(crate) after: Option<u64>,
}

/// Who came, and who did not.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Arrivals {
    /// The broker's time, in seconds since 1970.
    pub(crate) time: u64,
    /// Where machines reach the brokers.
    pub(crate) brokers: Vec<BrokerAddress>,
    /// The invite that was asked about, if a broker has seen it.
    pub(crate) invite: Option<InviteShown>,
    /// The nodes that joined through a broker, those that are down among them.
    pub(crate) nodes: Vec<NodeLine>,
    /// The machines that have a use and did not confirm.
    pub(crate) booting: Vec<Booting>,
    /// What the log saw after the position that was given.
    pub(crate) sightings: Vec<Sighting>,
    /// Where to go on.
    pub(crate) position: u64,
    /// Whether there is more in the log already.
    pub(crate) more: bool,
}

/// Who came, and who did not, as of a second ago at most.
pub(super) async fn arrivals(broker: &Broker, order: ArrivalsOrder) -> Result<Arrivals, Denial> {
    let ArrivalsOrder { invite, role, after } = order;
    let look = fleet::recent(broker).await?;
    let page = broker.audit.sightings(after, invite.clone()).await?;
    let now = clock::now();
    let in_role = |found: Option<Role>| role.is_none() || found.is_none() || found == role;
    let of_node = |node: &&NodeLine| node.explained && node.grant.is_some() && in_role(Some(node.role));
    let nodes = look.report.nodes.iter().filter(of_node);
    let booting = look.report.booting.iter().filter(|boot| in_role(boot.role));
    let state = invite.as_ref().and_then(|id| look.invites.iter().find(|state| state.policy.id() == id));
    let shown = state.map(|state| InviteShown::of(state, now));
    Ok(Arrivals {
        time: now,
        brokers: shown.as_ref().map_or_else(|| broker.addresses.clone(), |invite| invite.brokers.clone()),
        nodes: nodes.filter(|node| invite.is_none() || node.invite == invite).cloned().collect(),
        booting: booting.filter(|boot| invite.as_ref().is_none_or(|invite| boot.invite == *invite)).cloned().collect(),
        invite: shown,
        sightings: page.sightings.into_iter().filter(|seen| in_role(seen.role)).collect(),
        position: page.position,
        more: page.more,
    })
}
