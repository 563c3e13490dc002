//! For people: a line a node, then those that are no node yet, then the sum. Pure.

use crate::admin::{self, plain};
use crate::cli::wait::{labels, named};
use crate::clock;
use crate::fleet::{
    Absent, Compared, Comparison, GONE, Missing, NEVER_SEEN, NO_APPROVAL, NO_CONFIRM, NO_TOKEN, NodeState, OnTheWay,
    WINDOW_ENDED,
};

/// One line, fit for a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) text: String,
    pub(super) tint: Tint,
}

/// How a line looks where there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tint {
    Plain,
    Head,
    /// On its way.
    Underway,
    /// Somebody should look.
    Wrong,
}

impl Line {
    pub(super) fn new(tint: Tint, text: &str) -> Self {
        Self { text: plain(text), tint }
    }
}

pub(super) fn lines(comparison: &Comparison) -> Vec<Line> {
    let with_list = comparison.expected.is_some();
    let mut head = vec!["NODE", "HOSTNAME", "STATE"];
    head.extend(with_list.then_some("EXPECTED"));
    head.extend(["ROLE", "AVAILABILITY", "AGE", "ADDRESS", "ENGINE", "EXPLAINED BY", "LABELS"]);
    let head = head.into_iter().map(String::from).collect();
    let rows = comparison.nodes.iter().map(|one| cells(one, with_list));
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    let tints = std::iter::once(Tint::Head).chain(comparison.nodes.iter().map(|one| tint(one.node.state)));
    let text = admin::lines(&rows);
    let mut lines: Vec<Line> = text.lines().zip(tints).map(|(row, tint)| Line { text: row.to_owned(), tint }).collect();
    lines.extend(boots(comparison).map(|boot| Line::new(Tint::Underway, &format!("booting: {}", of_boot(boot)))));
    lines.extend(comparison.missing.iter().map(|one| {
        let tint = if one.state == Absent::Booting { Tint::Underway } else { Tint::Wrong };
        Line::new(tint, &format!("{}: {}", state(one.state), of_missing(one)))
    }));
    lines.extend(sum(comparison));
    lines
}

fn cells(one: &Compared, with_list: bool) -> Vec<String> {
    let node = &one.node;
    let mut cells = vec![
        node.id.to_string(),
        if node.hostname.is_empty() { "(never came)".into() } else { node.hostname.clone() },
        node_state(node.state).into(),
    ];
    let expected = || match (&one.expected, &one.twin_of, one.listed_at) {
        (None, None, _) => "no".into(),
        (None, Some(name), _) => format!("no: a second {name}"),
        (Some(name), _, Some(listed)) => format!("{name}, listed at {listed}"),
        (Some(name), _, None) if name.eq_ignore_ascii_case(&node.hostname) => "yes".into(),
        // By its address.
        (Some(name), _, None) => name.clone(),
    };
    cells.extend(with_list.then(expected));
    cells.extend([
        node.role.to_string(),
        node.availability.clone(),
        age(one.age_s),
        node.address.clone(),
        node.engine.clone(),
        explained_by(one),
        labels(node),
    ]);
    cells
}

/// What explains a node.
pub(super) fn explained_by(one: &Compared) -> String {
    let node = &one.node;
    match (&node.invite, &node.grant, &node.adopted) {
        (Some(invite), _, _) => format!("invite {invite}"),
        (None, Some(grant), _) if node.explained => format!("grant {grant}"),
        (None, _, Some(adopted)) => format!("adopted {adopted}"),
        (None, _, None) => "nothing".into(),
    }
}

/// The machines that may still confirm, and are not told of as missing ones.
pub(super) fn boots(comparison: &Comparison) -> impl Iterator<Item = &OnTheWay> {
    let told = |one: &&OnTheWay| !comparison.missing.iter().any(|missing| missing.key.as_ref() == Some(&one.boot.key));
    comparison.booting.iter().filter(|one| one.boot.open).filter(told)
}

/// Who it is, since when, and how far it is.
pub(super) fn of_boot(OnTheWay { boot, hostname, source }: &OnTheWay) -> String {
    let who = match (hostname, source) {
        (None, None) => format!("key {}", boot.key),
        (hostname, source) => named(hostname.as_deref(), *source),
    };
    let step = if boot.redeemed.is_some() { "it has the token, did not confirm" } else { "it has a use" };
    format!("{who} since {}: {step} (invite {})", clock::shown(boot.claimed), boot.invite)
}

/// Which machine it is, and why it is not there.
pub(super) fn of_missing(one: &Missing) -> String {
    let who = named(Some(&one.hostname), one.source.or(one.address));
    let since = one.since.map(|since| format!(" since {since}")).unwrap_or_default();
    let node = one.node.as_ref().map(|node| format!(" (node {node})")).unwrap_or_default();
    let invite = one.invite.as_ref().map(|invite| format!(" (invite {invite})")).unwrap_or_default();
    format!("{who}{since}: {}: {}{node}{invite}", one.reason, words(one))
}

/// What the reason means, and what to do.
fn words(one: &Missing) -> &'static str {
    match one.reason.as_str() {
        NO_APPROVAL => "it waits for your answer: see 'broker pending'",
        NO_TOKEN => "it has a use and did not ask for the token yet",
        NO_CONFIRM => "it has the token and did not confirm yet: if it stays so, run 'joiner join' on it",
        WINDOW_ENDED if one.state == Absent::Missing => {
            "it did not confirm within its hour: run 'joiner join' on it with a new invite"
        }
        GONE => "it was admitted, and is no node now: its node was removed, or it ended long ago",
        NEVER_SEEN => "it never asked: is it booted, can it reach a broker, does its user-data hold a live invite?",
        refused => {
            let reason = serde_json::from_value::<crate::audit::Reason>(refused.into());
            reason.map_or("see docs/audit-log.md", crate::audit::Reason::words)
        }
    }
}

fn sum(comparison: &Comparison) -> Vec<Line> {
    let count = |state| comparison.count(state);
    let unexplained = count(NodeState::Unexplained);
    let mut sum = vec![format!(
        "{} joined, {} adopted, {} pending, {} down, {unexplained} unexplained",
        count(NodeState::Joined),
        count(NodeState::Adopted),
        count(NodeState::Pending),
        count(NodeState::Down),
    )];
    if let Some(expected) = comparison.expected {
        let absent = |state| comparison.absent(state);
        sum.push(format!(
            "{} of {expected} expected are there; {} booting, {} refused, {} missing",
            comparison.there,
            absent(Absent::Booting),
            absent(Absent::Refused),
            absent(Absent::Missing),
        ));
    }
    if unexplained > 0 {
        let what =
            "An unexplained node joined with the real token. If it belongs here: broker adopt NODE --reason TEXT";
        sum.push(what.to_owned());
    }
    sum.iter().map(|line| Line::new(Tint::Plain, line)).collect()
}

/// How long, in the unit that says enough.
pub(super) fn age(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds}s"),
        120..7_200 => format!("{}m", seconds / 60),
        7_200..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

pub(super) fn node_state(state: NodeState) -> &'static str {
    match state {
        NodeState::Joined => "joined",
        NodeState::Adopted => "adopted",
        NodeState::Pending => "pending",
        NodeState::Down => "down",
        NodeState::Unexplained => "unexplained",
    }
}

pub(super) fn state(state: Absent) -> &'static str {
    match state {
        Absent::Booting => "booting",
        Absent::Refused => "refused",
        Absent::Missing => "missing",
    }
}

fn tint(state: NodeState) -> Tint {
    match state {
        NodeState::Joined | NodeState::Adopted => Tint::Plain,
        NodeState::Pending => Tint::Underway,
        NodeState::Down | NodeState::Unexplained => Tint::Wrong,
    }
}
