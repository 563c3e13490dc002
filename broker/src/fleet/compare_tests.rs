//! What the comparison makes of lists, nodes, claims and logs.

use super::super::expected;
use super::*;

const NOW: u64 = 10_000;

fn key(name: &str) -> KeyHash {
    KeyHash::of_spki(name.as_bytes())
}

fn address(last: u8) -> IpAddr {
    IpAddr::from([10, 0, 0, last])
}

/// A node of this name. It came 100 s ago.
fn node(name: &str, last: u8, state: NodeState) -> NodeLine {
    let of_grant = matches!(state, NodeState::Joined | NodeState::Down);
    NodeLine {
        id: format!("{:a<25}", format!("{last}")).parse().expect("a node id"),
        hostname: name.into(),
        state,
        explained: !matches!(state, NodeState::Unexplained | NodeState::Pending),
        grant: of_grant.then(|| "grant".into()),
        invite: None,
        adopted: (state == NodeState::Adopted).then(|| "by hand".into()),
        role: Role::Worker,
        availability: "active".into(),
        ready: state != NodeState::Down,
        address: address(last).to_string(),
        engine: "20.10.24".into(),
        created: NOW - 100,
        joined: of_grant.then_some(NOW - 99),
        labels: BTreeMap::new(),
    }
}

fn boot(name: &str, redeemed: bool, open: bool) -> Booting {
    Booting {
        invite: InviteId::random(),
        role: Some(Role::Worker),
        key: key(name),
        claimed: NOW - 50,
        redeemed: redeemed.then_some(NOW - 40),
        open,
        waits: false,
    }
}

fn seen(name: &str, last: u8, at: u64, refused: Option<&str>) -> Sighting {
    Sighting {
        at,
        refused: refused.map(str::to_owned),
        source: Some(address(last)),
        hostname: Some(name.into()),
        invite: None,
        key: Some(key(name)),
        role: Some(Role::Worker),
    }
}

fn compared(list: &str, nodes: Vec<NodeLine>, booting: Vec<Booting>, sightings: Vec<Sighting>) -> Comparison {
    let expected = expected::read(list.as_bytes()).expect("a list");
    let mut logs = Seen::default();
    logs.take(&expected, sightings);
    compare(Report { nodes, booting }, Some(&expected), &logs, NOW)
}

/// Each missing machine as `name state reason`, and of the nodes which is which machine.
fn told(comparison: &Comparison) -> (Vec<String>, Vec<String>) {
    let missing = comparison.missing.iter().map(|one| format!("{} {:?} {}", one.hostname, one.state, one.reason));
    let nodes = comparison.nodes.iter().map(|one| {
        let is = one.expected.as_deref().unwrap_or("nobody");
        format!("{} is {is}", one.node.hostname)
    });
    (missing.map(|line| line.to_lowercase()).collect(), nodes.collect())
}

/// What it is called, nodes, claims and sightings; then what is missing, and how many are there.
type Case<'a> = (&'a str, Vec<NodeLine>, Vec<Booting>, Vec<Sighting>, &'a [&'a str], usize);

#[test]
fn each_machine_is_there_or_missing_for_one_reason() {
    use NodeState::{Adopted, Down, Joined, Pending, Unexplained};
    let issued = |name| seen(name, 9, NOW - 50, None);
    let refused = |name| seen(name, 9, NOW - 30, Some("used-up"));
    let cases: Vec<Case> = vec![
        ("it joined", vec![node("a", 1, Joined)], vec![], vec![], &[], 1),
        ("in letters of another size", vec![node("A", 1, Joined)], vec![], vec![], &[], 1),
        ("it was adopted", vec![node("a", 1, Adopted)], vec![], vec![], &[], 1),
        ("it is down", vec![node("a", 1, Down)], vec![], vec![], &[], 0),
        ("nothing explains it", vec![node("a", 1, Unexplained)], vec![], vec![refused("a")], &[], 0),
        ("nobody saw it", vec![node("b", 1, Joined)], vec![], vec![refused("b")], &["a missing never-seen"], 0),
        ("it has a use", vec![], vec![boot("a", false, true)], vec![issued("a")], &["a booting no-token"], 0),
        ("it has the token", vec![], vec![boot("a", true, true)], vec![issued("a")], &["a booting no-confirm"], 0),
        ("its hour is over", vec![], vec![boot("a", true, false)], vec![issued("a")], &["a missing window-ended"], 0),
        ("its node was removed", vec![], vec![], vec![issued("a")], &["a missing gone"], 0),
        ("it was refused", vec![], vec![], vec![refused("a")], &["a refused used-up"], 0),
        (
            "refused, later in its boot",
            vec![],
            vec![boot("a", true, true)],
            vec![issued("a"), refused("a")],
            &["a refused used-up"],
            0,
        ),
        (
            "refused, and then admitted by another invite; the logs came in another order",
            vec![],
            vec![boot("a", true, true)],
            vec![issued("a"), seen("a", 9, NOW - 80, Some("network"))],
            &["a booting no-confirm"],
            0,
        ),
        ("it waits for its confirm", vec![node("a", 1, Pending)], vec![], vec![], &["a booting no-confirm"], 0),
        (
            "its confirm was refused",
            vec![node("a", 1, Pending)],
            vec![boot("a", true, true)],
            vec![issued("a"), seen("a", 9, NOW - 20, Some("wrong-role"))],
            &["a refused wrong-role"],
            0,
        ),
        (
            "refused before it joined",
            vec![node("a", 1, Joined)],
            vec![],
            vec![seen("a", 9, NOW - 500, Some("used-up"))],
            &[],
            1,
        ),
        ("somebody else calls itself so", vec![node("a", 1, Joined)], vec![], vec![refused("a")], &[], 1),
        (
            "its second life, beside the row of the first",
            vec![node("a", 1, Down), node("a", 2, Joined)],
            vec![],
            vec![],
            &[],
            1,
        ),
        (
            "its second life was refused",
            vec![node("a", 1, Down)],
            vec![],
            vec![refused("a")],
            &["a refused used-up"],
            0,
        ),
        (
            "it is down, and its first life is what the log saw",
            vec![node("a", 1, Down)],
            vec![],
            vec![seen("a", 1, NOW - 101, Some("used-up"))],
            &[],
            0,
        ),
    ];
    for (case, nodes, booting, sightings, missing, there) in cases {
        let comparison = compared("a", nodes, booting, sightings);
        assert_eq!(told(&comparison).0, missing, "{case}");
        assert_eq!((comparison.there, comparison.wanting()), (there, 1 - there), "{case}");
    }
}

#[test]
fn a_node_is_known_by_its_name_and_else_by_its_address() {
    use NodeState::{Down, Joined, Unexplained};
    let list = r#"{"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3"}"#;
    let nodes = vec![
        node("ip-10-0-0-1", 1, Joined),
        node("b", 9, Joined),
        // At the address of one that is there by its name.
        node("guest", 2, Unexplained),
        // At an address that was given to another machine since.
        node("former", 3, Down),
    ];
    let comparison = compared(list, nodes, vec![], vec![]);
    let (missing, nodes) = told(&comparison);
    assert_eq!(nodes, ["ip-10-0-0-1 is a", "b is b", "guest is nobody", "former is nobody"]);
    assert_eq!(missing, ["c missing never-seen"]);
    assert_eq!((comparison.there, comparison.wanting()), (2, 1));
}

#[test]
fn whoever_takes_the_name_of_a_machine_is_not_that_machine() {
    use NodeState::{Joined, Unexplained};
    let who = |list: &str, nodes: Vec<NodeLine>| {
        let comparison = compared(list, nodes, vec![], vec![]);
        let one = |one: &Compared| match (&one.expected, &one.twin_of, one.listed_at) {
            (Some(_), _, None) => "it",
            (Some(_), _, Some(_)) => "it, elsewhere",
            (None, Some(_), _) => "a twin",
            (None, None, _) => "nobody",
        };
        assert_eq!(comparison.there, 1);
        (comparison.nodes.iter().map(one).collect::<Vec<_>>(), comparison.twins())
    };
    let [with, without] = [r#"{"a": "10.0.0.1"}"#, "a"];
    let later = |node: NodeLine| NodeLine { created: NOW - 10, ..node };
    // At the address that the list has; where it has none, who came first. One of the two is too many, whichever it is.
    assert_eq!(who(with, vec![node("a", 9, Joined), later(node("a", 1, Joined))]), (vec!["a twin", "it"], 1));
    assert_eq!(who(without, vec![later(node("a", 9, Joined)), node("a", 1, Joined)]), (vec!["a twin", "it"], 1));
    // A thief with the machine's own use leaves one node, and the list knows where it should be.
    assert_eq!(who(with, vec![node("a", 9, Joined)]), (vec!["it, elsewhere"], 0));
    assert_eq!(who(with, vec![node("a", 9, Joined), node("ip-10-0-0-1", 1, Joined)]), (vec!["a twin", "it"], 1));
    assert_eq!(who(with, vec![node("a", 9, Unexplained), node("ip-10-0-0-1", 1, Joined)]), (vec!["a twin", "it"], 1));
    // An address in the list is no name.
    assert_eq!(who("10.0.0.1", vec![node("10.0.0.1", 9, Joined), node("b", 1, Joined)]), (vec!["nobody", "it"], 0));
}

#[test]
fn a_refused_machine_is_known_by_its_name_its_address_or_its_key() {
    let list = r#"{"a": "10.0.0.1", "b": "10.0.0.2", "c": "10.0.0.3", "d": "10.0.0.4"}"#;
    let nameless = |last, name: &str| Sighting { hostname: None, ..seen(name, last, NOW - 10, Some("window-ended")) };
    let sightings = vec![
        seen("a", 77, NOW - 20, Some("network")),
        seen("ip-10-0-0-2", 2, NOW - 20, Some("used-up")),
        seen("c", 78, NOW - 30, None),
        nameless(79, "c"),
        seen("stranger", 80, NOW - 20, Some("not-signed")),
    ];
    let comparison = compared(list, vec![], vec![], sightings);
    let expected = ["a refused network", "b refused used-up", "c refused window-ended", "d missing never-seen"];
    assert_eq!(told(&comparison).0, expected);
    let first = &comparison.missing[0];
    assert_eq!((first.address, first.source), (Some(address(1)), Some(address(77))), "where it called from");
}

#[test]
fn a_booting_machine_is_named_by_whoever_has_its_key_with_a_list_or_without() {
    let mut logs = Seen::default();
    logs.take(&Expected::default(), vec![seen("a", 1, NOW - 50, None), seen("x", 2, NOW, Some("network"))]);
    let report = Report { nodes: vec![], booting: vec![boot("a", true, true), boot("unheard-of", false, true)] };
    let comparison = compare(report, None, &logs, NOW);
    let named: Vec<_> = comparison.booting.iter().map(|boot| (boot.hostname.as_deref(), boot.source)).collect();
    assert_eq!(named, [(Some("a"), Some(address(1))), (None, None)]);
    assert!(comparison.expected.is_none() && comparison.missing.is_empty() && comparison.wanting() == 0);
}

#[test]
fn made_up_names_take_no_memory() {
    let expected = expected::read(b"a").expect("a list");
    let mut logs = Seen::default();
    let made_up =
        (0..5000).map(|number| Sighting { key: None, ..seen(&format!("x{number}"), 9, NOW, Some("network")) });
    logs.take(&expected, made_up.collect());
    assert!(format!("{logs:?}").len() < 100, "{logs:?}");
}

#[test]
fn the_object_keeps_what_nodes_in_json_had_before() {
    let report = || Report { nodes: vec![node("a", 1, NodeState::Joined)], booting: vec![boot("b", true, true)] };
    let before = serde_json::to_value(report()).expect("JSON");
    let expected = expected::read(b"a\nb").expect("a list");
    let now = serde_json::to_value(compare(report(), Some(&expected), &Seen::default(), NOW)).expect("JSON");
    for list in ["nodes", "booting"] {
        let fields = before[list][0].as_object().expect("an object");
        let kept = fields.keys().all(|field| field == "invite" || now[list][0][field] == fields[field]);
        assert!(kept, "{list}: {before} {now}");
    }
    assert_eq!((&now["nodes"][0]["expected"], &now["nodes"][0]["age_s"]), (&"a".into(), &100.into()));
    assert_eq!((&now["missing"][0]["hostname"], &now["missing"][0]["state"]), (&"b".into(), &"missing".into()));
    assert_eq!((&now["expected"], &now["there"]), (&2.into(), &1.into()));
}
