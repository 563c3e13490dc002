//! What a join costs the swarm's raft store, counted by its own index.

use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner};
use lab::{Failed, Host, LONG, Pool, until};

/// The store's index: that of an object which is made for it. Making it counts one.
fn index(manager: &Host, name: &str) -> Result<u64, Failed> {
    let file = manager.folder().join(name);
    std::fs::write(&file, name)?;
    manager.docker(&["config", "create", name, &file.display().to_string()])?;
    let made = manager.json(&["config", "inspect", name])?;
    Ok(made[0]["Version"]["Index"].as_u64().ok_or("no index")?)
}

fn generation(broker: &Broker<'_>) -> Option<u64> {
    broker.json(&["status", "--json"]).ok()?["tokens"][0]["generation"].as_u64()
}

pub(crate) fn a_join_costs_some_ten_raft_writes_and_a_rotation_three(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 4)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let mut counted = Vec::new();
    for (policy, machines) in [("manual", &cluster[1..3]), ("after-join", &cluster[3..5])] {
        broker.serve_with(&["--rotate-worker", policy])?;
        // The token that was given by hand before is replaced first.
        std::thread::sleep(Duration::from_secs(4));
        let mut least = u64::MAX;
        for machine in machines {
            let invite = broker.invite(&["--uses", "1"])?;
            let before = generation(&broker).ok_or("no generation")?;
            let begun = index(manager, &format!("{}-before", machine.name()))?;
            Joiner::new(machine, &invite).joins()?;
            if policy == "after-join" {
                until(LONG, "the token to be replaced", || (generation(&broker)? > before).then_some(()))?;
            }
            // What the swarm writes of a node that came a moment ago, and the end of the rotation.
            std::thread::sleep(Duration::from_secs(2));
            least = least.min(index(manager, &format!("{}-after", machine.name()))? - begun - 1);
        }
        counted.push(least);
        broker.stop()?;
    }
    println!("raft writes: {} a join by 'manual', {} by 'after-join'", counted[0], counted[1]);
    // Once in ten seconds the broker's own entry is among them.
    assert!((6..=14).contains(&counted[0]) && (8..=18).contains(&counted[1]), "{counted:?}");
    // A rotation's three are those of its two sides in the ledger and of the token itself.
    let more = counted[1].saturating_sub(counted[0]);
    assert!((2..=4).contains(&more), "a rotation costs {more}: {counted:?}");
    Ok(())
}
