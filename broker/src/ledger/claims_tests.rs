use proptest::prelude::*;
use protocol::{ClusterId, GrantId, InviteId, Pin, Role};

use crate::ledger::WINDOW;

use super::*;
use crate::ledger::{InviteState, Policy};

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

/// An invite as the ledger has it, one of whose uses became this node with this grant.
pub(crate) fn joined(invite: Invite, node: &NodeId, grant: &GrantHash) -> InviteState {
    let (key, grant, mut claims) = (KeyHash::of_spki(b"key"), grant.clone(), Claims::default());
    for operation in [
        Operation::Claim { key: key.clone() },
        Operation::Open { key: key.clone(), grant: grant.clone() },
        Operation::Redeem { key: key.clone(), grant: grant.clone(), generation: 1 },
        Operation::Join { key, grant, node: node.clone() },
    ] {
        claims.apply(Some(&invite), &operation, 1).expect("done");
    }
    InviteState { policy: Policy::Invite(Box::new(invite)), claims, version: 1 }
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
    assert_eq!(reason(&boot(&mut claims, &invite, 1, 12)), Some(Reason::Confirmed), "its key is spent all the same");
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
    assert_eq!(does(&ask(1), late + WINDOW - 1).ok(), Some(Outcome::YoursAlready), "its window begins with the answer");
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
    assert!(matches!(does(&says(1, Answer::Approved), lapsed - 1), Err(LedgerError::Later(_))), "the place is taken");
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
        claims.apply(Some(&invite), &Operation::Open { key: key.clone(), grant: grant.clone() }, now).expect("opens");
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
        assert_eq!(reason(&claims.apply(Some(&invite), &operation, 3)), Some(Reason::InviteRevoked), "{operation:?}");
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
