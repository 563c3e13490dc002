//! What a join and a rotation cost the swarm's raft store, counted by its own index.

use lab::cluster::{Broker, Cluster, Joiner, Store};
use lab::{Failed, Pool};

pub(crate) fn a_join_costs_some_ten_raft_writes_and_a_rotation_three(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    let broker = Broker::start_with(manager, &["--rotate-worker", "manual"])?;
    let store = Store::of(manager);

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
