//! Refusals, replacements, and everything else.

use maud::{Markup, html};

use super::records::row;
use super::text::{moment, short, visible};
use crate::audit::Reason;
use crate::review::story::{Group, Told};
use crate::review::{Log, Story};

/// What was refused, by kind and source.
pub(super) fn refusals(logs: &[Log], story: &Story<'_>) -> Markup {
    html! {
        @if !story.refusals.is_empty() {
            section #refusals {
                h2 { "Refusals " span.count { (story.refusals.len()) } }
                div.head.refusal { span { "First" } span { "Reason" } span { "What it means" } span { "About" } }
                @for group in &story.refusals {
                    @if let Some(first) = group.first() {
                        (row("refusal", None, logs, &group.records, &html! {
                            span.time { (moment(first.at())) }
                            span.what { b { (visible(first.text("reason"))) } " " (times(group)) }
                            span.why { (meaning(first)) }
                            span.who { (about(first)) }
                        }))
                    }
                }
            }
        }
    }
}

fn meaning(told: Told<'_>) -> &'static str {
    let reason: Option<Reason> = serde_json::from_value(told.text("reason").into()).ok();
    reason.map_or("", Reason::words)
}

/// What was replaced, by whom and why.
pub(super) fn replaced(logs: &[Log], story: &Story<'_>) -> Markup {
    html! {
        @if !story.replaced.is_empty() {
            section #replaced {
                h2 { "Replaced tokens and keys " span.count { (story.replaced.len()) } }
                div.head.replacement { span { "When" } span { "What" } span { "By" } span { "Why" } }
                @for one in &story.replaced {
                    (row("replacement", None, logs, &one.records, &html! {
                        span.time { (moment(one.at)) }
                        span.what { b { (visible(&one.what)) } @if let Some(number) = one.generation { " " (number) } }
                        span { (visible(one.told.text("operator"))) }
                        span.why {
                            @if !one.ended { strong.warn { "begun, and no end of it is known " } }
                            @match one.told.event() {
                                "token.changed" | "swarm.root-changed" => { strong.warn { "changed, not by a broker " } }
                                "token.kept" => { strong.warn { "undone " } }
                                "token.rotation-failed" | "key.rotation-failed" => { strong.bad { "failed " } }
                                _ => {}
                            }
                            (visible(one.told.text("detail")))
                        }
                    }))
                }
            }
        }
    }
}

/// Every record that no other row has.
pub(super) fn others(logs: &[Log], story: &Story<'_>) -> Markup {
    html! {
        @if !story.others.is_empty() {
            section #others {
                h2 { "Everything else " span.count { (story.others.len()) } }
                div.head.other { span { "First" } span { "Last" } span { "Event" } span { "Records" } }
                @for group in &story.others {
                    @if let (Some(first), Some(last)) = (group.first(), group.last()) {
                        (row("other", None, logs, &group.records, &html! {
                            span.time { (moment(first.at())) }
                            span.time { (moment(last.at())) }
                            span.what { b { (visible(first.event())) } }
                            span.number { (group.records.len()) }
                        }))
                    }
                }
            }
        }
    }
}

/// '× 20', where it happened more than once.
pub(super) fn times(group: &Group<'_>) -> Markup {
    html! { @if group.times > 1 { span.times { "× " (group.times) } } }
}

/// Whom a record is about.
pub(super) fn about(told: Told<'_>) -> Markup {
    let entry = told.entry;
    html! {
        @for field in ["hostname", "source", "operator", "what"] {
            @if !entry.text(field).is_empty() { span.field { i { (field) } " " (visible(entry.text(field))) } " " }
        }
        @for field in ["node", "invite"] {
            @if !entry.text(field).is_empty() { span.field { i { (field) } " " (short(entry.text(field))) } " " }
        }
    }
}
