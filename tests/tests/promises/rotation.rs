//! Promise 6: a rotation at any moment strands nobody.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Joiner, Machine, Relay, Rule, Run, Told, finish, on};
use lab::{Failed, Host, Pool, Role, until};
use protocol::ProblemKind;
use serde_json::Value;

use crate::at_most_n::second;

pub(crate) fn a_token_rotated_between_redeem_and_join_strands_nobody(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let relay = Relay::start(machine, 7999, (manager.address(), 7443).into(), Rule::HoldReply(3))?;
    let broker = Broker::start_with(manager, &["--advertise", &relay.address().to_string()])?;
    let invite = broker.invite(&["--uses", "1", "--label", "zone=a"])?;
    let joiner = Joiner::new(machine, &invite).start()?;
    until(Duration::from_secs(30), "the token to be on its way", || relay.struck().then_some(()))?;
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
    assert_retries_are_explained(&broker)
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
        until(Duration::from_secs(30), "the token to be on its way", || relay.struck().then_some(()))?;
        let (told, joined) = thread::scope(|scope| {
            let rotation = scope.spawn(|| broker.json(&["rotate", "worker", "--json"]));
            if is_waited_for {
                thread::sleep(Duration::from_secs(2));
                assert_eq!(manager.join_token(Role::Worker)?, given, "it did not wait");
                let dry = broker.json(&["rotate", "worker", "--dry-run", "--json"])?;
                assert_eq!(dry["in_flight"].as_array().map(Vec::len), Some(1), "{dry}");
            } else {
                until(Duration::from_secs(30), "the bound", || rotation.is_finished().then_some(()))?;
            }
            relay.set(Rule::Pass);
            lab::Result::Ok((rotation.join().expect("no panic")?, finish(joiner)?))
        })?;
        assert_eq!(joined.code, 0, "{}", joined.stderr);
        assert_ne!(manager.join_token(Role::Worker)?, given);
        assert_eq!(joined.stderr.contains("rotated meanwhile"), !is_waited_for, "{}", joined.stderr);
        assert_eq!(told["not_waited_for"], usize::from(!is_waited_for), "{told}");
        let waited = told["waited_ms"].as_u64().ok_or("no time")?;
        assert!(if is_waited_for { waited > 1000 } else { (1000..5000).contains(&waited) }, "{told}");
        broker.stop()?;
    }
    assert_retries_are_explained(&broker)
}

/// How many joiners were told by their engine that the token is stale: each of them has paid ten seconds for that.
fn paid(joined: &[Run]) -> usize {
    joined.iter().filter(|run| run.stderr.contains("rotated meanwhile")).count()
}

/// Joins all these machines at once while the worker token is rotated again and again, a pause between.
fn join_in_a_storm(
    broker: &Broker<'_>,
    machines: &[Host],
    rotate: &[&str],
    pause: Duration,
) -> Result<(Vec<Run>, usize), Failed> {
    let invite = broker.invite(&["--uses", &machines.len().to_string()])?;
    let (done, rotations) = (AtomicBool::new(false), AtomicUsize::new(0));
    let joined = thread::scope(|scope| {
        let storm = scope.spawn(|| -> lab::Result<()> {
            while !done.load(Ordering::Relaxed) {
                let begun = Instant::now();
                broker.ok(rotate)?;
                rotations.fetch_add(1, Ordering::Relaxed);
                thread::sleep(pause.saturating_sub(begun.elapsed()));
            }
            Ok(())
        });
        let joins: Vec<_> =
            machines.iter().map(|machine| scope.spawn(|| Joiner::new(machine, &invite).joins())).collect();
        let joined: Vec<_> = joins.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        storm.join().expect("no panic")?;
        joined.into_iter().map(|join| join.expect("no panic")).collect::<lab::Result<Vec<_>>>()
    })?;
    Ok((joined, rotations.load(Ordering::Relaxed)))
}

/// A key that was given a token twice was given another one the second time, and the log says how that one came.
fn assert_retries_are_explained(broker: &Broker<'_>) -> Result<(), Failed> {
    let mut given: BTreeMap<String, u64> = BTreeMap::new();
    let mut told = Vec::new();
    for record in broker.records()? {
        let generation = || record["generation"].as_u64().ok_or_else(|| Failed::from(format!("no number: {record}")));
        match record["event"].as_str().unwrap_or_default() {
            "token.found" | "token.rotated" | "token.changed" if record["role"] == "worker" => told.push(generation()?),
            "grant.redeemed" => {
                let (key, generation) = (record["key"].as_str().ok_or("no key")?.to_owned(), generation()?);
                assert!(told.contains(&generation), "a token that the log knows nothing of: {record}");
                if let Some(before) = given.insert(key, generation) {
                    assert!(before < generation, "a second grant for the same token: {record}");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

pub(crate) fn twenty_boots_through_a_loop_of_rotations_all_join_at_once(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 20)?;
    // Twenty engines on one machine take longer than the two seconds that are enough for machines of their own.
    let broker = Broker::start_with(cluster.manager(), &["--rotation-wait", "20s"])?;
    let begun = Instant::now();
    let (joined, rotations) =
        join_in_a_storm(&broker, &cluster[1..], &["rotate", "worker"], Duration::from_millis(100))?;
    println!("polite: 20 boots in {:?} through {rotations} rotations, {} paid", begun.elapsed(), paid(&joined));
    assert_eq!(paid(&joined), 0, "after {rotations} rotations: {joined:#?}");
    assert!(rotations > 1, "the storm was one");
    assert_eq!(broker.count("node.joined", None)?, 20);
    assert_retries_are_explained(&broker)
}

pub(crate) fn boots_while_the_token_is_rotated_without_courtesy_all_join(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 10)?;
    let broker = Broker::start(cluster.manager())?;
    let begun = Instant::now();
    let (joined, rotations) =
        join_in_a_storm(&broker, &cluster[1..], &["rotate", "worker", "--now"], Duration::from_millis(500))?;
    println!("--now: 10 boots in {:?} through {rotations} rotations, {} paid", begun.elapsed(), paid(&joined));
    let redeemed = broker.count("grant.redeemed", None)?;
    assert!(redeemed >= 10 + paid(&joined), "who paid was given another token");
    assert!(rotations > 1, "the storm was one");
    assert_eq!(broker.count("node.joined", None)?, 10);
    assert_retries_are_explained(&broker)
}

pub(crate) fn boots_while_somebody_else_rotates_the_token_all_join(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 6)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "6"])?;
    let (done, rotations) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if manager.rotate_token(Role::Worker).is_ok() {
                    rotations.fetch_add(1, Ordering::Relaxed);
                }
                thread::sleep(Duration::from_millis(100));
            }
        });
        let joins: Vec<_> = cluster[1..]
            .iter()
            .map(|machine| scope.spawn(|| Joiner::new(machine, &invite).joins().map(drop)))
            .collect();
        let joined: Vec<_> = joins.into_iter().map(thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        joined.into_iter().try_for_each(|join| join.expect("no panic"))
    })?;
    assert!(rotations.load(Ordering::Relaxed) > 1, "the storm was one");
    assert_eq!(broker.count("node.joined", None)?, 6);
    assert!(broker.count("token.changed", None)? > 0, "it was noticed");
    assert_retries_are_explained(&broker)
}

/// A machine without an engine: what its engine would see. Gives how often it found that the token it was given was
/// not the live one a tenth of a second later.
async fn would_join(manager: &Host, mut machine: Machine) -> Result<usize, Told> {
    let mut stale = 0;
    for _ in 0..100 {
        match machine.admitted().await {
            Ok((_, reply)) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
                if manager.join_token(Role::Worker).map_err(|error| Told::Broken(error.to_string()))?
                    == reply.token.expose()
                {
                    return Ok(stale);
                }
                stale += 1;
            }
            // As a joiner does.
            Err(Told::Problem(ProblemKind::Unavailable | ProblemKind::AskAgain)) => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(told) => return Err(told),
        }
    }
    Err(Told::Broken("no token in a hundred tries".into()))
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
                let machine = Machine::new(&invite, addresses[number % 2]);
                scope.spawn(move || {
                    thread::sleep(Duration::from_millis(number as u64 * 150));
                    on(manager, || would_join(manager, machine))
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
    let address = first.address();
    // Somebody is on the way, so that the first rotation waits, and the others come meanwhile.
    on(cluster.manager(), || async { Machine::new(&invite, address).admitted().await.map(drop) })?
        .map_err(|told| format!("{told:?}"))?;
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
    let rotated: Vec<_> =
        all["rotated"].as_array().into_iter().flatten().map(|one| (&one["role"], &one["generation"])).collect();
    assert_eq!(rotated, [(&"worker".into(), &3.into()), (&"manager".into(), &2.into())], "{all}");
    assert!(all.get("role").is_none());
    Ok(())
}
