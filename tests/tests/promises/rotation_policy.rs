//! How long a token lives: after a join, in a swarm that was there before, and when somebody else replaces it.

use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Joiner, Storm, admitted};
use lab::{Failed, LONG, Pool, Role, form, until};
use serde_json::Value;

/// What `broker status` says of a role's token.
fn token(broker: &Broker<'_>, role: &str) -> Result<Value, Failed> {
    let status = broker.json(&["status", "--json"])?;
    let token = status["tokens"].as_array().into_iter().flatten().find(|token| token["role"] == role);
    Ok(token.ok_or_else(|| format!("no {role} token: {status}"))?.clone())
}

pub(crate) fn a_token_is_dead_within_seconds_of_the_join_it_was_given_for(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let (manager, machine, thief) = (cluster.manager(), &cluster[1], &cluster[2]);
    let broker = Broker::start(manager)?;
    assert_eq!(token(&broker, "worker")?["policy"], "after-join");
    let invite = broker.invite(&["--uses", "1"])?;
    let given = manager.join_token(Role::Worker)?;
    Joiner::new(machine, &invite).joins()?;
    let joined = Instant::now();
    until(LONG, "another token", || (manager.join_token(Role::Worker).ok()? != given).then_some(()))?;
    println!("after-join: another token {:?} after the confirm", joined.elapsed());
    assert!(thief.join(manager, &given).is_err(), "the token that the machine was given is still good");

    // Once, and not again while nobody joins.
    let (live, managers) = (manager.join_token(Role::Worker)?, manager.join_token(Role::Manager)?);
    // Docker has it first, then the ledger, then the log.
    until(LONG, "the record", || (broker.count("token.rotated", None).ok()? == 1).then_some(()))?;
    let record = broker.records()?.into_iter().find(|record| record["event"] == "token.rotated").ok_or("no record")?;
    assert_eq!(
        (&record["role"], &record["generation"], &record["operator"]),
        (&"worker".into(), &2.into(), &"broker".into())
    );
    assert_eq!(token(&broker, "worker")?["generation"], 2);
    thread::sleep(Duration::from_secs(5));
    assert_eq!((manager.join_token(Role::Worker)?, manager.join_token(Role::Manager)?), (live, managers));
    assert_eq!(broker.count("token.rotated", None)?, 1);
    Ok(())
}

pub(crate) fn a_swarm_that_was_there_before_keeps_its_token_unless_told_otherwise(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let (manager, machine) = (&hosts[0], &hosts[2]);
    form(&[manager], &[&hosts[1]])?;
    let before = manager.join_token(Role::Worker)?;
    let mut broker = Broker::start(manager)?;
    for role in ["worker", "manager"] {
        assert_eq!(token(&broker, role)?["policy"], "manual");
    }
    let invite = broker.invite(&["--uses", "1"])?;
    Joiner::new(machine, &invite).joins()?;
    thread::sleep(Duration::from_secs(5));
    assert_eq!(manager.join_token(Role::Worker)?, before, "a script may hold it");

    // Told so, the token that was given away is replaced.
    broker.stop()?;
    broker.serve_with(&["--rotate-worker", "after-join"])?;
    until(LONG, "another token", || (manager.join_token(Role::Worker).ok()? != before).then_some(()))?;
    assert_eq!(token(&broker, "worker")?["policy"], "after-join");
    assert_eq!(token(&broker, "manager")?["policy"], "manual");
    Ok(())
}

pub(crate) fn what_somebody_else_replaces_is_noticed_and_written_down(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2"])?;
    // A machine that asks before the broker has looked again is given the new one, and the record says which that is.
    let new = manager.rotate_token(Role::Worker)?;
    assert_eq!(admitted(manager, &broker, &invite)?, Ok(new));
    let records = broker.records()?;
    let of = |event: &str| records.iter().find(|record| record["event"] == event).map(|record| &record["generation"]);
    assert_eq!((of("token.changed"), of("grant.redeemed")), (Some(&2.into()), Some(&2.into())));
    // Without a machine that asks, it is seen at the next look.
    manager.rotate_token(Role::Manager)?;
    until(LONG, "the record", || (broker.count("token.changed", None).ok()? == 2).then_some(()))?;
    // And while no broker runs, it is seen at the next start.
    broker.stop()?;
    manager.rotate_token(Role::Worker)?;
    broker.serve()?;
    assert_eq!(broker.count("token.changed", None)?, 3);
    assert_eq!(token(&broker, "worker")?["generation"], 3);
    // Other changes of the swarm are none of a token.
    manager.docker(&["swarm", "update", "--task-history-limit", "7"])?;
    broker.stop()?;
    broker.serve()?;
    assert_eq!(broker.count("token.changed", None)?, 3);
    assert_eq!(broker.count("token.found", None)?, 2, "and each was found once");
    // The object that says so is made again when somebody deletes it, and no number is told twice.
    manager.docker(&["config", "rm", "swarm-broker.rotation"])?;
    until(LONG, "it to be there again", || token(&broker, "worker").ok())?;
    assert_eq!(token(&broker, "worker")?["generation"], 3);
    Ok(())
}

pub(crate) fn boots_while_the_swarms_root_is_replaced_all_join_and_confirm(pool: &Pool) -> Result<(), Failed> {
    const MACHINES: usize = 8;
    let cluster = Cluster::form(pool, 1, MACHINES)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", &MACHINES.to_string(), "--label", "zone=a"])?;
    // Each ends when all nodes have another certificate: nodes that come meanwhile, too.
    let replace = || Ok(manager.docker(&["swarm", "ca", "--rotate", "--quiet"]).is_ok());
    let storm = Storm::every(Duration::ZERO)
        .with_boots_apart(Duration::from_millis(500))
        .while_all_join(&cluster.joiners(&invite), replace)?;
    println!("root: {MACHINES} boots in {:?} while it was replaced {} times", storm.took, storm.times);
    assert!(storm.times > 0, "it was replaced");
    assert_eq!(broker.count("node.joined", None)?, MACHINES);
    until(LONG, "the record", || (broker.count("swarm.root-changed", None).ok()? > 0).then_some(()))?;
    let nodes = lab::nodes(manager)?;
    let labelled = nodes.iter().filter(|node| node.labels.get("zone").is_some_and(|zone| zone == "a"));
    assert_eq!(labelled.filter(|node| node.availability == "active").count(), MACHINES);
    Ok(())
}
