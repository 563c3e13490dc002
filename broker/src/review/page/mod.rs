//! The report: one page of HTML that opens from disk, asks nobody for anything, and prints.
//!
//! Every word of a log is escaped (maud escapes all that it is not told to leave), and the page's own policy forbids any
//! script and style but the two that are in it. Must not show a record without saying whether it is the signed one.

mod alarms;
mod logs;
mod people;
mod records;
mod rows;
mod text;
mod timeline;
mod words;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

pub(crate) use text::visible;

use super::{Log, Span, Story};

/// How the page looks.
const STYLE: &str = include_str!("style.css");
/// What it does: filter rows, open them.
const SCRIPT: &str = include_str!("script.js");

/// The report on these logs, in this time, made now.
pub(crate) fn page(logs: &[Log], story: &Story<'_>, span: Span, now: u64) -> String {
    let title = "Who joined, and on whose invitation";
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy());
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="referrer" content="no-referrer";
                title { (title) " – swarm join broker" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    p.kind { "Audit report" }
                    h1 { (title) }
                    p.period { (words::period(story, span)) }
                    p.summary { (words::summary(story)) }
                    p.verdict.wrong[logs.iter().any(|log| log.wrong().is_some())] { (words::verdict(logs)) }
                }
                (logs::section(logs))
                (tools(story))
                main {
                    (alarms::section(logs, story))
                    (timeline::section(story, span))
                    (people::nodes(logs, story))
                    (people::unfinished(logs, story))
                    (people::invitations(logs, story))
                    (rows::refusals(logs, story))
                    (rows::replaced(logs, story))
                    (rows::others(logs, story))
                }
                footer {
                    p { "Made by broker " (env!("CARGO_PKG_VERSION")) " on " (text::moment(now)) ". All times are UTC. The machines' names are what they say of themselves." }
                    p { "To check it: " code { "broker audit verify --key FILE DIR…" } " with the public keys that you kept; "
                        code { "broker audit prove NUMBER --broker ID" } " gives a proof of one record that others can check." }
                }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
    .into_string()
}

/// What the page may do: show itself, and nothing else.
fn policy() -> String {
    let hash = |text: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(text.as_bytes())));
    let (style, script) = (hash(STYLE), hash(SCRIPT));
    format!("default-src 'none'; style-src {style}; script-src {script}; base-uri 'none'; form-action 'none'")
}

/// What is for a reader on a screen.
fn tools(story: &Story<'_>) -> Markup {
    html! {
        nav.tools aria-label="Find" {
            input #filter type="search" placeholder="Find a host, invite, address, event …" aria-label="Filter rows" autocomplete="off" spellcheck="false";
            output #found for="filter" {}
            button #open type="button" { "Open all" }
            ul.sections {
                @for (id, name, count) in words::sections(story) {
                    @if count > 0 { li { a href={ "#" (id) } { (name) " " span.count { (count) } } } }
                }
            }
        }
    }
}
