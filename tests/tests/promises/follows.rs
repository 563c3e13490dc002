//! Shared keys that were replaced on one manager are followed by the brokers on the others, and by nobody else.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use certs::SigningKey;
use lab::cluster::{Broker, Cluster, Gated, Held, Joiner, REFUSED, Rule, admitted, assert_admits, node_key};
use lab::{Failed, Host, LONG, Pool, Role, until};
use protocol::InviteLine;
use serde_json::{Value, json};

use crate::handovers::{Asker, ask, id};
use crate::issuing_ca::generation;
use crate::managers::{follow, found_behind_a_relay, fresh_token, three};
use crate::verify_then_spend::{decoded, signed};

/// Waits until a broker has these keys.
pub(crate) fn follows(broker: &Broker<'_>, generation: u64, kid: &Value) -> Result<(), Failed> {
    until(LONG, "the broker to follow", || {
        let status = broker.json(&["status", "--json"]).ok()?;
        let current = status["generation"] == generation && status["behind"].as_array()?.is_empty();
        let key = broker.json(&["rotate", "invite-key", "--dry-run", "--json"]).ok()?;
        (current && status["ready"] == true && key["kid"] == *kid).then_some(())
    })?;
    Ok(())
}

/// What a broker says that it lacks.
fn behind(broker: &Broker<'_>) -> Result<Vec<Value>, Failed> {
    Ok(broker.json(&["status", "--json"])?["behind"].as_array().ok_or("no list")?.clone())
}

fn kid(invite: &str) -> Value {
    decoded(invite.trim_start_matches("SWINV-1-").split('.').next().unwrap_or_default())["kid"].clone()
}

pub(crate) fn brokers_follow_keys_that_were_replaced_on_another_manager(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(6)?;
    let mut brokers = three(&hosts)?;
    let kept = fs::read(brokers[2].state().join("invite.key"))?;

    // One ordered on one that joined, one on the founder, which has the root: each follows the other, and the third both.
    let key = brokers[1].json(&["rotate", "invite-key", "--now", "--json"])?;
    brokers[0].ok(&["rotate", "ca"])?;
    let begun = Instant::now();
    for broker in &brokers {
        follows(broker, 2, &key["kid"])?;
    }
    println!("follows: both keys at all three brokers {:?} after the order", begun.elapsed());
    assert_ne!(fs::read(brokers[2].state().join("invite.key"))?, kept, "it is on disk");
    for (broker, expected) in brokers.iter().zip([[0, 1], [1, 0], [1, 1]]) {
        // A key is put to use, and then written down.
        until(LONG, "the record of each key that it followed", || {
            let records = broker.records().ok()?;
            let followed = || records.iter().filter(|record| record["event"] == "key.followed");
            let of = |what: &str| followed().filter(|record| record["what"] == what).count();
            ([of("ca"), of("invite-key")] == expected).then_some(())
        })?;
    }
    for (broker, machine) in brokers.iter().zip(&hosts[3..]) {
        let invite = broker.invite(&["--uses", "1"])?;
        assert_eq!(kid(&invite), key["kid"]);
        Joiner::new(machine, &invite).joins()?;
    }

    // One that was down meanwhile follows when it is back, and what it has is on disk.
    brokers[2].stop()?;
    let key = brokers[0].json(&["rotate", "invite-key", "--now", "--json"])?;
    brokers[0].ok(&["rotate", "ca"])?;
    brokers[2].serve()?;
    follows(&brokers[2], 3, &key["kid"])?;
    brokers[2].kill()?;
    brokers[2].serve()?;
    follows(&brokers[2], 3, &key["kid"])?;
    assert_admits(&hosts[0], &brokers[2], &brokers[2].invite(&[])?)?;
    Ok(())
}

/// A voucher for this node, as whoever has the issuing key would write it.
fn forged(voucher: &str, node: &str, key: &SigningKey) -> String {
    let mut parts = voucher.split('.');
    let header = decoded(parts.next().unwrap_or_default());
    let mut claims = decoded(parts.next().unwrap_or_default());
    claims["sub"] = json!(node);
    claims.as_object_mut().map(|claims| claims.remove("key"));
    signed(&header, &claims, key)
}

pub(crate) fn after_a_leak_brokers_follow_that_an_operator_answers_for(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(4)?;
    let brokers = three(&hosts)?;
    let invite = brokers[0].invite(&["--uses", "9"])?;
    // The thief has the issuing key, and a manager of its own, joined by the token and vouched for by that key.
    let stolen = SigningKey::from_pem(&fs::read_to_string(brokers[0].state().join("issuing.key"))?)?;
    let thief = &hosts[3];
    thief.join(&hosts[0], &fresh_token(&brokers[0], Role::Manager)?)?;
    let node = thief.node_id()?.trim().to_owned();
    let founders = lab::nodes(&hosts[0])?.into_iter().find_map(|node| node.labels.get("swarm-broker.manager").cloned());
    let voucher = forged(&founders.ok_or("the founder's voucher")?, &node, &stolen);
    let label = format!("swarm-broker.manager={voucher}");
    thief.docker(&["node", "update", "--label-add", &label, "--label-add", "swarm-broker.adopted=so", &node])?;
    let asker = Asker::new(&invite)?;
    let asks = |broker: &Broker<'_>, follows: Option<&str>| -> Result<_, Failed> {
        let mut request = asker.request(&id(thief)?, None);
        request["follows"] = json!(follows);
        ask(broker, &invite, node_key(thief)?, &request)
    };
    assert!(asks(&brokers[0], None)?.is_ok(), "what a leak of the issuing key is worth");

    let plan = brokers[0].run(&["rotate", "ca", "--now", "--plan"])?;
    let must_adopt = |host: &Host| format!("broker adopt {} --reason", host.name());
    assert!(plan.stdout.contains(&must_adopt(thief)), "{}", plan.stdout);
    assert!(hosts[1..3].iter().all(|host| !plan.stdout.contains(&must_adopt(host))), "{}", plan.stdout);
    let told = brokers[0].json(&["rotate", "ca", "--now", "--json", "--reason", "a leak"])?;
    assert_eq!(told["adopt"], json!([thief.name()]));
    let key = brokers[0].json(&["rotate", "invite-key", "--now", "--json"])?;
    for broker in &brokers {
        follows(broker, 2, &key["kid"])?;
        for follows in [None, Some("ca"), Some("invite-key")] {
            assert_eq!(asks(broker, follows)?, Err(REFUSED), "the thief, {follows:?}");
        }
        assert!(admitted(&hosts[0], broker, &invite)?.is_err(), "an invite of before");
        assert_admits(&hosts[0], broker, &broker.invite(&[])?)?;
    }

    // Ordered where the log does not say why the others are managers: they get nothing before an operator says so.
    let root = brokers[0].state().display().to_string();
    let told = brokers[1].json(&["rotate", "ca", "--now", "--json", "--root", &root])?;
    assert_eq!(told["adopt"].as_array().map(Vec::len), Some(3), "{told}");
    until(LONG, "the founder to say what it needs", || {
        let told = brokers[0].run(&["doctor"]).ok()?.stdout;
        told.contains(&must_adopt(&hosts[0])).then_some(())
    })?;
    assert_eq!(behind(&brokers[0])?.len(), 1);
    let alarms = brokers[1].count("refused", Some("no-manager"))?;
    brokers[1].ok(&["adopt", hosts[0].name(), "--reason", "it is ours"])?;
    let begun = Instant::now();
    until(Duration::from_mins(1), "the founder to follow", || (generation_of(&brokers[0]) == Some(3)).then_some(()))?;
    println!("follows: {:?} after it was adopted", begun.elapsed());
    assert_eq!(generation(&brokers[0])?, 3);
    assert_eq!(brokers[1].count("refused", Some("no-manager"))?, alarms, "who waits for a word raises no alarm");
    assert_eq!(InviteLine::parse(&brokers[0].invite(&[])?)?.unverified().generation, 3);
    Ok(())
}

pub(crate) fn who_asks_with_a_leaked_key_while_it_is_replaced_gets_nothing(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, thief) = (cluster.manager(), &cluster[1]);
    let broker = Gated::start(manager)?;
    let invite = broker.invite(&[])?;
    let stolen = SigningKey::from_pem(&fs::read_to_string(broker.state().join("issuing.key"))?)?;
    thief.join(manager, &manager.join_token(Role::Manager)?)?;
    let node = thief.node_id()?.trim().to_owned();
    let founders = lab::nodes(manager)?.into_iter().find_map(|node| node.labels.get("swarm-broker.manager").cloned());
    let voucher = forged(&founders.ok_or("the founder's voucher")?, &node, &stolen);
    thief.docker(&["node", "update", "--label-add", &format!("swarm-broker.manager={voucher}"), &node])?;
    let asker = Asker::new(&invite)?;
    let asks = |follows: Option<&str>| -> Result<_, Failed> {
        let mut request = asker.request(&id(thief)?, None);
        request["follows"] = json!(follows);
        ask(&broker, &invite, node_key(thief)?, &request)
    };
    assert!(asks(None)?.is_ok(), "what a leak of the issuing key is worth");

    // The former CA is trusted still when they ask, and is not when their turn has come.
    let issuing = manager.config("swarm-broker.issuing")?["ID"].as_str().ok_or("no id")?.to_owned();
    broker.gate().hold(Held { request: format!("/configs/{issuing}/update"), number: 1, done: false });
    thread::scope(|scope| -> Result<(), Failed> {
        let rotating = scope.spawn(|| broker.ok(&["rotate", "ca", "--now"]));
        until(LONG, "the new CA to be about to be listed", || broker.gate().struck().then_some(()))?;
        let asks = &asks;
        let asking = [None, Some("ca"), Some("invite-key")].map(|follows| scope.spawn(move || asks(follows)));
        // A broker that judged before it waits would judge now. That it does not shows nowhere, so it is given the time.
        thread::sleep(Duration::from_millis(500));
        broker.gate().open();
        rotating.join().expect("no panic")?;
        for asked in asking {
            assert_eq!(asked.join().expect("no panic")?, Err(REFUSED));
        }
        Ok(())
    })?;
    assert_eq!(broker.count("keys.handed-over", None)?, 1);
    Ok(())
}

pub(crate) fn a_key_that_comes_late_takes_no_newer_ones_place(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let (first, relay) = found_behind_a_relay(&hosts, Rule::Pass)?;
    let second = follow(&hosts[1], &first.invite(&["--role", "manager"])?)?;

    relay.set(Rule::HoldReply(relay.requests() + 1));
    first.ok(&["rotate", "invite-key"])?;
    until(LONG, "the second key to be on its way", || relay.struck().then_some(()))?;
    let third = second.json(&["rotate", "invite-key", "--json"])?;
    assert_eq!(third["generation"], 3, "{third}");
    relay.set(Rule::Pass);
    for broker in [&first, &second] {
        follows(broker, 1, &third["kid"])?;
        assert_admits(&hosts[0], broker, &broker.invite(&[])?)?;
    }
    assert_eq!(second.count("key.followed", None)?, 0);
    Ok(())
}

fn generation_of(broker: &Broker<'_>) -> Option<u64> {
    let status = broker.json(&["status", "--json"]).ok()?;
    (status["ready"] == true).then(|| status["generation"].as_u64())?
}
