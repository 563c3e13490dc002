//! The claims on one invite: who has a use, which grant is open, what was redeemed, which node came of it.
//!
//! Keeps promises 1 and 2 as a pure function of (claims, policy, operation, now): no I/O, no clock, no randomness.
//! Must not be changed except through `apply`.

use std::collections::BTreeMap;

use protocol::{GrantHash, Invite, KeyHash, NodeId};
use serde::{Deserialize, Serialize};

use super::{LedgerError, WINDOW, names};
use crate::audit::Reason;
use crate::jwt::KeyId;

/// All claims on one invite.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Since when it is revoked, in seconds since 1970.
    pub(crate) revoked: Option<u64>,
    /// The key that signed the invite; none where an older release wrote it.
    pub(crate) signed: Option<KeyId>,
    /// The uses, by key.
    pub(crate) uses: BTreeMap<KeyHash, Use>,
    /// Labels of a newer release, kept as they are.
    other: BTreeMap<String, String>,
}

/// One use. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Use {
    /// When the key claimed it.
    pub(crate) claimed: u64,
    /// The key's open grant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<GrantHash>,
    /// What was redeemed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) redeemed: Option<Redemption>,
    /// The node that confirmed, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) joined: Option<Join>,
}

/// A redemption, and its repetitions by the same key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Redemption {
    pub(crate) grant: GrantHash,
    /// When the token was handed out last.
    pub(crate) last: u64,
    /// How often it was handed out for this grant.
    pub(crate) times: u32,
    /// The generation of the token that was handed out.
    #[serde(default)]
    pub(crate) generation: u64,
    /// Whether the answer was held back, because a rotation came in between.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) held: bool,
}

/// A confirmed join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) node: NodeId,
    pub(crate) grant: GrantHash,
    pub(crate) at: u64,
}

/// What a request wants of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A use for this key.
    Claim { key: KeyHash },
    /// This grant as the key's open one.
    Open { key: KeyHash, grant: GrantHash },
    /// The redemption of this grant, for the token of this generation.
    Redeem { key: KeyHash, grant: GrantHash, generation: u64 },
    /// The redemption is answered later: nobody need wait for this key.
    Hold { key: KeyHash, grant: GrantHash },
    /// This node as the one that came of this grant.
    Join { key: KeyHash, grant: GrantHash, node: NodeId },
    /// Nobody more.
    Revoke,
}

/// What the ledger answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It became the caller's by this operation.
    Yours,
    /// It was the caller's already.
    YoursAlready,
}

impl Claims {
    /// No claim yet on an invite that this key signed.
    pub(crate) fn on(signed: Option<KeyId>) -> Self {
        Self { signed, ..Self::default() }
    }

    /// Reads claims from an object's labels. A use that does not read makes the whole object unreadable: counting
    /// without it would admit one too many.
    pub(crate) fn from_labels(labels: &BTreeMap<String, String>) -> Result<Self, LedgerError> {
        let damaged = |label: &str| LedgerError::Unavailable(format!("the ledger's label '{label}' does not read"));
        let mut claims = Self::default();
        for (label, value) in labels {
            if let Some(key) = names::key_of(label) {
                claims.uses.insert(key, serde_json::from_str(value).map_err(|_| damaged(label))?);
            } else if label == names::REVOKED {
                claims.revoked = Some(value.parse().map_err(|_| damaged(label))?);
            } else if label == names::SIGNED {
                claims.signed = Some(value.parse().map_err(|_| damaged(label))?);
            } else {
                claims.other.insert(label.clone(), value.clone());
            }
        }
        Ok(claims)
    }

    /// The labels that say the same.
    pub(crate) fn to_labels(&self) -> Result<BTreeMap<String, String>, LedgerError> {
        let mut labels = self.other.clone();
        labels.insert(names::KIND.into(), names::INVITE.into());
        if let Some(since) = self.revoked {
            labels.insert(names::REVOKED.into(), since.to_string());
        }
        if let Some(signed) = &self.signed {
            labels.insert(names::SIGNED.into(), signed.to_string());
        }
        for (key, taken) in &self.uses {
            let value = serde_json::to_string(taken).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
            labels.insert(names::use_of(key), value);
        }
        Ok(labels)
    }

    /// Adds what a log says was claimed. Of a use that is known in two ways, what is further on counts.
    pub(crate) fn put_back(&mut self, logged: &Self) {
        self.revoked = match (self.revoked, logged.revoked) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
        for (key, other) in &logged.uses {
            let merged = self.uses.get(key).map_or_else(|| other.clone(), |one| one.further(other));
            self.uses.insert(key.clone(), merged);
        }
    }

    /// Does one operation, at `now`, for an invite with this policy.
    pub(crate) fn apply(
        &mut self,
        invite: Option<&Invite>,
        operation: &Operation,
        now: u64,
    ) -> Result<Outcome, LedgerError> {
        match operation {
            Operation::Revoke => Ok(self.revoke(now)),
            Operation::Claim { key } => self.claim(invite, key, now),
            Operation::Open { key, grant } => self.open(key, grant, now),
            Operation::Redeem { key, grant, generation } => self.redeem(key, grant, *generation, now),
            Operation::Hold { key, grant } => self.hold(key, grant, now),
            Operation::Join { key, grant, node } => self.join(key, grant, node, now),
        }
    }

    fn revoke(&mut self, now: u64) -> Outcome {
        if self.revoked.is_some() {
            return Outcome::YoursAlready;
        }
        self.revoked = Some(now);
        Outcome::Yours
    }

    fn claim(&mut self, invite: Option<&Invite>, key: &KeyHash, now: u64) -> Result<Outcome, LedgerError> {
        if self.revoked.is_some() {
            return refused(Reason::InviteRevoked);
        }
        if let Some(taken) = self.uses.get(key) {
            taken.still_booting(now)?;
            return Ok(Outcome::YoursAlready);
        }
        let Some(invite) = invite else { return refused(Reason::NoUse) };
        if now >= invite.exp {
            return refused(Reason::InviteEnded);
        }
        if self.uses.len() >= usize::try_from(invite.uses).unwrap_or(0) {
            return refused(Reason::UsedUp);
        }
        self.uses.insert(key.clone(), Use { claimed: now, grant: None, redeemed: None, joined: None });
        Ok(Outcome::Yours)
    }

    fn open(&mut self, key: &KeyHash, grant: &GrantHash, now: u64) -> Result<Outcome, LedgerError> {
        let taken = self.booting(key, now)?;
        taken.grant = Some(grant.clone());
        Ok(Outcome::Yours)
    }

    fn redeem(&mut self, key: &KeyHash, grant: &GrantHash, generation: u64, now: u64) -> Result<Outcome, LedgerError> {
        let taken = self.booting(key, now)?;
        if taken.grant.as_ref() != Some(grant) {
            return Err(LedgerError::AskAgain);
        }
        let before = taken.redeemed.as_ref().filter(|redemption| redemption.grant == *grant);
        let (times, outcome) = before
            .map_or((1, Outcome::Yours), |redemption| (redemption.times.saturating_add(1), Outcome::YoursAlready));
        taken.redeemed = Some(Redemption { grant: grant.clone(), last: now, times, generation, held: false });
        Ok(outcome)
    }

    fn hold(&mut self, key: &KeyHash, grant: &GrantHash, now: u64) -> Result<Outcome, LedgerError> {
        if let Some(redemption) = &mut self.booting(key, now)?.redeemed
            && redemption.grant == *grant
        {
            redemption.held = true;
        }
        Ok(Outcome::YoursAlready)
    }

    /// A confirm needs nothing that expires: neither the window nor a revocation stands in its way.
    fn join(&mut self, key: &KeyHash, grant: &GrantHash, node: &NodeId, now: u64) -> Result<Outcome, LedgerError> {
        let Some(taken) = self.uses.get_mut(key) else { return refused(Reason::NoUse) };
        if let Some(join) = &taken.joined {
            let same = join.node == *node && taken.knows(grant);
            return if same { Ok(Outcome::YoursAlready) } else { refused(Reason::OtherNode) };
        }
        if taken.redeemed.is_none() || !taken.knows(grant) {
            return refused(Reason::NotRedeemed);
        }
        taken.joined = Some(Join { node: node.clone(), grant: grant.clone(), at: now });
        Ok(Outcome::Yours)
    }

    fn booting(&mut self, key: &KeyHash, now: u64) -> Result<&mut Use, LedgerError> {
        if self.revoked.is_some() {
            return refused(Reason::InviteRevoked);
        }
        let Some(taken) = self.uses.get_mut(key) else { return refused(Reason::NoUse) };
        taken.still_booting(now)?;
        Ok(taken)
    }
}

impl Use {
    fn still_booting(&self, now: u64) -> Result<(), LedgerError> {
        if self.joined.is_some() {
            return refused(Reason::Confirmed);
        }
        if now >= self.claimed.saturating_add(WINDOW) {
            return refused(Reason::WindowEnded);
        }
        Ok(())
    }

    /// The same use, as far as it has come by one word or the other. Its window is that of the earlier claim.
    fn further(&self, other: &Self) -> Self {
        let came = |taken: &Self| {
            let redeemed = taken.redeemed.as_ref().map(|redemption| (redemption.last, redemption.times));
            (taken.joined.is_some(), redeemed, taken.grant.is_some())
        };
        let further = if came(other) >= came(self) { other } else { self };
        Self { claimed: self.claimed.min(other.claimed), ..further.clone() }
    }

    /// Whether the grant is the open or the redeemed one. A machine that asked for another grant while its engine
    /// was still joining with the first may confirm with either.
    fn knows(&self, grant: &GrantHash) -> bool {
        let redeemed = self.redeemed.as_ref().map(|redemption| &redemption.grant);
        let joined = self.joined.as_ref().map(|join| &join.grant);
        [self.grant.as_ref(), redeemed, joined].contains(&Some(grant))
    }
}

fn refused<T>(reason: Reason) -> Result<T, LedgerError> {
    Err(LedgerError::Refused(reason))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use protocol::{ClusterId, GrantId, InviteId, Pin, Role};

    use super::*;

    /// An invite of the year 1970, which ends at second 1000.
    pub(crate) fn invite(uses: u32) -> Invite {
        Invite {
            aud: protocol::INVITE_AUDIENCE.into(),
            jti: InviteId::random(),
            iat: 0,
            exp: 1000,
            iss: ClusterId::random(),
            pin: Pin::of_certificate(b"root"),
            generation: 1,
            role: Role::Worker,
            uses,
            from: Vec::new(),
            labels: BTreeMap::new(),
            brokers: Vec::new(),
            ephemeral: None,
            newer: BTreeMap::new(),
        }
    }

    fn key(number: u8) -> KeyHash {
        KeyHash::of_spki(&[number])
    }

    fn grant() -> GrantHash {
        GrantId::random().hash()
    }

    fn node(last: char) -> NodeId {
        format!("{}{last}", "a".repeat(24)).parse().expect("a node id")
    }

    fn reason(result: &Result<Outcome, LedgerError>) -> Option<Reason> {
        match result {
            Err(LedgerError::Refused(reason)) => Some(*reason),
            Ok(_) | Err(_) => None,
        }
    }

    #[test]
    fn a_key_keeps_its_use_past_the_end_of_the_invite_for_its_window() {
        let (invite, mut claims) = (invite(1), Claims::default());
        let claim = Operation::Claim { key: key(1) };
        assert_eq!(claims.apply(Some(&invite), &claim, 999).ok(), Some(Outcome::Yours));
        assert_eq!(claims.apply(Some(&invite), &claim, 999 + WINDOW - 1).ok(), Some(Outcome::YoursAlready));
        assert_eq!(reason(&claims.apply(Some(&invite), &claim, 999 + WINDOW)), Some(Reason::WindowEnded));
        assert_eq!(
            reason(&claims.apply(Some(&invite), &Operation::Claim { key: key(2) }, 1000)),
            Some(Reason::InviteEnded)
        );
    }

    #[test]
    fn only_the_open_grant_is_redeemed() {
        let (invite, mut claims) = (invite(1), Claims::default());
        let (first, second) = (grant(), grant());
        claims.apply(Some(&invite), &Operation::Claim { key: key(1) }, 1).expect("claims");
        for open in [&first, &second] {
            claims.apply(Some(&invite), &Operation::Open { key: key(1), grant: open.clone() }, 2).expect("opens");
        }
        let redeem = |grant: &GrantHash| Operation::Redeem { key: key(1), grant: grant.clone(), generation: 1 };
        assert!(matches!(claims.apply(Some(&invite), &redeem(&first), 3), Err(LedgerError::AskAgain)));
        assert_eq!(claims.apply(Some(&invite), &redeem(&second), 3).ok(), Some(Outcome::Yours));
        assert_eq!(claims.apply(Some(&invite), &redeem(&second), 4).ok(), Some(Outcome::YoursAlready));
    }

    #[test]
    fn nothing_is_given_after_the_confirm_and_the_confirm_is_one_nodes() {
        let (invite, mut claims) = (invite(1), Claims::default());
        let open = grant();
        let join = |node: NodeId| Operation::Join { key: key(1), grant: open.clone(), node };
        claims.apply(Some(&invite), &Operation::Claim { key: key(1) }, 1).expect("claims");
        claims.apply(Some(&invite), &Operation::Open { key: key(1), grant: open.clone() }, 1).expect("opens");
        assert_eq!(reason(&claims.apply(Some(&invite), &join(node('x')), 2)), Some(Reason::NotRedeemed));
        claims
            .apply(Some(&invite), &Operation::Redeem { key: key(1), grant: open.clone(), generation: 1 }, 2)
            .expect("redeems");
        claims.apply(Some(&invite), &Operation::Revoke, 3).expect("revokes");
        assert_eq!(claims.apply(Some(&invite), &join(node('x')), 9 * WINDOW).ok(), Some(Outcome::Yours));
        assert_eq!(claims.apply(Some(&invite), &join(node('x')), 9 * WINDOW).ok(), Some(Outcome::YoursAlready));
        assert_eq!(reason(&claims.apply(Some(&invite), &join(node('y')), 9 * WINDOW)), Some(Reason::OtherNode));
        claims.revoked = None;
        let again = Operation::Redeem { key: key(1), grant: open.clone(), generation: 1 };
        assert_eq!(reason(&claims.apply(Some(&invite), &again, 4)), Some(Reason::Confirmed));
    }

    #[test]
    fn a_revoked_invite_gives_nothing_more() {
        let (invite, mut claims) = (invite(2), Claims::default());
        let open = grant();
        claims.apply(Some(&invite), &Operation::Claim { key: key(1) }, 1).expect("claims");
        claims.apply(Some(&invite), &Operation::Revoke, 2).expect("revokes");
        for operation in [
            Operation::Claim { key: key(1) },
            Operation::Claim { key: key(2) },
            Operation::Open { key: key(1), grant: open.clone() },
            Operation::Redeem { key: key(1), grant: open.clone(), generation: 1 },
            Operation::Hold { key: key(1), grant: open },
        ] {
            assert_eq!(
                reason(&claims.apply(Some(&invite), &operation, 3)),
                Some(Reason::InviteRevoked),
                "{operation:?}"
            );
        }
    }

    #[test]
    fn what_is_put_back_is_the_further_of_two_and_takes_nothing_away() {
        let (invite, mut ledger) = (invite(9), Claims::default());
        let open = grant();
        let claim = |key| Operation::Claim { key };
        ledger.apply(Some(&invite), &claim(key(1)), 5).expect("claims");
        let mut logged = ledger.clone();
        logged.apply(Some(&invite), &Operation::Open { key: key(1), grant: open.clone() }, 6).expect("opens");
        let redeem = Operation::Redeem { key: key(1), grant: open.clone(), generation: 1 };
        logged.apply(Some(&invite), &redeem, 7).expect("redeems");
        logged.apply(Some(&invite), &claim(key(2)), 8).expect("claims");
        logged.apply(None, &Operation::Revoke, 9).expect("revokes");
        ledger.apply(Some(&invite), &claim(key(3)), 8).expect("claims");
        let before = logged.clone();
        ledger.put_back(&logged);
        assert_eq!((ledger.uses.len(), ledger.revoked), (3, Some(9)));
        assert_eq!(ledger.uses[&key(1)], before.uses[&key(1)]);
        logged.put_back(&ledger);
        assert_eq!(logged, ledger, "in whatever order");
    }

    #[test]
    fn a_damaged_use_is_never_counted_as_free() {
        let labels = BTreeMap::from([(names::use_of(&key(1)), "{".to_owned())]);
        assert!(matches!(Claims::from_labels(&labels), Err(LedgerError::Unavailable(_))));
    }

    fn operations() -> impl Strategy<Value = Vec<(u8, u8, u64)>> {
        proptest::collection::vec((0_u8..6, 0_u8..8, 0_u64..2000), 0..200)
    }

    proptest! {
        #[test]
        fn whatever_happens_an_invite_for_n_admits_at_most_n_keys(uses in 0_u32..5, steps in operations()) {
            let (invite, mut claims) = (invite(uses), Claims::default());
            let grants: Vec<GrantHash> = (0..8).map(|_| grant()).collect();
            for (kind, who, now) in steps {
                let (key, grant) = (key(who), grants[usize::from(who)].clone());
                let operation = match kind {
                    0 | 1 => Operation::Claim { key },
                    2 => Operation::Open { key, grant },
                    3 => Operation::Redeem { key, grant, generation: now },
                    4 => Operation::Hold { key, grant },
                    _ => Operation::Join { key, grant, node: node('z') },
                };
                let before = claims.clone();
                if claims.apply(Some(&invite), &operation, now).is_err() {
                    prop_assert_eq!(&claims, &before, "a refusal changes nothing");
                }
                prop_assert!(claims.uses.len() <= usize::try_from(uses).expect("small"));
                let read = Claims::from_labels(&claims.to_labels().expect("writes")).expect("reads");
                prop_assert_eq!(read.uses, claims.uses.clone());
            }
        }
    }
}
