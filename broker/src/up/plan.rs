//! What to do next, as a pure function of what state directory, engine and operator say.
//!
//! Keeps DESIGN §3b: a swarm is made once for a cluster, by the machine that was told to, within its time; a machine
//! that lost its swarm never makes another.

use protocol::{ClusterId, Invite, Role};

use crate::clock;
use crate::swarm::Membership;

/// The cluster in the state directory.
#[derive(Clone, Debug)]
pub(super) struct Held {
    pub(super) cluster: ClusterId,
    /// A broker with this state has seen the cluster's ledger.
    pub(super) served: bool,
    /// Until when its swarm may be made, in seconds since 1970.
    pub(super) form_until: u64,
}

/// Where the engine is.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In no swarm.
    Out,
    /// A worker of one.
    Worker,
    /// A manager of one.
    Manager(Membership),
}

/// What the operator gave.
#[derive(Clone, Copy, Debug)]
pub(super) struct Given<'a> {
    /// This machine is the one that makes the swarm.
    pub(super) form: bool,
    /// An invite to come into one.
    pub(super) invite: Option<&'a Invite>,
    /// Something else brings this machine in, as a manager: `joiner.service`, or a person.
    pub(super) wait: bool,
    /// A join was begun here and not confirmed: the engine may be in already.
    pub(super) unfinished: bool,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All is there.
    Serve,
    /// Make the swarm.
    Form,
    /// Come into the swarm by the invite.
    Join,
    /// Look again in a while: something else brings this machine in.
    Wait,
    /// Get the cluster's keys.
    Take,
    /// An operator must decide.
    Stop(Stop),
}

/// Why it cannot go on, with the fix.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Stop {
    #[error(
        "this machine is a worker of its swarm: a broker runs on managers. To make it one, run 'docker node promote' on a manager and 'broker adopt' with its name, then this again"
    )]
    Worker,
    #[error(
        "this machine is in no swarm. On the one machine that makes it: 'broker init --cluster NAME', then 'broker up --form'. On every other: 'broker up --invite-file FILE' with a manager invite ('broker invite create --role manager')"
    )]
    NothingGiven,
    #[error("--form is for a machine with the cluster's keys: run 'broker init --cluster NAME' first")]
    NoKeys,
    #[error(
        "the time to make this cluster's swarm ended at {0}, so that a machine which is made again later does not make a second one. Is there a swarm? Then come into it with a manager invite. If there is none: 'broker init' with another --state"
    )]
    FormEnded(String),
    #[error(
        "this cluster had a swarm, and this machine is not in it any more. No second one is made. If other managers are left, make a manager invite there and give it with --invite-file; if all are lost, see docs/operations.md, 'A lost ledger'"
    )]
    Lost,
    #[error("the invite is for workers: a manager needs one made with 'broker invite create --role manager'")]
    WorkerInvite,
    #[error(
        "the invite is of cluster {0}, and the state directory holds cluster {1}: give another --state, or the right invite"
    )]
    OtherCluster(ClusterId, ClusterId),
}

/// The next step.
pub(super) fn next(held: Option<&Held>, place: &Place, given: &Given<'_>, now: u64) -> Step {
    if let (Some(held), Some(invite)) = (held, given.invite)
        && held.cluster != invite.iss
    {
        return Step::Stop(Stop::OtherCluster(invite.iss.clone(), held.cluster.clone()));
    }
    match (place, held) {
        (Place::Manager(_) | Place::Worker, _) if given.unfinished && given.invite.is_some() => Step::Join,
        (Place::Manager(_), Some(_)) => Step::Serve,
        (Place::Manager(_), None) => Step::Take,
        (Place::Worker | Place::Out, _) if given.wait => Step::Wait,
        (Place::Worker, _) => Step::Stop(Stop::Worker),
        (Place::Out, held) => come_in(held, given, now),
    }
}

/// The engine is in no swarm.
fn come_in(held: Option<&Held>, given: &Given<'_>, now: u64) -> Step {
    match (given.invite, held) {
        (Some(invite), _) if invite.role != Role::Manager => Step::Stop(Stop::WorkerInvite),
        (Some(_), _) => Step::Join,
        (None, Some(held)) if held.served => Step::Stop(Stop::Lost),
        (None, _) if !given.form => Step::Stop(Stop::NothingGiven),
        (None, None) => Step::Stop(Stop::NoKeys),
        (None, Some(held)) if now >= held.form_until => Step::Stop(Stop::FormEnded(clock::shown(held.form_until))),
        (None, Some(_)) => Step::Form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::tests::invite as example;

    const NOW: u64 = 1000;

    fn invite(role: Role) -> Invite {
        Invite { role, ..example(1) }
    }

    fn held(invite: &Invite, served: bool) -> Held {
        Held { cluster: invite.iss.clone(), served, form_until: NOW + 1 }
    }

    fn manager() -> Place {
        let id = "k9vqn1p0r3a8j2m4x6t5b7c1d";
        Place::Manager(Membership {
            swarm: id.parse().expect("an id"),
            node: id.parse().expect("an id"),
            roots: String::new(),
            managers: 1,
            nodes: 1,
            address: "10.0.0.1".into(),
        })
    }

    fn step(held: Option<&Held>, place: &Place, form: bool, invite: Option<&Invite>) -> Step {
        next(held, place, &Given { form, invite, wait: false, unfinished: false }, NOW)
    }

    #[test]
    fn a_manager_with_the_keys_serves_and_one_without_gets_them() {
        let invite = invite(Role::Manager);
        for (form, given) in [(false, None), (true, None), (false, Some(&invite)), (true, Some(&invite))] {
            for served in [false, true] {
                assert_eq!(step(Some(&held(&invite, served)), &manager(), form, given), Step::Serve);
            }
            assert_eq!(step(None, &manager(), form, given), Step::Take);
            assert_eq!(step(None, &Place::Worker, form, given), Step::Stop(Stop::Worker));
        }
    }

    #[test]
    fn a_swarm_is_made_only_where_told_to_once_and_in_time() {
        let invite = invite(Role::Manager);
        let (new, served) = (held(&invite, false), held(&invite, true));
        assert_eq!(step(Some(&new), &Place::Out, true, None), Step::Form);
        assert_eq!(step(Some(&new), &Place::Out, false, None), Step::Stop(Stop::NothingGiven));
        assert_eq!(step(None, &Place::Out, true, None), Step::Stop(Stop::NoKeys));
        assert_eq!(step(Some(&served), &Place::Out, true, None), Step::Stop(Stop::Lost));
        let late = Held { form_until: NOW, ..new };
        assert!(matches!(step(Some(&late), &Place::Out, true, None), Step::Stop(Stop::FormEnded(_))));
    }

    #[test]
    fn with_an_invite_a_machine_joins_and_never_makes_a_swarm() {
        let invite = invite(Role::Manager);
        for (form, held) in
            [(false, None), (true, None), (true, Some(held(&invite, false))), (false, Some(held(&invite, true)))]
        {
            assert_eq!(step(held.as_ref(), &Place::Out, form, Some(&invite)), Step::Join);
        }
    }

    #[test]
    fn a_join_that_was_begun_is_finished_before_anything_else() {
        let invite = invite(Role::Manager);
        for held in [None, Some(held(&invite, true))] {
            let begun = Given { form: false, invite: Some(&invite), wait: false, unfinished: true };
            for place in [manager(), Place::Worker] {
                assert_eq!(next(held.as_ref(), &place, &begun, NOW), Step::Join);
            }
        }
    }

    #[test]
    fn a_machine_that_something_else_brings_in_is_waited_for() {
        let held = held(&invite(Role::Manager), true);
        let waits = |held: Option<&Held>, place: &Place| {
            next(held, place, &Given { form: false, invite: None, wait: true, unfinished: true }, NOW)
        };
        for place in [Place::Out, Place::Worker] {
            assert_eq!((waits(None, &place), waits(Some(&held), &place)), (Step::Wait, Step::Wait));
        }
        assert_eq!((waits(None, &manager()), waits(Some(&held), &manager())), (Step::Take, Step::Serve));
    }

    #[test]
    fn an_invite_of_another_role_or_cluster_is_told() {
        let (manager, worker) = (invite(Role::Manager), invite(Role::Worker));
        assert_eq!(step(None, &Place::Out, false, Some(&worker)), Step::Stop(Stop::WorkerInvite));
        let other = held(&worker, true);
        assert_ne!(other.cluster, manager.iss, "each example is of a cluster of its own");
        assert!(matches!(step(Some(&other), &Place::Out, false, Some(&manager)), Step::Stop(Stop::OtherCluster(..))));
        assert!(matches!(
            step(Some(&other), &self::manager(), false, Some(&manager)),
            Step::Stop(Stop::OtherCluster(..))
        ));
    }
}
