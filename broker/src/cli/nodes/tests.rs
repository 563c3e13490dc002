//! What is shown of a comparison.

use std::collections::BTreeMap;

use protocol::{KeyHash, Role};

use super::changes::Changes;
use super::object::Object;
use super::screen::{Drawn, Size, frame};
use super::table::{self, Line, Tint, age};
use crate::audit::Sighting;
use crate::fleet::{Booting, Comparison, NodeLine, NodeState, Report, Seen, compare, read_expected};

const NOW: u64 = 1_800_000_000;
const INVITE: &str = "6d1ce81a2eadecf9d2a2dd5081cdc89d";

fn node(name: &str, letter: char, state: NodeState) -> NodeLine {
    NodeLine {
        id: letter.to_string().repeat(25).parse().expect("a node id"),
        hostname: name.into(),
        state,
        explained: state != NodeState::Unexplained,
        grant: None,
        invite: (state == NodeState::Joined).then(|| INVITE.parse().expect("an id")),
        adopted: None,
        role: Role::Worker,
        availability: "active".into(),
        ready: true,
        address: "10.0.0.12".into(),
        engine: "20.10.24".into(),
        created: NOW - 300,
        joined: None,
        labels: BTreeMap::from([("zone".into(), "a\u{1b}[2J".into()), ("swarm-broker.grant".into(), "x".into())]),
    }
}

fn key(name: &str) -> KeyHash {
    KeyHash::of_spki(name.as_bytes())
}

fn seen(name: &str, refused: Option<&str>) -> Sighting {
    Sighting {
        at: NOW - 60,
        refused: refused.map(str::to_owned),
        source: "10.0.0.77".parse().ok(),
        hostname: Some(name.into()),
        invite: None,
        key: Some(key(name)),
        role: Some(Role::Worker),
    }
}

fn boot(name: &str) -> Booting {
    let invite = INVITE.parse().expect("an id");
    Booting {
        invite,
        role: Some(Role::Worker),
        key: key(name),
        claimed: NOW - 60,
        redeemed: None,
        open: true,
        waits: false,
    }
}

/// One of each.
fn fleet() -> Comparison {
    let nodes = vec![node("w-1", 'a', NodeState::Joined), node("w-2\u{1b}]0;x\u{7}", 'b', NodeState::Unexplained)];
    let expected = read_expected(b"w-1\nw-3\nw-4\nw-5").expect("a list");
    let mut logs = Seen::default();
    logs.take(&expected, vec![seen("w-3", None), seen("w-4", Some("used-up")), seen("other", None)]);
    let report = Report { nodes, booting: vec![boot("w-3"), boot("other"), boot("nameless")] };
    compare(report, Some(&expected), &logs, NOW)
}

fn text(lines: &[Line]) -> Vec<&str> {
    lines.iter().map(|line| line.text.as_str()).collect()
}

#[test]
fn the_table_has_a_line_for_each_and_nothing_that_a_terminal_acts_on() {
    use Tint::{Head, Plain, Underway, Wrong};

    let lines = table::lines(&fleet());
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let text = text(&lines);
    assert_eq!(
        words(text[0]),
        "NODE HOSTNAME STATE EXPECTED ROLE AVAILABILITY AGE ADDRESS ENGINE EXPLAINED BY LABELS"
            .split(' ')
            .collect::<Vec<_>>()
    );
    let joined = "aaaaaaaaaaaaaaaaaaaaaaaaa w-1 joined yes worker active 5m 10.0.0.12 20.10.24 invite \
                  6d1ce81a2eadecf9d2a2dd5081cdc89d zone=a\\u{1b}[2J";
    assert_eq!(words(text[1]).join(" "), joined);
    assert!(text[2].contains(r"w-2\u{1b}]0;x\u{7}  unexplained  no "), "{}", text[2]);
    for (line, words) in text[3..].iter().zip([
        "booting: other (10.0.0.77) since 2027-01-15T07:59:00Z: it has a use (invite ",
        "booting: key ",
        "booting: w-3 (10.0.0.77) since 2027-01-15T07:59:00Z: no-token: it has a use",
        "refused: w-4 (10.0.0.77) since 2027-01-15T07:59:00Z: used-up: every use of its invite is another machine's",
        "missing: w-5: never-seen: it never asked: is it booted",
        "1 joined, 0 adopted, 0 pending, 0 down, 1 unexplained",
        "1 of 4 expected are there; 1 booting, 1 refused, 1 missing",
        "An unexplained node joined with the real token",
    ]) {
        assert!(line.starts_with(words), "{line}");
    }
    assert_eq!(text.len(), 11);
    assert!(text.iter().all(|line| !line.chars().any(char::is_control)), "{text:?}");
    let tints: Vec<Tint> = lines.iter().map(|line| line.tint).collect();
    assert_eq!(tints[..8], [Head, Plain, Wrong, Underway, Underway, Underway, Wrong, Wrong]);
}

#[test]
fn the_object_sorts_by_state() {
    let fleet = fleet();
    let object = serde_json::to_value(Object::of(&fleet)).expect("JSON");
    let names = |list: &str| {
        let list = object[list].as_array().expect("a list").iter();
        list.map(|one| one["hostname"].as_str().unwrap_or("-").to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(
        (names("joined"), names("missing")),
        (vec!["w-1".to_owned()], ["w-3", "w-4", "w-5"].map(String::from).into())
    );
    assert_eq!((names("refused"), names("booting").len(), names("nodes").len()), (vec!["w-4".to_owned()], 3, 2));
    assert_eq!(object["unexplained"].as_array().map(Vec::len), Some(1));
    for empty in ["adopted", "pending", "down"] {
        assert_eq!(names(empty), [""; 0], "{empty}");
    }
    assert_eq!((&object["expected"], &object["there"]), (&4.into(), &1.into()));
}

#[test]
fn in_a_pipe_only_what_changed_is_told() {
    let mut changes = Changes::default();
    let first = changes.news(&fleet());
    assert_eq!(first.len(), 7, "{first:?}");
    assert!(first.iter().all(|line| !line.chars().any(char::is_control)), "{first:?}");
    assert_eq!(changes.news(&fleet()), [""; 0]);
    let mut later = fleet();
    for one in &mut later.nodes {
        one.age_s += 2;
    }
    assert_eq!(changes.news(&later), [""; 0], "that it is older is no news");
    later.nodes.remove(1);
    later.nodes[0].node.state = NodeState::Down;
    later.missing.remove(2);
    let news = changes.news(&later);
    assert!(news[0].starts_with("removed      w-2") && news[1].starts_with("down         w-1  aaa"), "{news:?}");
    assert_eq!(news.len(), 2);
    assert_eq!(changes.news(&fleet()).len(), 3, "it is all news again");
}

fn lines(count: usize) -> Vec<Line> {
    (0..count).map(|number| Line::new(Tint::Wrong, &format!("line {number}"))).collect()
}

#[test]
fn a_frame_is_drawn_over_the_one_before() {
    let size = Size { rows: 24, columns: 6 };
    let drawn = |lines| Some(Drawn { lines, size });
    assert_eq!(frame(&lines(2), size, None, false), ("line 0\u{1b}[K\nline 1\u{1b}[K\n\u{1b}[J".into(), 2));
    let (second, count) = frame(&lines(1), size, drawn(2), true);
    assert_eq!((second.as_str(), count), ("\r\u{1b}[2A\u{1b}[31mline 0\u{1b}[0m\u{1b}[K\n\u{1b}[J", 1));
    assert!(!second.contains("[2J"), "nothing is made empty first: that would flicker");
    let wider = Size { columns: 120, ..size };
    assert!(frame(&lines(1), wider, drawn(2), false).0.starts_with("\u{1b}[H\u{1b}[2J"), "after a change of its size");
}

#[test]
fn a_frame_never_wraps_or_scrolls() {
    let long = [Line::new(Tint::Plain, "0123456789"), Line::new(Tint::Plain, "éééé")];
    let (text, _) = frame(&long, Size { rows: 24, columns: 5 }, None, false);
    assert_eq!(text, "01234\u{1b}[K\néé\u{1b}[K\n\u{1b}[J");
    for rows in 1..40 {
        let (text, count) = frame(&lines(30), Size { rows, columns: 80 }, None, false);
        assert!(count < rows.max(2) && text.matches('\n').count() == count, "{rows} rows: {count}");
        assert_eq!(text.contains("more lines: the screen is too small"), rows <= 30, "{rows} rows");
    }
    assert!(frame(&lines(30), Size { rows: 24, columns: 80 }, None, false).0.contains("line 21\u{1b}[K\n8 more lines"));
}

#[test]
fn an_age_is_short() {
    for (seconds, shown) in [(0, "0s"), (119, "119s"), (120, "2m"), (7_199, "119m"), (7_200, "2h"), (172_800, "2d")] {
        assert_eq!(age(seconds), shown);
    }
}
