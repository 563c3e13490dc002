//! A real workload, for trials of what it outlives: miners, a queue behind a secret, an API and a web page.
//! Promise: it is at work only if each miner that runs is on each page, so every part of it works.
//! Must not: need what not every kernel has. The routing mesh and a service's virtual address need IPVS, so pages are
//! asked for at the nodes that run them, and services call each other at the addresses of their tasks.

use std::time::Duration;

use crate::cluster::{run, write_private};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::until::until;

/// What is put up.
const COMPOSE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/workload/compose.yml");

/// A manager takes some 15 s to notice that a node is gone, and a new leader some more.
const NOTICED: Duration = Duration::from_mins(3);

/// The stack, on these hosts.
#[derive(Debug)]
pub struct Workload<'h> {
    nodes: &'h [Host],
    outside: &'h Host,
}

impl<'h> Workload<'h> {
    /// Put up with three miners on these nodes, the first of which is a manager. Pages are asked for from outside, which
    /// may become a node later.
    pub fn put_up(nodes: &'h [Host], outside: &'h Host) -> Result<Self> {
        for host in nodes.iter().chain([outside]) {
            host.import_busybox()?;
        }
        let manager = &nodes[0];
        let password = manager.folder().join("password");
        // No space: busybox takes it out of its settings.
        write_private(&password, "open-sesame")?;
        manager.docker(&["secret", "create", "password", &password.display().to_string()])?;
        manager.docker(&["stack", "deploy", "--resolve-image", "never", "--compose-file", COMPOSE, "work"])?;
        Ok(Self { nodes, outside })
    }

    /// Has so many miners work, as this manager orders.
    pub fn scale(&self, manager: &Host, miners: usize) -> Result<()> {
        manager.docker(&["service", "scale", "--detach", &format!("work_miner={miners}")]).map(drop)
    }

    /// Waits until all replicas run, none of them on a host that is gone, and each page shows each miner that runs: it
    /// reached the queue by its secret, the API the queue, and the page the API.
    pub fn is_done(&self, manager: &Host, miners: usize, gone: &[&Host]) -> Result<()> {
        let mut seen = String::new();
        let done = until(NOTICED, "all replicas to do their work", || {
            let look = self.look(manager, miners, gone);
            look.map_err(|lacking| seen = lacking).ok()
        });
        done.map_err(|late| Error::Unmet(format!("{late}: {seen}")))
    }

    /// Whether it is at work now; or what is lacking.
    fn look(&self, manager: &Host, miners: usize, gone: &[&Host]) -> std::result::Result<(), String> {
        let running = |service: &str, replicas: usize| {
            let tasks = tasks(manager, service).map_err(|error| error.to_string())?;
            let there = tasks.iter().all(|task| gone.iter().all(|host| host.name() != task.host));
            if tasks.len() == replicas && there { Ok(tasks) } else { Err(format!("{service} runs as {tasks:?}")) }
        };
        let miners = running("work_miner", miners)?;
        running("work_queue", 1)?;
        running("work_api", 2)?;
        for web in running("work_web", 2)? {
            let page = self.page(&web.host).ok_or_else(|| format!("no page at {}", web.host))?;
            let shown = |miner: &&Task| page.contains(&format!("<li>{}@{}</li>", miner.slot, miner.host));
            if let Some(miner) = miners.iter().find(|miner| !shown(miner)) {
                return Err(format!("{miner:?} is not on the page at {}: {page}", web.host));
            }
        }
        Ok(())
    }

    /// The page that somebody outside of the swarm is shown at this node.
    #[must_use]
    pub fn page(&self, node: &str) -> Option<String> {
        let host = self.nodes.iter().chain([self.outside]).find(|host| host.name() == node)?;
        let mut wget = self.outside.command("timeout");
        wget.args(["5", "busybox", "wget", "-q", "-O", "-", &format!("http://{}:8081/cgi-bin/page", host.address())]);
        let page = run(wget).ok()?;
        (page.code == 0 && page.stdout.contains("<h1>What the miners do</h1>")).then_some(page.stdout)
    }

    /// The nodes at which there is a page, as this manager sees it.
    pub fn pages(&self, manager: &Host) -> Result<Vec<String>> {
        manager.tasks("work_web")
    }
}

#[derive(Debug)]
struct Task {
    slot: String,
    host: String,
}

/// The tasks of a service that run, as this manager sees them.
fn tasks(manager: &Host, service: &str) -> Result<Vec<Task>> {
    let listed = ["--filter", "desired-state=running", "--format", "{{.Name}} {{.Node}} {{.CurrentState}}", service];
    let listed = manager.docker(&[&["service", "ps"], &listed[..]].concat())?;
    let running = listed.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (name, host, state) = (words.next()?, words.next()?, words.next()?);
        let (_, slot) = name.rsplit_once('.')?;
        (state == "Running").then(|| Task { slot: slot.into(), host: host.into() })
    });
    Ok(running.collect())
}
