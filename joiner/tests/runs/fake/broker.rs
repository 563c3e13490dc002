//! A fake broker: real certificates and TLS, scripted decisions.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{Caller, ClientTrust, Csr, IdentityKey, Issuing, ServerTls};
use protocol::{
    BrokerAddress, ClusterId, GRANTS, GrantId, GrantReply, IDENTITIES, IdentityReply, IdentityRequest, InviteId, JOINS,
    JoinReply, JoinRequest, KeyHash, LEAVES, LeaveReply, LeaveRequest, MembershipReply, Problem, ProblemKind, REDEEM,
    RedeemReply, RedeemRequest, Role, Statement, SwarmToken,
};
use rustls_pki_types::UnixTime;
use tokio_rustls::TlsAcceptor;

use super::serve::{self, Answer, Reply};
use super::{NODE, SWARM, TOKEN};

/// What happens to the next request of a path, in place of the right answer.
#[derive(Clone, Copy)]
pub(crate) enum Scripted {
    /// A problem.
    Problem(ProblemKind),
    /// This status with a body that is none of ours.
    Garbage(u16),
    /// No answer, ever.
    Silence,
}

/// What a fake broker remembers.
#[derive(Default)]
struct Memory {
    script: Vec<(&'static str, VecDeque<Scripted>)>,
    /// Each request that arrived: method and path.
    calls: Vec<String>,
    keys: Vec<KeyHash>,
    grants: BTreeMap<String, (GrantId, KeyHash)>,
    redeemed: Vec<(GrantId, KeyHash)>,
    tokens: u32,
    explained: bool,
    /// Whether the node carries the label of an ephemeral one.
    ephemeral: bool,
    clock_ahead: u64,
    /// Its own identities are not accepted until this many were asked for.
    trusts_identities_from: usize,
}

/// A fake broker.
pub(crate) struct FakeBroker {
    pub(crate) address: BrokerAddress,
    memory: Arc<Mutex<Memory>>,
    trust: Arc<ClientTrust>,
}

impl FakeBroker {
    /// Serves for a cluster; nodes with certificates of this swarm root are known.
    pub(crate) fn start(cluster: &ClusterId, issuing: &Issuing, nodes: Option<&str>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        listener.set_nonblocking(true).expect("sets");
        let address = listener.local_addr().expect("an address").into();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let trust = ClientTrust::new(provider.clone(), &[issuing.public().clone()]).expect("trust");
        if let Some(root) = nodes {
            trust.trust_nodes(root).expect("trusts");
        }
        let server = issuing.server(UnixTime::now()).expect("a certificate");
        let config =
            ServerTls::new(provider, server).and_then(|tls| tls.config(trust.clone())).expect("a configuration");
        let memory = Arc::new(Mutex::new(Memory { explained: true, ephemeral: true, ..Memory::default() }));
        let again = Issuing::from_pem(issuing.certificate_pem(), &issuing.key().to_pem(), issuing.root_pem());
        let decide = Arc::new(Decide {
            trust: trust.clone(),
            memory: memory.clone(),
            issuing: again.expect("reads"),
            cluster: cluster.clone(),
        });
        let kept = trust.clone();
        serve::on_a_thread(move || accept(listener, TlsAcceptor::from(Arc::new(config)), trust, decide));
        Self { address, memory, trust: kept }
    }

    /// Scripts what happens to the next requests of a path.
    pub(crate) fn script(&self, path: &'static str, then: impl IntoIterator<Item = Scripted>) {
        self.memory.lock().expect("whole").script.push((path, then.into_iter().collect()));
    }

    /// Forgets what is left of the script.
    pub(crate) fn behave(&self) {
        self.memory.lock().expect("whole").script.clear();
    }

    /// Accepts no identity until this many were asked for, as after each of them had expired.
    pub(crate) fn refuse_identities_before(&self, count: usize) {
        self.memory.lock().expect("whole").trusts_identities_from = count;
        self.trust.trust_identities(&[]).expect("trusts");
    }

    /// From now on its clock is this many seconds ahead.
    pub(crate) fn set_clock_ahead(&self, seconds: u64) {
        self.memory.lock().expect("whole").clock_ahead = seconds;
    }

    /// From now on the node does not carry the label of an ephemeral one.
    pub(crate) fn keep_the_node(&self) {
        self.memory.lock().expect("whole").ephemeral = false;
    }

    /// From now on no grant or adoption explains the node.
    pub(crate) fn forget_the_node(&self) {
        self.memory.lock().expect("whole").explained = false;
    }

    /// How often this was called.
    pub(crate) fn calls(&self, call: &str) -> usize {
        self.memory.lock().expect("whole").calls.iter().filter(|called| *called == call).count()
    }

    /// The different keys that asked for an identity.
    pub(crate) fn keys(&self) -> usize {
        let mut keys = self.memory.lock().expect("whole").keys.clone();
        keys.sort();
        keys.dedup();
        keys.len()
    }
}

async fn accept(listener: std::net::TcpListener, tls: TlsAcceptor, trust: Arc<ClientTrust>, decide: Arc<Decide>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("listens");
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, trust, decide) = (tls.clone(), trust.clone(), decide.clone());
        tokio::task::spawn_local(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            let chain = stream.get_ref().1.peer_certificates();
            let caller = chain.map(|chain| trust.caller(chain, UnixTime::now()).expect("was verified"));
            serve::serve(stream, move |call, body| decide.reply(caller.as_ref(), &call, &body)).await;
        });
    }
}

struct Decide {
    trust: Arc<ClientTrust>,
    memory: Arc<Mutex<Memory>>,
    issuing: Issuing,
    cluster: ClusterId,
}

fn json(value: &impl serde::Serialize) -> Answer {
    (200, serde_json::to_vec(value).expect("serialises"))
}

fn problem(kind: ProblemKind) -> Answer {
    let problem = Problem::new(kind).with_request("request-1");
    (kind.status(), serde_json::to_vec(&problem).expect("serialises"))
}

impl Decide {
    fn reply(&self, caller: Option<&Caller>, call: &str, body: &[u8]) -> Reply {
        let mut memory = self.memory.lock().expect("whole");
        let (method, path) = call.split_once(' ').expect("a method and a path");
        memory.calls.push(call.to_owned());
        let scripted = memory.script.iter_mut().filter(|(of, _)| *of == path).find_map(|(_, then)| then.pop_front());
        match scripted {
            Some(Scripted::Problem(kind)) => Some(problem(kind)),
            Some(Scripted::Garbage(status)) => Some((status, b"<html>".to_vec())),
            Some(Scripted::Silence) => None,
            None => Some(self.decide(&mut memory, caller, method, path, body)),
        }
    }

    fn decide(&self, memory: &mut Memory, caller: Option<&Caller>, method: &str, path: &str, body: &[u8]) -> Answer {
        match (method, path, caller) {
            ("POST", IDENTITIES, None) => self.identity(memory, body),
            ("POST", GRANTS, Some(Caller::Identity(identity))) => {
                let (grant, id) = (format!("grant-{}", memory.grants.len()), GrantId::random());
                memory.grants.insert(grant.clone(), (id.clone(), identity.key.clone()));
                json(&GrantReply { grant, id, expires_in: 300 })
            }
            ("POST", REDEEM, Some(Caller::Identity(identity))) => {
                let request: RedeemRequest = serde_json::from_slice(body).expect("reads");
                let Some((id, key)) = memory.grants.get(&request.grant).cloned() else {
                    return problem(ProblemKind::Refused);
                };
                assert_eq!(key, identity.key, "a grant is redeemed by the key it is bound to");
                memory.redeemed.push((id, key));
                memory.tokens += 1;
                json(&RedeemReply {
                    token: SwarmToken::parse(format!("{TOKEN}-{}", memory.tokens)).expect("a token"),
                    managers: vec!["10.9.9.9:2377".into()],
                    swarm: SWARM.parse().expect("a swarm id"),
                    role: Role::Worker,
                    brokers: Vec::new(),
                })
            }
            ("POST", JOINS, Some(Caller::Node(node))) => self.join(memory, node.node.as_str(), body),
            ("POST", LEAVES, Some(Caller::Node(node))) => {
                let request: LeaveRequest = serde_json::from_slice(body).expect("reads");
                assert_eq!(request.node, node.node);
                json(&LeaveReply { node: request.node, tasks: 0, stays: request.if_ephemeral && !memory.ephemeral })
            }
            ("GET", JOINS, Some(Caller::Node(node))) => {
                json(&MembershipReply { node: node.node.clone(), explained: memory.explained })
            }
            _ => problem(ProblemKind::NotFound),
        }
    }

    fn identity(&self, memory: &mut Memory, body: &[u8]) -> Answer {
        let request: IdentityRequest = serde_json::from_slice(body).expect("reads");
        let csr = Csr::from_pem(&request.csr).expect("a CSR");
        memory.keys.push(csr.key());
        if memory.keys.len() >= memory.trusts_identities_from {
            self.trust.trust_identities(&[self.issuing.public().clone()]).expect("trusts");
        }
        let issued = self.issuing.identity(&csr, Role::Worker, &InviteId::random(), UnixTime::now());
        let (certificate, _) = issued.expect("an identity");
        json(&IdentityReply { certificate, time: UnixTime::now().as_secs() + memory.clock_ahead })
    }

    fn join(&self, memory: &Memory, caller: &str, body: &[u8]) -> Answer {
        let request: JoinRequest = serde_json::from_slice(body).expect("reads");
        let decode = |text: &str| URL_SAFE_NO_PAD.decode(text).expect("base64url");
        let key = IdentityKey::from_spki(&decode(&request.key)).expect("a key");
        let statement = Statement { grant: &request.grant, node: &request.node, cluster: &self.cluster };
        let provider = rustls::crypto::ring::default_provider();
        assert!(key.has_signed(&statement, &decode(&request.signature), &provider), "the statement is signed");
        assert_eq!((caller, request.node.as_str()), (NODE, NODE));
        if memory.redeemed.last() != Some(&(request.grant, key.hash().clone())) {
            return problem(ProblemKind::Refused);
        }
        json(&JoinReply { node: request.node, labels: [("zone".into(), "a".into())].into(), changed: true })
    }
}
