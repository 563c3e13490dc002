//! The alarms: first on the page.

use maud::{Markup, html};

use super::records::row;
use super::rows::{about, times};
use super::text::{moment, visible};
use crate::audit::Reason;
use crate::review::story::{Explained, Group, Told};
use crate::review::{Log, Story};

/// Each alarm, with what it means and what became of it.
pub(super) fn section(logs: &[Log], story: &Story<'_>) -> Markup {
    html! {
        section #alarms.wrong[!story.alarms.is_empty()] {
            h2 { "Alarms " span.count { (story.alarms.len()) } }
            @if story.alarms.is_empty() { p.none { "None." } }
            @for group in &story.alarms {
                @if let Some(first) = group.first() {
                    @let means = words(group);
                    (row("alarm", None, logs, &group.records, &html! {
                        span.time { (moment(first.at())) }
                        span.what { b { (visible(name(first))) } " " (times(group)) }
                        span.why { (visible(&means)) @if let Some(since) = since(group, story) { " " span.good { (visible(&since)) } } }
                        span.who { (about(first)) }
                    }))
                }
            }
        }
    }
}

/// A refusal is known by its reason.
fn name(first: Told<'_>) -> &str {
    let reason = first.entry.text("reason");
    if reason.is_empty() { first.entry.event() } else { reason }
}

/// What an alarm means.
fn words(group: &Group<'_>) -> String {
    let Some(first) = group.first() else { return String::new() };
    let reason: Option<Reason> = serde_json::from_value(first.text("reason").into()).ok();
    reason.map_or_else(|| first.text("detail").to_owned(), |reason| reason.words().to_owned())
}

/// What an operator has said about it since.
fn since(group: &Group<'_>, story: &Story<'_>) -> Option<String> {
    let first = group.first().filter(|first| first.event() == "node.unexplained")?;
    let node = story.nodes.iter().find(|node| node.id == first.text("node"))?;
    match node.explained {
        Explained::Nothing => None,
        Explained::Adopted { by, why } => Some(format!("Adopted since, by {by}: {why}")),
        Explained::Invited { .. } => Some("It has joined on an invitation since.".to_owned()),
    }
}
