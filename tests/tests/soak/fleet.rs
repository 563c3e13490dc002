//! Machines and managers that come and go, many times over.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Joiner, finish, join_at_once, run, write_private};
use lab::{Failed, Host, LONG, Pool, Role, until};

use crate::claims::three;

const ROUNDS: usize = 30;
const PLACES: usize = 5;

/// How many nodes there are that joined through a broker and are not down.
fn there(manager: &Host) -> lab::Result<usize> {
    let joined = |node: &lab::Node| node.labels.contains_key("swarm-broker.grant") && node.state == "ready";
    Ok(lab::nodes(manager)?.iter().filter(|node| joined(node)).count())
}

pub(crate) fn thirty_rounds_of_five_out_and_five_in_leave_nothing_behind(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, PLACES + 1)?;
    let (manager, by_hand, machines) = (cluster.manager(), &cluster[1], &cluster[2..]);
    manager.docker(&["swarm", "update", "--dispatcher-heartbeat", "1s"])?;
    let broker = Broker::start(manager)?;
    by_hand.join(manager, &manager.join_token(Role::Worker)?)?;
    let id = by_hand.node_id()?;
    broker.ok(&["adopt", &id, "--reason", "joined by hand"])?;
    let before: BTreeSet<String> = lab::nodes(manager)?.into_iter().map(|node| node.id).collect();
    // One invite for all of it: never more than its places at once, and whoever comes next waits for a place to be free.
    let places = PLACES.to_string();
    let terms =
        ["--live", &places, "--from", "0.0.0.0/0", "--from", "::/0", "--each-rate", "1000/min", "--label", "zone=a"];
    let invite = broker.invite(&terms)?;
    let joiners: Vec<_> = machines.iter().map(|machine| Joiner::new(machine, &invite)).collect();
    let (over, most) = (AtomicBool::new(false), AtomicUsize::new(0));
    let slowest = thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                most.fetch_max(there(manager).unwrap_or(0), Ordering::Relaxed);
                thread::sleep(Duration::from_millis(200));
            }
        });
        let rounds = || -> Result<Duration, Failed> {
            let mut slowest = Duration::ZERO;
            for round in 0..ROUNDS {
                let began = Instant::now();
                let came = join_at_once(&joiners)?;
                assert!(came.iter().all(|run| run.code == 0), "round {round}: {came:?}");
                slowest = slowest.max(began.elapsed());
                assert_eq!(there(manager)?, PLACES, "round {round}");
                let leaving: Vec<_> =
                    joiners.iter().map(|joiner| scope.spawn(|| run(joiner.command(&["leave"])))).collect();
                for left in leaving {
                    let left = left.join().map_err(|_| "a leave panicked")??;
                    assert_eq!(left.code, 0, "round {round}: {}", left.stderr);
                }
            }
            Ok(slowest)
        };
        let ended = rounds();
        over.store(true, Ordering::Relaxed);
        ended
    })?;
    assert_eq!(most.load(Ordering::Relaxed), PLACES, "at no time were there more");
    let left = || {
        let now: BTreeSet<String> = lab::nodes(manager).ok()?.into_iter().map(|node| node.id).collect();
        (now == before).then_some(())
    };
    until(LONG, "only those to be left that were there before", left)?;
    let all = ROUNDS * PLACES;
    for event in ["node.joined", "node.labelled", "node.leaving", "node.removed"] {
        until(LONG, event, || (broker.count(event, None).ok()? == all).then_some(()))?;
    }
    until(LONG, "all places to be free", || (broker.count("place.freed", None).ok()? == all).then_some(()))?;
    let mut unexplained = broker.records()?.into_iter().filter(|record| record["event"] == "node.unexplained");
    assert!(
        unexplained.all(|record| record["node"] == id.as_str()),
        "but for the one by hand, if it was seen before it was adopted"
    );
    broker.ok(&["audit", "verify", "--cluster", &broker.state().display().to_string()])?;
    println!(
        "fleet: {all} machines in {ROUNDS} rounds of {PLACES} places; slowest round {slowest:?} to its last label"
    );
    Ok(())
}

pub(crate) fn a_machine_imaged_anew_ten_times_is_one_row(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "10", "--replaces"])?;
    for life in 0..10 {
        if life > 0 {
            machine.leave()?;
            std::fs::remove_dir_all(Joiner::new(machine, "").state())?;
        }
        Joiner::new(machine, &invite).joins()?;
    }
    let id = machine.node_id()?;
    let rows = || -> Option<Vec<String>> {
        let nodes = lab::nodes(manager).ok()?.into_iter().filter(|node| node.hostname == machine.name());
        Some(nodes.map(|node| node.id).collect())
    };
    until(Duration::from_mins(2), "one row", || (rows()? == [id.clone()]).then_some(()))?;
    until(LONG, "its records", || (broker.count("node.removed", None).ok()? == 9).then_some(()))?;
    Ok(())
}

/// The managers that the leader reaches, and how many there are, by any of these.
fn managers(hosts: &[&Host]) -> Option<(usize, usize)> {
    let told = hosts.iter().find_map(|host| {
        host.docker(&["node", "ls", "--filter", "role=manager", "--format", "{{.ManagerStatus}}"]).ok()
    })?;
    let reached = told.lines().filter(|status| ["Leader", "Reachable"].contains(status)).count();
    Some((reached, told.lines().count()))
}

/// Ten new managers, each with another name and address, in the place of one that is gone: leaders and the founder among them.
pub(crate) fn managers_replaced_one_after_the_other_are_always_three(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(14)?;
    let mut brokers = three(&hosts[..3])?;
    hosts[0].docker(&["swarm", "update", "--dispatcher-heartbeat", "1s"])?;
    for host in &hosts[..3] {
        // As 'broker up --ephemeral' has it, but for a shorter time.
        hosts[0].docker(&["node", "update", "--label-add", "swarm-broker.ephemeral=20", &host.node_id()?])?;
    }
    for host in &hosts[3..13] {
        let gone = brokers.remove(0);
        let id = gone.host().node_id()?;
        gone.host().kill_engine()?;
        drop(gone);
        let left: Vec<&Host> = brokers.iter().map(Broker::host).collect();
        until(LONG, "the others to miss it", || (managers(&left)? == (2, 3)).then_some(()))?;
        let terms = ["--role", "manager", "--ephemeral", "--gone-after", "20s"];
        let invite = until(LONG, "a manager's invite", || brokers[1].invite(&terms).ok())?;
        let file = host.folder().join("manager.invite");
        write_private(&file, &invite)?;
        let mut broker = Broker::nowhere(host)?;
        broker.up_with(&["--invite-file", &file.display().to_string()])?;
        brokers.push(broker);
        assert_eq!(managers(&left), Some((3, 3)), "three, and each of them is reached");
        assert!(lab::nodes(left[0])?.iter().all(|node| node.id != id), "its row is gone");
    }
    let invite = brokers[2].invite(&["--uses", "1"])?;
    let joined = finish(Joiner::new(&hosts[13], &invite).start()?)?;
    assert_eq!(joined.code, 0, "{}", joined.stderr);
    Ok(())
}
