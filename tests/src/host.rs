//! A host: a network namespace with a name and addresses of its own, and a Docker engine in it.
//! Promise: to what runs on it, it looks like a machine; when it is dropped, nothing of it stays.
//! Must not: know what the broker and the joiner are.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::AsFd;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::addresses::Kept;
use crate::engine::Engine;
use crate::error::{Result, Trying};
use crate::network::{self, Bridge, Link};
use crate::place::Place;
use crate::process::Process;
use crate::remains::Remains;

/// A test host. Its hostname is its [`name`](Self::name).
#[derive(Debug)]
pub struct Host {
    name: String,
    number: u8,
    place: Place,
    link: Link,
    engine: Mutex<Engine>,
    parted: Mutex<Vec<u8>>,
    kept: Kept,
}

/// What runs on a new host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A Docker engine of the lab's own.
    Engine,
    /// Nothing: it is a name and a network, for a whole machine that brings its own engine.
    Bare,
}

impl Host {
    /// Makes the host and waits until its engine answers, if it is to have one.
    pub(crate) fn raise(lab: &str, bridge: &Bridge, number: u8, kind: Kind) -> Result<Self> {
        let name = name(number);
        let place = Place::new(lab, &name);
        let raised = Self::build(name, &place, bridge, number, kind);
        if raised.is_err() {
            // Whatever stands of it would be in the way of the next one; the first error is told.
            let _ = Remains::of_host(&place).clear();
        }
        raised
    }

    fn build(name: String, place: &Place, bridge: &Bridge, number: u8, kind: Kind) -> Result<Self> {
        for folder in [&place.folder, &place.logs(), &place.state()] {
            fs::create_dir(folder).trying(|| format!("making {}", folder.display()))?;
        }
        let link = bridge.link(place, number)?;
        let mut engine = Engine::furnish(place, &name)?;
        if kind == Kind::Engine {
            engine.start()?;
        }
        Ok(Self {
            name,
            number,
            place: place.clone(),
            link,
            engine: Mutex::new(engine),
            parted: Mutex::default(),
            kept: Kept::default(),
        })
    }

    /// Its hostname, and its name in `docker node ls`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its IPv4 address.
    pub fn address(&self) -> Ipv4Addr {
        network::address(self.number)
    }

    /// Its IPv6 address.
    pub fn address6(&self) -> Ipv6Addr {
        network::address6(self.number)
    }

    /// Its Docker socket.
    pub fn socket(&self) -> PathBuf {
        self.place.socket()
    }

    /// A folder for what a test keeps on this host. It goes when the host goes.
    pub fn folder(&self) -> PathBuf {
        self.place.state()
    }

    pub(crate) fn number(&self) -> u8 {
        self.number
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    pub(crate) fn link(&self) -> &Link {
        &self.link
    }

    pub(crate) fn kept(&self) -> &Kept {
        &self.kept
    }

    pub(crate) fn engine(&self) -> MutexGuard<'_, Engine> {
        // A trial that panicked left the engine as it was: a process that runs, or not.
        self.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The numbers of the hosts that this one was cut off from.
    pub(crate) fn parted(&self) -> MutexGuard<'_, Vec<u8>> {
        self.parted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Programs on the host.
impl Host {
    /// A command that runs on this host, in its network and with its name. The process that starts
    /// is the program itself, in the end; files are the machine's.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = self.place.enter();
        command.arg("--").arg(program);
        command
    }

    /// Starts a [`command`](Self::command) that stays, under a label by which its output is found.
    pub fn spawn(&self, label: &str, command: Command) -> Result<Process> {
        Process::start(label, command, &self.place.logs())
    }

    /// Runs a closure on this host's network, on a thread of its own, and gives what it gives.
    /// Sockets that it opens stay on this host's network.
    pub fn inside<T: Send>(&self, closure: impl FnOnce() -> T + Send) -> Result<T> {
        let network = self.network()?;
        let outcome = thread::scope(|scope| {
            let inside = scope.spawn(|| {
                network.enter()?;
                Ok::<T, rustix::io::Errno>(closure())
            });
            inside.join().unwrap_or_else(|panic| resume_unwind(panic))
        });
        outcome.trying(|| format!("entering the network of {}", self.name))
    }
}

/// A host's network, for threads that outlive a borrow of the host.
#[derive(Debug)]
pub(crate) struct Network(File);

impl Network {
    /// Moves the calling thread there, for good.
    pub(crate) fn enter(&self) -> rustix::io::Result<()> {
        move_into_link_name_space(self.0.as_fd(), Some(LinkNameSpaceType::Network))
    }
}

impl Host {
    pub(crate) fn network(&self) -> Result<Network> {
        let path = self.place.network();
        File::open(&path).trying(|| format!("opening {}", path.display())).map(Network)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The lab clears what one of its hosts could not, and says so if it cannot either.
        let _ = Remains::of_host(&self.place).clear();
    }
}

/// A host's name by its number.
pub(crate) fn name(number: u8) -> String {
    format!("h{number}")
}
