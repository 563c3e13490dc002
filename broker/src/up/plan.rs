//! What to do next, as a pure function of what state directory, engine and operator say.
//!
//! Keeps DESIGN §3b: a swarm is made once for a cluster, by the machine that was told to, within its time; a machine
//! that lost its swarm never makes another.

use protocol::{ClusterId, Invite, Role, SwarmId};

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
    /// This machine set about to make a swarm, and may have been overtaken.
    pub(super) forming: bool,
}

/// What the store says, where one was given. What it says wrongly never comes here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Recorded {
    /// No store was given.
    NoStore,
    /// There is no record, and nobody says that there ever was a swarm.
    Nothing,
    /// There is no record, and this swarm was made.
    Gone(SwarmId),
    /// The record names this swarm.
    Swarm(SwarmId),
    /// The same, but no broker has renewed it since this time.
    Ended(SwarmId, u64),
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
#[derive(Clone, Debug)]
pub(super) struct Given<'a> {
    /// This machine is the one that makes the swarm.
    pub(super) form: bool,
    /// An invite to come into one.
    pub(super) invite: Option<&'a Invite>,
    /// Something else brings this machine in, as a manager: `joiner.service`, or a person.
    pub(super) wait: bool,
    /// A join was begun here and not confirmed: the engine may be in already. Of one that something else does: it is still
    /// under way.
    pub(super) unfinished: bool,
    /// What the store says.
    pub(super) recorded: Recorded,
}

/// The next step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// All is there.
    Serve,
    /// Make the swarm.
    Form,
    /// Find out with the others who makes it, or publish the one that was made here.
    Elect,
    /// Leave the swarm that was made here: another one is the cluster's.
    Leave(SwarmId),
    /// Look again in a while: a broker that serves puts the record into the store.
    AwaitRecord,
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
        "this machine is a worker of its swarm: a broker runs on managers. To make it one, run 'broker promote' with its id on a manager, then this again"
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
    #[error(
        "this machine is in no swarm, and has neither the cluster's keys nor an invite: give --keys-file with the file of 'broker init --keys-file', or --invite-file with a manager invite"
    )]
    NothingForStore,
    #[error(
        "the cluster record names swarm {0}, and this machine is in swarm {1}: it serves nothing. If this one is not needed, run 'docker swarm leave --force' here, then this again"
    )]
    OtherSwarm(SwarmId, SwarmId),
    #[error(
        "the cluster record names swarm {0}, but no broker has renewed it since {1}: nothing is joined or made by it. Start a broker of that swarm with this --store; if all of its managers are lost, see docs/high-availability.md"
    )]
    RecordEnded(SwarmId, String),
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
        // The keys are given to who was confirmed, and a refusal would be final.
        (Place::Manager(_), None) if given.wait && given.unfinished => Step::Wait,
        (Place::Manager(membership), held) => in_swarm(held, membership, &given.recorded, now),
        (Place::Worker | Place::Out, _) if given.wait => Step::Wait,
        (Place::Worker, _) => Step::Stop(Stop::Worker),
        (Place::Out, held) => come_in(held, given, now),
    }
}

/// The engine is a manager.
fn in_swarm(held: Option<&Held>, membership: &Membership, recorded: &Recorded, now: u64) -> Step {
    match (recorded, held) {
        (Recorded::Swarm(swarm) | Recorded::Ended(swarm, _), _) if *swarm != membership.swarm => match held {
            // Only what was made here by this command, and never held anything, is left.
            Some(held) if held.forming && !held.served && membership.nodes == 1 => Step::Leave(swarm.clone()),
            _ => Step::Stop(Stop::OtherSwarm(swarm.clone(), membership.swarm.clone())),
        },
        (Recorded::Gone(swarm), _) if *swarm != membership.swarm => Step::AwaitRecord,
        (Recorded::Nothing, Some(held)) if !held.served && now < held.form_until => Step::Elect,
        (Recorded::Nothing, Some(held)) if !held.served => Step::Stop(Stop::FormEnded(clock::shown(held.form_until))),
        (_, Some(_)) => Step::Serve,
        (_, None) => Step::Take,
    }
}

/// The engine is in no swarm.
fn come_in(held: Option<&Held>, given: &Given<'_>, now: u64) -> Step {
    let lost = held.is_some_and(|held| held.served) && given.invite.is_none();
    let stranger = held.is_none() && given.invite.is_none();
    match (given.invite, held) {
        (Some(invite), _) if invite.role != Role::Manager => return Step::Stop(Stop::WorkerInvite),
        // A manager that was taken out of its swarm does not bring itself back, though it has the keys.
        (None, Some(_)) if lost => return Step::Stop(Stop::Lost),
        _ => {}
    }
    match (&given.recorded, held) {
        (Recorded::NoStore, _) => come_in_without_store(held, given, now),
        _ if stranger => Step::Stop(Stop::NothingForStore),
        (Recorded::Ended(swarm, since), _) => Step::Stop(Stop::RecordEnded(swarm.clone(), clock::shown(*since))),
        (Recorded::Swarm(_), _) => Step::Join,
        (Recorded::Nothing, Some(held)) if !held.served && now < held.form_until => Step::Elect,
        (Recorded::Nothing | Recorded::Gone(_), _) => Step::AwaitRecord,
    }
}

fn come_in_without_store(held: Option<&Held>, given: &Given<'_>, now: u64) -> Step {
    match (given.invite, held) {
        (Some(_), _) => Step::Join,
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
        Held { cluster: invite.iss.clone(), served, form_until: NOW + 1, forming: false }
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
        next(held, place, &Given { form, invite, wait: false, unfinished: false, recorded: Recorded::NoStore }, NOW)
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
            let begun = Given {
                form: false,
                invite: Some(&invite),
                wait: false,
                unfinished: true,
                recorded: Recorded::NoStore,
            };
            for place in [manager(), Place::Worker] {
                assert_eq!(next(held.as_ref(), &place, &begun, NOW), Step::Join);
            }
        }
    }

    #[test]
    fn a_machine_that_something_else_brings_in_is_waited_for() {
        let held = held(&invite(Role::Manager), true);
        let waits = |held: Option<&Held>, place: &Place, unfinished: bool| {
            let given = Given { form: false, invite: None, wait: true, unfinished, recorded: Recorded::NoStore };
            next(held, place, &given, NOW)
        };
        for (place, unfinished) in
            [(Place::Out, true), (Place::Worker, true), (Place::Out, false), (Place::Worker, false)]
        {
            let both = (waits(None, &place, unfinished), waits(Some(&held), &place, unfinished));
            assert_eq!(both, (Step::Wait, Step::Wait));
        }
        // A manager that no broker has confirmed yet would be refused the keys, for good.
        assert_eq!((waits(None, &manager(), true), waits(None, &manager(), false)), (Step::Wait, Step::Take));
        assert_eq!(waits(Some(&held), &manager(), true), Step::Serve);
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

    fn by_store(held: Option<&Held>, place: &Place, invite: Option<&Invite>, recorded: &Recorded) -> Step {
        let recorded = recorded.clone();
        next(held, place, &Given { form: false, invite, wait: false, unfinished: false, recorded }, NOW)
    }

    fn here() -> SwarmId {
        "k9vqn1p0r3a8j2m4x6t5b7c1d".parse().expect("an id")
    }

    fn elsewhere() -> SwarmId {
        "z9vqn1p0r3a8j2m4x6t5b7c1d".parse().expect("an id")
    }

    #[test]
    fn only_a_new_machine_with_the_keys_is_elected_in_time_and_where_there_is_nothing() {
        let invite = invite(Role::Manager);
        let (new, served) = (held(&invite, false), held(&invite, true));
        let late = Held { form_until: NOW, ..new.clone() };
        let all = [Recorded::Nothing, Recorded::Gone(here()), Recorded::Swarm(here()), Recorded::Ended(here(), 1)];
        for held in [None, Some(&new), Some(&served), Some(&late)] {
            for invite in [None, Some(&invite)] {
                for recorded in &all {
                    let elects = by_store(held, &Place::Out, invite, recorded) == Step::Elect;
                    let may = held.is_some_and(|held| !held.served && NOW < held.form_until);
                    assert_eq!(elects, may && *recorded == Recorded::Nothing, "{held:?} {invite:?} {recorded:?}");
                }
            }
        }
    }

    #[test]
    fn a_new_machine_joins_the_swarm_of_the_record_or_waits_for_it() {
        let invite = invite(Role::Manager);
        let new = held(&invite, false);
        for (held, invite) in [(Some(&new), None), (Some(&new), Some(&invite)), (None, Some(&invite))] {
            assert_eq!(by_store(held, &Place::Out, invite, &Recorded::Swarm(here())), Step::Join);
            assert_eq!(by_store(held, &Place::Out, invite, &Recorded::Gone(here())), Step::AwaitRecord);
            let ended = by_store(held, &Place::Out, invite, &Recorded::Ended(here(), 1));
            assert!(matches!(ended, Step::Stop(Stop::RecordEnded(..))));
        }
        assert_eq!(by_store(None, &Place::Out, Some(&invite), &Recorded::Nothing), Step::AwaitRecord);
        assert_eq!(by_store(None, &Place::Out, None, &Recorded::Nothing), Step::Stop(Stop::NothingForStore));
    }

    #[test]
    fn a_manager_that_was_taken_out_does_not_bring_itself_back() {
        let served = held(&invite(Role::Manager), true);
        for recorded in [Recorded::Nothing, Recorded::Gone(here()), Recorded::Swarm(here()), Recorded::Ended(here(), 1)]
        {
            assert_eq!(by_store(Some(&served), &Place::Out, None, &recorded), Step::Stop(Stop::Lost));
        }
    }

    #[test]
    fn in_another_swarm_than_the_records_it_serves_nothing_and_leaves_only_what_it_made_itself() {
        let invite = invite(Role::Manager);
        let (new, served) = (held(&invite, false), held(&invite, true));
        let forming = Held { forming: true, ..new.clone() };
        let recorded = Recorded::Swarm(elsewhere());
        assert_eq!(by_store(Some(&forming), &manager(), None, &recorded), Step::Leave(elsewhere()));
        let Place::Manager(alone) = manager() else { panic!("a manager") };
        let crowded = Place::Manager(Membership { nodes: 2, ..alone });
        let served_since = Held { forming: true, ..served.clone() };
        for (held, place) in [
            (None, manager()),
            (Some(&new), manager()),
            (Some(&served), manager()),
            (Some(&served_since), manager()),
            (Some(&forming), crowded),
        ] {
            let stop = by_store(held, &place, None, &recorded);
            assert!(matches!(stop, Step::Stop(Stop::OtherSwarm(..))), "{held:?}");
        }
        // Where the record is gone, nothing is left for it.
        assert_eq!(by_store(Some(&forming), &manager(), None, &Recorded::Gone(elsewhere())), Step::AwaitRecord);
    }

    #[test]
    fn in_the_swarm_of_the_record_it_serves_however_old_that_is() {
        let invite = invite(Role::Manager);
        let (new, served) = (held(&invite, false), held(&invite, true));
        for recorded in [Recorded::Swarm(here()), Recorded::Ended(here(), 1), Recorded::Gone(here())] {
            assert_eq!(by_store(Some(&new), &manager(), None, &recorded), Step::Serve);
            assert_eq!(by_store(Some(&served), &manager(), None, &recorded), Step::Serve);
            assert_eq!(by_store(None, &manager(), Some(&invite), &recorded), Step::Take);
        }
        // The broker that serves puts back what is not there; a swarm that nobody knows of yet is published first.
        assert_eq!(by_store(Some(&served), &manager(), None, &Recorded::Nothing), Step::Serve);
        assert_eq!(by_store(Some(&new), &manager(), None, &Recorded::Nothing), Step::Elect);
        let late = Held { form_until: NOW, ..new };
        assert!(matches!(by_store(Some(&late), &manager(), None, &Recorded::Nothing), Step::Stop(Stop::FormEnded(_))));
    }
}
