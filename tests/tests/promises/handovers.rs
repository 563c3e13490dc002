//! The cluster's keys go to managers that are explained as such, and to nobody else, whatever they show.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{ClientTrust, Issuing, NodeKeyPair, ServerTls, SigningKey};
use lab::cluster::{Answer, Broker, Joiner, Machine, REFUSED, Told, UNAVAILABLE, finish, node_key, on};
use lab::{Failed, Host, LONG, Pool, Role, until};
use protocol::{
    ClusterId, HANDOVERS, HandoverReply, HandoverRequest, HandoverStatement, InviteLine, KeyText, NodeId, ProblemKind,
    Proof,
};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::UnixTime;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::managers::{follow, found};

/// A broker that asks for keys, as this node.
pub(crate) struct Asker {
    pub(crate) grant_key: SigningKey,
    cluster: ClusterId,
}

impl Asker {
    pub(crate) fn new(invite: &str) -> Result<Self, Failed> {
        let cluster = InviteLine::parse(invite)?.unverified().iss.clone();
        Ok(Self { grant_key: SigningKey::generate()?, cluster })
    }

    pub(crate) fn request(&self, node: &NodeId, proof: Option<&SigningKey>) -> Value {
        self.request_by(&self.grant_key, node, proof)
    }

    /// The same, signed by this key in place of its own.
    fn request_by(&self, signer: &SigningKey, node: &NodeId, proof: Option<&SigningKey>) -> Value {
        let point = self.grant_key.public_point();
        let digest = Sha256::digest(point);
        let broker = format!("{:016x}", u64::from_be_bytes(digest[..8].try_into().expect("8 bytes")));
        let grant_key = URL_SAFE_NO_PAD.encode(point);
        let statement = HandoverStatement { broker: &broker, grant_key: &grant_key, node, cluster: &self.cluster };
        let signed = |key: &SigningKey| URL_SAFE_NO_PAD.encode(key.sign(&statement).expect("signs"));
        let proof = proof.map(|key| Proof { key: URL_SAFE_NO_PAD.encode(key.spki()), signature: signed(key) });
        let addresses = vec!["10.9.9.9:7443".parse().expect("an address")];
        json!(HandoverRequest {
            broker: broker.clone(),
            grant_key: grant_key.clone(),
            addresses,
            release: "0".into(),
            signature: signed(signer),
            proof,
            follows: None,
        })
    }
}

/// Asks for the keys with this node's certificate.
pub(crate) fn ask(
    broker: &Broker<'_>,
    invite: &str,
    node: NodeKeyPair,
    request: &Value,
) -> Result<Answer<Value>, Failed> {
    let wire = Machine::new(invite, broker.address()).with_node(node);
    Ok(on(broker.host(), || async { wire.post(HANDOVERS, request).await })?)
}

pub(crate) fn id(host: &Host) -> Result<NodeId, Failed> {
    Ok(host.node_id()?.trim().parse()?)
}

/// All that is the cluster's secret, in a text.
fn secrets(broker: &Broker<'_>) -> Result<Vec<String>, Failed> {
    let read = |name: &str| std::fs::read_to_string(broker.state().join(name));
    Ok(vec![read("issuing.key")?, read("invite.key")?, read("root.key")?, read("grant.key")?])
}

pub(crate) fn keys_go_to_explained_managers_only(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(5)?;
    let broker = found(&hosts[0])?;
    let invite = broker.invite(&["--uses", "1"])?;
    let asker = Asker::new(&invite)?;
    let asks = |host: &Host| -> Result<Answer<Value>, Failed> {
        ask(&broker, &invite, node_key(host)?, &asker.request(&id(host)?, None))
    };

    // A worker, whatever explains it.
    Joiner::new(&hosts[1], &invite).joins()?;
    assert_eq!(asks(&hosts[1])?, Err(REFUSED));
    assert_eq!(broker.count("refused", Some("wrong-role"))?, 1);

    // A manager of another swarm is nobody here.
    lab::form(&[&hosts[2]], &[])?;
    assert!(matches!(asks(&hosts[2])?, Err(Told::Broken(_))), "its certificate is not ours");

    // A manager that came in raw: until somebody says why it is here, and also where it says so itself.
    hosts[3].join(&hosts[0], &hosts[0].join_token(Role::Manager)?)?;
    let raw = hosts[3].node_id()?;
    assert_eq!(asks(&hosts[3])?, Err(REFUSED));
    let founders = lab::nodes(&hosts[0])?.into_iter().find_map(|node| node.labels.get("swarm-broker.manager").cloned());
    let copied = format!("swarm-broker.manager={}", founders.ok_or("the founder's voucher")?);
    for label in ["swarm-broker.adopted=by myself", "swarm-broker.grant=00", "swarm-broker.manager=yes", &copied] {
        hosts[3].docker(&["node", "update", "--label-add", label, raw.trim()])?;
        assert_eq!(asks(&hosts[3])?, Err(REFUSED), "{label}");
    }
    let alarms = broker.records()?.into_iter().filter(|record| record["reason"] == "no-manager");
    assert_eq!(alarms.filter(|record| record["outcome"] == "alarm").count(), 5);

    // Adopted by an operator, it gets them: the shared ones, and not the root's nor another broker's own.
    broker.ok(&["adopt", raw.trim(), "--reason", "ours"])?;
    let given = asks(&hosts[3])?.map_err(|told| format!("{told:?}"))?;
    let text = given.to_string();
    let has: Vec<bool> = secrets(&broker)?.iter().map(|key| text.contains(&json!(key).to_string())).collect();
    assert_eq!(has, [true, true, false, false]);
    assert_eq!(broker.count("keys.handed-over", None)?, 1);

    // What it has not asked for before is not followed: an id that no broker has, or another node's.
    let mut another = Asker::new(&invite)?.request(&id(&hosts[3])?, None);
    another["follows"] = json!("ca");
    assert_eq!(ask(&broker, &invite, node_key(&hosts[3])?, &another)?, Err(UNAVAILABLE));
    assert_eq!(broker.count("keys.handed-over", None)?, 1);

    // Demoted, and then removed, it keeps its certificate. That is worth nothing.
    let (kept, again, once_more) = (node_key(&hosts[3])?, node_key(&hosts[3])?, node_key(&hosts[3])?);
    let request = asker.request(&id(&hosts[3])?, None);
    // A broker that says that it has served and follows is asked the same.
    let follows = |key: &str| {
        let mut request = request.clone();
        request["follows"] = json!(key);
        request
    };
    assert!(ask(&broker, &invite, node_key(&hosts[3])?, &follows("invite-key"))?.is_ok());
    hosts[0].docker(&["node", "demote", raw.trim()])?;
    assert_eq!(ask(&broker, &invite, kept, &request)?, Err(REFUSED));
    for key in ["ca", "invite-key"] {
        assert_eq!(ask(&broker, &invite, node_key(&hosts[3])?, &follows(key))?, Err(REFUSED));
    }
    hosts[3].leave()?;
    until(LONG, "the node to be removed", || hosts[0].docker(&["node", "rm", "--force", raw.trim()]).ok())?;
    assert_eq!(ask(&broker, &invite, again, &request)?, Err(REFUSED));
    assert_eq!(ask(&broker, &invite, once_more, &follows("ca"))?, Err(REFUSED));
    assert_eq!(broker.count("refused", Some("no-node"))?, 2);
    Ok(())
}

pub(crate) fn a_managers_keys_are_asked_for_by_the_key_that_joined(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let broker = found(&hosts[0])?;
    let invite = broker.invite(&["--role", "manager"])?;
    let joiner = Joiner::new(&hosts[1], &invite);
    joiner.joins()?;
    let asker = Asker::new(&invite)?;
    let node = id(&hosts[1])?;
    let joined = SigningKey::from_pem(&std::fs::read_to_string(joiner.state().join("key.pem"))?)?;
    let asks = |request: &Value| ask(&broker, &invite, node_key(&hosts[1])?, request);

    // Its certificate alone, as whoever has the swarm's own CA could make one; another key; and another's words.
    assert_eq!(asks(&asker.request(&node, None))?, Err(REFUSED));
    assert_eq!(asks(&asker.request(&node, Some(&SigningKey::generate()?)))?, Err(REFUSED));
    let mut other = Asker::new(&invite)?.request(&node, None);
    other["proof"] = asker.request(&node, Some(&joined))["proof"].clone();
    assert_eq!(asks(&other)?, Err(REFUSED), "it was signed for another broker");
    // All of another broker's entry is in the ledger for all to read, but not the private half of its key.
    let borrowed = asker.request_by(&joined, &node, Some(&joined));
    assert_eq!(asks(&borrowed)?, Err(REFUSED), "its grant key did not sign");
    assert_eq!(broker.count("refused", Some("statement"))?, 4);
    // An id that is not its key's would be another broker's.
    let mut stolen = asker.request(&node, Some(&joined));
    stolen["broker"] = json!("0123456789abcdef");
    assert_eq!(asks(&stolen)?, Err(Told::Problem(ProblemKind::Malformed)));
    assert_eq!(broker.count("keys.handing-over", None)?, 0);

    assert!(asks(&asker.request(&node, Some(&joined)))?.is_ok());
    Ok(())
}

pub(crate) fn a_manager_cut_off_from_quorum_hands_no_key_over(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(4)?;
    let broker = found(&hosts[0])?;
    let invite = broker.invite(&[])?;
    hosts[3].join(&hosts[0], &hosts[0].join_token(Role::Worker)?)?;
    for host in &hosts[1..3] {
        host.join(&hosts[0], &hosts[0].join_token(Role::Manager)?)?;
    }
    broker.ok(&["adopt", "--all", "--reason", "ours"])?;
    // Of one of them the leader reads no voucher, as of one that was adopted elsewhere a moment ago.
    let stranger = hosts[2].node_id()?;
    hosts[0].docker(&["node", "update", "--label-rm", "swarm-broker.manager", stranger.trim()])?;
    let asker = Asker::new(&invite)?;
    let request = asker.request(&id(&hosts[1])?, None);
    let strangers = Asker::new(&invite)?.request(&id(&hosts[2])?, None);
    let workers = Asker::new(&invite)?.request(&id(&hosts[3])?, None);
    let (pair, strangers_pair, workers_pair) = (node_key(&hosts[1])?, node_key(&hosts[2])?, node_key(&hosts[3])?);
    // The leader still answers reads for a while, and commits nothing.
    hosts[0].cut()?;
    thread::scope(|scope| -> Result<(), Failed> {
        let strangers_ask = scope.spawn(|| ask(&broker, &invite, strangers_pair, &strangers));
        let asks = scope.spawn(|| ask(&broker, &invite, pair, &request));
        let handing = || (broker.count("keys.handing-over", None).ok()? == 1).then_some(());
        until(LONG, "the keys' turn to be taken", handing)?;
        assert_eq!(ask(&broker, &invite, workers_pair, &workers)?, Err(REFUSED));
        assert!(!asks.is_finished(), "a worker, who can be given nothing, waits for no turn");
        assert_eq!(asks.join().expect("no panic")?, Err(UNAVAILABLE));
        assert_eq!(strangers_ask.join().expect("no panic")?, Err(UNAVAILABLE), "a refusal is final");
        Ok(())
    })?;
    let count = |event| broker.count(event, None);
    let (handing, handed, refused) = (count("keys.handing-over")?, count("keys.handed-over")?, count("refused")?);
    assert_eq!((handing, handed, refused), (1, 0, 1), "it read, and could not commit: it refused the worker only");

    hosts[0].heal()?;
    until(LONG, "the keys to be handed over when it is back", || {
        ask(&broker, &invite, node_key(&hosts[1]).ok()?, &request).ok()?.ok()
    })?;
    Ok(())
}

pub(crate) fn a_broker_with_former_keys_hands_none_over_and_refuses_nobody(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let first = found(&hosts[0])?;
    let invite = first.invite(&["--role", "manager", "--uses", "1"])?;
    let mut second = follow(&hosts[1], &invite)?;
    // The manager token is replaced once the second one has joined.
    until(LONG, "the third to join by hand", || {
        let token = hosts[0].join_token(Role::Manager).ok()?;
        hosts[2].join(&hosts[0], &token).ok()
    })?;
    let node = hosts[2].node_id()?;
    first.ok(&["adopt", node.trim(), "--reason", "ours"])?;
    let request = Asker::new(&invite)?.request(&id(&hosts[2])?, None);
    // Without the key that brought its node in, the second one cannot follow by itself, and stays behind.
    let key = hosts[1].folder().join("joiner").join("key.pem");
    let away = hosts[1].folder().join("key.away");
    let asks = |broker: &Broker<'_>| ask(broker, &invite, node_key(&hosts[2])?, &request);

    std::fs::rename(&key, &away)?;
    first.ok(&["rotate", "invite-key", "--now"])?;
    assert_eq!(asks(&second)?, Err(UNAVAILABLE), "its invite key is void");
    second.stop()?;
    std::fs::rename(&away, &key)?;
    std::fs::rename(second.state(), hosts[1].folder().join("before"))?;
    second.up_with(&[])?;
    assert!(asks(&second)?.is_ok(), "it has all that the first one has");

    // The second one has not got the new CA after this.
    std::fs::rename(&key, &away)?;
    let labels = ["--label-rm=swarm-broker.manager", "--label-rm=swarm-broker.adopted"];
    hosts[0].docker(&[&["node", "update"], &labels[..], &[node.trim()]].concat())?;
    first.ok(&["rotate", "ca"])?;
    first.ok(&["adopt", node.trim(), "--reason", "ours"])?;
    assert_eq!(asks(&second)?, Err(UNAVAILABLE), "its issuing CA is a former one");
    assert_eq!((second.count("keys.handed-over", None)?, second.count("refused", None)?), (1, 0));
    assert!(asks(&first)?.is_ok());
    Ok(())
}

pub(crate) fn a_server_of_a_void_issuing_ca_gives_no_key(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let mut first = found(&hosts[0])?;
    let (tls, reply) = stolen(&first)?;
    first.ok(&["rotate", "ca", "--now"])?;
    hosts[1].join(&hosts[0], &hosts[0].join_token(Role::Manager)?)?;
    first.ok(&["adopt", hosts[1].node_id()?.trim(), "--reason", "ours"])?;
    first.stop()?;

    // Who has the leaked key and the network answers in the broker's place, with an invite key of its own.
    let impostor = impostor(&hosts[1], tls, reply)?;
    let mut second = Broker::nowhere(&hosts[1])?;
    let asked = finish(second.spawn_up(&["--discover", &impostor, "--timeout", "4s"])?)?;
    assert!(asked.code == 75 && asked.stderr.contains(&impostor), "{asked:?}");
    assert!(!second.state().join("cluster.json").exists(), "it kept what it was given");
    first.serve()?;
    second.up_with(&["--discover", &impostor])?;
    let invite_key = |broker: &Broker<'_>| std::fs::read_to_string(broker.state().join("invite.key"));
    assert_eq!(invite_key(&second)?, invite_key(&first)?);
    Ok(())
}

/// What a broker of the stolen issuing CA serves with, and what it gives: all of the cluster, but for the invite key.
fn stolen(broker: &Broker<'_>) -> Result<(ServerConfig, Vec<u8>), Failed> {
    let read = |name: &str| std::fs::read_to_string(broker.state().join(name));
    let (root, certificate) = (read("root.crt")?, read("issuing.crt")?);
    let issuing = Issuing::from_pem(&certificate, &read("issuing.key")?, &root)?;
    let reply = HandoverReply {
        cluster: issuing.public().cluster.clone(),
        name: "lab".into(),
        made: 0,
        root,
        issuing: certificate,
        issuing_key: Some(KeyText::new(issuing.key().to_pem())),
        invite_key: KeyText::new(SigningKey::generate()?.to_pem()),
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let trust = ClientTrust::new(provider.clone(), &[issuing.public().clone()])?;
    // It takes every caller.
    let node = broker.host().docker(&["info", "--format", "{{.Swarm.Cluster.TLSInfo.TrustRoot}}"])?;
    trust.trust_nodes(&node)?;
    let tls = ServerTls::new(provider, issuing.server(UnixTime::now())?)?.config(trust)?;
    Ok((tls, serde_json::to_vec(&reply)?))
}

/// Answers whatever it is asked with this, on the host, until the test ends.
fn impostor(host: &Host, tls: ServerConfig, reply: Vec<u8>) -> Result<String, Failed> {
    let listener = host.inside(|| TcpListener::bind("127.0.0.1:0"))??;
    let address = listener.local_addr()?.to_string();
    let tls = Arc::new(tls);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A caller that breaks off is none of ours to tell about.
            let _ = answer(tls.clone(), stream, &reply);
        }
    });
    Ok(address)
}

fn answer(tls: Arc<ServerConfig>, stream: TcpStream, reply: &[u8]) -> std::io::Result<()> {
    let mut stream = StreamOwned::new(ServerConnection::new(tls).map_err(std::io::Error::other)?, stream);
    let mut request = [0; 4096];
    if stream.read(&mut request)? == 0 {
        return Ok(());
    }
    write!(stream, "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", reply.len())?;
    stream.write_all(reply)?;
    stream.flush()
}
