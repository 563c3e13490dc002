//! Promise 9: labels come from the invite, and no task comes before them. Promise 10: every node is explained.

use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner, Relay, Rule, join_at_once};
use lab::{BUSYBOX, Failed, Host, LONG, Pool, Role, until};

/// The nodes on which a service ever had a task.
fn ever_ran_on(manager: &Host, service: &str) -> Result<Vec<String>, Failed> {
    let nodes = manager.docker(&["service", "ps", "--format", "{{.Node}}", service])?;
    Ok(nodes.lines().map(str::to_owned).collect())
}

pub(crate) fn a_node_gets_no_task_before_it_is_labelled(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 5)?;
    let manager = cluster.manager();
    for host in cluster.iter() {
        host.import_busybox()?;
    }
    let broker = Broker::start(manager)?;
    let service = |name: &str, constraint: &str| {
        let create = ["service", "create", "--detach", "--no-resolve-image", "--mode", "global", "--name", name];
        manager.docker(&[&create[..], &["--constraint", constraint, BUSYBOX, "sleep", "1000"]].concat())
    };
    // One may never run where the label is, the other shows that tasks do come as soon as a node is active.
    service("elsewhere", "node.labels.zone!=a")?;
    service("there", "node.labels.zone==a")?;

    let invite = broker.invite(&["--uses", "5", "--label", "zone=a"])?;
    let ended = join_at_once(&cluster.joiners(&invite))?;
    assert!(ended.iter().all(|run| run.code == 0), "{ended:?}");
    until(Duration::from_mins(1), "a task on every new node", || {
        (ever_ran_on(manager, "there").ok()?.len() >= 5).then_some(())
    })?;
    let elsewhere = ever_ran_on(manager, "elsewhere")?;
    assert_eq!(elsewhere, [manager.name()], "a task came before the label");
    Ok(())
}

pub(crate) fn a_node_that_never_confirmed_stays_drained_and_is_shown(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let relay = Relay::start(machine, 7999, (manager.address(), 7443).into(), Rule::HoldRequest(4))?;
    let broker = Broker::start_with(manager, &["--advertise", &relay.address().to_string()])?;
    let invite = broker.invite(&["--uses", "1", "--label", "zone=a"])?;
    let mut joiner = Joiner::new(machine, &invite).start()?;
    until(LONG, "the confirm to be on its way", || relay.struck().then_some(()))?;
    joiner.kill()?;

    let id = machine.node_id()?;
    let report = broker.json(&["nodes", "--json"])?;
    let node = report["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["id"] == id.as_str()));
    let node = node.ok_or("the node is not shown")?;
    assert_eq!(
        (&node["state"], &node["explained"], &node["availability"]),
        (&"pending".into(), &false.into(), &"drain".into())
    );
    assert_eq!(report["booting"].as_array().map(Vec::len), Some(1));

    relay.set(Rule::Pass);
    Joiner::new(machine, &invite).joins()?;
    let report = broker.json(&["nodes", "--json"])?;
    let node = report["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["id"] == id.as_str()));
    let node = node.ok_or("the node is not shown")?;
    assert_eq!(
        (&node["state"], &node["explained"], &node["availability"]),
        (&"joined".into(), &true.into(), &"active".into())
    );
    assert_eq!(node["labels"]["zone"], "a");
    assert_eq!(report["booting"].as_array().map(Vec::len), Some(0));
    Ok(())
}

pub(crate) fn a_node_joined_by_hand_is_drained_where_that_is_wanted(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 4)?;
    let (manager, known, thief, guest) = (cluster.manager(), &cluster[1], &cluster[2], &cluster[3]);
    let mut broker = Broker::start_with(manager, &["--rotate-worker", "manual", "--enforce", "off"])?;
    known.join(manager, &manager.join_token(Role::Worker)?)?;
    until(LONG, "the record", || (broker.count("node.unexplained", None).ok()? == 1).then_some(()))?;
    assert!(broker.records()?.iter().all(|record| record["outcome"] != "alarm"), "off is no alarm");
    let id = known.node_id()?;
    broker.stop()?;

    // What was there before is not drained: it is named, and a person decides.
    let refused = broker.run(&["serve", "--enforce", "strict"])?;
    assert!(
        refused.code == 75 && refused.stderr.contains(&id) && refused.stderr.contains("broker adopt"),
        "{refused:?}"
    );
    broker.serve_with(&["--enforce", "warn"])?;
    broker.ok(&["adopt", &id, "--reason", "ours"])?;
    broker.stop()?;
    broker.serve_with(&["--enforce", "strict", "--rotate-worker", "manual"])?;

    thief.join(manager, &manager.join_token(Role::Worker)?)?;
    let of = |host: &Host| -> Option<lab::Node> {
        let id = host.node_id().ok()?;
        lab::nodes(manager).ok()?.into_iter().find(|node| node.id == id)
    };
    until(LONG, "the thief to be drained", || (of(thief)?.availability == "drain").then_some(()))?;
    until(LONG, "the record of it", || (broker.count("node.drained", None).ok()? == 1).then_some(()))?;
    let thiefs = |record: &serde_json::Value| record["node"] == thief.node_id().unwrap_or_default();
    assert!(broker.records()?.iter().any(|record| thiefs(record) && record["outcome"] == "alarm"));
    assert_eq!(broker.count("node.draining", None)?, 1);
    // What came by a grant is none, and keeps its labels and tasks.
    Joiner::new(guest, &broker.invite(&["--label", "zone=a"])?).joins()?;
    // Strict began before: who comes while no broker runs is drained as well, and keeps nobody else out.
    broker.kill()?;
    let (late, early) = (&cluster[4], thief.node_id()?);
    late.join(manager, &manager.join_token(Role::Worker)?)?;
    broker.serve()?;
    until(LONG, "who came meanwhile to be drained", || (of(late)?.availability == "drain").then_some(()))?;
    until(LONG, "the record of it", || (broker.count("node.drained", None).ok()? == 2).then_some(()))?;
    for honest in [known, guest] {
        let node = of(honest).ok_or("the node")?;
        assert!(node.availability == "active" && !node.labels.contains_key("swarm-broker.drained"), "{node:?}");
    }
    broker.ok(&["adopt", &early, "--reason", "it was a colleague"])?;
    let node = of(thief).ok_or("the node")?;
    assert!(node.availability == "active" && !node.labels.contains_key("swarm-broker.drained"), "{node:?}");
    Ok(())
}

pub(crate) fn a_node_joined_by_hand_is_unexplained_within_seconds(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, thief) = (cluster.manager(), &cluster[1]);
    let told = manager.folder().join("told");
    let broker = Broker::start_with(manager, &["--on-alarm", &format!("cat >> {}", told.display())])?;
    thief.join(manager, &manager.join_token(Role::Worker)?)?;
    until(LONG, "the alarm", || (broker.count("node.unexplained", None).ok()? == 1).then_some(()))?;
    let id = thief.node_id()?;
    let alarm = until(LONG, "whoever is on call to be told", || {
        std::fs::read_to_string(&told).ok().filter(|told| !told.is_empty())
    })?;
    let alarm: serde_json::Value = serde_json::from_str(&alarm)?;
    assert_eq!((&alarm["event"], &alarm["node"]), (&"node.unexplained".into(), &id.as_str().into()), "{alarm}");
    let report = broker.json(&["nodes", "--json"])?;
    let node = report["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["id"] == id.as_str()));
    assert_eq!(node.ok_or("the node is not shown")?["state"], "unexplained");

    let refused = broker.run(&["adopt", &id, "--reason", " "])?;
    assert_eq!(refused.code, 64, "{}", refused.stderr);
    broker.ok(&["adopt", &id, "--reason", "joined by hand for a test"])?;
    let report = broker.json(&["nodes", "--json"])?;
    let node = report["nodes"].as_array().and_then(|nodes| nodes.iter().find(|node| node["id"] == id.as_str()));
    assert_eq!(node.ok_or("the node is not shown")?["state"], "adopted");
    Ok(())
}
