//! Leaving: a node goes as it came, by what the managers own; nobody makes another node go.

use std::path::Path;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Joiner, Machine, REFUSED, Run, Told, finish, join_at_once, node_key, on, run};
use lab::{BUSYBOX, Failed, Host, LONG, Pool, form, programs, until};
use protocol::{LEAVES, LeaveReply};
use serde_json::json;

/// The swarm sees within some three seconds that a node is down, and not within some fifteen.
fn hurried(manager: &Host) -> Result<(), Failed> {
    Ok(manager.docker(&["swarm", "update", "--dispatcher-heartbeat", "1s"]).map(drop)?)
}

/// The node's row, if it is there.
fn row(manager: &Host, id: &str) -> Result<Option<lab::Node>, Failed> {
    Ok(lab::nodes(manager)?.into_iter().find(|node| node.id == id))
}

fn is_gone(manager: &Host, id: &str) -> Option<()> {
    row(manager, id).ok()?.is_none().then_some(())
}

/// A joiner command, run to its end.
fn joiner(joiner: &Joiner<'_>, arguments: &[&str]) -> Result<Run, Failed> {
    Ok(run(joiner.command(arguments))?)
}

/// What the brokers' logs say of a node, in the order of time.
fn events(brokers: &[&Broker<'_>], node: &str) -> Result<Vec<String>, Failed> {
    let mut told = Vec::new();
    for broker in brokers {
        let records = broker.records()?.into_iter().filter(|record| record["node"] == node);
        told.extend(records.map(|record| (record["time"].to_string(), record["event"].to_string())));
    }
    told.sort();
    let known = |event: &str| event.contains("leaving") || event.contains("remov");
    Ok(told.into_iter().map(|(_, event)| event.replace('"', "")).filter(|event| known(event)).collect())
}

pub(crate) fn a_worker_leaves_drained_and_whichever_broker_looks_next_removes_its_row(
    pool: &Pool,
) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 2)?;
    let (manager, machines) = (cluster.manager(), &cluster[2..]);
    for machine in machines {
        machine.import_busybox()?;
    }
    let mut first = Broker::start(manager)?;
    let mut second = super::at_most_n::second(&first, &cluster[1])?;
    second.serve()?;
    let invite = first.invite(&["--uses", "2", "--label", "zone=a"])?;
    let joiners: Vec<_> = machines.iter().map(|machine| Joiner::new(machine, &invite)).collect();
    assert!(join_at_once(&joiners)?.iter().all(|run| run.code == 0));
    let constraint = ["--constraint", "node.labels.zone==a", "--replicas", "4", "--name", "stack"];
    let create = ["service", "create", "--detach", "--no-resolve-image", "--stop-grace-period", "1s"];
    manager.docker(&[&create[..], &constraint[..], &[BUSYBOX, "sleep", "86400"]].concat())?;
    until(LONG, "the tasks", || (manager.tasks("stack").ok()?.len() == 4).then_some(()))?;
    assert!(manager.tasks("stack")?.iter().any(|host| host == machines[0].name()));

    let id = machines[0].node_id()?;
    let left = joiner(&joiners[0], &["leave"])?;
    // Nobody is there to see it go down: what is left to do is in the swarm, and not in a broker.
    first.kill()?;
    second.kill()?;
    assert_eq!(left.code, 0, "{}", left.stderr);
    assert!(left.stdout.contains(&format!("left: node {id}")), "{}", left.stdout);
    assert_eq!(machines[0].swarm_state()?, "inactive");
    let moved = || manager.tasks("stack").ok().filter(|hosts| *hosts == vec![machines[1].name().to_owned(); 4]);
    until(LONG, "the tasks elsewhere", moved)?;
    until(LONG, "the node to be down", || (row(manager, &id).ok()??.state == "down").then_some(()))?;

    first.serve()?;
    second.serve()?;
    until(LONG, "the row to go", || is_gone(manager, &id))?;
    let whole = ["node.leaving", "node.removing", "node.removed"];
    // The row is gone a moment before that is written down.
    until(LONG, "its record", || (events(&[&first, &second], &id).ok()? == whole).then_some(()))?;
    let again = joiner(&joiners[0], &["leave"])?;
    assert_eq!((again.code, again.stdout.contains("nothing to leave")), (0, true), "{again:?}");
    Ok(())
}

pub(crate) fn nobody_makes_another_node_leave_and_no_manager_leaves(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let (manager, worker, other, foreign) = (cluster.manager(), &cluster[1], &cluster[2], &cluster[3]);
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2", "--ephemeral"])?;
    let joiners = [Joiner::new(worker, &invite), Joiner::new(other, &invite)];
    assert!(join_at_once(&joiners)?.iter().all(|run| run.code == 0));
    form(&[foreign], &[])?;
    let ids = [worker.node_id()?, other.node_id()?, manager.node_id()?];
    let asks = |caller: &Host, node: &str| {
        let (key, address, invite) = (node_key(caller)?, broker.address(), invite.clone());
        let told = on(caller, || async move {
            Machine::new(&invite, address).with_node(key).post::<LeaveReply>(LEAVES, &json!({ "node": node })).await
        })?;
        Ok::<_, Failed>(told.map(|reply| reply.tasks))
    };

    assert_eq!(asks(worker, &ids[1])?, Err(REFUSED), "another node");
    assert_eq!(asks(worker, &ids[2])?, Err(REFUSED), "a manager");
    assert_eq!(asks(manager, &ids[2])?, Err(REFUSED), "a manager that asks itself");
    assert!(matches!(asks(foreign, &foreign.node_id()?)?, Err(Told::Broken(_))), "of another swarm: no handshake");
    assert!(matches!(asks(foreign, &ids[0])?, Err(Told::Broken(_))), "of another swarm");
    let untouched =
        |node: &lab::Node| node.availability == "active" && !node.labels.contains_key("swarm-broker.leaving");
    assert!(lab::nodes(manager)?.iter().all(untouched));
    let alarms = broker.records()?.into_iter().filter(|record| record["reason"] == "other-node");
    assert!(alarms.map(|record| record["outcome"] == "alarm").eq([true, true]), "each is an alarm");

    // Powered off, it stays where its managers do not have it as ephemeral any more. A manager is told to be demoted first,
    // and then goes.
    manager.docker(&["node", "update", "--label-rm", "swarm-broker.ephemeral", other.name()])?;
    let kept = joiner(&joiners[1], &["leave", "--if-ephemeral"])?;
    assert_eq!((kept.code, kept.stdout.contains("stays: node")), (0, true), "{kept:?}");
    assert_eq!((broker.count("node.leaving", None)?, other.swarm_state()?), (0, "active".to_owned()));
    manager.docker(&["node", "promote", other.name()])?;
    until(LONG, "it to be a manager", || other.docker(&["node", "ls"]).ok())?;
    let refused = joiner(&joiners[1], &["leave"])?;
    assert_eq!(refused.code, 78, "{}", refused.stderr);
    assert!(refused.stderr.contains(&format!("broker demote {}", ids[1])), "{}", refused.stderr);
    manager.docker(&["node", "demote", other.name()])?;
    until(LONG, "it to be a worker", || {
        let control = other.docker(&["info", "--format", "{{.Swarm.ControlAvailable}}"]).ok()?;
        (control.trim() == "false").then_some(())
    })?;
    let left = joiner(&joiners[1], &["leave"])?;
    assert_eq!(left.code, 0, "{}", left.stderr);
    // The bar: what leaves well is out of 'docker node ls' within 30 s.
    let went = Instant::now();
    until(LONG, "the row of the one that left to go", || is_gone(manager, &ids[1]))?;
    assert!(went.elapsed() < Duration::from_secs(30), "{:?}", went.elapsed());

    // The certificate outlives the row: whoever copied it gets nothing, and the machine itself is told what to do.
    manager.docker(&["node", "rm", "--force", &ids[0]])?;
    assert_eq!(asks(worker, &ids[0])?, Err(REFUSED), "a removed node");
    assert_eq!(broker.count("refused", Some("no-node"))?, 1);
    let refused = joiner(&joiners[0], &["leave"])?;
    assert_eq!((refused.code, refused.stderr.contains("docker swarm leave")), (77, true), "{}", refused.stderr);

    // It leaves and joins by hand: its state folder says ephemeral still, but of another node.
    worker.docker(&["swarm", "leave"])?;
    worker.join(manager, &manager.join_token(lab::Role::Worker)?)?;
    broker.ok(&["adopt", worker.name(), "--reason", "joined by hand for a test"])?;
    let by_hand = worker.node_id()?;
    let stays = joiner(&joiners[0], &["leave", "--if-ephemeral"])?;
    assert_eq!((stays.code, stays.stdout.contains(&by_hand)), (0, true), "{stays:?}");
    let refused = joiner(&joiners[0], &["leave"])?;
    assert_eq!((refused.code, refused.stderr.contains(&by_hand)), (78, true), "{}", refused.stderr);
    assert_eq!(worker.swarm_state()?, "active");
    assert!(row(manager, &by_hand)?.is_some_and(|node| untouched(&node)));
    Ok(())
}

pub(crate) fn a_task_that_will_not_stop_and_brokers_that_are_silent_hold_nobody_up(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 5)?;
    let (manager, machines) = (cluster.manager(), &cluster[1..]);
    hurried(manager)?;
    let mut broker = Broker::start(manager)?;
    let ephemeral = broker.invite(&["--uses", "3", "--ephemeral", "--gone-after", "1s", "--label", "zone=a"])?;
    let steady = broker.invite(&["--uses", "2"])?;
    let joiners: Vec<_> = machines
        .iter()
        .enumerate()
        .map(|(at, machine)| Joiner::new(machine, if at < 3 { &ephemeral } else { &steady }))
        .collect();
    assert!(join_at_once(&joiners)?.iter().all(|run| run.code == 0));
    let ids = machines.iter().map(Host::node_id).collect::<Result<Vec<_>, _>>()?;
    let [busy, silent, stays, mute, dead] = [0, 1, 2, 3, 4];
    let stubborn =
        ["service", "create", "--detach", "--no-resolve-image", "--stop-grace-period", "10m", "--name", "job"];
    machines[busy].import_busybox()?;
    let on_it = format!("node.id=={}", ids[busy]);
    let deaf = ["--constraint", &on_it, BUSYBOX, "sh", "-c", "trap '' TERM; while :; do sleep 1; done"];
    manager.docker(&[&stubborn[..], &deaf[..]].concat())?;
    until(LONG, "the task", || (manager.tasks("job").ok()?.len() == 1).then_some(()))?;

    // Cut off in the middle, and typed again: it goes on, for as long as it may.
    let mut cut_off = machines[busy].spawn("joiner", joiners[busy].command(&["leave"]))?;
    until(LONG, "the drain", || (row(manager, &ids[busy]).ok()??.availability == "drain").then_some(()))?;
    cut_off.kill()?;
    finish(cut_off)?;
    assert_eq!(machines[busy].swarm_state()?, "active");
    // An operator thinks better of it: a later drain is no leave.
    manager.docker(&["node", "update", "--availability", "active", &ids[busy]])?;
    let unlabelled = || Some(!row(manager, &ids[busy]).ok()??.labels.contains_key("swarm-broker.leaving"));
    until(LONG, "the label to go", || unlabelled()?.then_some(()))?;
    until(LONG, "its record", || (broker.count("node.kept", None).ok()? == 1).then_some(()))?;
    let began = Instant::now();
    let left = joiner(&joiners[busy], &["leave", "--timeout", "4s"])?;
    assert_eq!((left.code, left.stderr.contains("of the node's tasks did not end in time")), (0, true), "{left:?}");
    assert!(began.elapsed() < LONG, "{:?}", began.elapsed());
    // Once for each time that it was set to leave, however often it asked.
    assert_eq!(events(&[&broker], &ids[busy])?.iter().filter(|event| *event == "node.leaving").count(), 2);

    // Nobody answers, or nobody is reached: the engine leaves all the same, and what stays is said.
    machines[silent].cut()?;
    broker.stop()?;
    for (at, fix) in [(silent, "the brokers remove it"), (mute, "docker node rm")] {
        let untold = joiner(&joiners[at], &["leave", "--timeout", "1s"])?;
        assert_eq!((untold.code, untold.stderr.contains(fix)), (69, true), "{}", untold.stderr);
        assert_eq!(machines[at].swarm_state()?, "inactive");
    }
    machines[silent].heal()?;
    machines[dead].kill_engine()?;
    broker.serve()?;
    for at in [busy, silent] {
        until(LONG, "the row of an ephemeral node to go", || is_gone(manager, &ids[at]))?;
    }
    // Those that are down and never said ephemeral stay, and so do those that are up.
    let down = |at: usize| Some(row(manager, &ids[at]).ok()??.state == "down");
    until(LONG, "the others to be down", || (down(mute)? && down(dead)?).then_some(()))?;
    assert_eq!(row(manager, &ids[stays])?.map(|node| node.state), Some("ready".into()));
    // Until it is down, too: the last to go, and by then the others would have gone as well.
    machines[stays].kill_engine()?;
    until(LONG, "the row of the last ephemeral node to go", || is_gone(manager, &ids[stays]))?;
    for at in [mute, dead] {
        assert!(row(manager, &ids[at])?.is_some(), "it never said that it is ephemeral");
        assert_eq!(events(&[&broker], &ids[at])?, Vec::<String>::new());
    }
    until(LONG, "the record", || {
        (events(&[&broker], &ids[stays]).ok()? == ["node.removing", "node.removed"]).then_some(())
    })?;
    assert_eq!(broker.count("node.unexplained", None)?, 0);
    Ok(())
}

pub(crate) fn a_machine_that_its_provider_takes_away_leaves_before(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    hurried(manager)?;
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2", "--ephemeral", "--gone-after", "1h"])?;
    let house = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut told = Vec::new();
    for (machine, notice) in cluster[1..].iter().zip(["spot", "scaling"]) {
        let joiner = Joiner::new(machine, &invite);
        joiner.joins()?;
        let file = machine.folder().join("notice");
        let mut service = machine.command("python3");
        service.arg(house.join("clouds/notices.py")).arg("7980").arg(&file);
        let service = machine.spawn("notices", service)?;
        until(LONG, "the service", || service.stdout().contains("ready").then_some(()))?;
        let hook = house.join("../cloud-init/hooks/aws-spot-notice").display().to_string();
        let by = joiner.by(&["env", "AWS_IMDS=http://127.0.0.1:7980", "http_proxy=http://127.0.0.1:9"]);
        let joiner_program = format!("JOINER={}", programs::joiner()?.display());
        let hook = machine.spawn("hook", by.command(&[&joiner_program, "sh", &hook]))?;
        told.push((machine, machine.node_id()?, file, notice, service, hook));
    }
    assert_eq!(lab::nodes(manager)?.iter().filter(|node| node.state == "ready").count(), 3);
    for (_, _, file, notice, ..) in &told {
        std::fs::write(file, notice)?;
    }
    for (machine, id, _, notice, mut service, hook) in told {
        let left = finish(hook)?;
        assert_eq!((left.code, left.stdout.contains("left: node")), (0, true), "{notice}: {left:?}");
        assert_eq!(machine.swarm_state()?, "inactive");
        until(LONG, "its row to go", || is_gone(manager, &id))?;
        service.kill()?;
    }
    Ok(())
}
