//! The conditions of an invite: places that come free, one machine's second life, a person's answer, names and tasks.

use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner, Machine, REFUSED, Run, finish, node_key, on, run};
use lab::{Failed, Host, LONG, Pool, until};
use protocol::{GrantReply, RedeemReply};
use serde_json::Value;

/// The invite as `broker invite list` shows it: its state, and how many places are taken.
fn listed(broker: &Broker<'_>, invite: &str) -> Result<(String, u64), Failed> {
    let id = lab::cluster::invite::id(invite)?;
    let list = broker.json(&["invite", "list", "--json"])?;
    let invites = list["invites"].as_array().ok_or("a list")?;
    let one = invites.iter().find(|one| one["id"] == id.as_str()).ok_or("it is not listed")?;
    Ok((one["state"].as_str().unwrap_or_default().to_owned(), one["claimed"].as_u64().unwrap_or_default()))
}

/// The swarm sees within some three seconds that a node is down, and not within some fifteen.
fn hurried(manager: &Host) -> Result<(), Failed> {
    Ok(manager.docker(&["swarm", "update", "--dispatcher-heartbeat", "1s"]).map(drop)?)
}

/// The ids of the nodes of this name.
fn rows(manager: &Host, name: &str) -> Result<Vec<String>, Failed> {
    Ok(lab::nodes(manager)?.into_iter().filter(|node| node.hostname == name).map(|node| node.id).collect())
}

/// Takes a machine's state away, as a new image does.
fn reimage(host: &Host) -> Result<(), Failed> {
    host.leave()?;
    std::fs::remove_dir_all(Joiner::new(host, "").state())?;
    Ok(())
}

fn left(joiner: &Joiner<'_>) -> Result<Run, Failed> {
    Ok(run(joiner.command(&["leave"]))?)
}

pub(crate) fn a_place_comes_free_when_its_node_was_removed_by_whoever(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 4)?;
    let (manager, machines) = (cluster.manager(), &cluster[1..]);
    hurried(manager)?;
    let mut broker = Broker::start(manager)?;
    for lacks in [&["--live", "2", "--each-rate", "9/min"][..], &["--live", "2", "--from", "10.0.0.0/8"]] {
        let refused = broker.run(&[&["invite", "create"], lacks].concat())?;
        assert_eq!((refused.code, refused.stderr.contains("must be bounded")), (64, true), "{}", refused.stderr);
    }
    let terms = ["--live", "2", "--each-rate", "100/min", "--from", "0.0.0.0/0", "--from", "::/0"];
    let invite = broker.invite(&terms)?;
    let joiners: Vec<_> = machines.iter().map(|machine| Joiner::new(machine, &invite)).collect();
    joiners[0].joins()?;
    joiners[1].joins()?;
    assert_eq!(listed(&broker, &invite)?, ("full".to_owned(), 2));

    let third = joiners[2].start()?;
    until(LONG, "it to be told why", || third.stderr().contains("no place of the invite is free").then_some(()))?;
    assert_eq!(machines[2].swarm_state()?, "inactive");
    assert_eq!(left(&joiners[0])?.code, 0);
    let third = finish(third)?;
    assert_eq!(third.code, 0, "{}", third.stderr);
    assert_eq!(rows(manager, machines[0].name())?.len(), 0, "a place came free before its node had gone");
    assert_eq!((broker.count("place.freed", None)?, listed(&broker, &invite)?), (1, ("full".to_owned(), 2)));

    // Removed by hand, and while no broker was there to see it.
    let id = machines[1].node_id()?;
    broker.kill()?;
    manager.docker(&["node", "rm", "--force", &id])?;
    broker.serve()?;
    joiners[3].joins()?;
    let freed = broker.records()?.into_iter().filter(|record| record["event"] == "place.freed");
    assert_eq!(freed.map(|record| record["node"].clone()).next_back(), Some(Value::from(id)));
    assert_eq!(broker.count("node.joined", None)?, 4);
    broker.ok(&["audit", "verify", "--cluster", &broker.state().display().to_string()])?;
    Ok(())
}

pub(crate) fn a_machine_that_was_imaged_anew_is_one_row(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let (manager, machine, other) = (cluster.manager(), &cluster[1], &cluster[2]);
    hurried(manager)?;
    let broker = Broker::start(manager)?;
    let plain = broker.invite(&["--uses", "2"])?;
    let invite = broker.invite(&["--uses", "3", "--replaces"])?;
    Joiner::new(other, &plain).joins()?;
    reimage(other)?;
    Joiner::new(other, &plain).joins()?;
    Joiner::new(machine, &invite).joins()?;
    for _ in 0..2 {
        reimage(machine)?;
        Joiner::new(machine, &invite).joins()?;
    }
    let id = machine.node_id()?;
    until(LONG, "one row", || (rows(manager, machine.name()).ok()? == [id.clone()]).then_some(()))?;
    let down = || {
        lab::nodes(manager).ok()?.iter().any(|node| node.hostname == other.name() && node.state == "down").then_some(())
    };
    until(LONG, "the other's first life to be down", down)?;
    // Longer than the brokers took for the two that were replaced.
    until(LONG, "two records", || (broker.count("node.removed", None).ok()? == 2).then_some(()))?;
    assert_eq!(rows(manager, other.name())?.len(), 2, "no invite said that it replaces anything");
    let removed = broker.records()?.into_iter().filter(|record| record["event"] == "node.removed");
    assert!(removed.map(|record| record["hostname"].clone()).all(|name| name == machine.name()));
    Ok(())
}

pub(crate) fn a_machine_waits_for_a_persons_answer(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let mut broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "2", "--approve"])?;
    let joiners = [Joiner::new(&cluster[1], &invite), Joiner::new(&cluster[2], &invite)];
    let waiting = [joiners[0].start()?, joiners[1].start()?];
    let pending = || -> Result<Vec<Value>, Failed> {
        let shown = broker.json(&["pending", "--json"])?;
        Ok(shown["machines"].as_array().cloned().unwrap_or_default())
    };
    until(LONG, "both to wait", || (pending().ok()?.len() == 2).then_some(()))?;
    let pending = pending()?;
    let key = |host: &Host| {
        let one = pending.iter().find(|one| one["hostname"] == host.name());
        one.and_then(|one| one["key"].as_str()).map(str::to_owned).ok_or("it does not wait")
    };
    let keys = [key(&cluster[1])?, key(&cluster[2])?];
    until(LONG, "the machine to print its key", || waiting[0].stderr().contains(&keys[0]).then_some(()))?;
    assert_eq!((broker.count("identity.issued", None)?, broker.count("machine.waiting", None)?), (0, 2));

    // What was asked is in the swarm, not in a broker.
    broker.kill()?;
    broker.serve()?;
    let unknown = broker.run(&["approve", "AAAAAAAA"])?;
    assert_eq!((unknown.code, unknown.stderr.contains("broker pending")), (64, true), "{}", unknown.stderr);
    broker.ok(&["approve", &keys[0][..8], "--reason", "the one we ordered"])?;
    broker.ok(&["deny", &keys[1]])?;
    let [approved, denied] = waiting;
    let (approved, denied) = (finish(approved)?, finish(denied)?);
    assert_eq!((approved.code, denied.code), (0, 77), "{}{}", approved.stderr, denied.stderr);
    assert_eq!(cluster[2].swarm_state()?, "inactive");
    assert_eq!(broker.count("refused", Some("denied"))?, 1);
    let again = broker.run(&["deny", &keys[0]])?;
    assert_ne!(again.code, 0, "it has joined");
    let shown = broker.ok(&["pending"])?;
    assert!(shown.contains("no machine waits"), "{shown}");
    broker.ok(&["audit", "verify", "--cluster", &broker.state().display().to_string()])?;
    Ok(())
}

pub(crate) fn names_rates_and_tasks_are_as_the_invite_says(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let (manager, first, second, liar) = (cluster.manager(), &cluster[1], &cluster[2], &cluster[3]);
    let broker = Broker::start(manager)?;
    let other = broker.invite(&["--hostname", "machine*"])?;
    let refused = Joiner::new(first, &other).join()?;
    assert_eq!(refused.code, 77, "{}", refused.stderr);
    assert_eq!(listed(&broker, &other)?, ("open".to_owned(), 0), "nothing was spent");

    // It tells the broker another name than the swarm.
    let (grant, reply, machine): (GrantReply, RedeemReply, Machine) = on(manager, || async {
        let mut machine = Machine::new(&other, broker.address());
        let (grant, reply) = machine.admitted().await.expect("by the name that it tells");
        (grant, reply, machine)
    })?;
    liar.join(manager, reply.token.expose())?;
    let id = liar.node_id()?.parse()?;
    let key = node_key(liar)?;
    let confirmed = on(liar, || async { machine.confirm(key, &machine.statement(&grant.id, &id)).await })?;
    assert_eq!(confirmed.map(|reply| reply.changed), Err(REFUSED));
    assert_eq!(broker.count("refused", Some("hostname"))?, 2);

    let named = format!("{}*", &first.name()[..first.name().len() - 1]);
    let terms =
        ["--uses", "2", "--each-rate", "1/h", "--hostname", &named, "--availability", "drain", "--label", "zone=a"];
    let invite = broker.invite(&terms)?;
    Joiner::new(first, &invite).joins()?;
    let node = lab::nodes(manager)?.into_iter().find(|node| node.hostname == first.name()).ok_or("no node")?;
    assert_eq!((node.availability.as_str(), node.labels.get("zone").map(String::as_str)), ("drain", Some("a")));
    let late = Joiner::new(second, &invite).with("JOINER_TIMEOUT", "3s").join()?;
    assert_eq!((late.code, late.stderr.contains("have just come")), (75, true), "{}", late.stderr);
    until(Duration::from_secs(10), "no second use", || (listed(&broker, &invite).ok()?.1 == 1).then_some(()))?;
    Ok(())
}
