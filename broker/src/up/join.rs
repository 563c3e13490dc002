//! Coming into the swarm by a manager invite: by the same steps, and the same code, as every machine.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use joiner::{Addresses, InviteSource, OwnAddress};
use protocol::{BrokerAddress, InviteLine};

use super::{Order, Sources};
use crate::exit::{Code, Failure};

/// How to come into the swarm.
#[derive(Debug)]
pub(crate) struct JoinOptions {
    /// Where the invite is.
    pub(crate) invite: Option<InviteSource>,
    /// Where brokers may be, besides those that the invite names.
    pub(crate) discover: Sources,
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

/// Comes in, or goes on with it. False if it did not work yet, and another look at the store, or at who carries a tag, may tell
/// better addresses.
pub(super) async fn join(
    order: &Order,
    invite: Option<&InviteLine>,
    brokers: Vec<BrokerAddress>,
    until: Instant,
) -> Result<bool, Failure> {
    let found = order.join.discover.look(until).await?;
    let known = [&brokers[..], &found.addresses].concat();
    if known.is_empty() && order.join.discover.change() && invite.is_some_and(names_nobody) {
        return wait_for_somebody(&found.troubles, until).await.map(|()| false);
    }
    let left = until.saturating_duration_since(Instant::now());
    let changes = order.store.is_some() || order.join.discover.change();
    let turn = if found.troubles.is_empty() { TURN } else { SHORT_TURN };
    let turn = turn.max(EACH * u32::try_from(known.len()).unwrap_or(u32::MAX));
    let timeout = if changes { left.min(turn) } else { left };
    let options = joiner::JoinOptions {
        invite: match (&order.join.invite, invite) {
            // What was read from stdin is not there a second time, and what this machine made for itself was never given.
            (Some(InviteSource::Stdin) | None, Some(line)) => Some(InviteSource::argument(line.expose())),
            (source, _) => source.clone(),
        },
        brokers: known,
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
            tracing::info!(%failure, "trying again, with the addresses that are told now");
            return Ok(false);
        }
        Err(failure) => return Err(with(failure, &found.troubles)),
    }
    Ok(true)
}

fn names_nobody(invite: &InviteLine) -> bool {
    invite.unverified().brokers.is_empty()
}

/// Nobody is told of yet: the machine that makes the swarm may be on its way. This one is not it.
async fn wait_for_somebody(troubles: &[String], until: Instant) -> Result<(), Failure> {
    if Instant::now() >= until {
        let what = "no broker was found to come in by. Run this again";
        return Err(with(Failure::new(Code::TryAgain, what), troubles));
    }
    tokio::time::sleep(POLL.min(until.saturating_duration_since(Instant::now()))).await;
    Ok(())
}

/// A failure, with what else was wrong.
fn with(failure: Failure, troubles: &[String]) -> Failure {
    if troubles.is_empty() {
        failure
    } else {
        Failure::new(failure.code, format!("{failure}; {}", troubles.join("; ")))
    }
}

/// How long to try the brokers that a record or a tag names before it is asked for again.
const TURN: Duration = Duration::from_mins(1);
/// The same while something names nobody, or does not answer.
const SHORT_TURN: Duration = Duration::from_secs(15);
/// As long as one that swallows calls is dialled: within a turn each is.
const EACH: Duration = Duration::from_secs(5);
/// How often it is asked for while nobody is known at all.
const POLL: Duration = Duration::from_secs(5);

pub(super) fn failed(failure: joiner::Failure) -> Failure {
    Failure::new(Code::of(failure.code), failure.words)
}
