//! The record as it is in the log, byte for byte, with its proof as one more field at the end.
//!
//! Without that field the line is what was signed: its hash can be had again.

use serde_json::json;

use crate::review::{Log, Told};

/// One record, with the end of its line.
pub(super) fn line(log: &Log, told: Told<'_>) -> String {
    let signed = log.has_signed(told.entry);
    let head = log.signed.as_ref().filter(|_| signed).map(|signed| signed.note.as_str());
    let proof = json!({ "log": log.name(), "hash": told.entry.leaf.to_string(), "signed": signed, "head": head });
    let record = told.entry.line.trim_end();
    format!("{},\"proof\":{proof}}}\n", record.strip_suffix('}').unwrap_or(record))
}
