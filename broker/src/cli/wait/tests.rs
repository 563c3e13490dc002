//! What `broker wait` makes of answers.

use std::collections::BTreeMap;
use std::net::IpAddr;

use protocol::{InviteId, KeyHash, Role};

use super::missing::Missing;
use super::tally::{News, Tally};
use crate::admin::Arrivals;
use crate::audit::Sighting;
use crate::fleet::{Booting, NodeLine, NodeState};

const BEGAN: u64 = 1000;

fn answer() -> Arrivals {
    Arrivals {
        time: BEGAN,
        brokers: Vec::new(),
        invite: None,
        nodes: Vec::new(),
        booting: Vec::new(),
        sightings: Vec::new(),
        position: 0,
        more: false,
    }
}

fn key(name: &str) -> KeyHash {
    KeyHash::of_spki(name.as_bytes())
}

/// A machine called by a letter: its address and its key follow from that.
fn seen(name: char, at: u64, refused: Option<&str>, invite: Option<&InviteId>) -> Sighting {
    Sighting {
        at,
        refused: refused.map(str::to_owned),
        source: Some(address(name)),
        hostname: Some(name.to_string()),
        invite: invite.cloned(),
        key: Some(key(&name.to_string())),
        role: Some(Role::Worker),
    }
}

fn address(name: char) -> IpAddr {
    format!("10.0.0.{}", u32::from(name)).parse().expect("an address")
}

fn node(name: char, state: NodeState) -> NodeLine {
    NodeLine {
        id: format!("{}{name}", "n".repeat(24)).parse().expect("a node id"),
        hostname: name.to_string(),
        state,
        explained: true,
        grant: Some("grant".into()),
        invite: None,
        adopted: None,
        role: Role::Worker,
        availability: "active".into(),
        ready: state == NodeState::Joined,
        address: address(name).to_string(),
        engine: String::new(),
        created: BEGAN,
        joined: Some(BEGAN),
        labels: BTreeMap::new(),
    }
}

fn boot(name: char, redeemed: bool, open: bool) -> Booting {
    let (invite, key) = (InviteId::random(), key(&name.to_string()));
    let redeemed = redeemed.then_some(BEGAN + 1);
    Booting { invite, role: Some(Role::Worker), key, claimed: BEGAN, redeemed, open, waits: false }
}

fn of_all(count: usize) -> Tally {
    Tally::new(count, None, BEGAN)
}

/// Each missing machine as `hostname state reason`.
fn told(tally: &Tally) -> Vec<String> {
    let line = |one: Missing| {
        format!("{} {:?} {}", one.hostname.as_deref().unwrap_or("-"), one.state, one.reason).to_lowercase()
    };
    tally.missing().into_iter().map(line).collect()
}

#[test]
fn each_machine_has_one_reason_and_the_rest_never_asked() {
    let mut tally = of_all(7);
    let issued = |name| seen(name, BEGAN, None, None);
    tally.take(Arrivals {
        nodes: vec![node('a', NodeState::Joined), node('b', NodeState::Down)],
        booting: vec![boot('c', true, true), boot('d', false, true), boot('e', true, true), boot('f', true, false)],
        sightings: vec![
            issued('c'),
            issued('d'),
            issued('e'),
            seen('e', BEGAN + 1, Some("invite-revoked"), None),
            seen('g', BEGAN + 2, Some("used-up"), None),
        ],
        ..answer()
    });
    let expected = [
        "e refused invite-revoked",
        "g refused used-up",
        "c stuck no-confirm",
        "d stuck no-token",
        "b down not-ready",
        "- neverseen never-seen",
    ];
    assert_eq!(told(&tally), expected, "whose window is over is of another day");
}

#[test]
fn a_refused_machine_that_got_on_later_is_not_missing() {
    let mut tally = of_all(3);
    let sightings = vec![
        seen('a', BEGAN, Some("used-up"), None),
        seen('b', BEGAN, Some("used-up"), None),
        // The same machine, asking with another invite: its key is another one.
        Sighting { key: Some(key("b2")), ..seen('b', BEGAN + 1, None, None) },
        seen('c', BEGAN, Some("used-up"), None),
    ];
    tally.take(Arrivals { nodes: vec![node('c', NodeState::Joined)], sightings, ..answer() });
    assert_eq!(told(&tally), ["a refused used-up", "- neverseen never-seen"]);
}

#[test]
fn names_that_machines_share_hide_no_refusal() {
    let mut tally = of_all(2);
    let elsewhere = Sighting { source: Some(address('z')), ..seen('a', BEGAN, Some("network"), None) };
    let behind_nat = Sighting { source: Some(address('a')), ..seen('b', BEGAN, Some("network"), None) };
    let sightings = vec![elsewhere, behind_nat];
    tally.take(Arrivals { nodes: vec![node('a', NodeState::Joined)], sightings, ..answer() });
    assert_eq!(told(&tally), ["b refused network", "a refused network"]);
}

#[test]
fn a_refusal_that_names_a_key_only_is_of_the_machine_that_has_it() {
    let mut tally = of_all(1);
    let nameless = Sighting { hostname: None, ..seen('a', BEGAN + 1, Some("window-ended"), None) };
    tally.take(Arrivals { sightings: vec![seen('a', BEGAN - 10, None, None), nameless], ..answer() });
    assert_eq!(told(&tally), ["a refused window-ended"]);
}

#[test]
fn refusals_from_before_are_told_of_the_invite_that_is_waited_for_only() {
    let invite = InviteId::random();
    let sightings = vec![
        seen('a', BEGAN - 500, Some("used-up"), Some(&invite)),
        seen('b', BEGAN - 500, Some("not-signed"), None),
        seen('c', BEGAN + 1, Some("not-signed"), None),
    ];
    let mut tally = Tally::new(3, Some(invite), BEGAN);
    let news = tally.take(Arrivals { sightings: sightings.clone(), ..answer() });
    assert_eq!(told(&tally), ["a refused used-up", "c refused not-signed", "- neverseen never-seen"]);
    assert!(matches!(&news[..], [News::Refused(machine, _)] if machine.hostname.as_deref() == Some("c")));
    let mut tally = of_all(3);
    tally.take(Arrivals { sightings, ..answer() });
    assert_eq!(told(&tally)[0], "c refused not-signed");
}

#[test]
fn what_was_told_is_not_told_again_by_another_broker_process() {
    let mut tally = of_all(9);
    let nodes = vec![node('a', NodeState::Joined)];
    let refused = seen('r', BEGAN, Some("used-up"), None);
    let with = |nodes: &[NodeLine], sightings| Arrivals { nodes: nodes.to_vec(), sightings, ..answer() };
    assert!(matches!(tally.take(with(&nodes, vec![refused.clone()]))[..], [News::There(1), News::Refused(..)]));
    assert!(tally.take(with(&nodes, Vec::new())).is_empty());
    let nodes = [nodes, vec![node('b', NodeState::Joined)]].concat();
    let news = tally.take(with(&nodes, vec![refused]));
    assert!(matches!(&news[..], [News::Joined(node)] if node.hostname == "b"), "{news:?}");
    assert!(told(&tally).contains(&"r refused used-up".to_owned()), "it is remembered all the same");
}

#[test]
fn nothing_is_missing_when_enough_are_there_and_nothing_is_known_without_an_answer() {
    let mut tally = of_all(1);
    assert_eq!(told(&tally), ["- unknown no-answer"]);
    let sightings = vec![seen('r', BEGAN, Some("used-up"), None)];
    tally.take(Arrivals { nodes: vec![node('a', NodeState::Joined)], sightings, ..answer() });
    assert!(tally.is_done() && tally.missing().is_empty());
}

#[test]
fn made_up_names_take_bounded_memory() {
    let mut tally = of_all(1);
    let made_up =
        |number: u32| Sighting { hostname: Some(number.to_string()), ..seen('x', BEGAN, Some("network"), None) };
    tally.take(Arrivals { sightings: (0..5000).map(made_up).collect(), ..answer() });
    assert_eq!(tally.refused().count(), 1000);
}
