//! What both demos show in the same words.

use lab::cluster::Broker;
use lab::{Host, Result};

use crate::MACHINES;

/// A part's title.
pub(crate) fn title(text: &str) {
    println!("\n== {text}");
}

/// A command as somebody would type it, and what it prints.
pub(crate) fn typed(command: &str, printed: &str) {
    println!("  $ {command}");
    print!("{}", indented(printed));
}

pub(crate) fn indented(text: &str) -> String {
    text.lines().flat_map(|line| ["  ", line, "\n"]).collect()
}

/// A host with its engine's version.
pub(crate) fn host(host: &Host) -> Result<()> {
    let version = host.docker(&["version", "--format", "{{.Server.Version}}"])?;
    println!("  {:4} {}  Docker {}", host.name(), host.address(), version.trim());
    Ok(())
}

/// The nodes, as Docker and as the broker see them.
pub(crate) fn swarm(manager: &Host, broker: &Broker<'_>) -> Result<()> {
    title("The swarm now");
    typed("docker node ls", &manager.docker(&["node", "ls"])?);
    println!();
    typed("broker nodes", &broker.ok(&["nodes"])?);
    Ok(())
}

/// The audit log.
pub(crate) fn audit(broker: &Broker<'_>) -> Result<()> {
    title("The audit story");
    typed("broker audit list", &broker.ok(&["audit", "list", "--table"])?);
    Ok(())
}

/// How it ended.
pub(crate) struct Ending {
    joined: usize,
    explained: usize,
    unexplained: usize,
}

impl Ending {
    /// By what the broker says now.
    pub(crate) fn read(broker: &Broker<'_>) -> Result<Self> {
        let report = broker.json(&["nodes", "--json"])?;
        let nodes: Vec<_> = report["nodes"].as_array().into_iter().flatten().collect();
        Ok(Self {
            joined: nodes.iter().filter(|node| node["state"] == "joined").count(),
            explained: nodes.iter().filter(|node| node["state"] == "joined" && node["explained"] == true).count(),
            unexplained: nodes.iter().filter(|node| node["explained"] != true).count(),
        })
    }

    /// The last line; gives whether all is well.
    pub(crate) fn tell(&self) -> bool {
        let Self { joined, explained, unexplained } = self;
        println!("{joined} of {MACHINES} machines joined, {explained} explained, {unexplained} unexplained");
        (*joined, *explained, *unexplained) == (MACHINES, MACHINES, 0)
    }
}
