//! Coming into the swarm by a manager invite: by the same steps, and the same code, as every machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use joiner::{Addresses, InviteSource, OwnAddress};
use protocol::{BrokerAddress, InviteLine};

use super::Order;
use crate::exit::{Code, Failure};

/// How to come into the swarm.
#[derive(Debug)]
pub(crate) struct JoinOptions {
    /// Where the invite is.
    pub(crate) invite: Option<InviteSource>,
    /// Where brokers may be, besides those that the invite names.
    pub(crate) brokers: Vec<BrokerAddress>,
    /// Where the joiner keeps its key.
    pub(crate) state: PathBuf,
    /// What other nodes reach this one at.
    pub(crate) advertise: Option<OwnAddress>,
    /// What the overlay networks use.
    pub(crate) data_path: Option<OwnAddress>,
    /// What the node listens on.
    pub(crate) listen: Option<OwnAddress>,
    /// Whether the invite and its copies go when this machine is in.
    pub(crate) shred: bool,
}

impl JoinOptions {
    /// The invite, if one was given and is still there. A file that is gone was used up.
    pub(super) fn invite(&self) -> Result<Option<InviteLine>, Failure> {
        let Some(source) = &self.invite else { return Ok(None) };
        if let InviteSource::File(path) = source
            && !path.exists()
        {
            return Ok(None);
        }
        joiner::read_invite(source).map(Some).map_err(failed)
    }

    /// The node's addresses, as they were given.
    pub(super) fn addresses(&self) -> Addresses {
        Addresses { advertise: self.advertise.clone(), data_path: self.data_path.clone(), listen: self.listen.clone() }
    }
}

/// Comes in, or goes on with it. False if it did not work yet, and another look at the store may tell better addresses.
pub(super) async fn join(
    order: &Order,
    invite: Option<&InviteLine>,
    brokers: Vec<BrokerAddress>,
    until: Instant,
) -> Result<bool, Failure> {
    let left = until.saturating_duration_since(Instant::now());
    let timeout = if order.store.is_some() { left.min(TURN) } else { left };
    let options = joiner::JoinOptions {
        invite: match (&order.join.invite, invite) {
            // What was read from stdin is not there a second time, and what this machine made for itself was never given.
            (Some(InviteSource::Stdin) | None, Some(line)) => Some(InviteSource::argument(line.expose())),
            (source, _) => source.clone(),
        },
        brokers: [&brokers[..], &order.join.brokers].concat(),
        docker: order.settings.docker.clone(),
        addresses: order.join.addresses(),
        state: order.join.state.clone(),
        timeout,
        shred: order.join.shred,
        on_failure: None,
    };
    match joiner::join(&options).await.map_err(failed) {
        Ok(answer) => tracing::info!(answer, "in the swarm"),
        Err(failure) if timeout < left && matches!(failure.code, Code::TryAgain | Code::Unavailable) => {
            tracing::info!(%failure, "trying again, with what the store says now");
            return Ok(false);
        }
        Err(failure) => return Err(failure),
    }
    Ok(true)
}

/// How long to try the brokers that a record names before it is read again.
const TURN: Duration = Duration::from_mins(1);

pub(super) fn failed(failure: joiner::Failure) -> Failure {
    Failure::new(Code::of(failure.code), failure.words)
}
