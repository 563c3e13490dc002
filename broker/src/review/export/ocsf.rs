//! Records as events of OCSF 1.1, the schema that security data lakes and SIEMs read.
//!
//! An alarm is a Detection Finding; what a machine asked for, refusals among it, is Authentication; a start and a stop
//! are Application Lifecycle; all else is Entity Management. The record itself is in `raw_data`.

use serde_json::{Value, json};

use crate::review::{Log, Told};

/// The version of the schema that the fields were taken from.
const VERSION: &str = "1.1.0";

/// A class of events.
#[derive(Clone, Copy)]
enum Class {
    Finding,
    Entity,
    Authentication,
    Lifecycle,
}

impl Class {
    fn of(event: &str, outcome: &str) -> Self {
        match (event, outcome) {
            (_, "alarm") => Self::Finding,
            ("broker.started" | "broker.stopped", _) => Self::Lifecycle,
            ("refused" | "node.joined" | "identity.issued", _) => Self::Authentication,
            (event, _) if event.starts_with("grant.") || event.starts_with("keys.") => Self::Authentication,
            _ => Self::Entity,
        }
    }

    /// The class's number and name; its category's is the first digit, and has a name, too.
    fn name(self) -> (u64, &'static str, &'static str) {
        match self {
            Self::Finding => (2004, "Detection Finding", "Findings"),
            Self::Entity => (3004, "Entity Management", "Identity & Access Management"),
            Self::Authentication => (3002, "Authentication", "Identity & Access Management"),
            Self::Lifecycle => (6002, "Application Lifecycle", "Application Activity"),
        }
    }

    /// The status' number and name: how it ended, or, of a finding, how far somebody is with it.
    fn status(self, outcome: &str) -> (u64, &'static str) {
        match (self, outcome) {
            (Self::Finding, _) => (1, "New"),
            (_, "ok") => (1, "Success"),
            _ => (2, "Failure"),
        }
    }

    /// The activity's number and name. What has no number in the schema is 99, by its own name.
    fn activity(self, event: &str) -> (u64, &str) {
        let end = event.rsplit('.').next().unwrap_or(event);
        match (self, end) {
            (Self::Finding, _) | (Self::Entity, "made" | "formed" | "adopted" | "listed") => (1, "Create"),
            (Self::Authentication, "refused" | "issued" | "joined") if !event.starts_with("grant.") => (1, "Logon"),
            (Self::Lifecycle, "started") => (3, "Start"),
            (Self::Lifecycle, "stopped") => (4, "Stop"),
            (Self::Entity, "rotated" | "changed" | "labelled" | "recovered" | "restored" | "root-changed") => {
                (3, "Update")
            }
            (Self::Entity, "revoked" | "removed") => (4, "Delete"),
            _ => (99, event),
        }
    }
}

/// One record as an event, with the end of its line.
pub(super) fn line(log: &Log, told: Told<'_>) -> String {
    let mut line = event(log, told).to_string();
    line.push('\n');
    line
}

fn event(log: &Log, told: Told<'_>) -> Value {
    let entry = told.entry;
    let class = Class::of(entry.event(), entry.text("outcome"));
    let (number, name, category) = class.name();
    let (activity, activity_name) = class.activity(entry.event());
    let (severity, severity_name) = severity(entry.text("outcome"));
    let (status, status_name) = class.status(entry.text("outcome"));
    let mut event = json!({
        "activity_id": activity,
        "activity_name": activity_name,
        "category_uid": number / 1000,
        "category_name": category,
        "class_uid": number,
        "class_name": name,
        "type_uid": number * 100 + activity,
        "type_name": format!("{name}: {activity_name}"),
        "severity_id": severity,
        "severity": severity_name,
        "status_id": status,
        "status": status_name,
        "time": entry.time.as_millisecond(),
        "message": message(told),
        "metadata": {
            "version": VERSION,
            "product": product(log),
            "uid": uid(log, told),
            "sequence": entry.number,
            "event_code": entry.event(),
            "log_name": log.name(),
            "log_provider": "broker",
            "original_time": entry.text("time"),
        },
        "raw_data": entry.line,
        "unmapped": { "hash": entry.leaf.to_string(), "signed": log.has_signed(entry) },
    });
    set(&mut event, "status_code", entry.text("reason"));
    set(&mut event, "status_detail", entry.text("detail"));
    set(&mut event["metadata"], "correlation_uid", correlation(told));
    match class {
        Class::Finding => finding(&mut event, log, told),
        Class::Entity => managed(&mut event, told),
        Class::Authentication => authentication(&mut event, log, told),
        Class::Lifecycle => event["app"] = product(log),
    }
    event
}

fn finding(event: &mut Value, log: &Log, told: Told<'_>) {
    let title = match told.text("reason") {
        "" => told.entry.event(),
        reason => reason,
    };
    event["finding_info"] =
        json!({ "uid": uid(log, told), "title": title, "created_time": told.entry.time.as_millisecond() });
    set(&mut event["finding_info"], "desc", told.text("detail"));
    let mut evidence = json!({});
    source(&mut evidence, told);
    if evidence != json!({}) {
        event["evidences"] = json!([evidence]);
    }
}

/// What was made, changed or removed: the most special thing that the record names.
fn managed(event: &mut Value, told: Told<'_>) {
    let kinds = [("node", "node"), ("invite", "invite"), ("what", "key"), ("peer", "broker")];
    let named = kinds.into_iter().find(|(field, _)| !told.text(field).is_empty());
    let (id, kind) = named.map_or((told.text("broker"), "broker"), |(field, kind)| (told.text(field), kind));
    let token = told.event().starts_with("token.");
    let (id, kind) = if token { (told.text("role"), "join token") } else { (id, kind) };
    event["entity"] = json!({ "uid": if id.is_empty() { "unknown" } else { id }, "type": kind });
    set(&mut event["entity"], "name", told.text("hostname"));
    if let Some(generation) = told.count("generation") {
        event["entity"]["version"] = generation.to_string().into();
    }
    set(event, "comment", told.text("detail"));
    if !told.text("operator").is_empty() {
        event["actor"] = json!({ "user": { "name": told.text("operator"), "type_id": 2, "type": "Admin" } });
    }
}

/// The machine, by the hash of its key, and the broker that it spoke to.
fn authentication(event: &mut Value, log: &Log, told: Told<'_>) {
    let mut user = json!({ "type_id": 3, "type": "System" });
    set(&mut user, "name", told.text("hostname"));
    set(&mut user, "uid", told.text("key"));
    if user.get("name").or(user.get("uid")).is_none() {
        user["name"] = "unknown".into();
    }
    event["user"] = user;
    event["service"] = json!({ "name": "swarm join broker", "uid": log.name() });
    event["is_remote"] = true.into();
    source(event, told);
    if !told.text("serial").is_empty() {
        event["certificate"] = json!({ "serial_number": told.text("serial"), "issuer": "swarm join broker" });
    }
}

fn source(event: &mut Value, told: Told<'_>) {
    if !told.text("source").is_empty() {
        event["src_endpoint"] = json!({ "ip": told.text("source") });
        set(&mut event["src_endpoint"], "hostname", told.text("hostname"));
    }
}

fn severity(outcome: &str) -> (u64, &'static str) {
    match outcome {
        "alarm" => (4, "High"),
        "failed" => (3, "Medium"),
        "refused" => (2, "Low"),
        _ => (1, "Informational"),
    }
}

fn product(log: &Log) -> Value {
    json!({ "name": "swarm join broker", "vendor_name": "swarm join broker", "uid": log.name(),
        "version": env!("CARGO_PKG_VERSION") })
}

/// The same for this record wherever it is exported.
fn uid(log: &Log, told: Told<'_>) -> String {
    format!("{}/{}", log.name(), told.entry.number)
}

/// What a boot's records have in common, or else a request's.
fn correlation(told: Told<'_>) -> &str {
    let fields = ["key", "node", "invite", "request"].into_iter();
    fields.map(|field| told.entry.text(field)).find(|text| !text.is_empty()).unwrap_or_default()
}

fn message(told: Told<'_>) -> String {
    let about = ["reason", "hostname", "node", "detail"].into_iter().map(|field| told.entry.text(field));
    let words = std::iter::once(told.entry.event()).chain(about).filter(|word| !word.is_empty());
    words.collect::<Vec<_>>().join(" · ")
}

fn set(event: &mut Value, field: &str, text: &str) {
    if !text.is_empty() {
        event[field] = text.into();
    }
}

#[cfg(test)]
#[path = "ocsf_tests.rs"]
mod tests;
