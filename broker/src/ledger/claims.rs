//! The claims on one invite: who has a use, which grant is open, what was redeemed, which node came of it.
//!
//! Keeps promises 1 and 2 as a pure function of (claims, policy, operation, now): no I/O, no clock, no randomness.
//! Must not be changed except through `apply`.

use std::collections::BTreeMap;

use protocol::{GrantHash, Invite, KeyHash, NodeId};

use super::uses::{Answer, Asker, Join, Redemption, Use, Waiting};
use super::{LedgerError, names};
use crate::audit::Reason;
use crate::jwt::KeyId;

/// All claims on one invite.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
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

/// What a request wants of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A use for this key.
    Claim { key: KeyHash },
    /// The same, of an invite that wants a person's answer about each machine: this is who asks.
    Ask { key: KeyHash, asker: Asker },
    /// A person's answer about this key.
    Answer { key: KeyHash, answer: Answer },
    /// This grant as the key's open one.
    Open { key: KeyHash, grant: GrantHash },
    /// The redemption of this grant, for the token of this generation.
    Redeem { key: KeyHash, grant: GrantHash, generation: u64 },
    /// The redemption is answered later: nobody need wait for this key.
    Hold { key: KeyHash, grant: GrantHash },
    /// This node as the one that came of this grant.
    Join { key: KeyHash, grant: GrantHash, node: NodeId },
    /// This node of this key's was removed: its place comes free.
    Free { key: KeyHash, node: NodeId },
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
    /// It becomes the caller's when a person says so, who is asked from now on.
    Asked,
    /// It becomes the caller's when a person says so, who has been asked before.
    Waits,
}

/// So many keys the object of an invite can hold whose places come free, or which asks a person: the raft store takes no
/// larger one.
const MOST_KEYS: usize = 4000;

/// A use whose window ended long ago.
const SHELL: &str = r#"{"claimed":0}"#;

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
            if let Some(key) = names::apart_key_of(label) {
                claims.uses.insert(key, serde_json::from_str(value).map_err(|_| damaged(label))?);
            } else if let Some(key) = names::key_of(label) {
                let taken: Use = serde_json::from_str(value).map_err(|_| damaged(label))?;
                // Beside one that stands apart it is a shell, or what an older release has put back. (Those come first.)
                claims.uses.entry(key).or_insert(taken);
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
            // A broker of an older release reads uses, and drops what it does not know of them; labels that it does not know it
            // keeps. To such a one this key has nothing, or a use that is over: it may remember that there was one.
            if taken.left.is_none() && taken.is_admitted() {
                labels.insert(names::use_of(key), value);
                continue;
            }
            labels.insert(names::apart_of(key), value);
            if !taken.is_unanswered() {
                labels.insert(names::use_of(key), SHELL.to_owned());
            }
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
            Operation::Claim { key } => self.claim(invite, key, None, now),
            Operation::Ask { key, asker } => self.claim(invite, key, Some(asker), now),
            Operation::Answer { key, answer } => self.answer(invite, key, *answer, now),
            Operation::Open { key, grant } => self.open(key, grant, now),
            Operation::Redeem { key, grant, generation } => self.redeem(key, grant, *generation, now),
            Operation::Hold { key, grant } => self.hold(key, grant, now),
            Operation::Join { key, grant, node } => self.join(invite, key, grant, node, now),
            Operation::Free { key, node } => self.free(invite, key, node, now),
        }
    }

    fn revoke(&mut self, now: u64) -> Outcome {
        if self.revoked.is_some() {
            return Outcome::YoursAlready;
        }
        self.revoked = Some(now);
        Outcome::Yours
    }

    fn claim(
        &mut self,
        invite: Option<&Invite>,
        key: &KeyHash,
        asker: Option<&Asker>,
        now: u64,
    ) -> Result<Outcome, LedgerError> {
        if self.revoked.is_some() {
            return refused(Reason::InviteRevoked);
        }
        match self.uses.get(key) {
            Some(taken) if taken.waits(now) => return Ok(Outcome::Waits),
            // Whoever was never answered may ask again.
            Some(taken) if taken.is_unanswered() => {}
            Some(taken) => return taken.still_booting(now).map(|()| Outcome::YoursAlready),
            None => {}
        }
        let Some(invite) = invite else { return refused(Reason::NoUse) };
        if now >= invite.exp {
            return refused(Reason::InviteEnded);
        }
        // What was never answered in time was never admitted.
        let kept = |taken: &Use| !taken.is_unanswered() || taken.waits(now);
        let grows = invite.conditions.live || invite.conditions.approve;
        if grows && self.uses.values().filter(|taken| kept(taken)).count() >= MOST_KEYS {
            return refused(Reason::UsedUp);
        }
        self.room_beside(key, invite, now)?;
        if let Some(rate) = invite.conditions.rate {
            // A claim by a clock that is ahead counts as well.
            let since = now.saturating_sub(rate.per);
            let recent = self.uses.values().filter(|taken| taken.claimed > since).count();
            if recent >= usize::try_from(rate.most).unwrap_or(usize::MAX) {
                return Err(LedgerError::Later("as many machines as the invite admits in that time have just come"));
            }
        }
        let (taken, outcome) = match (invite.conditions.approve, asker) {
            (false, _) => (Use::claimed(now), Outcome::Yours),
            (true, Some(asker)) => (Use::asked(asker.clone(), now), Outcome::Asked),
            (true, None) => return refused(Reason::NoUse),
        };
        self.uses.retain(|_, taken| kept(taken));
        self.uses.insert(key.clone(), taken);
        Ok(outcome)
    }

    /// Whether there is room for this key besides all others, whether or not it seems to hold a place already: clocks of
    /// brokers differ. It is refused for good only where no room can come.
    fn room_beside(&self, key: &KeyHash, invite: &Invite, now: u64) -> Result<(), LedgerError> {
        let live = invite.conditions.live;
        let others = || self.uses.iter().filter(|(other, _)| *other != key).map(|(_, taken)| taken);
        let holders = || others().filter(|taken| taken.holds_place(live, now));
        if holders().count() < usize::try_from(invite.uses).unwrap_or(0) {
            return Ok(());
        }
        if live || holders().any(|taken| taken.waits(now)) {
            return Err(LedgerError::Later("no place of the invite is free: one comes free when its node was removed"));
        }
        refused(Reason::UsedUp)
    }

    /// A person may think better of an answer for as long as the key has not confirmed.
    fn answer(
        &mut self,
        invite: Option<&Invite>,
        key: &KeyHash,
        answer: Answer,
        now: u64,
    ) -> Result<Outcome, LedgerError> {
        if self.revoked.is_some() {
            return refused(Reason::InviteRevoked);
        }
        let (Some(invite), Some(taken)) = (invite, self.uses.get(key)) else { return refused(Reason::NoUse) };
        if taken.joined.is_some() || taken.left.is_some() {
            return refused(Reason::Confirmed);
        }
        if taken.approval.is_none() {
            return refused(Reason::NoUse);
        }
        if taken.answer() == Some(answer) {
            return Ok(Outcome::YoursAlready);
        }
        if answer == Answer::Approved {
            self.room_beside(key, invite, now)?;
        }
        if let Some(taken) = self.uses.get_mut(key) {
            taken.answered(answer, now);
        }
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

    /// A confirm needs nothing that expires: neither the window nor a revocation stands in its way. Where places come free,
    /// one that comes after its window takes a place again; one that a person has kept out meanwhile is no node of ours.
    fn join(
        &mut self,
        invite: Option<&Invite>,
        key: &KeyHash,
        grant: &GrantHash,
        node: &NodeId,
        now: u64,
    ) -> Result<Outcome, LedgerError> {
        let Some(taken) = self.uses.get(key) else { return refused(Reason::NoUse) };
        if let Some(join) = &taken.joined {
            let same = join.node == *node && taken.knows(grant);
            return if same { Ok(Outcome::YoursAlready) } else { refused(Reason::OtherNode) };
        }
        if taken.redeemed.is_none() || !taken.knows(grant) {
            return refused(Reason::NotRedeemed);
        }
        if taken.answer() == Some(Answer::Denied) {
            return refused(Reason::Denied);
        }
        if let Some(invite) = invite.filter(|invite| invite.conditions.live) {
            self.room_beside(key, invite, now)?;
        }
        if let Some(taken) = self.uses.get_mut(key) {
            taken.joined = Some(Join { node: node.clone(), grant: grant.clone(), at: now });
        }
        Ok(Outcome::Yours)
    }

    fn free(
        &mut self,
        invite: Option<&Invite>,
        key: &KeyHash,
        node: &NodeId,
        now: u64,
    ) -> Result<Outcome, LedgerError> {
        let live = invite.is_some_and(|invite| invite.conditions.live);
        let Some(taken) = self.uses.get_mut(key).filter(|_| live) else { return refused(Reason::NoUse) };
        if taken.joined.as_ref().is_none_or(|join| join.node != *node) {
            return Ok(Outcome::YoursAlready);
        }
        *taken = taken.freed(now);
        Ok(Outcome::Yours)
    }

    /// Those that wait for a person's answer at `now`.
    pub(crate) fn waiting(&self, now: u64) -> impl Iterator<Item = Waiting> {
        self.uses.iter().filter(move |(_, taken)| taken.waits(now)).filter_map(|(key, taken)| {
            let asker = taken.approval.as_ref()?.asker.clone();
            Some(Waiting { key: key.clone(), asker, since: taken.claimed })
        })
    }

    /// How many hold a place of the invite at `now`.
    pub(crate) fn held(&self, invite: Option<&Invite>, now: u64) -> usize {
        let live = invite.is_some_and(|invite| invite.conditions.live);
        self.uses.values().filter(|taken| taken.holds_place(live, now)).count()
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

fn refused<T>(reason: Reason) -> Result<T, LedgerError> {
    Err(LedgerError::Refused(reason))
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;
    use protocol::{ClusterId, GrantId, InviteId, Pin, Role};

    use crate::ledger::WINDOW;

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
            conditions: protocol::Conditions::default(),
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
    fn no_more_machines_come_in_a_time_than_the_invite_admits() {
        let mut invite = invite(5);
        invite.conditions.rate = Some(protocol::Rate { most: 2, per: 60 });
        let mut claims = Claims::default();
        let mut claim = |number, now| claims.apply(Some(&invite), &Operation::Claim { key: key(number) }, now);
        assert!(claim(1, 100).is_ok() && claim(2, 130).is_ok());
        assert!(matches!(claim(3, 159), Err(LedgerError::Later(_))), "not final: it comes again");
        assert_eq!(claim(1, 159).ok(), Some(Outcome::YoursAlready), "who has a use is not held up");
        assert!(claim(3, 160).is_ok(), "the first is a minute ago");
        assert!(matches!(claim(4, 189), Err(LedgerError::Later(_))));
    }

    /// Brings a key to its end: a node.
    fn boot(claims: &mut Claims, invite: &Invite, number: u8, now: u64) -> Result<Outcome, LedgerError> {
        let (key, grant) = (key(number), grant());
        claims.apply(Some(invite), &Operation::Claim { key: key.clone() }, now)?;
        claims.apply(Some(invite), &Operation::Open { key: key.clone(), grant: grant.clone() }, now)?;
        let redeem = Operation::Redeem { key: key.clone(), grant: grant.clone(), generation: 1 };
        claims.apply(Some(invite), &redeem, now)?;
        let node = node(char::from(b'a' + number % 26));
        claims.apply(Some(invite), &Operation::Join { key, grant, node }, now)
    }

    fn live(places: u32) -> Invite {
        let mut invite = invite(places);
        (invite.exp, invite.conditions.live) = (1_000_000, true);
        invite
    }

    #[test]
    fn a_place_comes_free_when_its_node_was_removed_and_not_before() {
        let (invite, mut claims) = (live(2), Claims::default());
        assert!(boot(&mut claims, &invite, 1, 10).is_ok() && boot(&mut claims, &invite, 2, 10).is_ok());
        let full = |claims: &mut Claims, now| {
            matches!(boot(claims, &invite, 3, now), Err(LedgerError::Later(_))) && claims.held(Some(&invite), now) == 2
        };
        assert!(full(&mut claims, 11) && full(&mut claims, 11 + 9 * WINDOW), "not refused for good, and never a third");
        let free = |node| Operation::Free { key: key(1), node };
        claims.apply(Some(&invite), &free(node('x')), 12).expect("nothing to do");
        assert!(full(&mut claims, 12), "another node's removal");
        assert_eq!(claims.apply(Some(&invite), &free(node('b')), 12).ok(), Some(Outcome::Yours));
        assert_eq!(claims.apply(Some(&invite), &free(node('b')), 12).ok(), Some(Outcome::YoursAlready));
        assert_eq!(claims.held(Some(&invite), 12), 1);
        assert_eq!(
            reason(&boot(&mut claims, &invite, 1, 12)),
            Some(Reason::Confirmed),
            "its key is spent all the same"
        );
        assert_eq!(boot(&mut claims, &invite, 4, 12).ok(), Some(Outcome::Yours));
        assert!(full(&mut claims, 13));
        let read = Claims::from_labels(&claims.to_labels().expect("labels")).expect("reads");
        assert_eq!(read.uses, claims.uses);
    }

    #[test]
    fn a_use_of_any_other_invite_never_comes_free() {
        let (invite, mut claims) = (invite(1), Claims::default());
        boot(&mut claims, &invite, 1, 10).expect("joins");
        let free = Operation::Free { key: key(1), node: node('b') };
        assert_eq!(reason(&claims.apply(Some(&invite), &free, 11)), Some(Reason::NoUse));
        assert_eq!(reason(&boot(&mut claims, &invite, 2, 11)), Some(Reason::UsedUp));
    }

    #[test]
    fn a_machine_that_did_not_come_to_its_end_lets_its_place_go_and_comes_late_into_a_free_one_only() {
        let (invite, mut claims) = (live(1), Claims::default());
        let (first, open) = (key(1), grant());
        claims.apply(Some(&invite), &Operation::Claim { key: first.clone() }, 10).expect("claims");
        claims.apply(Some(&invite), &Operation::Open { key: first.clone(), grant: open.clone() }, 10).expect("opens");
        let redeem = Operation::Redeem { key: first.clone(), grant: open.clone(), generation: 1 };
        claims.apply(Some(&invite), &redeem, 10).expect("redeems");
        let late = 10 + WINDOW;
        assert!(matches!(boot(&mut claims, &invite, 2, late - 1), Err(LedgerError::Later(_))));
        assert_eq!(boot(&mut claims, &invite, 2, late).ok(), Some(Outcome::Yours));
        let join = Operation::Join { key: first, grant: open, node: node('x') };
        assert!(matches!(claims.apply(Some(&invite), &join, late), Err(LedgerError::Later(_))), "never two at a time");
        claims.apply(Some(&invite), &Operation::Free { key: key(2), node: node('c') }, late).expect("freed");
        assert_eq!(claims.apply(Some(&invite), &join, late).ok(), Some(Outcome::Yours));
    }

    #[test]
    fn the_object_of_an_invite_whose_places_come_free_does_not_grow_for_ever() {
        let (invite, mut claims) = (live(1), Claims::default());
        for number in 0..MOST_KEYS {
            let key = KeyHash::of_spki(&number.to_be_bytes());
            claims.uses.insert(key, Use::claimed(1).freed(2));
        }
        let claim = Operation::Claim { key: key(1) };
        assert_eq!(reason(&claims.apply(Some(&invite), &claim, 3)), Some(Reason::UsedUp));
        let labels = claims.to_labels().expect("labels");
        let size: usize = labels.iter().map(|(label, value)| label.len() + value.len()).sum();
        assert!(size < 1_000_000, "the raft store takes 1.5 MB at a time: {size}");
    }

    fn approve(uses: u32) -> Invite {
        let mut invite = invite(uses);
        (invite.exp, invite.conditions.approve) = (1_000_000, true);
        invite
    }

    fn ask(number: u8) -> Operation {
        Operation::Ask { key: key(number), asker: Asker { hostname: Some("web".into()), source: None } }
    }

    fn says(number: u8, answer: Answer) -> Operation {
        Operation::Answer { key: key(number), answer }
    }

    #[test]
    fn a_machine_gets_nothing_before_a_person_says_yes() {
        let (invite, mut claims) = (approve(1), Claims::default());
        let mut does = |operation: &Operation, now| claims.apply(Some(&invite), operation, now);
        assert_eq!(reason(&does(&Operation::Claim { key: key(1) }, 1)), Some(Reason::NoUse), "nobody was asked");
        assert_eq!(does(&ask(1), 1).ok(), Some(Outcome::Asked));
        assert_eq!(does(&ask(1), 2).ok(), Some(Outcome::Waits));
        let open = Operation::Open { key: key(1), grant: grant() };
        assert_eq!(reason(&does(&open, 2)), Some(Reason::NoUse));
        assert!(matches!(does(&ask(2), 2), Err(LedgerError::Later(_))), "the place may come free");
        let late = 2 + 5 * WINDOW;
        assert_eq!(does(&says(1, Answer::Approved), late).ok(), Some(Outcome::Yours));
        assert_eq!(does(&says(1, Answer::Approved), late).ok(), Some(Outcome::YoursAlready));
        assert_eq!(
            does(&ask(1), late + WINDOW - 1).ok(),
            Some(Outcome::YoursAlready),
            "its window begins with the answer"
        );
        assert!(does(&open, late + 1).is_ok());
        assert_eq!(reason(&does(&ask(2), late)), Some(Reason::UsedUp));
        assert_eq!(reason(&does(&says(2, Answer::Approved), late)), Some(Reason::NoUse), "it never asked");
        assert_eq!(reason(&does(&says(1, Answer::Denied), late).and_then(|_| does(&open, late))), Some(Reason::Denied));
    }

    #[test]
    fn who_is_denied_or_never_answered_lets_the_place_go() {
        let (invite, mut claims) = (approve(1), Claims::default());
        let mut does = |operation: &Operation, now| claims.apply(Some(&invite), operation, now);
        does(&ask(1), 1).expect("asks");
        does(&says(1, Answer::Denied), 2).expect("denied");
        assert_eq!(reason(&does(&ask(1), 3)), Some(Reason::Denied));
        assert_eq!(does(&ask(2), 3).ok(), Some(Outcome::Asked));
        let lapsed = 3 + crate::ledger::uses::PATIENCE;
        assert!(
            matches!(does(&says(1, Answer::Approved), lapsed - 1), Err(LedgerError::Later(_))),
            "the place is taken"
        );
        assert_eq!(does(&ask(3), lapsed).ok(), Some(Outcome::Asked), "nobody answered about the one before");
        assert!(matches!(does(&ask(2), lapsed), Err(LedgerError::Later(_))), "which asks again like any other");
        does(&says(3, Answer::Approved), lapsed).expect("approved");
        assert_eq!(
            reason(&does(&says(1, Answer::Approved), lapsed)),
            Some(Reason::UsedUp),
            "no more than the invite admits"
        );
    }

    #[test]
    fn who_is_denied_after_the_token_was_handed_out_is_no_node_of_ours() {
        let (invite, mut claims) = (approve(1), Claims::default());
        let open = grant();
        let mut does = |operation: &Operation| claims.apply(Some(&invite), operation, 5);
        for operation in [
            ask(1),
            says(1, Answer::Approved),
            Operation::Open { key: key(1), grant: open.clone() },
            Operation::Redeem { key: key(1), grant: open.clone(), generation: 1 },
            says(1, Answer::Denied),
            ask(2),
            says(2, Answer::Approved),
        ] {
            does(&operation).expect("done");
        }
        let join = Operation::Join { key: key(1), grant: open, node: node('x') };
        assert_eq!(reason(&does(&join)), Some(Reason::Denied), "else there were two of one");
        assert_eq!(reason(&does(&says(1, Answer::Approved))), Some(Reason::UsedUp));
    }

    #[test]
    fn clocks_that_differ_admit_no_two_in_one_place() {
        let (invite, mut claims) = (live(1), Claims::default());
        let grants = [grant(), grant()];
        let mut up_to_token = |number: u8, now| {
            let (key, grant) = (key(number), grants[usize::from(number)].clone());
            claims.apply(Some(&invite), &Operation::Claim { key: key.clone() }, now).expect("claims");
            claims
                .apply(Some(&invite), &Operation::Open { key: key.clone(), grant: grant.clone() }, now)
                .expect("opens");
            claims.apply(Some(&invite), &Operation::Redeem { key, grant, generation: 1 }, now).expect("redeems");
        };
        up_to_token(0, 10);
        // By this broker's clock its window is over, by the other one's it is not.
        up_to_token(1, 10 + WINDOW);
        let join = |number: u8| Operation::Join {
            key: key(number),
            grant: grants[usize::from(number)].clone(),
            node: node(char::from(b'a' + number)),
        };
        let mut joined = 0;
        for number in [0, 1] {
            joined += usize::from(claims.apply(Some(&invite), &join(number), 5 + WINDOW).is_ok());
        }
        assert_eq!(joined, 0, "each is told to come back, until it is clear whose the place is");
        assert!(claims.apply(Some(&invite), &join(1), 10 + WINDOW).is_ok());
        assert!(matches!(claims.apply(Some(&invite), &join(0), 10 + WINDOW), Err(LedgerError::Later(_))));
    }

    #[test]
    fn of_two_answers_the_later_one_counts_whoever_went_further() {
        let (invite, mut denied) = (approve(1), Claims::default());
        denied.apply(Some(&invite), &ask(1), 1).expect("asks");
        denied.apply(Some(&invite), &says(1, Answer::Approved), 2).expect("yes");
        let mut went_on = denied.clone();
        denied.apply(Some(&invite), &says(1, Answer::Denied), 3).expect("no");
        went_on.apply(Some(&invite), &Operation::Open { key: key(1), grant: grant() }, 3).expect("opens");
        let mut unknown = went_on.clone();
        unknown.uses.get_mut(&key(1)).expect("it").approval = None;
        for other in [&went_on, &unknown] {
            let (mut one, mut reverse) = (denied.clone(), other.clone());
            one.put_back(other);
            reverse.put_back(&denied);
            assert_eq!(one.uses[&key(1)].answer(), Some(Answer::Denied));
            assert_eq!(one, reverse);
        }
        let mut waiting = Claims::default();
        waiting.apply(Some(&invite), &ask(1), 1).expect("asks");
        waiting.put_back(&unknown);
        assert!(waiting.uses[&key(1)].is_admitted(), "somebody had said yes, though no log here says so");
    }

    #[test]
    fn a_broker_of_an_older_release_gives_nothing_to_whom_nobody_has_approved() {
        let (invite, mut claims) = (approve(3), Claims::default());
        for number in 1..=3 {
            claims.apply(Some(&invite), &ask(number), 1).expect("asks");
        }
        claims.apply(Some(&invite), &says(1, Answer::Approved), 2).expect("yes");
        claims.apply(Some(&invite), &says(2, Answer::Denied), 2).expect("no");
        let labels = claims.to_labels().expect("labels");
        // It knows uses by this label only, and keeps the others as they are.
        let uses = labels.iter().filter_map(|(label, value)| Some((names::key_of(label)?, value.as_str())));
        let good: Vec<KeyHash> = uses.clone().filter(|(_, value)| *value != SHELL).map(|(key, _)| key).collect();
        assert_eq!((good, uses.count()), (vec![key(1)], 2), "of the one that was denied it knows that it is over");
        assert_eq!(Claims::from_labels(&labels).expect("reads").uses, claims.uses);
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

        /// By whatever clocks, and whatever a person says meanwhile.
        #[test]
        fn never_are_more_nodes_there_at_a_time_than_an_invite_has_places(
            places in 1_u32..4,
            is_live in any::<bool>(),
            asks in any::<bool>(),
            steps in proptest::collection::vec((0_u8..9, 0_u8..6, 0_u64..3 * WINDOW), 0..300),
        ) {
            let (mut invite, mut claims) = (live(places), Claims::default());
            (invite.conditions.live, invite.conditions.approve) = (is_live, asks);
            let grants: Vec<GrantHash> = (0..6).map(|_| grant()).collect();
            for (kind, who, now) in steps {
                let (key, grant, node) = (key(who), grants[usize::from(who)].clone(), node(char::from(b'a' + who)));
                let operation = match kind {
                    0 | 1 => Operation::Ask { key, asker: Asker::default() },
                    2 => Operation::Open { key, grant },
                    3 => Operation::Redeem { key, grant, generation: now },
                    4 | 5 => Operation::Join { key, grant, node },
                    6 => Operation::Free { key, node },
                    7 => Operation::Answer { key, answer: Answer::Approved },
                    _ => Operation::Answer { key, answer: Answer::Denied },
                };
                let before = claims.clone();
                if claims.apply(Some(&invite), &operation, now).is_err() {
                    prop_assert_eq!(&claims, &before, "a refusal changes nothing");
                }
                let there = claims.uses.values().filter(|taken| taken.joined.is_some() && taken.left.is_none());
                prop_assert!(there.clone().count() <= usize::try_from(places).expect("small"));
                prop_assert!(there.clone().all(|taken| !asks || taken.answer() == Some(Answer::Approved)));
                let read = Claims::from_labels(&claims.to_labels().expect("writes")).expect("reads");
                prop_assert_eq!(read.uses, claims.uses.clone());
            }
        }
    }
}
