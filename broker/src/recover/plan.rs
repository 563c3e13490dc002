//! What is to be put back into a ledger that was lost: a pure function of logs, ledger, nodes and time.
//!
//! Keeps promises 1 and 5: a use that was spent stays spent, and where the logs cannot prove which were, the invite
//! is revoked. Must not guess in favour of an invite.

use std::collections::{BTreeMap, BTreeSet};

use protocol::{ClusterId, GrantHash, InviteId};

use super::History;
use crate::clock;
use crate::keys::What;
use crate::ledger::{Claims, InviteState, Policy, WINDOW};

/// What is known when a ledger is recovered.
pub(super) struct Given<'a> {
    pub(super) cluster: &'a ClusterId,
    /// This broker's log first.
    pub(super) logs: &'a [History],
    /// The invites that the ledger has.
    pub(super) present: &'a [InviteState],
    /// The brokers that the ledger lists.
    pub(super) listed: &'a BTreeSet<String>,
    /// The grants that nodes carry.
    pub(super) carried: &'a BTreeSet<GrantHash>,
    /// The operator says that the logs are whole.
    pub(super) trusted: bool,
    /// What ended below may have been swept.
    pub(super) floor: u64,
    /// Of this broker's issuing CA.
    pub(super) generation: u32,
    pub(super) now: u64,
}

/// What is to be done.
#[derive(Debug)]
pub(super) struct Plan {
    /// Why the logs may not tell all that was claimed; empty if they do.
    pub(super) gaps: Vec<String>,
    /// The invites that are not over.
    pub(super) invites: Vec<Step>,
    /// What is to be done about the keys that sign invites.
    pub(super) invite_keys: Former,
    /// The lowest issuing CA that is good; or the broker whose one is, where this broker's own is void.
    pub(super) lowest_ca: Result<u32, String>,
}

/// What becomes of the former invite keys: an old store may have forgotten that one leaked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Former {
    /// All that are listed stay as they are.
    Keep,
    /// All but this broker's are void.
    VoidOthers,
    /// This broker's own is void: the one of these brokers is good.
    VoidHere(String),
}

/// One invite.
#[derive(Debug)]
pub(super) struct Step {
    /// As it is to be in the ledger.
    pub(super) policy: Policy,
    pub(super) claims: Claims,
    pub(super) action: Action,
    /// How many uses the ledger lacks.
    pub(super) missing: usize,
    /// Whether it lacks a use or the revocation.
    pub(super) lacks: bool,
}

/// What becomes of an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// The ledger has it as it is.
    Keep,
    /// What is missing of it is put back.
    PutBack,
    /// The same, and it is revoked, since more may be missing.
    Revoke,
}

pub(super) fn plan(given: &Given<'_>) -> Plan {
    let gaps = gaps(given);
    let whole = gaps.is_empty() || given.trusted;
    let mut ids: BTreeSet<&InviteId> = given.logs.iter().flat_map(|log| log.invites.keys()).collect();
    ids.extend(given.present.iter().map(|state| state.policy.id()));
    let present: BTreeMap<&InviteId, &InviteState> =
        given.present.iter().map(|state| (state.policy.id(), state)).collect();
    let invites = ids.into_iter().filter_map(|id| step(given, id, present.get(id).copied(), whole)).collect();
    let lowest_ca = lowest_ca(given.logs, given.generation, whole);
    Plan { invite_keys: former(given.logs, whole), lowest_ca, gaps, invites }
}

/// The lowest issuing CA that did not leak. Where the logs do not tell, nothing below this broker's own is good.
fn lowest_ca(logs: &[History], own: u32, whole: bool) -> Result<u32, String> {
    let voided = |log: &History| log.voided.get(&What::Ca.to_string()).copied();
    let before = logs.first().and_then(voided);
    // One that another broker was about to replace may be this one's.
    let newer = |log: &&History| log.lowest_ca > own || (log.replacing_ca && voided(log) > before);
    if let Some(log) = logs.iter().skip(1).filter(newer).max_by_key(|log| (log.lowest_ca, voided(log))) {
        return Err(named(log));
    }
    let told = logs.iter().map(|log| log.lowest_ca).max().unwrap_or(0);
    Ok(if whole && !logs.iter().any(|log| log.replacing_ca) { told } else { told.max(own) })
}

fn former(logs: &[History], whole: bool) -> Former {
    let voided = |log: &History| log.voided.get(&What::InviteKey.to_string()).copied();
    let own = logs.first().and_then(voided);
    match logs.iter().skip(1).max_by_key(|log| voided(log)) {
        Some(log) if voided(log) > own => Former::VoidHere(named(log)),
        Some(_) | None if own.is_some() || !whole => Former::VoidOthers,
        Some(_) | None => Former::Keep,
    }
}

fn named(log: &History) -> String {
    log.brokers.iter().cloned().collect::<Vec<_>>().join(" and ")
}

fn step(given: &Given<'_>, id: &InviteId, present: Option<&InviteState>, whole: bool) -> Option<Step> {
    let told: Vec<_> = given.logs.iter().filter_map(|log| log.invites.get(id)).collect();
    let logged = told.iter().find_map(|told| told.policy.as_ref());
    let invite = present.and_then(|state| state.policy.invite()).or(logged).cloned();
    let policy = invite.map_or_else(|| Policy::Unseen(id.clone()), |invite| Policy::Invite(Box::new(invite)));
    let before = present.map(|state| state.claims.clone()).unwrap_or_default();
    let mut claims = before.clone();
    for told in told {
        claims.put_back(&told.claims());
    }
    let missing = claims.uses.len() - before.uses.len();
    let lacks = missing > 0 || (claims.revoked.is_some() && before.revoked.is_none());
    let state = InviteState { policy: policy.clone(), claims: claims.clone(), version: 0 };
    if present.is_none() && state.is_over(given.floor, given.now) {
        return None;
    }
    // Of one whose last window is over nobody gets anything, and confirms that are late are none the worse for it.
    let gives = policy.invite().is_none_or(|invite| given.now < invite.exp.saturating_add(WINDOW));
    let known = whole && policy.invite().is_some();
    let mut action = Action::Keep;
    if claims.revoked.is_none() && gives && !known {
        claims.revoked = Some(given.now);
        action = Action::Revoke;
    } else if present.is_none_or(|state| state.claims != claims || state.policy != policy) {
        action = Action::PutBack;
    }
    Some(Step { policy, claims, action, missing, lacks })
}

/// Why the logs may not be all there are, or not whole.
fn gaps(given: &Given<'_>) -> Vec<String> {
    let mut gaps = Vec::new();
    let have: BTreeSet<&String> = given.logs.iter().flat_map(|log| &log.brokers).collect();
    let handed: BTreeSet<&String> = given.logs.iter().flat_map(|log| &log.handed).collect();
    let by_file = given.logs.iter().any(|log| log.by_file);
    if by_file {
        // Each of them makes a broker key of its own, and no log but its own need tell of it.
        gaps.push(
            "the cluster's keys were brought to managers in a file, and nothing tells to how many. If these are the logs of all brokers \
             that ever served, say so with --trust-logs"
                .into(),
        );
    } else if !given.logs.iter().any(|log| log.founded) {
        gaps.push("the log of the broker that made the cluster is not among the logs: give it with --log".into());
    }
    let before = given.logs.iter().flat_map(|log| &log.before);
    for broker in handed.iter().copied().chain(given.listed).chain(before).collect::<BTreeSet<_>>() {
        if !have.contains(broker) {
            gaps.push(format!("the log of broker {broker} is not among the logs: give it with --log"));
        }
    }
    for (number, log) in given.logs.iter().enumerate() {
        let broker = named(log);
        let ours =
            log.founded || log.by_file || log.brokers.iter().chain(&log.before).any(|broker| handed.contains(broker));
        if !ours || !log.is_of(given.cluster) {
            gaps.push(format!("nothing shows that the log of broker {broker} is one of this cluster"));
        }
        if let Some(at) = log.restored {
            let at = clock::shown(at);
            gaps.push(format!(
                "the log of broker {broker} was restored at {at}: what came after the backup is not in it"
            ));
        }
        // An operator's own, where the file was made, admits nobody: where it has started no broker.
        let admits = !(log.founded && log.by_file) || log.started;
        if number > 0 && admits && !log.is_at_rest() {
            gaps.push(format!("the log of broker {broker} may go on: stop that broker, and copy its log after that"));
        }
    }
    let told: BTreeSet<&GrantHash> = given.logs.iter().flat_map(|log| &log.grants).collect();
    let unknown = given.carried.iter().filter(|grant| !told.contains(grant)).count();
    if unknown > 0 {
        gaps.push(format!("{unknown} nodes of the swarm joined by grants that are in none of the logs"));
    }
    gaps
}

#[cfg(test)]
mod tests {
    use protocol::{GrantId, Invite, KeyHash};

    use super::super::history::{Course, Told};
    use super::*;
    use crate::ledger::Use;
    use crate::ledger::tests::invite;

    const NOW: u64 = 500;

    fn key(number: u8) -> KeyHash {
        KeyHash::of_spki(&[number])
    }

    fn uses(keys: &[u8]) -> BTreeMap<KeyHash, Use> {
        keys.iter().map(|number| (key(*number), Use::claimed(1))).collect()
    }

    /// The log of a broker that made an invite, and saw it used by these keys.
    fn log(broker: &str, founded: bool, made: Option<&Invite>, of: &Invite, keys: &[u8]) -> History {
        let told = Told { policy: made.cloned(), revoked: None, uses: uses(keys) };
        let invites = BTreeMap::from([(of.jti.clone(), told)]);
        History {
            brokers: BTreeSet::from([broker.into()]),
            founded,
            course: Course::Stopped,
            invites,
            ..History::default()
        }
    }

    fn planned(logs: &[History], present: &[InviteState], change: impl FnOnce(&mut Given<'_>)) -> Plan {
        let cluster = logs
            .iter()
            .find_map(|log| log.invites.values().find_map(|told| told.policy.as_ref()))
            .map_or_else(ClusterId::random, |invite| invite.iss.clone());
        let (listed, carried) = (BTreeSet::new(), BTreeSet::new());
        let mut given = Given {
            cluster: &cluster,
            logs,
            present,
            listed: &listed,
            carried: &carried,
            trusted: false,
            floor: 0,
            generation: 1,
            now: NOW,
        };
        change(&mut given);
        plan(&given)
    }

    #[test]
    fn spent_uses_are_put_back_and_the_invite_stays_good_for_the_rest() {
        let invite = invite(3);
        let plan = planned(&[log("one", true, Some(&invite), &invite, &[1, 2])], &[], |_| {});
        assert_eq!(plan.gaps, Vec::<String>::new());
        let [step] = &plan.invites[..] else { panic!("one invite") };
        assert_eq!((step.action, step.missing, step.claims.revoked), (Action::PutBack, 2, None));
        assert_eq!(step.policy.invite(), Some(&invite));
    }

    #[test]
    fn what_the_ledger_has_is_kept_beside_what_the_logs_say() {
        let invite = invite(5);
        let state = InviteState {
            policy: Policy::Invite(Box::new(invite.clone())),
            claims: Told { uses: uses(&[3]), ..Told::default() }.claims(),
            version: 9,
        };
        let logs = [log("one", true, Some(&invite), &invite, &[1])];
        let plan = planned(&logs, std::slice::from_ref(&state), |_| {});
        assert_eq!((plan.invites[0].action, plan.invites[0].claims.uses.len()), (Action::PutBack, 2));
        let logs = [log("one", true, Some(&invite), &invite, &[3])];
        assert_eq!(planned(&logs, &[state], |_| {}).invites[0].action, Action::Keep);
    }

    #[test]
    fn without_a_log_that_there_must_be_every_invite_is_revoked() {
        let invite = invite(3);
        let mut one = log("one", true, Some(&invite), &invite, &[1]);
        one.handed.insert("two".into());
        let plan = planned(std::slice::from_ref(&one), &[], |_| {});
        assert!(plan.gaps[0].contains("broker two"), "{:?}", plan.gaps);
        assert_eq!((plan.invites[0].action, plan.invites[0].claims.revoked), (Action::Revoke, Some(NOW)));
        assert_eq!(plan.invites[0].claims.uses.len(), 1, "and what is known is put back: it may confirm");

        let mut two = log("two", false, None, &invite, &[2]);
        let both = planned(&[one.clone(), two.clone()], &[], |_| {});
        assert_eq!((both.gaps.len(), both.invites[0].action, both.invites[0].missing), (0, Action::PutBack, 2));
        two.course = Course::GoesOn;
        let running = planned(&[one.clone(), two], &[], |_| {});
        assert!(running.gaps[0].contains("may go on") && running.invites[0].action == Action::Revoke);
        let trusted = planned(&[one], &[], |given| given.trusted = true);
        assert_eq!((trusted.gaps.len(), trusted.invites[0].action), (1, Action::PutBack), "an operator's word");
    }

    #[test]
    fn logs_that_cannot_be_whole_revoke_every_invite() {
        let invite = invite(3);
        let whole = log("one", true, Some(&invite), &invite, &[1]);
        let revokes = |logs: &[History], change: &dyn Fn(&mut Given<'_>)| {
            let plan = planned(logs, &[], change);
            assert!(!plan.gaps.is_empty());
            assert!(plan.invites.iter().all(|step| step.claims.revoked == Some(NOW)), "{plan:?}");
        };
        revokes(&[History { restored: Some(4), ..whole.clone() }], &|_| {});
        revokes(&[History { founded: false, ..whole.clone() }], &|_| {});
        let carried = BTreeSet::from([GrantId::random().hash()]);
        let plan = planned(std::slice::from_ref(&whole), &[], |_| {});
        assert!(plan.gaps.is_empty());
        let other = ClusterId::random();
        let given = |cluster, carried| Given {
            cluster,
            logs: std::slice::from_ref(&whole),
            present: &[],
            listed: &NONE,
            carried,
            trusted: false,
            floor: 0,
            generation: 1,
            now: NOW,
        };
        assert!(!super::plan(&given(&invite.iss, &carried)).gaps.is_empty(), "a node that no log knows");
        assert!(!super::plan(&given(&other, &BTreeSet::new())).gaps.is_empty(), "another cluster's log");
    }

    #[test]
    fn where_the_keys_were_in_a_file_logs_are_no_proof_and_nothing_else_is_asked_for() {
        let invite = invite(3);
        let made = History { by_file: true, ..log("operator", true, None, &invite, &[]) };
        let operator = History { course: Course::GoesOn, ..made.clone() };
        let taken = |broker, keys: &[u8]| History { by_file: true, ..log(broker, false, Some(&invite), &invite, keys) };
        let all = [taken("one", &[1]), taken("two", &[2]), operator];
        for logs in [&all[..], &all[..2], &all[..1], &[History { started: true, ..made }]] {
            let plan = planned(logs, &[], |_| {});
            let [gap] = &plan.gaps[..] else { panic!("one: {:?}", plan.gaps) };
            assert!(gap.contains("--trust-logs"), "{gap}");
            assert!(plan.invites.iter().all(|step| step.claims.revoked == Some(NOW)), "{plan:?}");
        }
        let trusted = planned(&all, &[], |given| given.trusted = true);
        assert_eq!((trusted.invites[0].action, trusted.invites[0].missing), (Action::PutBack, 2));
        // A broker that has served, and may go on.
        let running = History { started: true, course: Course::GoesOn, ..all[2].clone() };
        let plan = planned(&[all[0].clone(), running], &[], |_| {});
        assert!(plan.gaps.iter().any(|gap| gap.contains("may go on")), "{:?}", plan.gaps);
    }

    static NONE: BTreeSet<String> = BTreeSet::new();

    #[test]
    fn an_invite_whose_policy_is_in_no_log_is_revoked_and_one_that_is_over_is_left() {
        let invite = invite(3);
        let logs = [log("one", true, None, &invite, &[1])];
        assert_eq!(planned(&logs, &[], |_| {}).invites[0].action, Action::Revoke);
        let logs = [log("one", true, Some(&invite), &invite, &[1])];
        let late = planned(&logs, &[], |given| (given.now, given.floor) = (invite.exp + WINDOW, 0));
        assert_eq!(late.invites[0].action, Action::PutBack);
        let over = planned(&logs, &[], |given| (given.now, given.floor) = (invite.exp + 9, invite.exp + 1));
        assert!(over.invites.is_empty());
    }

    #[test]
    fn a_key_that_leaked_stays_void() {
        let invite = invite(3);
        let (one, two) = (log("one", true, Some(&invite), &invite, &[]), log("two", false, None, &invite, &[]));
        let at = |log: &History, at: Option<u64>| History {
            voided: at.map(|at| ("invite-key".to_owned(), at)).into_iter().collect(),
            ..log.clone()
        };
        let keys = |logs: &[History], whole| former(logs, whole);
        let ca = History { voided: BTreeMap::from([("ca".to_owned(), 5)]), ..one.clone() };
        assert_eq!(former(&[ca], true), Former::Keep, "of each its own");
        assert_eq!(keys(&[one.clone(), two.clone()], true), Former::Keep);
        assert_eq!(keys(std::slice::from_ref(&one), false), Former::VoidOthers, "a missing log may say so");
        assert_eq!(keys(&[at(&one, Some(5)), at(&two, Some(4))], true), Former::VoidOthers);
        assert_eq!(keys(&[at(&one, Some(5)), at(&two, Some(6))], true), Former::VoidHere("two".into()));
    }

    #[test]
    fn an_issuing_ca_that_leaked_stays_void_and_no_other_one_is() {
        let log = |broker: &str, lowest_ca, replacing: Option<u64>| History {
            brokers: BTreeSet::from([broker.to_owned()]),
            voided: replacing.map(|at| ("ca".to_owned(), at)).into_iter().collect(),
            lowest_ca,
            replacing_ca: replacing.is_some(),
            ..History::default()
        };
        let (none, second) = (log("one", 0, None), log("two", 2, None));
        assert_eq!(lowest_ca(std::slice::from_ref(&none), 3, true), Ok(0));
        assert_eq!(lowest_ca(std::slice::from_ref(&none), 3, false), Ok(3), "a missing log may say so");
        assert_eq!(
            lowest_ca(&[log("one", 2, None)], 3, true),
            Ok(2),
            "the third did not take the second's place by a leak"
        );
        assert_eq!(
            lowest_ca(&[none.clone(), second.clone()], 2, true),
            Ok(2),
            "it has the second from the other broker"
        );
        assert_eq!(lowest_ca(&[none.clone(), second], 1, true), Err("two".into()));
        assert_eq!(lowest_ca(&[log("one", 0, Some(5))], 2, true), Ok(2), "it was cut off, and may be in use");
        assert_eq!(lowest_ca(&[none, log("two", 0, Some(5))], 1, true), Err("two".into()));
        assert_eq!(lowest_ca(&[log("one", 0, Some(6)), log("two", 0, Some(5))], 2, true), Ok(2));
    }

    #[test]
    fn what_was_revoked_stays_revoked() {
        let invite = invite(3);
        let mut log = log("one", true, Some(&invite), &invite, &[1]);
        log.invites.get_mut(&invite.jti).expect("there").revoked = Some(7);
        let plan = planned(&[log], &[], |_| {});
        assert_eq!((plan.invites[0].action, plan.invites[0].claims.revoked), (Action::PutBack, Some(7)));
    }
}
