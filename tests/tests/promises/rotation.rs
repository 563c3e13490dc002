//! Promise 6: a rotation at any moment strands nobody.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner, Relay, Rule, finish};
use lab::{Failed, Pool, Role, until};

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
    Ok(())
}

pub(crate) fn boots_during_a_storm_of_rotations_all_join(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 6)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "6"])?;
    let (done, rotations) = (AtomicBool::new(false), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                if manager.rotate_token(Role::Worker).is_ok() {
                    rotations.fetch_add(1, Ordering::Relaxed);
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let joins: Vec<_> = cluster[1..]
            .iter()
            .map(|machine| scope.spawn(|| Joiner::new(machine, &invite).joins().map(drop)))
            .collect();
        let joined: Vec<_> = joins.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        joined.into_iter().try_for_each(|join| join.expect("no panic"))
    })?;
    assert!(rotations.load(Ordering::Relaxed) > 1, "the storm was one");
    assert_eq!(broker.count("node.joined", None)?, 6);
    Ok(())
}
