//! A lab: a bridge, and the hosts on it.
//! Promise: labs do not see each other, and however a run ends, its lab goes: with it, or before the
//! next one comes up.
//! Must not: know what is tested.

use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use crate::error::Result;
use crate::host::{self, Host, Kind};
use crate::network::{Bridge, LAST_HOST};
use crate::place::Place;
use crate::register::Entry;
use crate::{requirements, signals};

/// Test hosts that can reach each other. Gone when dropped.
#[derive(Debug)]
pub struct Lab {
    // Dropped first: it clears all hosts away at once, and leaves each of them nothing to do.
    entry: Entry,
    bridge: Bridge,
    last_number: Mutex<u8>,
    hosts: Vec<Host>,
}

impl Lab {
    /// Brings up so many hosts, with an engine on each that answers. First, it clears away labs
    /// whose owner died, and installs what the machine lacks.
    pub fn up(hosts: usize) -> Result<Self> {
        let mut lab = Self::open()?;
        lab.hosts = lab.raise(hosts, Kind::Engine)?;
        Ok(lab)
    }

    /// A lab without hosts.
    pub(crate) fn open() -> Result<Self> {
        requirements::meet()?;
        let entry = Entry::make()?;
        let bridge = Bridge::raise(&entry.id)?;
        Ok(Self { entry, bridge, last_number: Mutex::new(0), hosts: Vec::new() })
    }

    /// The lab's id, which the names of its folder and namespaces carry.
    pub fn id(&self) -> &str {
        &self.entry.id
    }

    /// The lab's hosts.
    pub fn hosts(&self) -> &[Host] {
        &self.hosts
    }

    /// So many new hosts without an engine, for whole machines. They go when they are dropped.
    pub fn bare_hosts(&self, count: usize) -> Result<Vec<Host>> {
        self.raise(count, Kind::Bare)
    }

    /// From now on, SIGINT and SIGTERM take this lab down before they end the program.
    pub fn down_on_signals(&self) -> Result<()> {
        let id = self.id().to_owned();
        signals::go_down_on_signals(move || Some(id.clone()))
    }

    /// New hosts on this lab's bridge, all raised at once.
    pub(crate) fn raise(&self, count: usize, kind: Kind) -> Result<Vec<Host>> {
        let numbers: Vec<u8> = (0..count).map(|_| self.number()).collect();
        thread::scope(|scope| {
            let rise = |number| scope.spawn(move || Host::raise(self.id(), &self.bridge, number, kind));
            let rising: Vec<_> = numbers.into_iter().map(rise).collect();
            let risen = rising.into_iter().map(|host| match host.join() {
                Ok(host) => host,
                Err(panic) => resume_unwind(panic),
            });
            // Wait for all of them before the first error is told.
            risen.collect::<Vec<_>>().into_iter().collect()
        })
    }

    /// The number after the last one that no host has now. So a number is long out of use before
    /// another host gets it, and nothing from the past calls at its address.
    fn number(&self) -> u8 {
        let mut number = self.last_number.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            *number = *number % LAST_HOST + 1;
            if !Place::new(self.id(), &host::name(*number)).folder.exists() {
                return *number;
            }
        }
    }
}
