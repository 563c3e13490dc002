//! Swarms of the lab's hosts, formed by hand, without a broker.
//! Promise: what is told of a swarm is what its manager says at this moment.
//! Must not: wait for a node to be anything; a test says what it waits for.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::thread;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::host::Host;

/// A node's part in a swarm.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Runs tasks.
    Worker,
    /// Also holds the swarm's state.
    Manager,
}

impl Role {
    /// Docker's word for it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        }
    }
}

/// A node as a manager sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The node id.
    pub id: String,
    /// The host's name; empty for a node that never came.
    pub hostname: String,
    /// Its part in the swarm.
    pub role: Role,
    /// `active`, `pause` or `drain`.
    pub availability: String,
    /// `ready`, `down`, `unknown` or `disconnected`.
    pub state: String,
    /// Its labels, as a manager set them.
    pub labels: BTreeMap<String, String>,
}

/// Makes the first manager's swarm, and joins all others to it.
pub fn form(managers: &[&Host], workers: &[&Host]) -> Result<()> {
    let [founder, managers @ ..] = managers else {
        return Err(Error::Unmet("a swarm needs a manager".to_owned()));
    };
    let own = founder.reached_at();
    // Docker listens on IPv4 unless told otherwise.
    let any: SocketAddr =
        if own.is_ipv6() { (Ipv6Addr::UNSPECIFIED, 2377).into() } else { (Ipv4Addr::UNSPECIFIED, 2377).into() };
    founder.docker(&["swarm", "init", "--advertise-addr", &own.to_string(), "--listen-addr", &any.to_string()])?;
    let token = founder.join_token(Role::Manager)?;
    for manager in managers {
        manager.join(founder, &token)?;
    }
    let token = founder.join_token(Role::Worker)?;
    thread::scope(|scope| {
        let joins: Vec<_> = workers.iter().map(|worker| scope.spawn(|| worker.join(founder, &token))).collect();
        joins.into_iter().try_for_each(|join| match join.join() {
            Ok(joined) => joined,
            Err(panic) => std::panic::resume_unwind(panic),
        })
    })
}

/// All nodes of the manager's swarm.
pub fn nodes(manager: &Host) -> Result<Vec<Node>> {
    let ids = manager.docker(&["node", "ls", "--quiet"])?;
    let mut arguments = vec!["node", "inspect"];
    arguments.extend(ids.lines());
    let answer = manager.json(&arguments)?;
    let unreadable = |node: &Value| Error::Unreadable { what: "docker node inspect".into(), answer: node.to_string() };
    let list = answer.as_array().ok_or_else(|| unreadable(&answer))?;
    list.iter().map(|node| read_node(node).ok_or_else(|| unreadable(node))).collect()
}

/// Configs, which are what brokers agree on.
impl Host {
    /// A config as this manager has it, in Docker's words.
    pub fn config(&self, name: &str) -> Result<Value> {
        Ok(self.json(&["config", "inspect", name])?[0].clone())
    }

    /// The version of each config by its id: whatever is written to it changes that.
    pub fn config_versions(&self) -> Result<BTreeMap<String, u64>> {
        let ids = self.docker(&["config", "ls", "--quiet"])?;
        if ids.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut arguments = vec!["config", "inspect"];
        arguments.extend(ids.lines());
        let answer = self.json(&arguments)?;
        let version = |config: &Value| Some((config["ID"].as_str()?.to_owned(), config["Version"]["Index"].as_u64()?));
        let versions = answer.as_array().into_iter().flatten().map(version).collect::<Option<_>>();
        versions.ok_or_else(|| Error::Unreadable { what: "docker config inspect".into(), answer: answer.to_string() })
    }
}

impl Host {
    /// Joins a manager's swarm, with a token.
    pub fn join(&self, manager: &Host, token: &str) -> Result<()> {
        let (own, to) = (self.address().to_string(), format!("{}:2377", manager.address()));
        self.docker(&["swarm", "join", "--advertise-addr", &own, "--token", token, &to]).map(drop)
    }

    /// Leaves its swarm, whatever that does to the swarm.
    pub fn leave(&self) -> Result<()> {
        self.docker(&["swarm", "leave", "--force"]).map(drop)
    }

    /// Its node id, as its own engine says; empty if it is in no swarm.
    pub fn node_id(&self) -> Result<String> {
        self.docker(&["info", "--format", "{{.Swarm.NodeID}}"])
    }

    /// `inactive`, `pending`, `active`, `error` or `locked`, as its own engine says.
    pub fn swarm_state(&self) -> Result<String> {
        self.docker(&["info", "--format", "{{.Swarm.LocalNodeState}}"])
    }

    /// The token that joins a swarm in a role, as this manager says.
    pub fn join_token(&self, role: Role) -> Result<String> {
        self.docker(&["swarm", "join-token", "--quiet", role.word()])
    }

    /// Replaces that token, and gives the new one.
    pub fn rotate_token(&self, role: Role) -> Result<String> {
        self.docker(&["swarm", "join-token", "--quiet", "--rotate", role.word()])
    }
}

fn read_node(node: &Value) -> Option<Node> {
    let text = |pointer: &str| node.pointer(pointer)?.as_str().map(str::to_owned);
    let labels = node.pointer("/Spec/Labels").and_then(Value::as_object);
    let labels =
        labels.into_iter().flatten().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())));
    Some(Node {
        id: text("/ID")?,
        // A node that never came has none.
        hostname: text("/Description/Hostname").unwrap_or_default(),
        role: match text("/Spec/Role")?.as_str() {
            "worker" => Role::Worker,
            "manager" => Role::Manager,
            _ => return None,
        },
        availability: text("/Spec/Availability")?,
        state: text("/Status/State")?,
        labels: labels.collect(),
    })
}
