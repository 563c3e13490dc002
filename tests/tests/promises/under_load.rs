//! Promises 4 and 11 under load: a broker that is killed while machines boot has recorded every answer that it gave.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use lab::cluster::{Broker, Cluster, Machine, on};
use lab::{Failed, LONG, Pool, until};
use protocol::KeyHash;

/// Machines that boot at the same time.
const AT_ONCE: usize = 16;

/// Kills the broker `times` times, each at another moment of a storm of boots. Gives how many machines were answered.
pub(crate) fn killed_under_load(pool: &Pool, times: usize) -> Result<usize, Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let mut broker = Broker::start_with(cluster.manager(), &["--rotate-worker", "manual"])?;
    let mut answered = 0;
    for time in 0..times {
        answered += once(&mut broker, 1 + time * 7 % 20)?;
    }
    Ok(answered)
}

/// One kill, as soon as so many machines were answered.
fn once(broker: &mut Broker<'_>, wanted: usize) -> Result<usize, Failed> {
    let (host, address) = (broker.host(), broker.address());
    let invite = broker.invite(&["--uses", "1000"])?;
    let (over, answered) = (AtomicBool::new(false), Mutex::new(HashSet::new()));
    let boots = || async {
        while !over.load(Ordering::Relaxed) {
            let mut machine = Machine::new(&invite, address);
            if machine.admitted().await.is_ok() {
                answered.lock().expect("no panic").insert(KeyHash::of_spki(&machine.key().spki()).to_string());
            }
        }
    };
    thread::scope(|scope| -> Result<(), Failed> {
        let storms: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(|| on(host, boots))).collect();
        let enough =
            until(LONG, "so many answers", || (answered.lock().expect("no panic").len() >= wanted).then_some(()));
        let killed = broker.kill();
        over.store(true, Ordering::Relaxed);
        enough?;
        killed?;
        storms.into_iter().try_for_each(|storm| storm.join().expect("no panic").map_err(Failed::from))
    })?;
    // What a killed broker had no time to sign is all that may be wrong, and its next start signs it.
    let verified = broker.run(&["audit", "verify"])?;
    assert!(verified.code == 0 || verified.stdout.contains("never signed"), "{}", verified.stdout);
    broker.serve()?;
    let verified = broker.run(&["audit", "verify"])?;
    assert_eq!(verified.code, 0, "{}", verified.stdout);
    let records = broker.records()?;
    let redeemed: HashSet<&str> = records
        .iter()
        .filter(|record| record["event"] == "grant.redeemed")
        .filter_map(|record| record["key"].as_str())
        .collect();
    let answered = answered.into_inner().expect("no panic");
    for key in &answered {
        assert!(redeemed.contains(key.as_str()), "{key} has a token, and there is no record of it");
    }
    Ok(answered.len())
}
