//! The result, on standard output: for people, or one JSON object with stable keys.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::IpAddr;
use std::time::Duration;

use protocol::{InviteId, NodeId};
use serde::Serialize;

use super::missing::{Missing, State};
use super::tally::Tally;
use crate::admin::lines;
use crate::clock;
use crate::fleet::NodeLine;

/// What `--json` prints. The names are stable.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    /// How many were waited for.
    count: usize,
    /// How many have joined and are Ready; may be more.
    joined: usize,
    timed_out: bool,
    nodes: Vec<Arrived<'a>>,
    missing: &'a [Missing],
    elapsed_s: f64,
}

#[derive(Serialize)]
struct Arrived<'a> {
    node: &'a NodeId,
    hostname: &'a str,
    address: &'a str,
    labels: BTreeMap<&'a str, &'a str>,
    invite: Option<&'a InviteId>,
    joined_at: String,
}

pub(super) fn object<'a>(tally: &'a Tally, missing: &'a [Missing], elapsed: Duration) -> Object<'a> {
    let nodes: Vec<Arrived<'a>> = sorted(tally)
        .into_iter()
        .map(|node| Arrived {
            node: &node.id,
            hostname: &node.hostname,
            address: &node.address,
            labels: of_operators(node).collect(),
            invite: node.invite.as_ref(),
            joined_at: joined_at(node),
        })
        .collect();
    let elapsed_s = (elapsed.as_secs_f64() * 1000.0).round() / 1000.0;
    Object { count: tally.count, joined: nodes.len(), timed_out: !tally.is_done(), nodes, missing, elapsed_s }
}

pub(super) fn text(tally: &Tally, missing: &[Missing], elapsed: Duration) -> String {
    let nodes = sorted(tally);
    let took = clock::length(Duration::from_secs(elapsed.as_secs()));
    let (joined, wanted) = (nodes.len().min(tally.count), tally.count);
    let more = nodes.len() - joined;
    let more = if more == 0 { String::new() } else { format!(", and {more} more") };
    let mut text = format!("{joined} of {wanted} joined{more}, after {took}\n");
    if !nodes.is_empty() {
        let head = ["NODE", "HOSTNAME", "ADDRESS", "JOINED", "INVITE", "LABELS"].map(String::from).to_vec();
        let rows = nodes.into_iter().map(|node| {
            let invite = node.invite.as_ref().map(ToString::to_string).unwrap_or_default();
            let (hostname, address) = (node.hostname.clone(), node.address.clone());
            vec![node.id.to_string(), hostname, address, joined_at(node), invite, labels(node)]
        });
        text.push_str(&lines(&std::iter::once(head).chain(rows).collect::<Vec<_>>()));
    }
    for one in missing {
        let state = match one.state {
            State::Refused => "refused",
            State::Stuck => "stuck",
            State::Down => "down",
            // All of them in one line, below.
            State::NeverSeen | State::Unknown => continue,
        };
        let who = named(one.hostname.as_deref(), one.source);
        let since = one.since.as_ref().map(|since| format!(" since {since}")).unwrap_or_default();
        let invite = one.invite.as_ref().map(|invite| format!(" (invite {invite})")).unwrap_or_default();
        let _ = writeln!(text, "{state}: {who}{since}: {}: {}{invite}", one.reason, one.words());
    }
    let count = |state| missing.iter().filter(|one| one.state == state).count();
    never_seen(&mut text, tally, count(State::NeverSeen));
    if count(State::Unknown) > 0 {
        text.push_str("Nothing is known of the machines: no broker answered. See 'broker doctor' on a manager\n");
    }
    text
}

fn never_seen(text: &mut String, tally: &Tally, count: usize) {
    if count == 0 {
        return;
    }
    let brokers: Vec<String> = tally.brokers().iter().map(ToString::to_string).collect();
    let brokers = brokers.join(" or ");
    let _ = if count == 1 {
        writeln!(
            text,
            "1 machine never asked: is it booted, can it reach {brokers}, does its user-data hold an invite that is live?"
        )
    } else {
        writeln!(
            text,
            "{count} machines never asked: are they booted, can they reach {brokers}, does their user-data hold an \
             invite that is live?"
        )
    };
    if let Some(invite) = tally.shown().filter(|invite| invite.state != "open") {
        let _ = writeln!(text, "Invite {} is {}: it admits nobody more", invite.id, invite.state);
    }
}

/// In the order in which they joined.
fn sorted(tally: &Tally) -> Vec<&NodeLine> {
    let mut nodes: Vec<&NodeLine> = tally.joined().collect();
    nodes.sort_by_key(|node| (node.joined.unwrap_or(node.created), &node.id));
    nodes
}

fn joined_at(node: &NodeLine) -> String {
    clock::shown(node.joined.unwrap_or(node.created))
}

/// The labels that are not the broker's own.
fn of_operators(node: &NodeLine) -> impl Iterator<Item = (&str, &str)> {
    let ours = |label: &str| label.starts_with(crate::admission::RESERVED);
    node.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).filter(move |(key, _)| !ours(key))
}

/// The same as text.
pub(in crate::cli) fn labels(node: &NodeLine) -> String {
    of_operators(node).map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// A machine by what is known of it.
pub(in crate::cli) fn named(hostname: Option<&str>, source: Option<IpAddr>) -> String {
    match (hostname, source) {
        (Some(hostname), Some(source)) => format!("{hostname} ({source})"),
        (Some(hostname), None) => hostname.to_owned(),
        (None, Some(source)) => source.to_string(),
        (None, None) => "a machine that the log does not name".to_owned(),
    }
}
