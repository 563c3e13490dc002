//! One use of an invite: how far its key has come, and whether it holds one of the invite's places.
//!
//! Must not decide who gets a use: that is `Claims`.

use std::net::IpAddr;

use protocol::{GrantHash, KeyHash, NodeId};
use serde::{Deserialize, Serialize};

use super::{LedgerError, WINDOW};
use crate::audit::Reason;

/// Clocks of two brokers differ by no more than this, in seconds.
const SKEW: u64 = 5;
/// For so long, in seconds, a machine may wait for a person's answer.
pub(super) const PATIENCE: u64 = 24 * 60 * 60;

/// One use. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Use {
    /// When the key claimed it; when it was approved, where a person was asked.
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
    /// When its node was found to have been removed; of an invite whose places come free only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) left: Option<u64>,
    /// What a person was asked about it; of an invite that wants it only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approval: Option<Approval>,
}

/// A redemption, and its repetitions by the same key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Join {
    pub(crate) node: NodeId,
    pub(crate) grant: GrantHash,
    pub(crate) at: u64,
}

/// What a person is asked about a machine, and the answer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Approval {
    pub(crate) asker: Asker,
    /// None yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer: Option<Answer>,
    /// When that was given; 0 before.
    #[serde(default)]
    pub(crate) at: u64,
}

/// Who a machine says it is, and where it called from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Asker {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<IpAddr>,
}

/// A person's answer about a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Answer {
    Approved,
    Denied,
}

/// A machine that waits for a person's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Waiting {
    pub(crate) key: KeyHash,
    pub(crate) asker: Asker,
    /// When it asked first, in seconds since 1970.
    pub(crate) since: u64,
}

impl Use {
    /// A use that was claimed just now.
    pub(crate) fn claimed(now: u64) -> Self {
        Self { claimed: now, grant: None, redeemed: None, joined: None, left: None, approval: None }
    }

    /// One whose key waits for a person's answer since now.
    pub(super) fn asked(asker: Asker, now: u64) -> Self {
        Self { approval: Some(Approval { asker, answer: None, at: 0 }), ..Self::claimed(now) }
    }

    /// One whose node was removed: all that is kept of it.
    pub(crate) fn freed(&self, now: u64) -> Self {
        Self { left: Some(now), ..Self::claimed(self.claimed) }
    }

    /// A person has answered: the window begins.
    pub(crate) fn answered(&mut self, answer: Answer, now: u64) {
        let asker = self.approval.take().map(|approval| approval.asker).unwrap_or_default();
        (self.approval, self.claimed) = (Some(Approval { asker, answer: Some(answer), at: now }), now);
    }

    /// The answer of a person who was asked; none where nobody was, or has not answered yet.
    pub(crate) fn answer(&self) -> Option<Answer> {
        self.approval.as_ref().and_then(|approval| approval.answer)
    }

    /// Whether its key waits for a person's answer at `now`.
    pub(crate) fn waits(&self, now: u64) -> bool {
        self.is_unanswered() && now < self.claimed.saturating_add(PATIENCE)
    }

    pub(super) fn is_unanswered(&self) -> bool {
        self.approval.as_ref().is_some_and(|approval| approval.answer.is_none())
    }

    /// Whether its key was admitted: nobody was to be asked, or said yes.
    pub(crate) fn is_admitted(&self) -> bool {
        self.approval.as_ref().is_none_or(|approval| approval.answer == Some(Answer::Approved))
    }

    /// Whether its key may still become a node, or become one that is known: it was admitted, has not confirmed, and has
    /// not left.
    pub(crate) fn is_on_its_way(&self) -> bool {
        self.is_admitted() && self.joined.is_none() && self.left.is_none()
    }

    /// Whether it holds one of its invite's places at `now`. Those of an invite whose places come free are let go when the
    /// node was removed, and by a machine that has not come to its end in its window.
    pub(super) fn holds_place(&self, comes_free: bool, now: u64) -> bool {
        if self.is_unanswered() {
            return self.waits(now);
        }
        if !self.is_admitted() || self.left.is_some() {
            return false;
        }
        !comes_free || self.joined.is_some() || now < self.window_ends()
    }

    /// When the key's time to finish its boot ends, in seconds since 1970.
    pub(crate) fn window_ends(&self) -> u64 {
        self.claimed.saturating_add(WINDOW)
    }

    pub(super) fn still_booting(&self, now: u64) -> Result<(), LedgerError> {
        let reason = match self.answer() {
            _ if self.joined.is_some() || self.left.is_some() => Reason::Confirmed,
            Some(Answer::Denied) => Reason::Denied,
            _ if self.is_unanswered() => Reason::NoUse,
            _ if now >= self.window_ends() => Reason::WindowEnded,
            _ => return Ok(()),
        };
        Err(LedgerError::Refused(reason))
    }

    /// The same use, as far as it has come by one word or the other. Its window is that of the earlier claim.
    pub(super) fn further(&self, other: &Self) -> Self {
        let came = |taken: &Self| {
            let redeemed = taken.redeemed.as_ref().map(|redemption| (redemption.last, redemption.times));
            (taken.left.is_some(), taken.joined.is_some(), redeemed, taken.grant.is_some())
        };
        let further = if came(other) >= came(self) { other } else { self };
        let joined = further.joined.is_some() || further.left.is_some();
        let approval = later(self.approval.as_ref(), other.approval.as_ref(), joined, further.grant.is_some());
        Self { claimed: self.claimed.min(other.claimed), approval, ..further.clone() }
    }

    /// Whether the grant is the open or the redeemed one. A machine that asked for another grant while its engine
    /// was still joining with the first may confirm with either.
    pub(super) fn knows(&self, grant: &GrantHash) -> bool {
        let redeemed = self.redeemed.as_ref().map(|redemption| &redemption.grant);
        let joined = self.joined.as_ref().map(|join| &join.grant);
        [self.grant.as_ref(), redeemed, joined].contains(&Some(grant))
    }
}

/// The later answer of two, as far as clocks of brokers tell; in doubt a no. Of a key that `joined` or left a person had said
/// yes last; and where no answer is known, that it `went_on` says so.
fn later(one: Option<&Approval>, other: Option<&Approval>, joined: bool, went_on: bool) -> Option<Approval> {
    let said = |answer: Option<Answer>| {
        let all = one.into_iter().chain(other).filter(move |approval| approval.answer == answer);
        all.max_by_key(|approval| approval.at)
    };
    let (yes, no, unanswered) = (said(Some(Answer::Approved)), said(Some(Answer::Denied)), said(None));
    match (yes, no) {
        (yes, _) if joined => yes.cloned(),
        (Some(yes), Some(no)) if yes.at > no.at.saturating_add(SKEW) => Some(yes.clone()),
        (_, Some(no)) => Some(no.clone()),
        (Some(yes), None) => Some(yes.clone()),
        (None, None) => unanswered.filter(|_| !went_on).cloned(),
    }
}
