//! Where a run takes place: managers with a broker each, machines with an engine, and a host that all clients dial from.
//! Must not: leave anything behind; the lab takes all of it away.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lab::cluster::{Broker, Run, run, write_private};
use lab::{Host, Lab, Result};

/// How many machines with an engine there are, besides the managers.
pub(crate) const MACHINES: usize = 2;

/// The disk under a broker's state: more than a run of an hour fills.
const DISK: u64 = 512 << 20;

/// How long any command of an operator's may take, in seconds.
const COMMAND: &str = "20";

/// A manager and its broker.
#[derive(Debug)]
pub(crate) struct Station<'h> {
    pub(crate) host: &'h Host,
    /// The disk with the state.
    pub(crate) disk: PathBuf,
    running: Mutex<Broker<'h>>,
    /// The same broker, for whoever only asks it something.
    pub(crate) asked: Broker<'h>,
}

impl<'h> Station<'h> {
    fn new(host: &'h Host, start: impl FnOnce(PathBuf) -> Result<Broker<'h>>) -> Result<Self> {
        let disk = host.small_disk(DISK)?;
        let state = disk.join("state");
        let running = Mutex::new(start(state.clone())?);
        Ok(Self { host, disk, running, asked: Broker::nowhere_in(host, state)? })
    }

    /// The running broker, to hurt it.
    pub(crate) fn running(&self) -> MutexGuard<'_, Broker<'h>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A command of an operator's on this manager, to its end, which comes in time.
    pub(crate) fn order(&self, words: &[&str]) -> Result<Run> {
        let mut command = self.asked.command();
        command.args(words);
        in_time(&command, COMMAND)
    }

    /// Whether its broker says that it admits machines.
    pub(crate) fn is_ready(&self) -> bool {
        let told = self.order(&["status", "--json"]).ok().filter(|run| run.code == 0);
        let status = told.and_then(|run| serde_json::from_str::<serde_json::Value>(&run.stdout).ok());
        status.is_some_and(|status| status["ready"] == true)
    }
}

/// Runs a command to its end, or for so many seconds.
pub(crate) fn in_time(command: &Command, seconds: &str) -> Result<Run> {
    let mut bounded = Command::new("timeout");
    bounded.args(["--kill-after=5", seconds]).arg(command.get_program()).args(command.get_args());
    run(bounded)
}

/// A swarm of these managers, made by their brokers.
pub(crate) fn raise(lab: &Lab, managers: usize) -> Result<Vec<Station<'_>>> {
    let (founder, others) = lab.hosts()[..managers].split_first().expect("a swarm has a manager");
    let first = Station::new(founder, |state| {
        let mut broker = Broker::init_in(founder, state)?;
        broker.up_with(&["--form"])?;
        Ok(broker)
    })?;
    // Who is gone is seen to be gone within seconds.
    founder.docker(&["swarm", "update", "--dispatcher-heartbeat", "1s"])?;
    let mut stations = vec![first];
    for host in others {
        let invite = stations[0].asked.invite(&["--role", "manager"])?;
        stations.push(Station::new(host, |state| {
            let file = host.folder().join("manager.invite");
            write_private(&file, &invite)?;
            let mut broker = Broker::nowhere_in(host, state)?;
            broker.up_with(&["--invite-file", &file.display().to_string()])?;
            Ok(broker)
        })?);
    }
    Ok(stations)
}
