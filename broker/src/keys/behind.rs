//! Which of the keys that all brokers share were replaced elsewhere, and are not here yet.
//!
//! Keeps promise 8 (any broker will do) across a change of keys. Pure functions of what the ledger says. Must not take a key
//! for the current one that no broker has: one may be listed by a broker that was killed before it kept it.

use std::collections::HashSet;

use protocol::SharedKey;

use super::What;
use crate::broker::Broker;
use crate::jwt::KeyId;
use crate::ledger::{InviteKey, Peer};

/// A shared key of which this broker has a former one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Behind {
    pub(crate) what: What,
    /// The number of the one here.
    pub(crate) has: u64,
    /// The number of the current one.
    pub(crate) current: u64,
    /// The id of the current invite key.
    pub(crate) kid: Option<KeyId>,
}

impl From<SharedKey> for What {
    fn from(shared: SharedKey) -> Self {
        match shared {
            SharedKey::Ca => Self::Ca,
            SharedKey::InviteKey => Self::InviteKey,
        }
    }
}

/// What this broker lacks, by what it read of the ledger last.
pub(crate) fn behind(broker: &Broker) -> Vec<Behind> {
    let (issuing, generations) = (broker.keys.issuing.get(), broker.keys.generations.get());
    let (has, newest) = (issuing.public().generation, generations.newest());
    let replaced = newest > has || (newest == has && !super::ca::is_listed(&generations, &issuing));
    let ca = replaced.then_some(Behind { what: What::Ca, has: has.into(), current: newest.into(), kid: None });
    let own = broker.keys.invite.get().public().id();
    let invite = invite_key(&own, &broker.directory.known_invite_keys(), &broker.directory.all());
    ca.into_iter().chain(invite).collect()
}

/// Whether another invite key than our own is the current one: the newest that is not void and that some broker has.
fn invite_key(own: &KeyId, keys: &[InviteKey], brokers: &[Peer]) -> Option<Behind> {
    let held: HashSet<&KeyId> = brokers.iter().filter_map(|peer| peer.invite.as_ref()).chain([own]).collect();
    let order = |key: &&InviteKey| (key.generation, key.since, key.key.id());
    let good = keys.iter().filter(|key| key.voided.is_none());
    let current = good.filter(|key| held.contains(&key.key.id())).max_by_key(order)?;
    let here = keys.iter().find(|key| key.key.id() == *own)?;
    (current.key != here.key).then(|| Behind {
        what: What::InviteKey,
        has: here.generation,
        current: current.generation,
        kid: Some(current.key.id()),
    })
}

#[cfg(test)]
mod tests {
    use certs::SigningKey;
    use protocol::INVITE_TYP;

    use super::*;
    use crate::jwt::Signer;

    fn key(generation: u64, voided: Option<u64>) -> InviteKey {
        let key = Signer::new(INVITE_TYP, &SigningKey::generate().expect("a key")).public().clone();
        InviteKey { key, generation, since: 0, voided }
    }

    fn with(key: &InviteKey) -> Peer {
        let text = format!(
            r#"{{"id":"b","addresses":[],"node":"aaaaaaaaaaaaaaaaaaaaaaaaa","key":"k","renewed":5,"release":"1","invite":"{}"}}"#,
            key.key.id()
        );
        serde_json::from_str(&text).expect("reads")
    }

    #[test]
    fn the_current_invite_key_is_the_newest_that_is_good_and_that_a_broker_has() {
        let (first, second, third) = (key(1, None), key(2, None), key(3, None));
        let keys = [third.clone(), first.clone(), second.clone()];
        let behind = |own: &InviteKey, keys: &[InviteKey], brokers: &[Peer]| {
            invite_key(&own.key.id(), keys, brokers).map(|behind| (behind.has, behind.current))
        };
        assert_eq!(behind(&first, &keys, &[]), None, "listed by brokers that were killed before they kept them");
        assert_eq!(behind(&first, &keys, &[with(&second)]), Some((1, 2)));
        assert_eq!(behind(&first, &keys, &[with(&second), with(&third)]), Some((1, 3)));
        assert_eq!(behind(&third, &keys, &[with(&second)]), None);
        // After a leak the newest may be void, and a former one may be all that is left.
        let voided = [InviteKey { voided: Some(9), ..third.clone() }, second.clone()];
        assert_eq!(behind(&third, &voided, &[with(&second)]), Some((3, 2)));
        assert_eq!(behind(&third, &voided[..1], &[with(&third)]), None, "there is none to be had");
        // Two brokers at once: both take the same one.
        let twins = [key(2, None), key(2, None)];
        let both = [with(&twins[0]), with(&twins[1])];
        let follows: Vec<bool> = twins.iter().map(|own| behind(own, &twins, &both).is_some()).collect();
        assert_eq!(follows.iter().filter(|follows| **follows).count(), 1);
    }
}
