//! Promises 4 and 11 under load: a broker that is killed while machines boot has recorded every answer that it gave.

use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Machine, on};
use lab::{Failed, LONG, Pool, until};
use protocol::KeyHash;

/// A storm of boots, and how often the broker is killed in it.
pub(crate) struct Load {
    pub(crate) times: usize,
    /// Machines that boot at the same time.
    pub(crate) at_once: usize,
    /// The broker is killed once so many of them, or up to twenty more, were answered.
    pub(crate) answers: usize,
}

/// What the storms came to.
pub(crate) struct Storms {
    /// How many machines were given the token.
    pub(crate) answered: usize,
    /// How long they came for, restarts left out.
    pub(crate) took: Duration,
}

impl Storms {
    /// Machines a second.
    pub(crate) fn rate(&self) -> u128 {
        self.answered as u128 * 1000 / self.took.as_millis().max(1)
    }
}

/// Kills the broker, each time at another moment of a storm of boots.
pub(crate) fn killed_under_load(pool: &Pool, load: &Load) -> Result<Storms, Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let mut broker = Broker::start_with(cluster.manager(), &["--rotate-worker", "manual"])?;
    let mut storms = Storms { answered: 0, took: Duration::ZERO };
    for time in 0..load.times {
        once(&mut broker, load.at_once, load.answers + time * 7 % 20, &mut storms)?;
    }
    Ok(storms)
}

/// One kill, as soon as so many machines were answered.
fn once(broker: &mut Broker<'_>, at_once: usize, wanted: usize, storms: &mut Storms) -> Result<(), Failed> {
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
    let begun = Instant::now();
    thread::scope(|scope| -> Result<(), Failed> {
        let machines: Vec<_> = (0..at_once).map(|_| scope.spawn(|| on(host, boots))).collect();
        let enough =
            until(LONG, "so many answers", || (answered.lock().expect("no panic").len() >= wanted).then_some(()));
        let killed = broker.kill();
        storms.took += begun.elapsed();
        over.store(true, Ordering::Relaxed);
        enough?;
        killed?;
        machines.into_iter().try_for_each(|machine| machine.join().expect("no panic").map_err(Failed::from))
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
    storms.answered += answered.len();
    Ok(())
}
