//! Making and revoking invites.
//!
//! Keeps promise 9: what an invite says is signed, recorded and in the ledger before the operator has it.
//! Must not store the line it made: it is a bearer text, for the operator alone.

use std::net::IpAddr;

use protocol::{BrokerAddress, Invite, InviteId, InviteLine};

use super::order::{Complaint, InviteOrder, Maker, made};
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::jwt::Signer;
use crate::keys::assert_not_void;
use crate::ledger::{LONGEST, Operation, Outcome, Signed};

/// Signs an invite, records it and puts it into the ledger.
pub(crate) async fn make_invite(
    broker: &Broker,
    order: InviteOrder,
    operator: String,
) -> Result<(InviteLine, Invite), Result<Complaint, Denial>> {
    let now = clock::now();
    let mut brokers: Vec<BrokerAddress> = broker.addresses.clone();
    let peers = broker.directory.live(now);
    brokers.extend(peers.into_iter().filter(|peer| peer.id != broker.id).flat_map(|peer| peer.addresses));
    brokers.dedup();
    let generation = broker.keys.generations.get().accepted(now);
    let maker = Maker { cluster: &broker.cluster, pin: broker.pin(), generation, limits: broker.limits, brokers };
    let invite = order.fill(maker, now).map_err(Ok)?;
    broker.sentinel.check().map_err(|error| Err(error.into()))?;
    let signer = broker.keys.invite.get();
    assert_not_void(broker, &signer).await.map_err(Err)?;
    let line = sign(&signer, &invite).map_err(|error| Err(Denial::Unavailable(error)))?;
    broker.audit.record(made(&invite, operator)).await.map_err(|error| Err(error.into()))?;
    let signed = Signed { invite, by: signer.public().id() };
    broker.invites.announce(&signed).await.map_err(|error| Err(error.into()))?;
    Ok((line, signed.invite))
}

/// The line of an invite, signed.
pub(crate) fn sign(signer: &Signer, invite: &Invite) -> Result<InviteLine, String> {
    let jws = signer.sign(invite).map_err(|error| error.to_string())?;
    InviteLine::from_jws(&jws).map_err(|error| error.to_string())
}

/// What a revocation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    /// False if it was revoked already.
    pub(crate) changed: bool,
    /// False if no broker has seen the invite: it was made offline and not used yet, or the id is wrong.
    pub(crate) seen: bool,
}

/// Revokes an invite by its id, whether the ledger has seen it or not.
pub(crate) async fn revoke_invite(broker: &Broker, id: &InviteId, operator: String) -> Result<Revocation, Denial> {
    let ends = broker.invites.read(id).await?.and_then(|state| state.policy.invite().map(|invite| invite.exp));
    let (outcome, version) = broker.invites.submit(id, None, Operation::Revoke).await?;
    let seen = ends.is_some();
    let record = Record {
        invite: Some(id.clone()),
        operator: Some(operator),
        // Of one that nobody has seen: as long as any can live.
        ends: ends.or(Some(clock::now().saturating_add(LONGEST))),
        version: Some(version),
        ..Record::new(Event::InviteRevoked)
    };
    let changed = outcome == Outcome::Yours;
    if changed {
        broker.audit.record(record).await?;
    }
    Ok(Revocation { changed, seen })
}

/// Whether the invite's networks contain the address.
pub(crate) fn admits_from(invite: &Invite, source: IpAddr) -> bool {
    let source = source.to_canonical();
    invite.from.is_empty() || invite.from.iter().any(|network| network.contains(&source))
}
