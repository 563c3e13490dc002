//! The programs under test on hosts of the lab: brokers, joiners, and machines that speak the wire by themselves.
//! Promise: a test says what it wants to see, not how a broker is started.
//! Must not: hide what a program printed, or retry what a test should see fail.

#![allow(clippy::missing_panics_doc, reason = "what a test cannot do without, it panics without")]

mod broker;
mod gate;
mod gated;
pub mod invite;
mod joiner;
mod kept;
mod machine;
mod relay;
mod retries;
mod store;
mod storm;
mod systemd;
mod terminal;

pub use broker::{Broker, Run, run};
pub use gate::{Gate, Held};
pub use gated::Gated;
pub use invite::{admitted, assert_admits};
pub use joiner::{Joiner, finish, join_at_once, write_private};
pub use kept::Kept;
pub use machine::{ASK_AGAIN, Answer, Machine, REFUSED, Told, UNAVAILABLE, Wire};
pub use relay::{Relay, Rule};
pub use retries::{assert_retries_are_explained, paid};
pub use store::Store;
pub use storm::{Storm, Weathered};
pub use systemd::Systemd;
pub use terminal::{Stream, on_terminal, on_terminal_until};

use std::fs;
use std::ops::Deref;
use std::path::Path;

use certs::NodeKeyPair;

use crate::error::{Error, Result, Trying};
use crate::host::Host;
use crate::pool::{Lease, Pool};
use crate::swarm::form;

/// Hosts of which the first ones form a swarm; the others are fresh machines.
#[derive(Debug)]
pub struct Cluster {
    hosts: Lease,
    managers: usize,
}

impl Cluster {
    /// So many managers in one swarm, and so many machines that are in none.
    pub fn form(pool: &Pool, managers: usize, machines: usize) -> Result<Self> {
        let hosts = pool.lease(managers + machines)?;
        form(&hosts[..managers].iter().collect::<Vec<_>>(), &[])?;
        Ok(Self { hosts, managers })
    }

    /// The first manager.
    #[must_use]
    pub fn manager(&self) -> &Host {
        &self.hosts[0]
    }

    /// A joiner on each of the fresh machines, with this invite.
    #[must_use]
    pub fn joiners(&self, invite: &str) -> Vec<Joiner<'_>> {
        self.hosts[self.managers..].iter().map(|machine| Joiner::new(machine, invite)).collect()
    }
}

/// Runs a future on a host's network, on a thread and a runtime of its own.
pub fn on<F: Future>(host: &Host, future: impl FnOnce() -> F + Send) -> Result<F::Output>
where
    F::Output: Send,
{
    host.inside(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime on one thread").block_on(future())
    })
}

/// The node certificate and key of a host that is in a swarm, from its engine's folder.
pub fn node_key(host: &Host) -> Result<NodeKeyPair> {
    let root = host.docker(&["info", "--format", "{{.DockerRootDir}}"])?;
    let folder = Path::new(root.trim()).join("swarm/certificates");
    let read = |name: &str| {
        let path = folder.join(name);
        fs::read_to_string(&path).trying(|| format!("reading {}", path.display()))
    };
    NodeKeyPair::from_pem(&read("swarm-node.crt")?, &read("swarm-node.key")?)
        .map_err(|error| Error::Unreadable { what: "the node's key".into(), answer: error.to_string() })
}

impl Deref for Cluster {
    type Target = [Host];

    fn deref(&self) -> &[Host] {
        &self.hosts
    }
}
