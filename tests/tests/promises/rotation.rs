//! Promise 6: a rotation at any moment strands nobody.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{
    Broker, Cluster, Joiner, Machine, Relay, Rule, Storm, Weathered, assert_admits, assert_retries_are_explained,
    finish, on, paid,
};
use lab::{Failed, LONG, Pool, Role, until};
use serde_json::Value;

use crate::at_most_n::second;
use crate::rotation_cut_off::is_under_way;

pub(crate) fn a_token_rotated_between_redeem_and_join_strands_nobody(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let relay = Relay::start(machine, 7999, (manager.address(), 7443).into(), Rule::HoldReply(3))?;
    let broker = Broker::start_with(manager, &["--advertise", &relay.address().to_string()])?;
    let invite = broker.invite(&["--uses", "1", "--label", "zone=a"])?;
    let joiner = Joiner::new(machine, &invite).start()?;
    until(LONG, "the token to be on its way", || relay.struck().then_some(()))?;
    let stale = manager.join_token(Role::Worker)?;
    manager.rotate_token(Role::Worker)?;
    assert_ne!(manager.join_token(Role::Worker)?, stale);
    relay.set(Rule::Pass);

    let ended = finish(joiner)?;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stderr.contains("rotated"), "the joiner saw that the token was stale: {}", ended.stderr);
    assert_eq!(broker.count("grant.redeemed", None)?, 2, "a second grant, for the same key");
    assert_eq!(broker.json(&["invite", "list", "--json"])?["invites"][0]["claimed"], 1, "one use");
    let node = lab::nodes(manager)?.into_iter().find(|node| node.role == Role::Worker).ok_or("no worker")?;
    assert_eq!((node.availability.as_str(), node.labels.get("zone").map(String::as_str)), ("active", Some("a")));
    assert_retries_are_explained(&broker)?;
    Ok(())
}

pub(crate) fn a_rotation_waits_for_a_machine_with_the_token_up_to_its_bound(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    for (machine, wait, is_waited_for) in [(&cluster[1], "30s", true), (&cluster[2], "1s", false)] {
        // The token is on its way, and does not arrive yet.
        let relay = Relay::start(machine, 7999, (manager.address(), 7443).into(), Rule::HoldReply(3))?;
        broker.serve_with(&["--advertise", &relay.address().to_string(), "--rotation-wait", wait])?;
        let invite = broker.invite(&["--uses", "1"])?;
        let given = manager.join_token(Role::Worker)?;
        let joiner = Joiner::new(machine, &invite).start()?;
        until(LONG, "the token to be on its way", || relay.struck().then_some(()))?;
        let (told, joined) = thread::scope(|scope| {
            let rotation = scope.spawn(|| broker.json(&["rotate", "worker", "--json"]));
            if is_waited_for {
                until(LONG, "the rotation to wait", || is_under_way(manager).ok()?.then_some(()))?;
                thread::sleep(Duration::from_secs(2));
                assert_eq!(manager.join_token(Role::Worker)?, given, "it did not wait");
                let dry = broker.json(&["rotate", "worker", "--dry-run", "--json"])?;
                assert_eq!(dry["in_flight"].as_array().map(Vec::len), Some(1), "{dry}");
            } else {
                until(LONG, "the bound", || rotation.is_finished().then_some(()))?;
            }
            relay.set(Rule::Pass);
            lab::Result::Ok((rotation.join().expect("no panic")?, finish(joiner)?))
        })?;
        assert_eq!(joined.code, 0, "{}", joined.stderr);
        assert_ne!(manager.join_token(Role::Worker)?, given);
        assert_eq!(joined.stderr.contains("rotated meanwhile"), !is_waited_for, "{}", joined.stderr);
        assert_eq!(told["not_waited_for"], usize::from(!is_waited_for), "{told}");
        let waited = told["waited_ms"].as_u64().ok_or("no time")?;
        assert!(waited >= 1000, "{told}");
        broker.stop()?;
    }
    assert_retries_are_explained(&broker)?;
    Ok(())
}

pub(crate) fn twenty_boots_through_a_loop_of_rotations_all_join_at_once(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 20)?;
    // Twenty engines on one machine take longer than the two seconds that are enough for machines of their own.
    let broker = Broker::start_with(cluster.manager(), &["--rotation-wait", "20s"])?;
    let invite = broker.invite(&["--uses", "20"])?;
    let Weathered { joined, times, took } = Storm::every(Duration::from_millis(100))
        .while_all_join(&cluster.joiners(&invite), || broker.ok(&["rotate", "worker"]).map(|_| true))?;
    let paid = paid(&joined);
    println!("polite: 20 boots in {took:?} through {times} rotations, {paid} paid");
    assert_eq!(paid, 0, "after {times} rotations: {joined:#?}");
    assert!(times > 1, "the storm was one");
    assert_eq!(broker.count("node.joined", None)?, 20);
    assert_retries_are_explained(&broker)?;
    Ok(())
}

pub(crate) fn boots_while_the_token_is_rotated_without_courtesy_all_join(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 10)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "10"])?;
    let Weathered { joined, times, took } = Storm::every(Duration::from_millis(500))
        .while_all_join(&cluster.joiners(&invite), || broker.ok(&["rotate", "worker", "--now"]).map(|_| true))?;
    let paid = paid(&joined);
    println!("--now: 10 boots in {took:?} through {times} rotations, {paid} paid");
    let redeemed = broker.count("grant.redeemed", None)?;
    assert!(redeemed >= 10 + paid, "who paid was given another token");
    assert!(times > 1, "the storm was one");
    assert_eq!(broker.count("node.joined", None)?, 10);
    assert_retries_are_explained(&broker)?;
    Ok(())
}

pub(crate) fn boots_while_somebody_else_rotates_the_token_all_join(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 6)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "6"])?;
    let storm = Storm::every(Duration::from_millis(300))
        .while_all_join(&cluster.joiners(&invite), || Ok(manager.rotate_token(Role::Worker).is_ok()))?;
    assert!(storm.times > 1, "the storm was one");
    assert_eq!(broker.count("node.joined", None)?, 6);
    assert!(broker.count("token.changed", None)? > 0, "it was noticed");
    assert_retries_are_explained(&broker)?;
    Ok(())
}

pub(crate) fn thirty_machines_at_two_brokers_are_never_given_a_token_that_is_about_to_go(
    pool: &Pool,
) -> Result<(), Failed> {
    const MACHINES: usize = 30;
    let cluster = Cluster::form(pool, 2, 0)?;
    let manager = cluster.manager();
    let wait = ["--rotation-wait", "1500ms"];
    let first = Broker::start_with(manager, &wait)?;
    let mut second = second(&first, &cluster[1])?;
    second.serve_with(&wait)?;
    let invite = first.invite(&["--uses", &MACHINES.to_string()])?;
    let addresses = [first.address(), second.address()];

    let (begun, done) = (Instant::now(), AtomicBool::new(false));
    let (outcomes, rotations) = thread::scope(|scope| {
        // Both brokers rotate, at the same time too; the machines never confirm, so each rotation waits to its bound.
        let storms = [&first, &second].map(|broker| {
            let done = &done;
            scope.spawn(move || -> lab::Result<usize> {
                let mut rotations = 0;
                while !done.load(Ordering::Relaxed) {
                    broker.ok(&["rotate", "worker"])?;
                    rotations += 1;
                }
                Ok(rotations)
            })
        });
        // Some now, some a moment later, so that there are some at each moment of a rotation.
        let machines: Vec<_> = (0..MACHINES)
            .map(|number| {
                let mut machine = Machine::new(&invite, addresses[number % 2]);
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(number as u64 * 150));
                    on(manager, || machine.would_join(manager))
                })
            })
            .collect();
        let outcomes: lab::Result<Vec<_>> =
            machines.into_iter().map(|machine| machine.join().expect("no panic")).collect();
        done.store(true, Ordering::Relaxed);
        let rotations: lab::Result<Vec<usize>> =
            storms.into_iter().map(|storm| storm.join().expect("no panic")).collect();
        outcomes.and_then(|outcomes| Ok((outcomes, rotations?)))
    })?;
    println!("polite: {MACHINES} machines without engines in {:?} through {rotations:?} rotations", begun.elapsed());
    assert!(rotations.iter().all(|rotations| *rotations > 1), "the storm was one: {rotations:?}");
    assert_eq!(outcomes, vec![Ok(0); MACHINES], "after {rotations:?} rotations");
    for broker in [&first, &second] {
        assert_eq!(broker.count("token.changed", None)?, 0, "no rotation was taken for somebody else's");
    }
    Ok(())
}

pub(crate) fn two_who_rotate_at_once_get_one_clear_result(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 0)?;
    let first = Broker::start_with(cluster.manager(), &["--rotation-wait", "3s"])?;
    let mut second = second(&first, &cluster[1])?;
    second.serve_with(&["--rotation-wait", "3s"])?;
    let invite = first.invite(&["--uses", "1"])?;
    // Somebody is on the way, so that the first rotation waits, and the others come meanwhile.
    assert_admits(cluster.manager(), &first, &invite)?;
    let told: Vec<Value> = thread::scope(|scope| {
        let rotations: Vec<_> = [&first, &second, &first, &second]
            .map(|broker| scope.spawn(move || broker.json(&["rotate", "worker", "--json", "--reason", "a test"])))
            .into_iter()
            .collect();
        rotations.into_iter().map(|rotation| rotation.join().expect("no panic")).collect::<lab::Result<_>>()
    })?;
    for one in &told {
        assert_eq!((&one["role"], &one["generation"]), (&"worker".into(), &2.into()), "{told:#?}");
        assert_eq!(one["rotated_at"], told[0]["rotated_at"]);
        assert_eq!(one["rotated"][0]["generation"], 2);
    }
    assert_eq!(told.iter().filter(|one| one["shared"] == false).count(), 1, "{told:#?}");
    let asked = first.count("token.rotated", None)? + second.count("token.rotated", None)?;
    assert_eq!(asked, 4, "each who asked stands in the log");
    let all = second.json(&["rotate", "all", "--json"])?;
    let tokens = all["rotated"].as_array().into_iter().flatten().filter(|one| one["role"].is_string());
    let rotated: Vec<_> = tokens.map(|one| (&one["role"], &one["generation"])).collect();
    assert_eq!(rotated, [(&"worker".into(), &3.into()), (&"manager".into(), &2.into())], "{all}");
    assert!(all.get("role").is_none());
    Ok(())
}
