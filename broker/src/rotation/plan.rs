//! What to do about the tokens next: a function of what was read, of the time, of the policy, and of what this broker
//! is at.
//!
//! Keeps promise 6: a token is not replaced while a machine is on its way with it, for a bounded time; there is one
//! rotation at a time; what was left half done is finished or undone. Must not do anything itself.

use std::time::Duration;

use protocol::Role;

use super::Policies;
use super::policy::Policy;
use crate::ledger::{InviteState, Rotating, TokenState, Use};
use crate::swarm::Live;

/// A machine that was given a token and has not confirmed for so long, in seconds, is waited for no more. It has used
/// the token long before, or never will.
pub(crate) const LONGEST_ON_THE_WAY: u64 = 30;

/// A broker that comes back to its own rotation so long after it should have ended it (it was stopped for a while) does
/// not go on with it: another one may be about to undo it.
pub(super) const OVERDUE: Duration = Duration::from_secs(5);
/// A rotation that another broker should have ended this long ago was left by it. Two brokers are never at one, since it
/// is longer than all that the first one may take: 2 s until it knows that it has begun, [`OVERDUE`], and 10 s for the
/// engine to take its last call (5 s to agree on a version, 5 s for the call).
const GRACE: Duration = Duration::from_secs(20);

/// What was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct View<'a> {
    pub(crate) state: &'a TokenState,
    pub(crate) live: &'a Live,
    pub(crate) handed: &'a [Handed],
}

/// A token that was handed to a machine. Times are in seconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handed {
    pub(crate) role: Role,
    pub(crate) generation: u64,
    /// When it was handed out last.
    pub(crate) last: u64,
    pub(crate) joined: bool,
    /// Whether the answer was held back, so that the machine does not have it.
    pub(crate) held: bool,
}

/// What this broker is at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mine<'a> {
    pub(crate) broker: &'a str,
    /// The rotation that it began and is carrying out, and for how long.
    pub(crate) carrying: Option<(&'a Rotating, Duration)>,
    /// For how long it has seen the rotation under way as it is.
    pub(crate) seen: Duration,
    /// What somebody asked for.
    pub(crate) order: Option<&'a Order>,
}

/// Somebody wants these roles' tokens replaced.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) roles: Vec<Role>,
    /// What was live when it was asked for: the order is fulfilled when none of that is.
    pub(crate) from: Live,
}

impl Order {
    /// Whether no token is live any more that was when it was given, whoever replaced it.
    pub(crate) fn is_fulfilled(&self, state: &TokenState) -> bool {
        self.roles.iter().all(|role| state.of(*role).mark != *self.from.mark(*role))
    }
}

/// The next operation, with its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// Nothing is to be done.
    Rest,
    /// Another broker is at it.
    LetBe,
    /// Write into the ledger that a rotation is under way.
    Begin(Vec<Role>, Why),
    /// So many machines are on their way with the token.
    Wait(usize),
    /// Replace the tokens. So many machines are still on their way.
    Replace(usize),
    /// Write into the ledger what is live.
    Settle(Settling),
}

/// Why a token is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// Somebody asked for it.
    Order,
    /// So many machines were given it.
    AfterJoin(usize),
    /// It is old.
    Interval,
}

/// Why what is live is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Settling {
    /// This broker has replaced the tokens.
    Done,
    /// A broker that is gone had replaced them, and not written it down.
    Finished,
    /// A broker that is gone had begun, and not replaced them.
    Undone,
    /// Somebody else replaced a token, or the swarm's root.
    Noticed,
}

/// The next operation at `now`, in seconds since 1970.
pub(crate) fn plan(now: u64, view: View<'_>, policies: &Policies, mine: Mine<'_>) -> Operation {
    match &view.state.rotating {
        Some(rotating) => under_way(now, view, rotating, mine),
        None if !view.state.replaced(view.live).is_empty() || view.state.root != view.live.root => {
            Operation::Settle(Settling::Noticed)
        }
        None => match mine.order {
            Some(order) if order.is_fulfilled(view.state) => Operation::Rest,
            Some(order) => Operation::Begin(order.roles.clone(), Why::Order),
            None => [Role::Worker, Role::Manager]
                .into_iter()
                .find_map(|role| Some(Operation::Begin(vec![role], due(now, view, role, policies)?)))
                .unwrap_or(Operation::Rest),
        },
    }
}

fn under_way(now: u64, view: View<'_>, rotating: &Rotating, mine: Mine<'_>) -> Operation {
    let replaced = view.state.replaced(view.live);
    let done = rotating.roles.iter().all(|role| replaced.contains(role));
    let longest = Duration::from_millis(rotating.wait);
    if let Some((_, waited)) = mine.carrying.filter(|(carrying, _)| *carrying == rotating) {
        let on_the_way = rotating.roles.iter().map(|role| on_the_way(now, view, *role).count()).sum();
        return match on_the_way {
            _ if done => Operation::Settle(Settling::Done),
            on_the_way if on_the_way > 0 && waited < longest => Operation::Wait(on_the_way),
            _ if waited > longest + OVERDUE => Operation::Settle(Settling::Undone),
            on_the_way => Operation::Replace(on_the_way),
        };
    }
    // What this broker does not carry out is from its life before, or was left by a call whose outcome was not known.
    if rotating.by == mine.broker || mine.seen > longest + GRACE {
        return Operation::Settle(if done { Settling::Finished } else { Settling::Undone });
    }
    Operation::LetBe
}

/// Whether a role's token is to be replaced by its policy, and why.
fn due(now: u64, view: View<'_>, role: Role, policies: &Policies) -> Option<Why> {
    match policies.of(role, view.state.inherited) {
        Policy::Manual => None,
        Policy::Interval(interval) => {
            let ends = view.state.of(role).since.saturating_add(interval.as_secs());
            (now >= ends).then_some(Why::Interval)
        }
        Policy::AfterJoin => {
            let first = given(view, role).map(|handed| handed.last).min()?;
            let long_ago = now >= first.saturating_add(LONGEST_ON_THE_WAY);
            (long_ago || on_the_way(now, view, role).next().is_none())
                .then(|| Why::AfterJoin(given(view, role).count()))
        }
    }
}

/// Who was given the token that is live.
fn given(view: View<'_>, role: Role) -> impl Iterator<Item = &Handed> {
    let generation = view.state.of(role).number;
    view.handed.iter().filter(move |handed| handed.role == role && handed.generation == generation)
}

/// Those of them who may be about to use it.
pub(super) fn on_the_way(now: u64, view: View<'_>, role: Role) -> impl Iterator<Item = &Handed> {
    let awaited =
        move |handed: &&Handed| !handed.joined && !handed.held && now < handed.last.saturating_add(LONGEST_ON_THE_WAY);
    given(view, role).filter(awaited)
}

/// What was handed out, by the invites in the ledger.
pub(crate) fn handed(invites: &[InviteState]) -> Vec<Handed> {
    invites.iter().flat_map(|invite| invite.claims.uses.values().filter_map(|taken| handed_to(invite, taken))).collect()
}

/// What was handed out for one use of an invite.
pub(super) fn handed_to(invite: &InviteState, taken: &Use) -> Option<Handed> {
    let role = invite.policy.invite()?.role;
    let redemption = taken.redeemed.as_ref()?;
    let (generation, last, held) = (redemption.generation, redemption.last, redemption.held);
    Some(Handed { role, generation, last, joined: taken.joined.is_some(), held })
}
