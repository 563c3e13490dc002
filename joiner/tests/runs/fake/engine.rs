//! A fake engine: a Docker socket, node files as the real engine writes them, scripted joins.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

use super::serve::{self, Reply};
use super::{NODE, SWARM, TOKEN};

/// What the engine makes of a join.
#[derive(Clone, Copy)]
pub(crate) enum JoinScript {
    /// "A valid join token is necessary".
    TokenNotValid,
    /// "will continue in the background"; active after this many looks.
    Background(u32),
    /// A failure that leaves this state behind.
    Fails(&'static str),
    /// It joins, but never answers.
    SilentSuccess,
}

struct Memory {
    state: &'static str,
    script: VecDeque<JoinScript>,
    looks_until_active: Option<u32>,
    /// Which node it says it is, whatever its state; none: as a whole one does.
    node: Option<&'static str>,
    may_leave: bool,
    /// The bodies of the joins that came.
    joins: Vec<serde_json::Value>,
    leaves: u32,
    info: serde_json::Value,
}

/// A fake engine.
pub(crate) struct FakeEngine {
    pub(crate) socket: PathBuf,
    pub(crate) root: PathBuf,
    swarm_root: String,
    memory: Arc<Mutex<Memory>>,
}

impl FakeEngine {
    /// Serves at `root/docker.sock`.
    pub(crate) fn start(root: &Path) -> Self {
        std::fs::create_dir_all(root.join("swarm/certificates")).expect("makes");
        let swarm_root = write_node_files(root);
        let socket = root.join("docker.sock");
        let memory = Arc::new(Mutex::new(Memory {
            state: "inactive",
            script: VecDeque::new(),
            looks_until_active: None,
            node: None,
            may_leave: false,
            joins: Vec::new(),
            leaves: 0,
            info: serde_json::json!({ "DockerRootDir": root, "SecurityOptions": ["name=seccomp"] }),
        }));
        let engine = Self { socket, root: root.to_owned(), swarm_root, memory };
        engine.listen();
        engine
    }

    fn listen(&self) {
        let listener = std::os::unix::net::UnixListener::bind(&self.socket).expect("a socket");
        listener.set_nonblocking(true).expect("sets");
        let memory = self.memory.clone();
        serve::on_a_thread(move || async move {
            let listener = tokio::net::UnixListener::from_std(listener).expect("listens");
            while let Ok((stream, _)) = listener.accept().await {
                let memory = memory.clone();
                tokio::task::spawn_local(serve::serve(stream, move |call, body| {
                    memory.lock().expect("whole").answer(&call, &body)
                }));
            }
        });
    }

    /// The swarm's root certificate, PEM.
    pub(crate) fn swarm_root(&self) -> &str {
        &self.swarm_root
    }

    /// Scripts the next joins.
    pub(crate) fn script(&self, joins: impl IntoIterator<Item = JoinScript>) {
        self.memory.lock().expect("whole").script = joins.into_iter().collect();
    }

    /// Sets the state.
    pub(crate) fn set_state(&self, state: &'static str) {
        self.memory.lock().expect("whole").state = state;
    }

    /// From now on it is in this state, says that it is this node, and may be told to leave.
    pub(crate) fn set_node(&self, state: &'static str, node: &'static str) {
        let mut memory = self.memory.lock().expect("whole");
        (memory.state, memory.node, memory.may_leave) = (state, Some(node), true);
    }

    /// Sets a field of `/info`.
    pub(crate) fn set_info(&self, field: &str, value: serde_json::Value) {
        self.memory.lock().expect("whole").info[field] = value;
    }

    /// The bodies of the joins that came.
    pub(crate) fn joins(&self) -> Vec<serde_json::Value> {
        self.memory.lock().expect("whole").joins.clone()
    }

    /// How often it was told to leave.
    pub(crate) fn leaves(&self) -> u32 {
        self.memory.lock().expect("whole").leaves
    }
}

impl Memory {
    fn answer(&mut self, call: &str, body: &[u8]) -> Reply {
        let message = |status: u16, text: &str| {
            Some((status, serde_json::to_vec(&serde_json::json!({ "message": text })).expect("serialises")))
        };
        match call {
            "GET /info" => {
                if let Some(looks) = self.looks_until_active.take() {
                    match looks.checked_sub(1) {
                        Some(left) => self.looks_until_active = Some(left),
                        None => self.state = "active",
                    }
                }
                let node = self.node.unwrap_or(if self.state == "active" { NODE } else { "" });
                let mut info = self.info.clone();
                info["Swarm"] =
                    serde_json::json!({ "LocalNodeState": self.state, "NodeID": node, "Error": "", "Cluster": null });
                Some((200, serde_json::to_vec(&info).expect("serialises")))
            }
            "POST /swarm/join" => {
                let call: serde_json::Value = serde_json::from_slice(body).expect("reads");
                assert!(call["JoinToken"].as_str().is_some_and(|token| token.starts_with(TOKEN)), "the token is live");
                self.joins.push(call);
                if self.state != "inactive" {
                    return message(503, "This node is already part of a swarm.");
                }
                match self.script.pop_front() {
                    None => {
                        self.state = "active";
                        Some((200, Vec::new()))
                    }
                    Some(JoinScript::TokenNotValid) => {
                        message(400, "rpc error: A valid join token is necessary to join this cluster")
                    }
                    Some(JoinScript::Background(looks)) => {
                        self.state = "pending";
                        self.looks_until_active = Some(looks);
                        message(
                            503,
                            "Timeout was reached before node joined. The attempt to join the swarm will continue in the background.",
                        )
                    }
                    Some(JoinScript::Fails(state)) => {
                        self.state = state;
                        message(500, "rpc error: manager is not reachable")
                    }
                    Some(JoinScript::SilentSuccess) => {
                        self.state = "active";
                        None
                    }
                }
            }
            "POST /swarm/leave" => {
                assert!(self.may_leave || self.state != "active", "a join never has a node leave that is in");
                self.leaves += 1;
                (self.state, self.node) = ("inactive", None);
                Some((200, Vec::new()))
            }
            _ => message(404, "page not found"),
        }
    }
}

/// Writes `swarm-node.crt` and `swarm-node.key` as the engine does; gives the swarm's root certificate.
fn write_node_files(root: &Path) -> String {
    let ca_key = KeyPair::generate().expect("a key");
    let mut ca = CertificateParams::default();
    ca.distinguished_name.push(DnType::CommonName, "swarm-ca");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca_certificate = ca.self_signed(&ca_key).expect("a root");

    let key = KeyPair::generate().expect("a key");
    let mut node = CertificateParams::new(vec!["swarm-worker".to_owned(), NODE.to_owned()]).expect("names");
    node.distinguished_name = rcgen::DistinguishedName::new();
    node.distinguished_name.push(DnType::OrganizationName, SWARM);
    node.distinguished_name.push(DnType::OrganizationalUnitName, "swarm-worker");
    node.distinguished_name.push(DnType::CommonName, NODE);
    node.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = node.signed_by(&key, &Issuer::new(ca, ca_key)).expect("a certificate");

    let folder = root.join("swarm/certificates");
    let with_headers = key.serialize_pem().replacen("KEY-----\n", "KEY-----\nkek-version: 0\n\n", 1);
    std::fs::write(folder.join("swarm-node.crt"), format!("{}{}", certificate.pem(), ca_certificate.pem()))
        .expect("writes");
    std::fs::write(folder.join("swarm-node.key"), with_headers).expect("writes");
    ca_certificate.pem()
}
