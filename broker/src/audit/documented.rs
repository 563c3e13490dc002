//! Every field, event and reason is in the tables of docs/audit-log.md and in the schema beside it: whoever reads a log
//! finds its words there.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Event, Reason};

const PAGE: &str = include_str!("../../../docs/audit-log.md");

const SCHEMA: &str = include_str!("../../../docs/audit-record.schema.json");

/// The names of a record's fields: those that the log adds, and those of the source.
fn fields() -> BTreeSet<&'static str> {
    let (_, body) = include_str!("record.rs").split_once("struct Record {\n").expect("it is there");
    let body = body.split("\n}").next().expect("its end").lines();
    let own = body.filter_map(|line| Some(line.trim().strip_prefix("pub(crate) ")?.split_once(':')?.0));
    own.chain(["number", "time", "broker"]).collect()
}

/// What the schema has at a place.
fn schema(path: &str) -> Value {
    let schema: Value = serde_json::from_str(SCHEMA).expect("JSON");
    schema.pointer(path).cloned().expect("it is there")
}

/// The names in one of the schema's lists.
fn listed(path: &str) -> BTreeSet<String> {
    serde_json::from_value(schema(path)).expect("names")
}

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
fn every_field_is_in_the_table_and_in_the_schema() {
    let of_schema: BTreeSet<String> = schema("/properties").as_object().expect("fields").keys().cloned().collect();
    assert_eq!(of_schema.iter().map(String::as_str).collect::<BTreeSet<_>>(), fields());
    let rows = rows("| field | |");
    for field in fields() {
        let first = |row: &&&str| row.split('|').nth(1).is_some_and(|first| first.contains(&format!("`{field}`")));
        assert_eq!(rows.iter().filter(first).count(), 1, "{field} is not in the table of fields, or twice");
    }
}

#[test]
fn every_event_is_in_the_table_and_in_the_schema() {
    let source = include_str!("record.rs");
    let (_, body) = source.split_once("enum Event {\n").expect("the enum is there");
    let body = body.split("\n}").next().expect("its end");
    let names: Vec<&str> =
        body.lines().filter_map(|line| line.trim().strip_prefix("#[serde(rename = \"")?.strip_suffix("\")]")).collect();
    assert_eq!(names.len(), variants(source, "Event").len(), "each event has a name of its own");
    assert_eq!(listed("/properties/event/enum"), names.iter().map(ToString::to_string).collect());
    let rows = rows("| event | when |");
    for name in names {
        serde_json::from_value::<Event>(name.into()).expect("the name of an event");
        let first = |row: &&&str| row.split('|').nth(1).is_some_and(|first| first.contains(&format!("`{name}`")));
        assert_eq!(rows.iter().filter(first).count(), 1, "{name} is not in the table of events, or twice");
    }
}

#[test]
fn every_reason_is_in_the_table_and_in_the_schema_and_says_whether_it_is_an_alarm() {
    let rows = rows("| reason | means | do |");
    let variants = variants(include_str!("reason.rs"), "Reason");
    assert_eq!(listed("/properties/reason/enum"), variants.iter().map(|variant| kebab(variant)).collect());
    for variant in variants {
        let name = kebab(variant);
        let reason: Reason = serde_json::from_value(name.as_str().into()).expect("the name of a reason");
        let found: Vec<_> = rows.iter().filter(|row| row.starts_with(&format!("| `{name}` |"))).collect();
        let [row] = found[..] else { panic!("{name} is not in the table of reasons, or twice") };
        assert_eq!(row.contains("**alarm**"), reason.is_alarm(), "{row}");
    }
}
