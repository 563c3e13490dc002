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
#[path = "claims_tests.rs"]
pub(crate) mod tests;
