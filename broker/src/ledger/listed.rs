//! What the ledger lists of brokers and keys: whose they are, and for how long what they signed is good.
//!
//! Keeps promise 6 across a change of keys: what a former key signed is known for as long as it must be. Pure functions.
//! Must not hold a private key.

use protocol::{BrokerAddress, NodeId};
use serde::{Deserialize, Serialize};

use super::WINDOW;
use crate::jwt::{KeyId, PublicKey};
use crate::swarm::Stored;

/// Clocks of two brokers differ by no more than this, in seconds.
const SKEW: u64 = 5;
/// For so long after its last grant has ended a key is remembered, in seconds: who held a grant of it all that time is
/// told to ask for another one, as with any grant that has ended. After that its use is over anyway.
const REMEMBERED: u64 = WINDOW;
/// Of keys whose grants have all ended no more than these, so that an entry stays small however often keys are replaced.
const MOST_REMEMBERED: usize = 32;
pub(super) const ENTRY: &str = "swarm-broker.entry";
/// The labels on an invite key's object. One without them is of a time when there was but one key.
pub(super) const GENERATION: &str = "swarm-broker.generation";
pub(super) const SINCE: &str = "swarm-broker.since";
pub(super) const VOIDED: &str = "swarm-broker.voided";

/// What this release knows of an invite's policy. 1: `ephemeral`. 2: `conditions`.
pub(crate) const POLICY: u32 = 2;

/// A broker as the ledger knows it. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    /// The broker's id.
    pub(crate) id: String,
    /// Where it can be reached.
    pub(crate) addresses: Vec<BrokerAddress>,
    /// The node it runs on.
    pub(crate) node: NodeId,
    /// The public key of its grants.
    pub(crate) key: String,
    /// The key's number, one more with each.
    #[serde(default = "first")]
    pub(crate) generation: u64,
    /// Since when it is the key, as far as that is known.
    #[serde(default)]
    pub(crate) since: u64,
    /// The keys before it, the oldest first: for a while also those whose grants have all ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) retired: Vec<Retired>,
    /// The generation of its issuing CA.
    #[serde(default = "first_generation")]
    pub(crate) issuing: u32,
    /// The id of the key that it signs invites with; none in an entry of an older release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) invite: Option<KeyId>,
    /// For how long its grants are good, in seconds.
    #[serde(default = "longest")]
    pub(crate) grants: u64,
    /// Its audit log, as it was when it wrote this; none in an entry of an older release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) log: Option<ListedLog>,
    /// How much of an invite's policy it knows: [`POLICY`] is all that this release does; 0 in an entry of one that did not
    /// say it.
    #[serde(default)]
    pub(crate) policy: u32,
    /// When it wrote this last.
    pub(crate) renewed: u64,
    /// Its release.
    pub(crate) release: String,
}

/// The head of a broker's audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ListedLog {
    /// The public key that verifies it, as text (C2SP signed-note).
    pub(crate) key: String,
    /// How many records there are.
    pub(crate) size: u64,
    /// The hash over them, in base64.
    pub(crate) root: String,
}

/// A former key of a broker's grants.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retired {
    pub(crate) key: String,
    /// When the last grant that it signed has ended.
    pub(crate) until: u64,
    /// It has leaked: its grants are not redeemed, and who shows one asks for another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) void: bool,
}

/// What becomes of a key that another one replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Retire {
    /// Its grants are good until they end.
    AfterLast,
    /// Its grants are good no more.
    AtOnce,
}

/// A key of a broker's grants, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GrantKey {
    pub(crate) key: PublicKey,
    /// The node of the broker that signs with it.
    pub(crate) node: NodeId,
    /// None for the one in use.
    until: Option<u64>,
    void: bool,
}

/// Whether a grant's key is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Good,
    /// It was replaced after a leak, a moment ago: an honest machine may still come with a grant of it.
    Void,
    /// Every grant that it signed has ended: an honest machine may still hold one.
    Over,
}

impl GrantKey {
    /// Whether it is good at `now`.
    pub(crate) fn standing(&self, now: u64) -> Standing {
        match self.until {
            Some(until) if now >= until => Standing::Over,
            _ if self.void => Standing::Void,
            _ => Standing::Good,
        }
    }
}

fn first() -> u64 {
    1
}

fn first_generation() -> u32 {
    1
}

fn longest() -> u64 {
    crate::grants::LONGEST
}

impl Peer {
    /// This entry as it takes the place of `before`, at `now`: a key that was there is good until the last grant that it
    /// may have signed has ended, and remembered for a while after that.
    pub(super) fn over(mut self, before: &Self, retire: Retire, now: u64) -> Self {
        let ended = before.retired.iter().filter(|former| now >= former.until).count();
        let mut too_many = ended.saturating_sub(MOST_REMEMBERED);
        let is_kept = |former: &&Retired| {
            let one_too_many = now >= former.until && too_many > 0;
            too_many -= usize::from(one_too_many);
            !one_too_many && former.key != self.key && now < former.until.saturating_add(REMEMBERED)
        };
        self.retired = before.retired.iter().filter(is_kept).cloned().collect();
        if before.key == self.key {
            self.generation = before.generation;
            self.since = if before.since == 0 { now } else { before.since };
        } else {
            self.generation = before.generation.saturating_add(1);
            self.since = now;
            let until = now.saturating_add(before.grants.max(self.grants)).saturating_add(SKEW);
            self.retired.push(Retired { key: before.key.clone(), until, void: false });
        }
        // Whoever writes it for a broker that does not serve yet knows nothing of its log.
        self.log = self.log.or_else(|| before.log.clone());
        if retire == Retire::AtOnce {
            self.retired.iter_mut().for_each(|former| former.void = true);
        }
        self
    }
}

/// The entry of a broker that is gone for good goes after this long, in seconds: a grant lives for minutes.
const GONE: u64 = 60 * 60;

impl Peer {
    /// Whether its broker is gone for good at `now`: its node is no manager any more, or another broker took its place
    /// there. One that does not run for a while is not gone.
    pub(super) fn is_gone(&self, manages: bool, all: &[Self], now: u64) -> bool {
        let replaced = || all.iter().any(|other| other.node == self.node && other.renewed > self.renewed);
        now >= self.renewed.saturating_add(GONE) && (!manages || replaced())
    }
}

/// A key that signs invites. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct InviteKey {
    pub(crate) key: PublicKey,
    /// Its number, one more with each.
    pub(crate) generation: u64,
    /// Since when it is listed, as far as that is known.
    pub(crate) since: u64,
    /// Since when nothing that it signed admits anybody.
    pub(crate) voided: Option<u64>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct InviteKeyData {
    pub(super) key: String,
}

impl InviteKey {
    pub(super) fn read(stored: &Stored) -> Option<Self> {
        let data: InviteKeyData = serde_json::from_slice(&stored.object.data).ok()?;
        let number = |label: &str| stored.object.labels.get(label).and_then(|text| text.parse().ok());
        Some(Self {
            key: PublicKey::from_text(&data.key)?,
            generation: number(GENERATION).unwrap_or(1),
            since: number(SINCE).unwrap_or(0),
            // What does not read was written to say that it is void.
            voided: stored.object.labels.get(VOIDED).map(|text| text.parse().unwrap_or(0)),
        })
    }
}

/// A broker's entry, if it reads.
pub(super) fn entry(stored: &Stored) -> Option<Peer> {
    serde_json::from_str(stored.object.labels.get(ENTRY)?).ok()
}

/// The keys of a broker's grants: the former ones first, so that a key that came back is the one in use.
pub(super) fn grant_keys(peer: &Peer) -> Vec<GrantKey> {
    let former = peer.retired.iter().filter_map(|former| {
        let key = PublicKey::from_text(&former.key)?;
        Some(GrantKey { key, node: peer.node.clone(), until: Some(former.until), void: former.void })
    });
    let current =
        PublicKey::from_text(&peer.key).map(|key| GrantKey { key, node: peer.node.clone(), until: None, void: false });
    former.chain(current).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_000_000;

    fn peer(key: &str) -> Peer {
        Peer {
            id: "b".into(),
            addresses: Vec::new(),
            node: "a".repeat(25).parse().expect("a node id"),
            key: key.into(),
            generation: 1,
            since: NOW,
            retired: Vec::new(),
            issuing: 1,
            invite: None,
            grants: 60,
            log: None,
            policy: POLICY,
            renewed: NOW,
            release: "1".into(),
        }
    }

    #[test]
    fn a_former_key_is_good_until_its_last_grant_has_ended() {
        let second = peer("two").over(&peer("one"), Retire::AfterLast, NOW + 10);
        assert_eq!((second.generation, second.since), (2, NOW + 10));
        let until = NOW + 10 + 60 + SKEW;
        assert_eq!(second.retired, [Retired { key: "one".into(), until, void: false }]);
        // The entry is renewed every few seconds: that changes nothing but what is over.
        let renewed = peer("two").over(&second, Retire::AfterLast, until - 1);
        assert_eq!((renewed.generation, renewed.since, &renewed.retired), (2, NOW + 10, &second.retired));
        let third = peer("three").over(&renewed, Retire::AfterLast, NOW + 20);
        assert_eq!(third.retired.iter().map(|former| former.key.as_str()).collect::<Vec<_>>(), ["one", "two"]);
    }

    #[test]
    fn a_key_is_remembered_for_who_slept_past_its_grants_end() {
        let second = peer("two").over(&peer("one"), Retire::AfterLast, NOW);
        let until = second.retired[0].until;
        let remembered = |now| peer("two").over(&second, Retire::AfterLast, now).retired.len();
        assert_eq!((remembered(until), remembered(until + WINDOW - 1), remembered(until + WINDOW)), (1, 1, 0));
        // Whoever replaces it all the time has an entry of some size, and no good key is forgotten for that.
        let mut entry = peer("0");
        for number in 1..=1000_u64 {
            entry = peer(&number.to_string()).over(&entry, Retire::AfterLast, NOW + number);
        }
        let good = entry.retired.iter().filter(|former| former.until > NOW + 1000).count();
        assert_eq!((entry.retired.len() - good, good), (MOST_REMEMBERED, 65));
        assert_eq!(entry.retired.last().map(|former| former.key.as_str()), Some("999"));
    }

    #[test]
    fn after_a_leak_every_former_key_is_void_and_who_has_its_grant_asks_again() {
        let second = peer("two").over(&peer("one"), Retire::AfterLast, NOW);
        let third = peer("three").over(&second, Retire::AtOnce, NOW + 1);
        assert!(third.retired.iter().all(|former| former.void), "{third:?}");
        let renewed = peer("three").over(&third, Retire::AfterLast, NOW + 2);
        assert!(renewed.retired.iter().all(|former| former.void), "and it stays so: {renewed:?}");
        let key = PublicKey::from_point(&[4; 65]).expect("the form of a key");
        let former = |void| GrantKey { key: key.clone(), node: peer("one").node, until: Some(NOW), void };
        assert_eq!(former(true).standing(NOW - 1), Standing::Void);
        assert_eq!(former(true).standing(NOW), Standing::Over);
        assert_eq!((former(false).standing(NOW - 1), former(false).standing(NOW)), (Standing::Good, Standing::Over));
        assert_eq!(GrantKey { until: None, ..former(false) }.standing(NOW), Standing::Good);
    }

    #[test]
    fn a_broker_that_comes_back_with_its_former_key_signs_with_that() {
        let second = peer("two").over(&peer("one"), Retire::AfterLast, NOW);
        let back = peer("one").over(&second, Retire::AfterLast, NOW + 1);
        assert_eq!(back.retired.iter().map(|former| former.key.as_str()).collect::<Vec<_>>(), ["two"]);
    }

    #[test]
    fn an_entry_goes_an_hour_after_its_broker_was_replaced_or_its_node_is_no_manager() {
        let (silent, later) = (peer("one"), Peer { renewed: NOW + 1, ..peer("two") });
        let elsewhere = Peer { node: "b".repeat(25).parse().expect("a node id"), ..later.clone() };
        let hour = NOW + GONE;
        assert!(!silent.is_gone(true, &[silent.clone(), elsewhere], hour), "it may come back");
        assert!(silent.is_gone(false, &[], hour) && !silent.is_gone(false, &[], hour - 1));
        let both = [silent.clone(), later.clone()];
        assert!(silent.is_gone(true, &both, hour) && !silent.is_gone(true, &both, hour - 1));
        assert!(!later.is_gone(true, &both, hour + 1), "it is the one there");
    }

    #[test]
    fn an_entry_of_an_older_release_reads() {
        let text =
            r#"{"id":"b","addresses":[],"node":"aaaaaaaaaaaaaaaaaaaaaaaaa","key":"one","renewed":5,"release":"1"}"#;
        let before: Peer = serde_json::from_str(text).expect("reads");
        assert_eq!((before.generation, before.since, before.grants, before.policy), (1, 0, 300, 0));
        assert_eq!(peer("one").over(&before, Retire::AfterLast, NOW).since, NOW, "as far as it is known");
    }
}
