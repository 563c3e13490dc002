//! The brokers' own keys are replaced while machines boot: nobody is stranded, and after a leak what they signed is worth
//! nothing.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use certs::SigningKey;
use lab::cluster::{
    ASK_AGAIN, Broker, Cluster, Gated, Held, Joiner, Machine, REFUSED, Storm, admitted, assert_admits, invite, on,
};
use lab::{Failed, LONG, Pool, Role, until};
use serde_json::Value;

use crate::at_most_n::second;
use crate::managers::follow;
use crate::peers::create;
use crate::rotate_all::{ALL, replaced};
use crate::verify_then_spend::{decoded, signed};

pub(crate) fn grants_of_a_former_key_are_good_until_the_last_has_ended(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 0)?;
    let manager = cluster.manager();
    let settings = ["--grant-lifetime", "10s", "--rotate-worker", "manual"];
    let first = Broker::start_with(manager, &settings)?;
    let mut second = second(&first, &cluster[1])?;
    second.serve_with(&settings)?;
    let invite = first.invite(&["--uses", "4"])?;
    let (one, other) = (first.address(), second.address());
    let former = SigningKey::from_pem(&fs::read_to_string(first.state().join("grant.key"))?)?;

    let (early, late) =
        (on(manager, || Machine::with_grant(&invite, one))?, on(manager, || Machine::with_grant(&invite, one))?);
    let told = first.json(&["rotate", "signing-key", "--json", "--reason", "a test"])?;
    let rotated = Instant::now();
    assert_eq!((&told["what"], &told["generation"]), (&"signing-key".into(), &2.into()), "{told}");
    assert!(told["rotated_at"].is_string() && told["former_until"].is_string(), "{told}");
    // A grant of before, at the other broker; and one of the new key, at the other broker, at once.
    on(manager, || async { early.0.at(other).redeem(&early.1).await })?
        .map_err(|told| format!("of the former key: {told:?}"))?;
    let (new, grant) = on(manager, || Machine::with_grant(&invite, one))?;
    assert_ne!(kid(&grant), kid(&early.1));
    on(manager, || async { new.at(other).redeem(&grant).await })?
        .map_err(|told| format!("of the new key: {told:?}"))?;

    // Whoever has the former key signs what he likes with it, and the last second of its grants is over.
    thread::sleep(Duration::from_secs(16).saturating_sub(rotated.elapsed()));
    let (machine, former_grant) = late;
    let grant = on(manager, || machine.grant())?.map_err(|told| format!("{told:?}"))?.grant;
    let parts: Vec<&str> = grant.split('.').collect();
    let header = decoded(former_grant.split('.').next().unwrap_or_default());
    let forged = signed(&header, &decoded(parts[1]), &former);
    for broker in [one, other] {
        assert_eq!(on(manager, || async { machine.at(broker).redeem(&forged).await })?.err(), Some(REFUSED));
    }
    // A machine that slept all that time with its grant of the former key asks for another one. It is no thief.
    for broker in [one, other] {
        let told = on(manager, || async { machine.at(broker).redeem(&former_grant).await })?;
        assert_eq!(told.err(), Some(ASK_AGAIN), "a machine that slept is refused for good");
    }
    on(manager, || machine.redeem(&grant))?.map_err(|told| format!("the real one: {told:?}"))?;

    // After a leak there is no such time; an honest machine is told to ask again, and gets a grant of the new key.
    let (machine, grant) = on(manager, || Machine::with_grant(&invite, one))?;
    let told = first.json(&["rotate", "signing-key", "--now", "--json"])?;
    assert_eq!((&told["generation"], &told["former_until"]), (&3.into(), &Value::Null), "{told}");
    assert_eq!(on(manager, || machine.redeem(&grant))?.err(), Some(ASK_AGAIN));
    let grant = on(manager, || machine.grant())?.map_err(|told| format!("{told:?}"))?.grant;
    on(manager, || machine.redeem(&grant))?.map_err(|told| format!("asked again: {told:?}"))?;

    let records = first.records()?;
    let of_key = |event: &str| records.iter().filter(|record| record["event"] == event).count();
    assert_eq!((of_key("key.rotating"), of_key("key.rotated")), (2, 2));
    let record = records.iter().find(|record| record["event"] == "key.rotated").ok_or("no record")?;
    assert_eq!((&record["what"], &record["generation"]), (&"signing-key".into(), &2.into()), "{record}");
    assert!(record["detail"].as_str().is_some_and(|detail| detail.contains("a test")), "{record}");
    Ok(())
}

/// The key that a statement names.
fn kid(jws: &str) -> Value {
    decoded(jws.split('.').next().unwrap_or_default())["kid"].clone()
}

pub(crate) fn invites_of_a_former_key_are_good_and_those_of_a_void_one_admit_nobody(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 0)?;
    let manager = cluster.manager();
    let mut first = Broker::init(manager)?;
    let address = first.address();
    // Never seen by a broker before it is used.
    let unseen = first.invite(&["--offline", "--broker", &address.to_string(), "--uses", "2"])?;
    first.serve()?;
    let mut second = second(&first, &cluster[1])?;
    second.serve()?;
    let (idle, used) = (first.invite(&["--uses", "5"])?, first.invite(&["--uses", "5"])?);
    let (booting, grant) = on(manager, || Machine::with_grant(&used, address))?;

    let told = first.json(&["rotate", "invite-key", "--json"])?;
    assert_eq!((&told["what"], &told["generation"]), (&"invite-key".into(), &2.into()), "{told}");
    assert_eq!(told["invites"].as_array().map(Vec::len), Some(2), "{told}");
    let new = first.invite(&["--uses", "5"])?;
    assert_ne!(kid(new.trim_start_matches("SWINV-1-")), kid(idle.trim_start_matches("SWINV-1-")));
    for (broker, invite) in [(&first, &idle), (&second, &idle), (&first, &new), (&second, &new), (&second, &unseen)] {
        assert_admits(manager, broker, invite)?;
    }
    // A broker that was given the former key goes on with it.
    assert_admits(manager, &first, &second.invite(&["--uses", "1"])?)?;

    let dry = first.run(&["rotate", "invite-key", "--now", "--dry-run"])?;
    assert!(dry.stdout.contains(&invite::id(&new)?) && dry.stdout.contains("nothing was changed"), "{}", dry.stdout);
    let told = first.json(&["rotate", "invite-key", "--now", "--json", "--reason", "a leak"])?;
    assert_eq!(told["generation"], 3, "{told}");
    let refused: Vec<&Value> = told["invites"].as_array().into_iter().flatten().collect();
    for invite in [&idle, &used, &new, &unseen] {
        let listed = refused.iter().find(|refused| refused["id"] == invite::id(invite).unwrap_or_default().as_str());
        assert_eq!(listed.map(|listed| &listed["revoked"]), Some(&true.into()), "{told}");
    }
    let mut revoked = first.records()?.into_iter().filter(|record| record["event"] == "invite.revoked").peekable();
    assert!(revoked.peek().is_some() && revoked.all(|record| record["ends"].is_u64()), "to be remembered until then");
    // At once, at each broker, whether it had seen the invite or not; a boot in flight ends, too.
    for (broker, invite) in [(&first, &idle), (&second, &new), (&second, &unseen), (&first, &unseen)] {
        assert_eq!(admitted(manager, broker, invite)?, Err(REFUSED));
    }
    assert!(first.count("refused", Some("void-key"))? > 0);
    assert_eq!(on(manager, || booting.redeem(&grant))?.err(), Some(REFUSED));
    assert_admits(manager, &second, &first.invite(&["--uses", "1"])?)?;
    // The other broker's key is void: it says so, and makes no invite that would admit nobody.
    let told = second.run(&["invite", "create"])?;
    assert_eq!(told.code, 75, "{}", told.stderr);
    assert!(told.stderr.contains("declared void"), "{}", told.stderr);
    Ok(())
}

pub(crate) fn boots_while_every_key_is_replaced_all_join(pool: &Pool) -> Result<(), Failed> {
    const MACHINES: usize = 15;
    let cluster = Cluster::form(pool, 1, MACHINES)?;
    let broker = Broker::start_with(cluster.manager(), &["--rotation-wait", "20s"])?;
    let invite = broker.invite(&["--uses", &MACHINES.to_string()])?;
    let served = || broker.json(&["rotate", "server-cert", "--dry-run", "--json"]);
    let before = served()?;
    assert_eq!((&before["what"], &before["generation"]), (&"server-cert".into(), &1.into()), "{before}");
    let orders: [&[&str]; 4] = [
        &["rotate", "signing-key"],
        &["rotate", "invite-key"],
        &["rotate", "server-cert"],
        &["rotate", "signing-key", "--now"],
    ];
    let mut next = orders.iter().cycle();
    let storm = Storm::every(Duration::from_millis(100)).while_all_join(&cluster.joiners(&invite), || {
        next.next().map_or(Ok(false), |order| broker.ok(order).map(|_| true))
    })?;
    println!("keys: {MACHINES} boots in {:?} through {} rotations", storm.took, storm.times);
    assert!(storm.times >= orders.len(), "the storm was none: {}", storm.times);
    assert_eq!(broker.count("node.joined", None)?, MACHINES);
    assert_ne!(served()?["kid"], before["kid"], "another certificate is served");
    Ok(())
}

pub(crate) fn a_broker_killed_at_any_step_of_replacing_a_key_starts_and_admits(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let manager = cluster.manager();
    let mut broker = Gated::start(manager)?;
    let address = broker.address();
    let object = |name: &str| -> Result<String, Failed> {
        Ok(manager.config(name)?["ID"].as_str().ok_or_else(|| format!("{name} has no id"))?.to_owned())
    };
    let cluster_file: Value = serde_json::from_str(&fs::read_to_string(broker.state().join("cluster.json"))?)?;
    let entry = object(&format!("swarm-broker.broker.{}", cluster_file["broker"].as_str().ok_or("no id")?))?;

    // Each write: the new key is listed; the former ones are void.
    let steps: [&[&str]; 3] =
        [&["rotate", "signing-key"], &["rotate", "invite-key"], &["rotate", "invite-key", "--now"]];
    for order in steps {
        for done in [false, true] {
            let place = format!("{order:?}, killed {} the write", if done { "after" } else { "before" });
            let invite = broker.invite(&["--uses", "9"])?;
            let request = match order {
                [_, "signing-key"] => format!("/configs/{entry}/update"),
                [_, "invite-key"] => "/configs/create".into(),
                _ => {
                    let former = kid(invite.trim_start_matches("SWINV-1-"));
                    let former = former.as_str().ok_or("no key")?.to_owned();
                    format!("/configs/{}/update", object(&format!("swarm-broker.invite-key.{former}"))?)
                }
            };
            let (machine, grant) = on(manager, || Machine::with_grant(&invite, address))?;
            let before = manager.config_versions()?;
            broker.cut_off(order, &Held { request: request.clone(), number: 1, done }, || {
                let versions = manager.config_versions();
                versions.is_ok_and(|now| match request.as_str() {
                    "/configs/create" => now.len() > before.len(),
                    _ => before.iter().any(|(id, version)| now.get(id) != Some(version)),
                })
            })?;
            if order.contains(&"--now") {
                // What the order did not come to is done by ordering it again.
                broker.ok(order)?;
                assert_eq!(admitted(manager, &broker, &invite)?, Err(REFUSED), "{place}");
                assert_eq!(on(manager, || machine.redeem(&grant))?.err(), Some(REFUSED), "{place}: a boot in flight");
            } else {
                let redeemed = on(manager, || machine.redeem(&grant))?;
                redeemed.map_err(|told| format!("{place}: a grant of before: {told:?}"))?;
                assert_admits(manager, &broker, &invite)?;
            }
            assert_admits(manager, &broker, &broker.invite(&["--uses", "1"])?)?;
            if order == ["rotate", "invite-key"] && done {
                // A key is listed that nobody has. It is not waited for: another manager's broker gets the keys.
                let mut another = follow(&cluster[1], &broker.invite(&["--role", "manager"])?)?;
                assert_admits(manager, &broker, &another.invite(&["--uses", "1"])?)?;
                another.stop()?;
            }
        }
    }
    Ok(())
}

pub(crate) fn an_invite_that_does_not_read_keeps_nothing_from_being_replaced(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invites = [broker.invite(&["--uses", "2"])?, broker.invite(&["--uses", "2"])?];
    let address = broker.address();
    let booting: Vec<_> =
        invites.iter().map(|invite| on(manager, || Machine::with_grant(invite, address))).collect::<Result<_, _>>()?;
    let name = format!("swarm-broker.invite.{}", "0".repeat(32));
    create(manager, &name, "no invite", &[("kind", "invite")])?;

    // It is an alarm itself, and keeps no other from being raised.
    cluster[1].join(manager, &manager.join_token(Role::Worker)?)?;
    for alarm in ["invite.unread", "node.unexplained"] {
        until(LONG, alarm, || (broker.count(alarm, None).ok()? == 1).then_some(()))?;
    }

    let records = broker.records()?;
    let alarm = records.iter().find(|record| record["event"] == "invite.unread").ok_or("no alarm")?;
    let inspect_first = format!("inspect {name}. If it is none of yours, remove it: docker config rm {name}");
    assert!(alarm["detail"].as_str().is_some_and(|detail| detail.contains(&inspect_first)), "{alarm}");

    let told = broker.run(&["rotate", "invite-key", "--now"])?;
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stdout.contains(&name), "it says which: {}", told.stdout);
    for (machine, grant) in &booting {
        assert_eq!(on(manager, || machine.redeem(grant))?.err(), Some(REFUSED), "a boot in flight");
    }
    assert_eq!(broker.count("invite.revoked", None)?, invites.len());

    // Nor from all of it at once.
    let invite = broker.invite(&["--uses", "2"])?;
    let (machine, grant) = on(manager, || Machine::with_grant(&invite, address))?;
    let plan = broker.run(&["rotate", "all", "--now", "--plan"])?;
    assert!(plan.code == 0 && plan.stdout.contains(&name), "{plan:?}");
    let told = broker.json(&["rotate", "all", "--now", "--json"])?;
    assert_eq!((replaced(&told), &told["not_done"]), (ALL.to_vec(), &Value::Array(Vec::new())), "{told}");
    assert_eq!(told["unread"], serde_json::json!([name]), "{told}");
    assert!(on(manager, || machine.redeem(&grant))?.is_err(), "a boot in flight");
    assert_eq!(broker.count("invite.revoked", None)?, invites.len() + 1);
    assert_eq!(broker.count("key.rotation-failed", None)?, 0);

    // Nor where machines on their way are waited for, nor after a join. And the others are listed.
    let token = || manager.join_token(Role::Worker);
    let before = token()?;
    broker.ok(&["rotate", "worker", "--reason", "a test"])?;
    let given = token()?;
    assert_ne!(given, before, "by an order");
    Joiner::new(&cluster[2], &broker.invite(&["--uses", "1"])?).joins()?;
    until(LONG, "another token after the join", || (token().ok()? != given).then_some(()))?;
    assert_eq!(broker.count("token.rotation-failed", None)?, 0);
    let listed = broker.json(&["invite", "list", "--json"])?;
    assert_eq!((listed["invites"].as_array().map(Vec::len), &listed["unread"]), (Some(4), &serde_json::json!([name])));
    assert!(broker.ok(&["invite", "list"])?.contains(&name));
    Ok(())
}
