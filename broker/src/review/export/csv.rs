//! A table (RFC 4180) that a spreadsheet opens without harm.
//!
//! A spreadsheet takes a field that begins with one of a few characters for a formula and runs it: such a field gets a
//! leading apostrophe.

use serde_json::Value;

use crate::review::{Log, Told};

/// The fields of a record, in the order of the columns.
const FIELDS: [&str; 19] = [
    "time",
    "event",
    "outcome",
    "reason",
    "hostname",
    "node",
    "role",
    "labels",
    "invite",
    "key",
    "grant",
    "source",
    "operator",
    "what",
    "generation",
    "peer",
    "request",
    "detail",
    "broker",
];
/// The columns that follow them.
const PROOF: [&str; 4] = ["log", "number", "hash", "signed"];

/// The names of the columns.
pub(super) fn head() -> String {
    row(FIELDS.iter().chain(&PROOF).map(|name| (*name).to_owned()))
}

/// One record.
pub(super) fn line(log: &Log, told: Told<'_>) -> String {
    let entry = told.entry;
    let fields = FIELDS.iter().map(|field| entry.fields.get(*field).map(shown).unwrap_or_default());
    let proof = [log.name(), entry.number.to_string(), entry.leaf.to_string(), log.has_signed(entry).to_string()];
    row(fields.chain(proof))
}

fn row(fields: impl Iterator<Item = String>) -> String {
    let quoted: Vec<String> = fields.map(|field| quoted(&harmless(field))).collect();
    format!("{}\r\n", quoted.join(","))
}

fn harmless(field: String) -> String {
    if field.starts_with(['=', '+', '-', '@', '\t', '\r']) { format!("'{field}") } else { field }
}

fn quoted(field: &str) -> String {
    if field.contains(['"', ',', '\r', '\n']) {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

/// Text as it is, labels as 'a=b c=d', anything else as JSON.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(map) => {
            let pair = |(name, value): (&String, &Value)| format!("{name}={}", value.as_str().unwrap_or_default());
            map.iter().map(pair).collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_quoted_and_no_formula() {
        let fields = ["plain", "a,b", "say \"so\"", "two\nlines", "=1+1", "@cmd", "-2", "+3", "=a,\"b\"", "1-2", ""];
        assert_eq!(
            row(fields.into_iter().map(str::to_owned)),
            "plain,\"a,b\",\"say \"\"so\"\"\",\"two\nlines\",'=1+1,'@cmd,'-2,'+3,\"'=a,\"\"b\"\"\",1-2,\r\n"
        );
    }
}
