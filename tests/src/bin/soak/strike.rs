//! Faults as they happen: one begins, lasts, and is undone, and its victims serve again before the next one.
//! Must not: judge; a broker that does not serve again is written down.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use lab::{Result, until};

use crate::fault::{Fault, FaultKind};
use crate::history::Hurt;
use crate::scene::Station;
use crate::shared::Shared;

/// How long a broker has until it serves again after a fault. An election takes its time, and a start another.
const AGAIN: Duration = Duration::from_secs(90);
/// How long others have to elect another leader while one is lost.
const ELECTED: Duration = Duration::from_secs(30);
const LIBRARY: &str = "/usr/$LIB/faketime/libfaketime.so.1";

/// Faults until the run is over.
pub(crate) fn strike_until_over(stations: &[Station<'_>], shared: &Shared, faults: impl Iterator<Item = Fault>) {
    for fault in faults {
        shared.wait(fault.pause);
        if shared.is_over() {
            break;
        }
        let hurt = strike(stations, shared, fault);
        tell(shared, &hurt);
        shared.history().hurts.push(hurt);
    }
}

fn strike(stations: &[Station<'_>], shared: &Shared, mut fault: Fault) -> Hurt {
    if fault.kind == FaultKind::LeaderLost {
        fault.victims = leader(stations).into_iter().chain(fault.victims).take(1).collect();
    }
    let Fault { kind, victims, lasts, .. } = fault;
    let hurt: Vec<&Station<'_>> = victims.iter().map(|victim| &stations[*victim]).collect();
    let silent = |station: &Station<'_>, error: lab::Error| {
        shared.history().silent.push(format!("{} after {kind}: {error}", station.host.name()));
    };
    for station in &hurt {
        // One that does not come back with its clock off has to come back without.
        inflict(kind, station, stations).unwrap_or_else(|error| silent(station, error));
    }
    let from = shared.now();
    shared.wait(lasts);
    if kind == FaultKind::LeaderLost {
        let others: Vec<&Station<'_>> =
            stations.iter().filter(|station| station.host.name() != hurt[0].host.name()).collect();
        // An election that takes longer is no failure of a broker.
        let _ = until(ELECTED, "another leader", || others.iter().any(|station| leads(station)).then_some(()));
    }
    let until_then = shared.now();
    for station in &hurt {
        undo(kind, station).unwrap_or_else(|error| silent(station, error));
    }
    for station in stations {
        serves_again(station, kind, shared);
    }
    Hurt { kind, victims, from, until: until_then, over: shared.now() }
}

fn inflict(kind: FaultKind, station: &Station<'_>, all: &[Station<'_>]) -> Result<()> {
    match kind {
        FaultKind::BrokerKilled => station.running().kill(),
        FaultKind::EngineKilled => station.host.kill_engine(),
        FaultKind::LeaderLost => station.host.lose(),
        FaultKind::Cut | FaultKind::QuorumLost => station.host.cut(),
        FaultKind::CutFromPeers => {
            let peers = all.iter().filter(|peer| peer.host.name() != station.host.name());
            peers.into_iter().try_for_each(|peer| station.host.cut_from(peer.host))
        }
        FaultKind::BrokerPaused => station.running().process()?.pause(),
        FaultKind::EnginePaused => station.host.pause_engine(),
        FaultKind::DiskFull => {
            fill(station);
            Ok(())
        }
        FaultKind::ClockOff(seconds) => {
            let mut broker = station.running();
            broker.kill()?;
            broker.with("LD_PRELOAD", LIBRARY);
            broker.with("FAKETIME", &format!("{seconds:+}s"));
            broker.with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
            broker.serve()
        }
        FaultKind::Slow(bits) => station.host.throttle(bits),
    }
}

fn undo(kind: FaultKind, station: &Station<'_>) -> Result<()> {
    match kind {
        FaultKind::BrokerKilled => station.running().serve(),
        FaultKind::EngineKilled => station.host.start_engine(),
        FaultKind::LeaderLost => {
            station.host.heal()?;
            station.host.start_engine()
        }
        FaultKind::Cut | FaultKind::QuorumLost | FaultKind::CutFromPeers | FaultKind::Slow(_) => station.host.heal(),
        FaultKind::BrokerPaused => station.running().process()?.resume(),
        FaultKind::EnginePaused => station.host.resume_engine(),
        FaultKind::DiskFull => {
            // A disk that could not be filled has nothing to remove.
            let _ = fs::remove_file(station.disk.join("ballast"));
            Ok(())
        }
        FaultKind::ClockOff(_) => {
            let mut broker = station.running();
            broker.kill()?;
            broker.with_nothing();
            broker.serve()
        }
    }
}

/// To the last byte, and the log's next record does not fit.
fn fill(station: &Station<'_>) {
    let Ok(mut ballast) = File::create(station.disk.join("ballast")) else { return };
    for block in [1 << 20, 512] {
        let zeros = vec![0; block];
        while ballast.write_all(&zeros).is_ok() {}
    }
}

/// Waits until a broker admits machines. One that ended is started again, as its unit would.
fn serves_again(station: &Station<'_>, kind: FaultKind, shared: &Shared) {
    let name = station.host.name();
    let served = until(AGAIN, "the broker to serve again", || {
        if let Ok(Some(status)) = station.running().process().and_then(lab::Process::ended) {
            eprintln!("soak: the broker of {name} ended after {kind} ({status}), and is started again");
            let _ = station.running().serve();
        }
        station.is_ready().then_some(())
    });
    if let Err(error) = served {
        shared.history().silent.push(format!("{name} after {kind}: {error}"));
    }
}

fn leader(stations: &[Station<'_>]) -> Option<usize> {
    stations.iter().position(leads)
}

/// Whether this manager takes itself for the leader.
fn leads(station: &Station<'_>) -> bool {
    let status = ["node", "inspect", "self", "--format", "{{.ManagerStatus.Leader}}"];
    station.host.docker(&status).is_ok_and(|told| told.trim() == "true")
}

fn tell(shared: &Shared, hurt: &Hurt) {
    let seconds = |moment: u64| Duration::from_micros(moment).as_secs_f64();
    let history = shared.history();
    let answers: usize = history.clients.iter().map(|client| client.asked.len()).sum();
    eprintln!(
        "soak: {:6.1} s: {} of {:?} for {:.1} s, over after {:.1} s; {} clients so far, {answers} requests",
        seconds(hurt.from),
        hurt.kind,
        hurt.victims,
        seconds(hurt.until - hurt.from),
        seconds(hurt.over - hurt.until),
        history.clients.len(),
    );
}
