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
use crate::ledger::{LONGEST, Operation, Outcome, Peer, Signed};

/// Signs an invite, records it and puts it into the ledger.
pub(crate) async fn make_invite(
    broker: &Broker,
    order: InviteOrder,
    operator: String,
) -> Result<(InviteLine, Invite), Result<Complaint, Denial>> {
    let now = clock::now();
    let mut brokers: Vec<BrokerAddress> = broker.addresses.clone();
    // What was read of its own entry may still be what an older release wrote.
    let mut peers = broker.directory.live(now);
    peers.retain(|peer| peer.id != broker.id);
    brokers.extend(peers.iter().flat_map(|peer| peer.addresses.clone()));
    brokers.dedup();
    let generation = broker.keys.generations.get().accepted(now);
    let maker = Maker { cluster: &broker.cluster, pin: broker.pin(), generation, limits: broker.limits, brokers };
    let invite = order.fill(maker, now).map_err(Ok)?;
    known_to_all(&invite, &peers).map_err(Ok)?;
    broker.sentinel.check().map_err(|error| Err(error.into()))?;
    let signer = broker.keys.invite.get();
    assert_not_void(broker, &signer).await.map_err(Err)?;
    let line = sign(&signer, &invite).map_err(|error| Err(Denial::Unavailable(error)))?;
    broker.audit.record(made(&invite, operator)).await.map_err(|error| Err(error.into()))?;
    let signed = Signed { invite, by: signer.public().id() };
    broker.invites.announce(&signed).await.map_err(|error| Err(error.into()))?;
    Ok((line, signed.invite))
}

/// That every other broker that serves knows all that the invite says: one that does not refuses its machines (promise 13).
fn known_to_all(invite: &Invite, others: &[Peer]) -> Result<(), Complaint> {
    let needed = match invite {
        Invite { conditions, .. } if !conditions.is_none() => 2,
        Invite { ephemeral: Some(_), .. } => 1,
        _ => 0,
    };
    let behind = |peer: &&Peer| peer.policy < needed;
    let Some(peer) = others.iter().find(behind) else { return Ok(()) };
    let at = peer.addresses.first().map_or_else(String::new, |address| format!(" at {address}"));
    Err(format!(
        "the broker {}{at} is of release {}, which would refuse the machines of such an invite. Upgrade it first",
        peer.id, peer.release
    ))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::POLICY;
    use crate::ledger::tests::invite;

    #[test]
    fn no_invite_is_made_that_a_broker_of_an_older_release_would_refuse() {
        let entry = r#"{"id":"b","addresses":["10.0.0.2"],"node":"aaaaaaaaaaaaaaaaaaaaaaaaa","key":"k","renewed":5,"release":"0.0.9"}"#;
        let older: Peer = serde_json::from_str(entry).expect("reads");
        let newer = Peer { policy: POLICY, ..older.clone() };
        let ephemeral = Invite { ephemeral: Some(600), ..invite(1) };
        assert_eq!(known_to_all(&ephemeral, std::slice::from_ref(&newer)), Ok(()));
        let told = known_to_all(&ephemeral, &[newer, older.clone()]).expect_err("it would refuse");
        assert!(told.contains("10.0.0.2") && told.contains("0.0.9"), "{told}");
        let between = Peer { policy: 1, ..older.clone() };
        let live = Invite { conditions: protocol::Conditions { live: true, ..Default::default() }, ..invite(1) };
        assert_eq!(known_to_all(&ephemeral, std::slice::from_ref(&between)), Ok(()));
        assert!(known_to_all(&live, &[between]).is_err(), "it knows ephemeral, and no other condition");
        assert_eq!(known_to_all(&invite(1), &[older]), Ok(()), "it knows such ones");
    }
}
