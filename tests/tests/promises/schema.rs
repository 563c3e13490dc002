//! What docs/audit-record.schema.json says of a record, as far as it says anything: types, values, lengths, known fields.

use std::path::Path;

use lab::Failed;
use serde_json::Value;

/// The schema of a record.
pub(crate) fn of_records() -> Result<Value, Failed> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit-record.schema.json");
    Ok(serde_json::from_str(&std::fs::read_to_string(path)?)?)
}

/// The first thing in which a value is not what its schema says.
pub(crate) fn departs(value: &Value, schema: &Value) -> Option<String> {
    let is = |kind: &str| match kind {
        "string" => value.is_string(),
        "integer" => value.is_u64() || value.is_i64(),
        "object" => value.is_object(),
        _ => false,
    };
    if schema["type"].as_str().is_some_and(|kind| !is(kind)) {
        return Some(format!("{value} is no {}", schema["type"]));
    }
    if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
        return Some(format!("{value} is none of {}", schema["enum"]));
    }
    let length = value.as_str().map_or(0, |text| text.chars().count() as u64);
    let within = schema["minLength"].as_u64().unwrap_or(0)..=schema["maxLength"].as_u64().unwrap_or(u64::MAX);
    if !within.contains(&length) {
        return Some(format!("{value} has a length of {length}, not {within:?}"));
    }
    let fields = value.as_object()?;
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    if let Some(missing) = required.into_iter().find(|field| !fields.contains_key(*field)) {
        return Some(format!("{missing} is missing"));
    }
    fields.iter().find_map(|(name, value)| match (&schema["properties"][name], &schema["additionalProperties"]) {
        (Value::Null, Value::Bool(false)) => Some(format!("{name} is not known")),
        (Value::Null, more) => departs(value, more),
        (known, _) => departs(value, known).map(|what| format!("{name}: {what}")),
    })
}
