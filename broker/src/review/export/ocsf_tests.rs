//! Every event that there is, with and without each field, held against what OCSF 1.1 requires of its class.

use super::*;
use crate::audit::leaf;
use crate::review::{Entry, in_order};

/// The names of all events, as the source has them: none can be left out by whoever adds one.
fn events() -> Vec<&'static str> {
    let source = include_str!("../../audit/record.rs");
    let names = source.lines().filter_map(|line| line.trim().strip_prefix("#[serde(rename = \"")?.strip_suffix("\")]"));
    names.collect()
}

fn log_of(records: Vec<Value>) -> Log {
    let entry = |(number, mut record): (usize, Value)| {
        record["number"] = number.into();
        let line = record.to_string();
        let leaf = leaf(line.as_bytes());
        let time = "2026-11-21T08:30:11.5Z".parse().expect("a time");
        Entry { number: number as u64, leaf, line, fields: record, time }
    };
    let entries = records.into_iter().enumerate().map(entry).collect();
    Log {
        folder: "/logs/one".into(),
        checked: Err("not looked at".into()),
        entries,
        unreadable: 0,
        signed: None,
        forked: None,
        cosigned_by: Vec::new(),
    }
}

/// What every event must have, and what each class must have besides, by the schema.
fn lacks(event: &Value) -> Vec<&'static str> {
    let mut required = vec![
        "/activity_id",
        "/category_uid",
        "/class_uid",
        "/severity_id",
        "/time",
        "/type_uid",
        "/metadata/version",
        "/metadata/product/name",
        "/metadata/product/vendor_name",
    ];
    required.extend(match event["class_uid"].as_u64() {
        Some(2004) => vec!["/finding_info/uid", "/finding_info/title"],
        Some(3002) => vec!["/user/type_id", "/service/name"],
        Some(3004) => vec!["/entity/uid"],
        Some(6002) => vec!["/app/name", "/app/vendor_name"],
        other => panic!("a class that is not ours: {other:?}"),
    });
    required.into_iter().filter(|path| event.pointer(path).is_none_or(|value| value.is_null() || value == "")).collect()
}

#[test]
fn every_event_has_what_its_class_requires() {
    let mut records = Vec::new();
    for event in events() {
        for outcome in ["ok", "refused", "failed", "alarm"] {
            records.push(json!({ "event": event, "outcome": outcome, "broker": "one" }));
            records.push(json!({ "event": event, "outcome": outcome, "broker": "one", "hostname": "worker-1",
                "key": "k", "node": "n", "invite": "i", "source": "10.0.0.1", "operator": "root", "role": "worker",
                "what": "invite-key", "generation": 3, "reason": "used-up", "detail": "words", "serial": "01" }));
        }
    }
    assert!(records.len() > 250);
    let logs = [log_of(records)];
    for told in in_order(&logs) {
        let event = event(&logs[0], told);
        assert_eq!(lacks(&event), Vec::<&str>::new(), "{event:#}");
        // Nobody has looked at an alarm yet; 2 would say that somebody does.
        if event["class_uid"] == 2004 {
            assert_eq!((&event["status_id"], &event["status"]), (&json!(1), &json!("New")), "{event:#}");
        }
        let (class, activity) =
            (event["class_uid"].as_u64().expect("a class"), event["activity_id"].as_u64().expect("one"));
        assert_eq!(
            (event["type_uid"].as_u64(), event["category_uid"].as_u64()),
            (Some(class * 100 + activity), Some(class / 1000))
        );
        assert_eq!(event["time"], 1_795_249_811_500_u64, "in milliseconds");
        let user = event.get("user");
        assert!(user.is_none_or(|user| user.get("name").or(user.get("uid")).is_some()), "{event:#}");
        assert_eq!(event["raw_data"], told.entry.line);
    }
}

#[test]
fn what_happened_is_in_the_class_that_it_belongs_to() {
    let kinds = [
        ("node.joined", "ok", 3002, 1),
        ("refused", "refused", 3002, 1),
        ("grant.issued", "ok", 3002, 99),
        ("refused", "alarm", 2004, 1),
        ("node.unexplained", "alarm", 2004, 1),
        ("invite.made", "ok", 3004, 1),
        ("token.rotated", "ok", 3004, 3),
        ("invite.revoked", "ok", 3004, 4),
        ("broker.started", "ok", 6002, 3),
    ];
    let logs =
        [log_of(kinds.iter().map(|(event, outcome, ..)| json!({ "event": event, "outcome": outcome })).collect())];
    for (told, (name, _, class, activity)) in in_order(&logs).into_iter().zip(kinds) {
        let event = event(&logs[0], told);
        assert_eq!(
            (event["class_uid"].as_u64(), event["activity_id"].as_u64()),
            (Some(class), Some(activity)),
            "{name}"
        );
    }
}
