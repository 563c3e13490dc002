//! One run: the scene comes up, everybody plays until time is up, everybody comes through, and what is left is read.

use std::panic::resume_unwind;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::thread::{self, ScopedJoinHandle};
use std::time::Duration;

use lab::cluster::on;
use lab::{Lab, Result};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::client::Player;
use crate::episode::Stage;
use crate::evidence::Evidence;
use crate::history::History;
use crate::scene::{self, MACHINES, Station};
use crate::shared::Shared;
use crate::words::Words;
use crate::{fault, plan, strike};

/// More clients than these do not play at the same time: the machine has other things to do, too.
const CROWD: usize = 80;

/// What a run came to.
pub(crate) struct Ran {
    pub(crate) history: History,
    pub(crate) evidence: Evidence,
}

/// Runs for as long as the words say.
pub(crate) fn run(words: &Words) -> Result<Ran> {
    let lab = Lab::up(words.managers + MACHINES)?;
    lab.down_on_signals()?;
    let outside = lab.bare_hosts(1)?;
    let stations = scene::raise(&lab, words.managers)?;
    let shared = Arc::new(Shared::new(
        stations.iter().map(|station| station.asked.address()).collect(),
        stations.iter().map(|station| station.asked.log()),
    ));
    let (players, queue) = unbounded_channel();
    let machines = Mutex::new(lab.hosts()[words.managers..].iter().collect());
    let stage = Stage { stations: &stations, shared: shared.clone(), players, machines };
    thread::scope(|scope| {
        let playing = scope.spawn(|| on(&outside[0], || play(queue)));
        let acted = act(stage, words, &stations);
        // All who hold the other end of the queue are gone, so it ends when the last one has played.
        joined(playing)?;
        acted
    })?;
    let evidence = Evidence::read(stations[0].host, stations.iter().map(|station| &station.asked))?;
    Ok(Ran { history: shared.take_history(), evidence })
}

/// Everybody who comes plays at once.
async fn play(mut queue: UnboundedReceiver<Player>) {
    let mut playing = JoinSet::new();
    while let Some(player) = queue.recv().await {
        playing.spawn(player.play());
    }
    playing.join_all().await;
}

/// Episodes, orders and faults, each drawn from the seed by itself, until time is up; then all is made well.
fn act(stage: Stage<'_>, words: &Words, stations: &[Station<'_>]) -> Result<()> {
    let shared = stage.shared.clone();
    let outcome = thread::scope(|scope| {
        let (stage, shared) = (&stage, &shared);
        let faults = fault::faults(words.seed, words.managers);
        let striking = scope.spawn(move || strike::strike_until_over(stations, shared, faults));
        scope.spawn(move || stage.give(plan::orders(words.seed, words.managers)));
        let clock = scope.spawn(move || {
            shared.wait(words.milliseconds);
            shared.end();
        });
        let mut living = Vec::new();
        for episode in plan::episodes(words.seed, words.managers) {
            while shared.busy.load(Ordering::Relaxed) > CROWD && !shared.is_over() {
                thread::sleep(Duration::from_millis(50));
            }
            if shared.is_over() {
                break;
            }
            let pause = episode.pause;
            living.push(scope.spawn(move || stage.live(episode)));
            shared.wait(pause);
        }
        joined(clock);
        joined(striking);
        shared.all_is_well();
        living.into_iter().map(joined).collect::<Result<Vec<()>>>().map(drop)
    });
    drop(stage);
    outcome
}

fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| resume_unwind(panic))
}
