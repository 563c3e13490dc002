//! What the engine says about itself.
//!
//! Keeps promise 13 (versions mix): fields that an engine lacks or adds change nothing, a state that is new is named.
//! Must not decide what a state means for the boot.

use std::net::SocketAddr;
use std::path::PathBuf;

use protocol::{BrokerAddress, DEFAULT_PORT, NodeId, SwarmId};
use serde::{Deserialize, Deserializer};

use crate::narrate;

/// What the engine says about itself (`GET /info`).
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Info {
    /// About the swarm.
    pub(crate) swarm: LocalNode,
    /// Where the engine keeps its state, the node certificate too.
    pub(crate) docker_root_dir: PathBuf,
    #[serde(default)]
    security_options: Option<Vec<String>>,
    #[serde(default)]
    operating_system: Option<String>,
}

impl Info {
    /// Why this engine cannot be a node of a swarm, if it cannot.
    pub(crate) fn unfit(&self) -> Option<&'static str> {
        let mut options = self.security_options.iter().flatten();
        if options.any(|option| option.split(',').any(|field| field == "name=rootless")) {
            return Some("it is rootless, and a rootless engine has no overlay networks");
        }
        let desktop = self.operating_system.as_deref() == Some("Docker Desktop");
        desktop.then_some("it is Docker Desktop, whose machine other nodes cannot reach")
    }
}

/// The engine's part in a swarm.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct LocalNode {
    /// Its state.
    #[serde(rename = "LocalNodeState")]
    pub(crate) state: LocalState,
    /// Its id, where it has one.
    #[serde(rename = "NodeID", default, deserialize_with = "id_or_none")]
    pub(crate) node: Option<NodeId>,
    /// What went wrong.
    #[serde(default)]
    pub(crate) error: String,
    /// Whether it is a manager.
    #[serde(rename = "ControlAvailable", default)]
    pub(crate) manager: bool,
    /// The swarm's managers, as a node sees them now.
    #[serde(rename = "RemoteManagers", default)]
    managers: Option<Vec<Manager>>,
    /// The swarm; only managers tell.
    #[serde(default)]
    cluster: Option<Cluster>,
}

impl LocalNode {
    /// The swarm it is in, where it tells.
    pub(crate) fn swarm(&self) -> Option<&SwarmId> {
        self.cluster.as_ref()?.id.as_ref()
    }

    /// Where a broker of each manager may be.
    pub(crate) fn brokers(&self) -> Vec<BrokerAddress> {
        let addresses = self.managers.iter().flatten().filter_map(|manager| manager.address.parse::<SocketAddr>().ok());
        addresses.map(|address| SocketAddr::new(address.ip(), DEFAULT_PORT).into()).collect()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Manager {
    #[serde(rename = "Addr", default)]
    address: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Cluster {
    #[serde(rename = "ID", default, deserialize_with = "id_or_none")]
    id: Option<SwarmId>,
}

/// The states there are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub(crate) enum LocalState {
    /// In no swarm.
    #[default]
    Inactive,
    /// Joining, or looking for its managers after a restart.
    Pending,
    /// In a swarm.
    Active,
    /// It could not join, or could not come back.
    Error,
    /// A manager whose swarm has autolock on, after a restart.
    Locked,
    /// One that this release does not know.
    Unknown(String),
}

impl From<String> for LocalState {
    fn from(text: String) -> Self {
        match text.as_str() {
            "inactive" => Self::Inactive,
            "pending" => Self::Pending,
            "active" => Self::Active,
            "error" => Self::Error,
            "locked" => Self::Locked,
            _ => Self::Unknown(narrate::foreign(&text)),
        }
    }
}

impl std::fmt::Display for LocalState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Inactive => "inactive",
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Error => "error",
            Self::Locked => "locked",
            Self::Unknown(text) => text,
        })
    }
}

fn id_or_none<'de, D: Deserializer<'de>, T: std::str::FromStr>(deserializer: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<String>::deserialize(deserializer)?.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(swarm: &str, more: &str) -> Info {
        serde_json::from_str(&format!(r#"{{"DockerRootDir":"/d","Swarm":{swarm}{more}}}"#)).expect("reads")
    }

    #[test]
    fn info_reads_on_workers_and_managers_and_before_any_swarm() {
        let none = info(
            r#"{"NodeID":"","NodeAddr":"","LocalNodeState":"inactive","ControlAvailable":false,"Error":"","RemoteManagers":null}"#,
            "",
        );
        assert_eq!(none.swarm, LocalNode::default());
        let worker = info(
            r#"{"NodeID":"k9vqn1p0r3a8j2m4x6t5b7c1d","LocalNodeState":"active","Cluster":null,"ControlAvailable":false,
                "RemoteManagers":[{"NodeID":"x","Addr":"10.0.0.1:2377"},{"Addr":"[fd00::1]:2377"},{"Addr":""}]}"#,
            "",
        );
        assert_eq!((worker.swarm.state.clone(), worker.swarm.swarm()), (LocalState::Active, None));
        let brokers: Vec<String> = worker.swarm.brokers().iter().map(ToString::to_string).collect();
        assert_eq!(brokers, ["10.0.0.1:7443", "[fd00::1]:7443"]);
        assert!(!worker.swarm.manager);
        let manager = info(
            r#"{"NodeID":"k9vqn1p0r3a8j2m4x6t5b7c1d","LocalNodeState":"active","Cluster":{"ID":"zzzzzzzzzzzzzzzzzzzzzzzzz"}}"#,
            "",
        );
        assert_eq!(manager.swarm.swarm().map(SwarmId::as_str), Some("zzzzzzzzzzzzzzzzzzzzzzzzz"));
        let later = info(r#"{"LocalNodeState":"paused"}"#, "");
        assert_eq!(later.swarm.state, LocalState::Unknown("paused".into()));
    }

    #[test]
    fn an_engine_that_cannot_be_a_node_is_told() {
        let swarm = r#"{"LocalNodeState":"inactive"}"#;
        assert!(
            info(swarm, r#","SecurityOptions":["name=seccomp,profile=default","name=rootless"]"#).unfit().is_some()
        );
        assert!(info(swarm, r#","OperatingSystem":"Docker Desktop""#).unfit().is_some());
        assert!(info(swarm, r#","SecurityOptions":null,"OperatingSystem":"Debian GNU/Linux 12""#).unfit().is_none());
    }
}
