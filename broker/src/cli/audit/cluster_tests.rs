//! Each kind of thing that does not match, and one cluster in which all does.

use serde_json::json;

use super::*;

const AT: u64 = 1_800_000_000;
const NODE: &str = "nnnnnnnnnnnnnnnnnnnnnnnnn";

fn node(explained: bool, adopted: bool) -> Value {
    let state = if adopted {
        "adopted"
    } else if explained {
        "joined"
    } else {
        "unexplained"
    };
    json!({
        "id": NODE, "hostname": "w1", "state": state, "explained": explained, "grant": null, "invite": null,
        "adopted": adopted.then_some("by hand"), "role": "worker", "availability": "active", "ready": true,
        "address": "10.0.0.1", "engine": "28.0.0", "created": AT, "joined": null, "labels": {},
    })
}

fn key() -> String {
    protocol::KeyHash::of_spki(b"a key").to_string()
}

/// What is found in a cluster with this node and claim, and these records.
fn found(nodes: &[Value], claims: bool, records: &[Value]) -> Vec<&'static str> {
    let uses = if claims { json!([{ "key": key(), "claimed": AT - 1000 }]) } else { json!([]) };
    let invites = json!([{ "id": "1".repeat(32), "uses": uses }]);
    let claims = json!({ "invites": invites, "unread": [] });
    found_in(&claims, nodes, records)
}

fn found_in(claims: &Value, nodes: &[Value], records: &[Value]) -> Vec<&'static str> {
    let cluster = Cluster {
        claims: serde_json::from_value(claims.clone()).expect("claims"),
        report: serde_json::from_value(json!({ "nodes": nodes, "booting": [] })).expect("a report"),
        at: AT,
    };
    let found = cluster.reconcile(records.iter().cloned().map(Ok)).expect("read");
    assert_eq!(found.ok, found.mismatches.is_empty());
    found.mismatches.iter().map(|mismatch| mismatch.what).collect()
}

fn record(event: &str) -> Value {
    json!({ "event": event, "node": NODE, "invite": "1".repeat(32), "key": key(), "time": "2026-01-01T00:00:00Z", "ends": AT + 60 })
}

#[test]
fn a_cluster_that_is_as_the_logs_say_has_no_mismatch() {
    let records = [record("identity.issued"), record("node.joined")];
    assert_eq!(found(&[node(true, false)], true, &records), [""; 0]);
    let records = [record("identity.issued"), record("node.adopted")];
    assert_eq!(found(&[node(true, true)], true, &records), [""; 0]);
}

#[test]
fn what_only_one_side_knows_is_named() {
    let claimed = record("identity.issued");
    let one = |found: Vec<&'static str>, word: &str| {
        assert!(found.len() == 1 && found[0].contains(word), "{word}: {found:?}");
    };
    one(found(&[node(false, false)], false, &[]), "nothing explains");
    // Who can write into raft can label its node; into another broker's log it cannot write.
    one(found(&[node(true, false)], true, std::slice::from_ref(&claimed)), "no log says that it confirmed");
    one(found(&[node(true, true)], true, std::slice::from_ref(&claimed)), "anybody adopted");
    one(found(&[], true, &[]), "no log says that it was made");
    one(found(&[], false, std::slice::from_ref(&claimed)), "the ledger does not know it");
    let mut ended = claimed;
    ended["ends"] = json!(AT - 1);
    assert_eq!(found(&[], false, &[ended]), [""; 0], "what has ended is swept");
}

#[test]
fn an_object_that_does_not_read_is_named_and_its_claims_are_not_said_to_be_gone() {
    let claims = json!({ "invites": [], "unread": [format!("swarm-broker.invite.{}", "1".repeat(32))] });
    let found = found_in(&claims, &[], &[record("identity.issued")]);
    assert!(found.len() == 1 && found[0].contains("does not read"), "{found:?}");
}
