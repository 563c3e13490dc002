//! A herd: a thousand machines at once that go as far as the engine's call, and then real engines.

use std::collections::BTreeSet;
use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use lab::Pool;
use lab::cluster::{Answer, Broker, Cluster, Machine, Store, Told};
use protocol::ProblemKind;

use crate::Failure;
use crate::callers::all;
use crate::figures::Figures;

const MACHINES: usize = 1000;
const ENGINES: usize = 30;
/// A machine that has no token after this has failed.
const PATIENCE: Duration = Duration::from_mins(1);
/// As a joiner, one waits no longer than this for an answer, and asks again.
const ANSWER: Duration = Duration::from_secs(20);
/// Who is told to come back does so after this.
const PAUSE: Duration = Duration::from_millis(250);

pub(crate) fn measure(figures: &mut Figures, pool: &Pool) -> Result<(), Failure> {
    synthetic(figures, pool)?;
    engines(figures, pool)
}

fn synthetic(figures: &mut Figures, pool: &Pool) -> Result<(), Failure> {
    eprintln!("bench: {MACHINES} machines at once");
    let cluster = Cluster::form(pool, 1, 0)?;
    let mut broker = Broker::start_with(cluster.manager(), &["--rotate-worker", "manual"])?;
    let (invite, address) = (broker.invite(&["--uses", &MACHINES.to_string()])?, broker.address());
    let machines: Vec<_> = (0..MACHINES).map(|_| Machine::new(&invite, address)).collect();
    let store = Store::of(cluster.manager());
    let written = store.index()?;
    let again = Arc::new(AtomicUsize::new(0));
    let begun = Instant::now();
    let callers = machines.into_iter().map(|mut machine| {
        let again = again.clone();
        move || async move { patiently(&mut machine, begun, &again).await.map(|()| begun.elapsed()) }
    });
    let ended = all(cluster.manager(), callers.collect())?;
    let written = store.index()? - written;

    let times: Vec<Duration> = ended.iter().flatten().copied().collect();
    if let Some(told) = ended.iter().find_map(|ended| ended.as_ref().err()) {
        let log = broker.process()?.stderr();
        let last: Vec<&str> = log.lines().rev().take(5).collect();
        eprintln!("bench: a machine was told {told:?}; the broker said last:\n{}", last.join("\n"));
    }
    let again = again.load(Ordering::Relaxed);
    let what =
        format!("from all at once to the last token but 1 %, of {MACHINES} machines; {again} times one came back");
    figures.add_alone("herd_p99_ms", &what, milliseconds(&times, 99));
    figures.add_alone("herd_p50_ms", "the same for half of them", milliseconds(&times, 50));
    figures.add_alone("herd_failures", "of them had no token in a minute", whole(MACHINES - times.len()));
    let peak = whole(usize::try_from(broker.process()?.peak_memory())?);
    figures.add_alone("herd_broker_bytes", "the most memory that the broker held", peak);
    let writes = whole(usize::try_from(written)?) / whole(MACHINES);
    figures.add_alone("herd_raft_writes", "writes to raft for each of them, up to its token", writes);
    Ok(())
}

/// All steps up to the token, as a joiner takes them: an answer that did not come is asked for again.
async fn patiently(machine: &mut Machine, begun: Instant, again: &AtomicUsize) -> Answer<()> {
    loop {
        let admitted = tokio::time::timeout(ANSWER, machine.admitted_over_two()).await;
        match admitted.unwrap_or_else(|_| Err(Told::Broken("no answer".into()))) {
            Err(Told::Broken(_) | Told::Problem(ProblemKind::Unavailable)) if begun.elapsed() < PATIENCE => {
                again.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
            }
            answer => return answer.map(drop),
        }
    }
}

fn engines(figures: &mut Figures, pool: &Pool) -> Result<(), Failure> {
    eprintln!("bench: {ENGINES} engines at once");
    let cluster = Cluster::form(pool, 1, ENGINES)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", &ENGINES.to_string(), "--label", "zone=a"])?;
    let joiners = cluster.joiners(&invite);
    let begun = Instant::now();
    let ended: lab::Result<Vec<_>> = thread::scope(|scope| {
        let join = |joiner| scope.spawn(move || lab::cluster::Joiner::join(joiner).map(|run| (run, begun.elapsed())));
        let joins: Vec<_> = joiners.iter().map(join).collect();
        joins.into_iter().map(|join| join.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let ended = ended?;
    let times: Vec<Duration> = ended.iter().filter(|(run, _)| run.code == 0).map(|(_, took)| *took).collect();
    let what = format!("from all at once to the last of {ENGINES} real engines, joined and confirmed");
    figures.add_alone("herd_engines_p99_ms", &what, milliseconds(&times, 99));
    figures.add_alone("herd_engines_p50_ms", "the same for half of them", milliseconds(&times, 50));
    figures.add_alone("herd_engines_failures", "of them did not join", whole(ENGINES - times.len()));
    let what = "writes of the broker to raft for each of them: the invite's changes, and its node's labels";
    figures.add_alone("herd_engines_raft_writes", what, whole(writes(&broker)?) / whole(ENGINES));
    Ok(())
}

/// Each change of the invite was decided on a version of its own, which the records name; labels are a write each.
fn writes(broker: &Broker<'_>) -> Result<usize, Failure> {
    let records = broker.records()?;
    let versions: BTreeSet<u64> = records
        .iter()
        .filter(|record| record["invite"].is_string())
        .filter_map(|record| record["version"].as_u64())
        .collect();
    let labels = records.iter().filter(|record| record["event"] == "node.labelled").count();
    Ok(versions.len() + labels)
}

/// The time within which so many of a hundred were done.
fn milliseconds(times: &[Duration], of_hundred: usize) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    let place = (times.len() * of_hundred).div_ceil(100).saturating_sub(1);
    times.get(place).map_or(f64::NAN, |time| (time.as_secs_f64() * 1000.0).round())
}

/// As a figure; what is counted here is far below what a float holds exactly.
fn whole(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::INFINITY, f64::from)
}
