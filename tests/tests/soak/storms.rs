//! Promise 6 with many machines: 20 with real engines, and 30 that go as far as the engine's call.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Machine, Run, Storm, assert_retries_are_explained, on, paid};
use lab::{Failed, Pool};

const ENGINES: usize = 20;
const SYNTHETIC: usize = 30;

/// What a storm came to.
struct Came {
    joined: Vec<Run>,
    /// How often each machine without an engine was given a token that was not the live one a moment later.
    stale: Vec<usize>,
    rotations: usize,
    took: Duration,
}

/// All boot while the worker token is replaced twice a second, or as often as that goes.
fn storm(pool: &Pool, serve: &[&str], order: &[&str]) -> Result<Came, Failed> {
    let cluster = Cluster::form(pool, 1, ENGINES)?;
    let manager = cluster.manager();
    let broker = Broker::start_with(manager, serve)?;
    let invite = broker.invite(&["--uses", &(ENGINES + SYNTHETIC).to_string()])?;
    let joiners = cluster.joiners(&invite);
    let (begun, over, address) = (Instant::now(), AtomicBool::new(false), broker.address());
    let storm = thread::scope(|scope| -> Result<Came, Failed> {
        let rotating = scope.spawn(|| -> lab::Result<usize> {
            let mut rotations = 0;
            while !over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                broker.ok(order)?;
                rotations += 1;
                thread::sleep(Duration::from_millis(500).saturating_sub(begun.elapsed()));
            }
            Ok(rotations)
        });
        let synthetic: Vec<_> = (0..SYNTHETIC)
            .map(|number| {
                let mut machine = Machine::new(&invite, address);
                scope.spawn(move || {
                    // Some at each moment of the storm.
                    thread::sleep(Duration::from_millis(number as u64 * 300));
                    on(manager, || machine.would_join(manager))
                })
            })
            .collect();
        let engines: Vec<_> = joiners.iter().map(|joiner| scope.spawn(|| joiner.joins())).collect();
        let joined: lab::Result<Vec<Run>> =
            engines.into_iter().map(|joined| joined.join().expect("no panic")).collect();
        let stale: lab::Result<Vec<_>> = synthetic.into_iter().map(|came| came.join().expect("no panic")).collect();
        over.store(true, Ordering::Relaxed);
        let rotations = rotating.join().expect("no panic")?;
        let stale = stale?.into_iter().collect::<Result<Vec<_>, _>>().map_err(|told| format!("{told:?}"))?;
        Ok(Came { joined: joined?, stale, rotations, took: begun.elapsed() })
    })?;
    assert!(storm.rotations > 1, "the storm was one");
    assert_eq!(broker.count("node.joined", None)?, ENGINES);
    assert_retries_are_explained(&broker)?;
    Ok(storm)
}

fn tell(name: &str, storm: &Came) {
    println!(
        "{name}: {ENGINES} engines and {SYNTHETIC} without in {:?} through {} rotations; {} paid the ten seconds, {} of \
         the others were given a token that went a moment later",
        storm.took,
        storm.rotations,
        paid(&storm.joined),
        storm.stale.iter().filter(|stale| **stale > 0).count()
    );
}

pub(crate) fn fifty_boots_while_the_token_is_rotated_twice_a_second(pool: &Pool) -> Result<(), Failed> {
    // Twenty engines on one machine take longer than the two seconds that are enough for machines of their own.
    let storm = storm(pool, &["--rotation-wait", "20s"], &["rotate", "worker"])?;
    tell("polite", &storm);
    assert_eq!((paid(&storm.joined), storm.stale), (0, vec![0; SYNTHETIC]));
    Ok(())
}

pub(crate) fn fifty_boots_while_the_token_is_rotated_without_courtesy(pool: &Pool) -> Result<(), Failed> {
    let storm = storm(pool, &[], &["rotate", "worker", "--now"])?;
    tell("--now", &storm);
    Ok(())
}

pub(crate) fn thirty_boots_while_every_key_and_the_issuing_ca_are_replaced(pool: &Pool) -> Result<(), Failed> {
    const MACHINES: usize = 30;
    let cluster = Cluster::form(pool, 1, MACHINES)?;
    let broker = Broker::start_with(cluster.manager(), &["--rotation-wait", "20s"])?;
    let invite = broker.invite(&["--uses", &MACHINES.to_string()])?;
    let mut keys = ["signing-key", "server-cert", "ca", "invite-key"].iter().cycle();
    let storm = Storm::every(Duration::from_millis(250)).while_all_join(&cluster.joiners(&invite), || {
        keys.next().map_or(Ok(false), |key| broker.ok(&["rotate", key]).map(|_| true))
    })?;
    println!("keys: {MACHINES} boots in {:?} through {} rotations", storm.took, storm.times);
    assert!(storm.times >= 4, "the storm was none: {}", storm.times);
    assert_eq!(broker.count("node.joined", None)?, MACHINES);
    Ok(())
}
