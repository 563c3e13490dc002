//! A rotation that cannot go on, at any step: it is finished or undone, and said, and nothing is left half done.

use std::time::Duration;

use lab::cluster::{Broker, Cluster, Gated, Held, assert_admits};
use lab::{Failed, Host, LONG, Pool, Role, until};
use serde_json::Value;

/// The rotation's object in the ledger.
pub(crate) const OBJECT: &str = "swarm-broker.rotation";

pub(crate) fn is_under_way(manager: &Host) -> lab::Result<bool> {
    Ok(!manager.config(OBJECT)?["Spec"]["Labels"]["swarm-broker.rotating"].is_null())
}

/// The last thing that the log says of the worker token.
pub(crate) fn last_word(broker: &Broker<'_>) -> Result<(String, u64), Failed> {
    let told = |record: &Value| {
        let event = record["event"].as_str().filter(|event| event.starts_with("token."))?;
        (record["role"] == "worker").then(|| Some((event.to_owned(), record["generation"].as_u64()?)))?
    };
    broker.records()?.iter().rev().find_map(told).ok_or_else(|| "no word of a token".into())
}

pub(crate) fn a_broker_killed_at_any_step_of_a_rotation_finishes_or_undoes_it(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Gated::start(manager)?;
    let ledger = format!("/configs/{}/update", manager.config(OBJECT)?["ID"].as_str().ok_or("no id")?);

    // Each step: the ledger says that a rotation is under way; Docker replaces the token; the ledger says which is live.
    let steps = [(ledger.as_str(), 1), ("/swarm/update", 1), (ledger.as_str(), 2)];
    let mut generation = 1;
    for (at, (request, number)) in steps.into_iter().enumerate() {
        for done in [false, true] {
            let before = manager.join_token(Role::Worker)?;
            let step = Held { request: request.into(), number, done };
            broker.cut_off(&["rotate", "worker"], &step, || match at {
                0 => is_under_way(manager).is_ok_and(|under_way| under_way),
                1 => manager.join_token(Role::Worker).is_ok_and(|token| token != before),
                _ => is_under_way(manager).is_ok_and(|under_way| !under_way),
            })?;
            let place = format!("killed {} step {at}", if done { "after" } else { "before" });
            assert!(!is_under_way(manager)?, "{place}: it is still under way");
            let replaced = manager.join_token(Role::Worker)? != before;
            assert_eq!(replaced, (at, done) >= (1, true), "{place}");
            generation += u64::from(replaced);
            let word = if (at, done) == (2, true) {
                "token.found"
            } else if replaced {
                "token.rotated"
            } else {
                "token.kept"
            };
            assert_eq!(last_word(&broker)?, (word.to_owned(), generation), "{place}");
            // A new machine is given the live token.
            let given = assert_admits(manager, &broker, &broker.invite(&["--uses", "1"])?)?;
            assert_eq!(given, manager.join_token(Role::Worker)?, "{place}");
        }
    }
    Ok(())
}

pub(crate) fn settings_that_change_under_a_rotation_are_kept_and_it_is_done(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let broker = Gated::start(manager)?;
    let gate = broker.gate();
    let settings = || -> Result<Value, Failed> {
        let text = manager.docker(&["info", "--format", "{{json .Swarm.Cluster.Spec}}"])?;
        Ok(serde_json::from_str(&text)?)
    };
    let (before, token) = (settings()?, manager.join_token(Role::Worker)?);
    gate.hold(Held { request: "/swarm/update".into(), number: 1, done: false });
    let told = std::thread::scope(|scope| {
        let rotating = scope.spawn(|| broker.json(&["rotate", "worker", "--json"]));
        until(LONG, "the update to be on its way", || gate.struck().then_some(()))?;
        manager.docker(&["swarm", "update", "--task-history-limit", "7"])?;
        gate.open();
        rotating.join().expect("no panic")
    })?;
    assert_eq!((&told["role"], &told["generation"]), (&"worker".into(), &2.into()), "{told}");
    assert_ne!(manager.join_token(Role::Worker)?, token);
    let mut expected = before;
    expected["Orchestration"]["TaskHistoryRetentionLimit"] = 7.into();
    assert_eq!(settings()?, expected, "the rotation changed something else than the token");
    Ok(())
}

pub(crate) fn a_rotation_without_quorum_says_so_and_is_undone(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 3, 1)?;
    let leader = cluster.manager();
    let broker = Broker::start(leader)?;
    let before = leader.join_token(Role::Worker)?;
    leader.cut_from(&cluster[1])?;
    leader.cut_from(&cluster[2])?;
    let told = broker.run(&["rotate", "worker"])?;
    assert_eq!(told.code, 75, "{}", told.stderr);
    assert!(told.stderr.contains("no token was replaced"), "{}", told.stderr);
    // Once the engine knows that it leads nobody, it says so at once.
    let told = until(LONG, "the engine to notice", || {
        let told = broker.run(&["rotate", "worker"]).ok()?;
        assert_eq!(told.code, 75, "{}", told.stderr);
        told.stderr.contains("no quorum").then_some(told)
    })?;
    assert!(told.stderr.contains("docker node ls"), "{}", told.stderr);

    leader.heal()?;
    until(Duration::from_mins(1), "quorum, and nothing under way", || {
        (!is_under_way(leader).ok()? && broker.json(&["status", "--json"]).ok()?["ready"] == true).then_some(())
    })?;
    assert_eq!(leader.join_token(Role::Worker)?, before, "it was not replaced behind anybody's back");
    until(LONG, "a rotation", || (broker.run(&["rotate", "worker"]).ok()?.code == 0).then_some(()))?;
    assert_ne!(leader.join_token(Role::Worker)?, before);
    Ok(())
}

pub(crate) fn a_rotation_where_none_can_be_done_has_words_and_a_code(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 1)?;
    let (manager, other, worker) = (cluster.manager(), &cluster[1], &cluster[2]);
    let broker = Broker::start(manager)?;
    // Where no broker runs, as on a worker.
    let mut command = worker.command("env");
    command.arg(lab::programs::broker()?).args(["rotate", "worker"]);
    let told = lab::cluster::run(command)?;
    assert_eq!(told.code, 69, "{}", told.stderr);
    assert!(told.stderr.contains("no broker is running"), "{}", told.stderr);
    for arguments in [&["rotate"][..], &["rotate", "tokens"], &["rotate", "worker", "--reason", " "]] {
        let told = broker.run(arguments)?;
        assert_eq!(told.code, 64, "{arguments:?}: {}", told.stderr);
    }
    let token = manager.join_token(Role::Worker)?;
    let dry = broker.json(&["rotate", "worker", "--dry-run", "--json"])?;
    assert_eq!((&dry["dry_run"], &dry["tokens"][0]["generation"]), (&true.into(), &1.into()), "{dry}");
    assert_eq!(manager.join_token(Role::Worker)?, token, "a dry run");
    // On a manager that was demoted, its broker has nothing to rotate with.
    other.docker(&["node", "demote", manager.name()])?;
    let told = until(LONG, "the demotion", || {
        let told = broker.run(&["rotate", "worker"]).ok()?;
        (told.code != 0).then_some(told)
    })?;
    assert_eq!(told.code, 75, "{}", told.stderr);
    until(LONG, "clear words", || {
        broker.run(&["rotate", "worker"]).ok()?.stderr.contains("this machine is not a manager").then_some(())
    })?;
    Ok(())
}
