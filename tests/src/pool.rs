//! Hosts for many tests at once, so many at a time.
//! Promise: every lease is of new hosts, on addresses out of use for long; no test can see another's.
//! Must not: keep a host from one lease to the next. A new one is up in a second, which is less than
//! a manager takes to leave its swarm.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::error::{Error, Result};
use crate::host::{Host, Kind};
use crate::lab::Lab;
use crate::{place, requirements, signals};

/// One test's way to hosts.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<Shared>,
    test: String,
}

/// Hosts that one test has to itself, in order. Gone when dropped.
#[derive(Debug)]
pub struct Lease {
    hosts: Vec<Host>,
    shared: Arc<Shared>,
    output: PathBuf,
}

impl Pool {
    /// The one pool of a program that is no test, with at most so many hosts at a time. Its lab goes with the last of its
    /// leases and itself, or on a signal.
    pub fn alone(hosts: usize) -> Result<Self> {
        requirements::meet()?;
        let shared = Shared::new(hosts);
        let lab = Arc::downgrade(&shared);
        signals::go_down_on_signals(move || lab.upgrade()?.lab_id())?;
        Ok(shared.pool("alone"))
    }

    /// So many new hosts, once so many are free. Who asked first is served first.
    pub fn lease(&self, hosts: usize) -> Result<Lease> {
        self.lease_of(hosts, Kind::Engine)
    }

    /// The same without engines, for whole machines.
    pub fn lease_bare(&self, hosts: usize) -> Result<Lease> {
        self.lease_of(hosts, Kind::Bare)
    }

    fn lease_of(&self, hosts: usize, kind: Kind) -> Result<Lease> {
        let lab = self.shared.take(hosts)?;
        let output = place::output(lab.id()).join(&self.test);
        let hosts = lab.raise(hosts, kind).inspect_err(|_| self.shared.give_back(hosts))?;
        Ok(Lease { hosts, shared: self.shared.clone(), output })
    }

    /// What ran on the hosts of this test's past leases has printed: a folder for each host. None
    /// if there is no lab.
    pub(crate) fn output(&self) -> Option<PathBuf> {
        self.shared.lab_id().map(|lab| place::output(&lab).join(&self.test))
    }
}

impl Deref for Lease {
    type Target = [Host];

    fn deref(&self) -> &[Host] {
        &self.hosts
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let count = self.hosts.len();
        for host in &self.hosts {
            keep_output(host, &self.output);
        }
        thread::scope(|scope| {
            for host in self.hosts.drain(..) {
                scope.spawn(|| drop(host));
            }
        });
        self.shared.give_back(count);
    }
}

/// What all tests of a run share: a lab, and how many hosts it may have at a time.
#[derive(Debug)]
pub(crate) struct Shared {
    capacity: usize,
    queue: Mutex<Queue>,
    moved: Condvar,
}

#[derive(Debug)]
struct Queue {
    lab: Option<Arc<Lab>>,
    free: usize,
    last_ticket: u64,
    served: u64,
}

impl Shared {
    pub(crate) fn new(capacity: usize) -> Arc<Self> {
        let queue = Queue { lab: None, free: capacity, last_ticket: 0, served: 0 };
        Arc::new(Self { capacity, queue: Mutex::new(queue), moved: Condvar::new() })
    }

    /// The pool of one test.
    pub(crate) fn pool(self: &Arc<Self>, test: &str) -> Pool {
        Pool { shared: self.clone(), test: test.to_owned() }
    }

    /// The lab's id, once there is a lab.
    pub(crate) fn lab_id(&self) -> Option<String> {
        self.queue().lab.as_ref().map(|lab| lab.id().to_owned())
    }

    /// Takes the lab down. Called when no test runs any more.
    pub(crate) fn close(&self) {
        let lab = self.queue().lab.take();
        drop(lab);
    }

    fn take(&self, hosts: usize) -> Result<Arc<Lab>> {
        if hosts > self.capacity {
            let capacity = self.capacity;
            return Err(Error::Unmet(format!("{hosts} hosts asked of a pool of {capacity}")));
        }
        let mut queue = self.queue();
        queue.last_ticket += 1;
        let ticket = queue.last_ticket;
        let mut queue = self
            .moved
            .wait_while(queue, |queue| queue.served + 1 != ticket || queue.free < hosts)
            .unwrap_or_else(PoisonError::into_inner);
        queue.served = ticket;
        self.moved.notify_all();
        if queue.lab.is_none() {
            queue.lab = Some(Arc::new(Lab::open()?));
        }
        queue.free -= hosts;
        // It was just put there, if it was not there before.
        queue.lab.clone().ok_or_else(|| Error::Unmet("the lab is closed".to_owned()))
    }

    fn give_back(&self, hosts: usize) {
        self.queue().free += hosts;
        self.moved.notify_all();
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing in here panics between two changes that belong together.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Moves what was printed on a host to where it outlives the host, until the test is over.
fn keep_output(host: &Host, folder: &Path) {
    let kept = folder.join(host.name());
    let moved = fs::create_dir_all(folder).and_then(|()| fs::rename(host.place().logs(), &kept));
    if let Err(refusal) = moved {
        eprintln!("lab: the output of {} is lost: {refusal}", host.name());
    }
}
