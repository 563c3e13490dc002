//! The records behind a row: each with its proof.

use maud::{Markup, html};
use serde_json::Value;

use super::text::{moment, short, visible};
use crate::review::Log;
use crate::review::story::Told;

/// What is told before the fields, or by the proof.
const APART: [&str; 5] = ["number", "time", "event", "outcome", "broker"];
/// The fields that a reader wants first.
const FIRST: [&str; 9] = ["reason", "detail", "operator", "hostname", "node", "role", "labels", "source", "invite"];

/// The fields that are times, in seconds since 1970.
const TIMES: [&str; 2] = ["ends", "until"];

/// A row that opens to its records.
pub(super) fn row(kind: &str, id: Option<String>, logs: &[Log], records: &[Told<'_>], summary: &Markup) -> Markup {
    html! {
        details class={ "row " (kind) } id=[id] {
            summary { (summary) }
            (list(logs, records))
        }
    }
}

fn list(logs: &[Log], records: &[Told<'_>]) -> Markup {
    html! {
        ol.records {
            @for told in records {
                li {
                    p {
                        time { (visible(told.text("time"))) } " "
                        b { (visible(told.event())) }
                        @if told.text("outcome") != "ok" { " " span class={ "badge " (outcome(told.text("outcome"))) } { (visible(told.text("outcome"))) } }
                    }
                    p.fields { @for (name, value) in fields(told) { span.field { i { (visible(&name)) } " " (visible(&value)) } " " } }
                    (proof(logs, *told))
                }
            }
        }
    }
}

/// Which record it is, and whether it is the one that was signed.
fn proof(logs: &[Log], told: Told<'_>) -> Markup {
    let Some(log) = logs.get(told.log) else { return html! {} };
    let (name, number) = (log.name(), told.entry.number);
    html! {
        p.proof {
            "record " (number) " of log " (short(&name)) " · "
            @if log.has_signed(told.entry) { span.good { "✓ as signed" } }
            @else if log.signed.is_some() { strong.bad { "✗ not what was signed" } }
            @else { strong.bad { "✗ not verified" } }
            " · hash " code { (told.entry.leaf) }
        }
    }
}

/// An outcome, as a class of ours.
fn outcome(outcome: &str) -> &'static str {
    match outcome {
        "alarm" => "alarm",
        "refused" => "refused",
        "failed" => "failed",
        _ => "other",
    }
}

/// A record's fields, those that a reader wants first before the others.
fn fields(told: &Told<'_>) -> Vec<(String, String)> {
    let Some(all) = told.fields.as_object() else { return Vec::new() };
    let first = FIRST.iter().filter_map(|name| all.get_key_value(*name));
    let rest = all.iter().filter(|(name, _)| !FIRST.contains(&name.as_str()) && !APART.contains(&name.as_str()));
    first.chain(rest).map(|(name, value)| (name.clone(), shown(name, value))).collect()
}

fn shown(name: &str, value: &Value) -> String {
    match value {
        Value::Number(seconds) if TIMES.contains(&name) => seconds.as_u64().map(moment).unwrap_or_default(),
        Value::String(text) => text.clone(),
        Value::Object(map) if map.values().all(Value::is_string) => {
            let pairs = map.iter().map(|(name, value)| format!("{name}={}", value.as_str().unwrap_or_default()));
            pairs.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}
