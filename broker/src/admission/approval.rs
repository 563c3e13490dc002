//! Machines whose invite wants a person's answer: who waits, and what is said.
//!
//! Keeps promise 3: such a machine gets no identity before the answer. A person names the machine by its key, which nobody else
//! has: what a machine calls itself is its own word.

use std::net::IpAddr;

use protocol::{InviteId, KeyHash, Role};
use serde::{Deserialize, Serialize};

use super::order::Complaint;
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock::{self, Time};
use crate::denial::Denial;
use crate::ledger::{Answer, InviteState, LedgerError, Operation, Outcome};

/// A machine that a person was asked about. The names are stable.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PendingMachine {
    pub(crate) key: KeyHash,
    /// What it calls itself.
    pub(crate) hostname: Option<String>,
    /// Where it called from.
    pub(crate) source: Option<IpAddr>,
    pub(crate) invite: InviteId,
    pub(crate) role: Option<Role>,
    /// When it asked first.
    pub(crate) since: Time,
}

/// Those that wait now, the first first.
pub(crate) async fn pending(broker: &Broker) -> Result<Vec<PendingMachine>, Denial> {
    let (invites, _) = broker.invites.list_each().await?;
    let now = clock::now();
    let mut waiting: Vec<_> = invites.iter().flat_map(|state| waiting_of(state, now)).collect();
    waiting.sort_by_key(|machine| machine.since.0);
    Ok(waiting)
}

fn waiting_of(state: &InviteState, now: u64) -> impl Iterator<Item = PendingMachine> {
    state.claims.waiting(now).filter(|_| state.claims.revoked.is_none()).map(|waiting| PendingMachine {
        key: waiting.key,
        hostname: waiting.asker.hostname,
        source: waiting.asker.source,
        invite: state.policy.id().clone(),
        role: state.policy.invite().map(|invite| invite.role),
        since: Time(waiting.since),
    })
}

/// What became of an answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Answered {
    #[serde(flatten)]
    pub(crate) machine: PendingMachine,
    /// False if that was the answer already.
    pub(crate) changed: bool,
    /// Whether it was handed the swarm's token before: who is denied then has it.
    pub(crate) has_token: bool,
}

/// Gives a person's answer about the one machine whose key begins so: one that waits, or was answered otherwise before.
pub(crate) async fn answer(
    broker: &Broker,
    begins: &str,
    answer: Answer,
    reason: Option<&str>,
    operator: &str,
) -> Result<Answered, Result<Complaint, Denial>> {
    let (invites, _) = broker.invites.list_each().await.map_err(|error| Err(error.into()))?;
    let machine = named(&invites, begins, clock::now()).map_err(Ok)?;
    let operation = Operation::Answer { key: machine.key.clone(), answer };
    let (outcome, version) = match broker.invites.submit(&machine.invite, None, operation).await {
        Ok(answered) => answered,
        Err(LedgerError::Later(why)) => return Err(Ok(why.to_owned())),
        Err(error) => return Err(Err(error.into())),
    };
    let event = match answer {
        Answer::Approved => Event::MachineApproved,
        Answer::Denied => Event::MachineDenied,
    };
    let state = invites.iter().find(|state| *state.policy.id() == machine.invite);
    // A repeat, too: it may be that the first one could not be written down.
    let record = Record {
        invite: Some(machine.invite.clone()),
        key: Some(machine.key.clone()),
        hostname: machine.hostname.clone(),
        role: machine.role,
        version: Some(version),
        ends: state.and_then(|state| state.policy.invite()).map(|invite| invite.exp),
        operator: Some(operator.to_owned()),
        detail: reason.map(str::to_owned),
        ..Record::new(event)
    };
    broker.audit.record(record).await.map_err(|error| Err(error.into()))?;
    // Read anew: it may have come on while it was denied.
    let state = broker.invites.read(&machine.invite).await.map_err(|error| Err(error.into()))?;
    let has_token = state.and_then(|state| state.claims.uses.get(&machine.key)?.redeemed.clone()).is_some();
    Ok(Answered { machine, changed: outcome == Outcome::Yours, has_token })
}

/// The shortest beginning of a key that names a machine, in characters.
const SHORTEST: usize = 6;

fn named(invites: &[InviteState], begins: &str, now: u64) -> Result<PendingMachine, Complaint> {
    let shown = begins.escape_debug();
    if begins.len() < SHORTEST {
        return Err(format!(
            "'{shown}' is too short: give at least {SHORTEST} characters of the key that 'broker pending' shows"
        ));
    }
    let asked = invites.iter().flat_map(|state| {
        let uses = state.claims.uses.iter().filter(|(key, _)| key.as_str().starts_with(begins));
        uses.filter_map(move |(key, taken)| {
            let approval = taken.approval.as_ref()?;
            // One that was never answered in time asks again.
            if approval.answer.is_none() && !taken.waits(now) {
                return None;
            }
            Some(PendingMachine {
                key: key.clone(),
                hostname: approval.asker.hostname.clone(),
                source: approval.asker.source,
                invite: state.policy.id().clone(),
                role: state.policy.invite().map(|invite| invite.role),
                since: Time(taken.claimed),
            })
        })
    });
    let mut asked: Vec<_> = asked.collect();
    match (asked.pop(), asked.is_empty()) {
        (Some(machine), true) => Ok(machine),
        (None, _) => {
            Err(format!("no machine whose key begins with '{shown}' waits for an answer: see 'broker pending'"))
        }
        (Some(_), false) => Err(format!("several machines have a key that begins with '{shown}': give more of it")),
    }
}
