//! What a join and a rotation cost the swarm's raft store, counted by its own index.

use std::cell::Cell;
use std::thread::sleep;
use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner};
use lab::{Failed, Host, LONG, Pool, until};

/// The store's index: that of an object which is made for it. Those objects are not counted.
struct Store<'h> {
    manager: &'h Host,
    made: Cell<u64>,
}

impl Store<'_> {
    fn index(&self) -> Result<u64, Failed> {
        let made = self.made.get() + 1;
        let name = format!("look-{made}");
        let file = self.manager.folder().join(&name);
        std::fs::write(&file, &name)?;
        self.manager.docker(&["config", "create", &name, &file.display().to_string()])?;
        self.made.set(made);
        let index = self.manager.config(&name)?["Version"]["Index"].as_u64().ok_or("no index")?;
        Ok(index - made)
    }

    /// The index when nothing was written for a second: the swarm has more to write of a node that came a moment ago.
    fn still(&self) -> Result<u64, Failed> {
        let still = until(LONG, "the store to be still", || {
            let index = self.index().ok()?;
            sleep(Duration::from_secs(1));
            (self.index().ok()? == index).then_some(index)
        });
        Ok(still?)
    }
}

pub(crate) fn a_join_costs_some_ten_raft_writes_and_a_rotation_three(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    let broker = Broker::start_with(manager, &["--rotate-worker", "manual"])?;
    let store = Store { manager, made: Cell::new(0) };

    // The least of several: once in ten seconds the broker's own entry is among them.
    let (mut join, mut rotation) = (u64::MAX, u64::MAX);
    for machine in &cluster[1..] {
        let invite = broker.invite(&["--uses", "1"])?;
        let begun = store.still()?;
        Joiner::new(machine, &invite).joins()?;
        join = join.min(store.still()? - begun);
    }
    for _ in 0..5 {
        let begun = store.index()?;
        broker.ok(&["rotate", "worker", "--now"])?;
        rotation = rotation.min(store.index()? - begun);
    }
    println!("raft writes: {join} a join, {rotation} a rotation");
    assert!((6..=14).contains(&join), "a join costs {join}");
    // Those of its two sides in the ledger, and of the token itself.
    assert_eq!(rotation, 3);
    Ok(())
}
