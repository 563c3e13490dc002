//! The key that signs invites.
//!
//! Keeps promise 6: invites of former keys stay good until they end or are revoked. After a leak the former keys are void:
//! what they signed admits nobody, whether the ledger has seen it or not. Must not sign before the key is listed.

use certs::SigningKey;
use protocol::{INVITE_TYP, Invite};

use super::{Asked, Rotated, order::Made};
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock::{self, Time};
use crate::denial::Denial;
use crate::jwt::Signer;
use crate::ledger::{InviteKey, InviteState, Operation, Outcome, WINDOW};
use crate::state::OwnKey;

/// Replaces it: listed, then on disk, then in use. Cut off in between, a key is listed that nobody has.
pub(super) async fn rotate(broker: &Broker, asked: &Asked) -> Result<Rotated, Denial> {
    let key = SigningKey::generate().map_err(|error| Denial::Unavailable(error.to_string()))?;
    let signer = Signer::new(INVITE_TYP, &key);
    let (kid, now) = (signer.public().id(), clock::now());
    let generation = broker.directory.invite_keys().await?.iter().map(|key| key.generation).max().unwrap_or(0) + 1;
    broker.directory.list_invite_key(signer.public(), generation, now).await?;
    broker.keys.keep(OwnKey::Invite, key).await?;
    broker.keys.invite.replace(signer);
    if asked.now {
        broker.directory.void_other_invite_keys(&kid, now).await?;
    }
    super::ca::list_itself(broker).await;
    broker.directory.refresh().await?;
    if asked.now {
        refuse_all_void(broker, &asked.operator).await?;
    }
    let (invites, unread) = of_others(broker, generation).await?;
    Ok(Rotated { invites, unread, ..Rotated::new(generation, now, kid.to_string()) })
}

/// The key in use, and what other keys have signed.
pub(super) async fn current(broker: &Broker) -> Result<Rotated, Denial> {
    let kid = broker.keys.invite.get().public().id();
    let key = broker.directory.invite_keys().await?.into_iter().find(|key| key.key.id() == kid);
    let key = key.ok_or_else(|| Denial::Unavailable("this broker's invite key is not in the ledger".into()))?;
    // The invites that a rotation would turn into those of a former key.
    let (invites, unread) = of_others(broker, key.generation + 1).await?;
    Ok(Rotated { invites, unread, ..Rotated::new(key.generation, key.since, kid.to_string()) })
}

/// The invites that keys before this generation signed, and that have not ended; and the objects that do not read.
async fn of_others(broker: &Broker, generation: u64) -> Result<(Vec<Made>, Vec<String>), Denial> {
    let (keys, now) = (broker.directory.invite_keys().await?, clock::now());
    let (invites, unread) = broker.invites.list_each().await?;
    let former = invites.iter().filter(|state| signed_by(state, &keys).is_some_and(|key| key.generation < generation));
    let living =
        former.filter_map(|state| Some((state, state.policy.invite()?))).filter(|(_, invite)| now < invite.exp);
    let revoked = |state: &InviteState| state.claims.revoked.is_some();
    let made = |(state, invite): (&InviteState, &Invite)| Made {
        id: invite.jti.clone(),
        ends: Time(invite.exp),
        revoked: revoked(state),
    };
    Ok((living.map(made).collect(), unread))
}

/// The key that signed an invite. One that does not say is of a time when there was but one key.
fn signed_by<'k>(state: &InviteState, keys: &'k [InviteKey]) -> Option<&'k InviteKey> {
    match &state.claims.signed {
        Some(kid) => keys.iter().find(|key| key.key.id() == *kid),
        None => keys.iter().min_by_key(|key| key.generation),
    }
}

/// The same as [`refuse_void`] with the invites as they are now. One that does not read admits nobody as it is.
pub(super) async fn refuse_all_void(broker: &Broker, operator: &str) -> Result<(), Denial> {
    let (invites, _) = broker.invites.list_each().await?;
    refuse_void(broker, &invites, operator).await
}

/// Revokes the invites in the ledger that a void key signed or that accept a void issuing CA: their machines in flight end
/// as well. What a broker that is gone has left of this, the next look of any broker does.
pub(crate) async fn refuse_void(broker: &Broker, invites: &[InviteState], operator: &str) -> Result<(), Denial> {
    let (keys, lowest) = (broker.directory.known_invite_keys(), broker.keys.generations.get().lowest);
    // One that cannot be revoked now keeps none of the others.
    let mut failed = None;
    for state in void(invites, &keys, lowest, clock::now()) {
        match revoke(broker, state, operator).await {
            Ok(()) => {}
            Err(Denial::Unavailable(why)) => failed = Some(Denial::Unavailable(why)),
            Err(other) => return Err(other),
        }
    }
    failed.map_or(Ok(()), Err)
}

async fn revoke(broker: &Broker, state: &InviteState, operator: &str) -> Result<(), Denial> {
    let (outcome, version) = broker.invites.submit(state.policy.id(), None, Operation::Revoke).await?;
    if outcome == Outcome::Yours {
        let record = Record {
            invite: Some(state.policy.id().clone()),
            operator: Some(operator.to_owned()),
            version: Some(version),
            ends: state.policy.invite().map(|invite| invite.exp),
            detail: Some("the key that signed it is void, or it accepts an issuing CA that is".into()),
            ..Record::new(Event::InviteRevoked)
        };
        broker.audit.record(record).await?;
    }
    Ok(())
}

/// Those that a void key signed, or that accept an issuing CA below the lowest, and that still admit somebody at `now`.
fn void<'s>(
    invites: &'s [InviteState],
    keys: &'s [InviteKey],
    lowest: u32,
    now: u64,
) -> impl Iterator<Item = &'s InviteState> {
    invites.iter().filter(move |state| {
        let key_is_void = signed_by(state, keys).is_some_and(|key| key.voided.is_some());
        state.claims.revoked.is_none()
            && state.policy.invite().is_some_and(|invite| {
                now < invite.exp.saturating_add(WINDOW) && (key_is_void || invite.generation < lowest)
            })
    })
}

/// Whether this broker may still sign invites: another one may have declared its key void.
pub(crate) async fn assert_not_void(broker: &Broker, signer: &Signer) -> Result<(), Denial> {
    if broker.directory.is_void(&signer.public().id()).await? {
        let what = "the key that this broker signs invites with was declared void on another one ('broker rotate invite-key --now'). This one gets the new key by itself, within seconds; 'broker status' says what it waits for. Until then, make invites there";
        return Err(Denial::Unavailable(what.into()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use protocol::{INVITE_AUDIENCE, InviteId, Pin, Role};

    use super::*;
    use crate::ledger::{Claims, Policy};

    fn key(generation: u64, voided: Option<u64>) -> InviteKey {
        let key = Signer::new(INVITE_TYP, &SigningKey::generate().expect("a key")).public().clone();
        InviteKey { key, generation, since: 0, voided }
    }

    fn invite(signed: Option<&InviteKey>, ends: u64) -> InviteState {
        let invite = Invite {
            aud: INVITE_AUDIENCE.into(),
            jti: InviteId::random(),
            iat: 0,
            exp: ends,
            iss: protocol::ClusterId::random(),
            pin: Pin::of_certificate(b"root"),
            generation: 1,
            role: Role::Worker,
            uses: 1,
            from: Vec::new(),
            labels: BTreeMap::new(),
            brokers: Vec::new(),
            ephemeral: None,
            conditions: protocol::Conditions::default(),
            newer: BTreeMap::new(),
        };
        let claims = Claims::on(signed.map(|key| key.key.id()));
        InviteState { policy: Policy::Invite(Box::new(invite)), claims, version: 1 }
    }

    #[test]
    fn what_a_void_key_signed_is_refused_and_nothing_else_is() {
        let (first, second, third) = (key(1, Some(9)), key(2, None), key(3, None));
        let keys = [second.clone(), first.clone(), third.clone()];
        let now = 1000;
        let of = |signed, ends| {
            let state = invite(signed, ends);
            void(std::slice::from_ref(&state), &keys, 1, now).count()
        };
        assert_eq!(of(Some(&first), now + 1), 1);
        assert_eq!(of(None, now + 1), 1, "one of the time of the first key");
        assert_eq!(of(Some(&first), now.saturating_sub(1)), 1, "a use of it may still be in its window");
        assert_eq!((of(Some(&second), now + 1), of(Some(&third), now + 1)), (0, 0));
        assert_eq!(of(Some(&key(4, None)), now + 1), 0, "of a key that is not known here yet");
        let mut revoked = invite(Some(&first), now + 1);
        revoked.claims.revoked = Some(1);
        assert_eq!(void(&[revoked], &keys, 1, now).count(), 0);
        assert_eq!(void(&[invite(Some(&first), 1)], &keys, 1, 2 + WINDOW).count(), 0, "over by itself");
        let accepts_the_first = [invite(Some(&second), now + 1)];
        assert_eq!(void(&accepts_the_first, &keys, 2, now).count(), 1, "an issuing CA that leaked");
    }
}
