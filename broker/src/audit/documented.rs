//! Every event and every reason is in the tables of docs/operations.md: whoever reads a log finds its words there.

use super::{Event, Reason};

const PAGE: &str = include_str!("../../../docs/operations.md");

/// The rows of the table with this head.
fn rows(head: &str) -> Vec<&'static str> {
    let (_, rest) = PAGE.split_once(&format!("\n{head}\n")).expect("the table is there");
    rest.lines().take_while(|line| line.starts_with('|')).collect()
}

/// The names of an enum's variants, as its source has them: none can be left out by whoever adds one.
fn variants(source: &'static str, name: &str) -> Vec<&'static str> {
    let (_, rest) = source.split_once(&format!("enum {name} {{\n")).expect("the enum is there");
    let body = rest.split("\n}").next().expect("its end").lines().map(str::trim);
    body.filter_map(|line| line.strip_suffix(',').filter(|name| name.chars().all(char::is_alphanumeric))).collect()
}

/// The name in the log.
fn kebab(variant: &str) -> String {
    let words = variant
        .chars()
        .map(|letter| if letter.is_uppercase() { format!("-{}", letter.to_lowercase()) } else { letter.to_string() });
    words.collect::<String>().trim_start_matches('-').to_owned()
}

#[test]
fn every_event_is_in_the_table() {
    let source = include_str!("record.rs");
    let (_, body) = source.split_once("enum Event {\n").expect("the enum is there");
    let body = body.split("\n}").next().expect("its end");
    let names: Vec<&str> =
        body.lines().filter_map(|line| line.trim().strip_prefix("#[serde(rename = \"")?.strip_suffix("\")]")).collect();
    assert_eq!(names.len(), variants(source, "Event").len(), "each event has a name of its own");
    let rows = rows("| event | when |");
    for name in names {
        serde_json::from_value::<Event>(name.into()).expect("the name of an event");
        let first = |row: &&&str| row.split('|').nth(1).is_some_and(|first| first.contains(&format!("`{name}`")));
        assert_eq!(rows.iter().filter(first).count(), 1, "{name} is not in the table of events, or twice");
    }
}

#[test]
fn every_reason_is_in_the_table_and_says_whether_it_is_an_alarm() {
    let rows = rows("| reason | means | do |");
    for variant in variants(include_str!("reason.rs"), "Reason") {
        let name = kebab(variant);
        let reason: Reason = serde_json::from_value(name.as_str().into()).expect("the name of a reason");
        let found: Vec<_> = rows.iter().filter(|row| row.starts_with(&format!("| `{name}` |"))).collect();
        let [row] = found[..] else { panic!("{name} is not in the table of reasons, or twice") };
        assert_eq!(row.contains("**alarm**"), reason.is_alarm(), "{row}");
    }
}
