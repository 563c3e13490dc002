//! A node of the swarm shows the certificate its engine keeps: trusted once the broker knows that swarm's root.

use std::sync::Arc;

use certs::{Caller, ClientTrust, NodeCertificate};
use protocol::{InviteId, NodeId, Role};
use rustls::{AlertDescription, Error};

use crate::cluster::{Cluster, HOUR, NOW, Shown, at};
use crate::forgery::{date, dns, signed_by, uri};
use crate::pipe::reason;
use crate::swarm::{Swarm, node_params};

const SWARM: &str = "q1w2e3r4t5y6u7i8o9p0a1s2d";
const NODE: &str = "k9vqn1p0r3a8j2m4x6t5b7c1d";

fn node() -> NodeId {
    NODE.parse().expect("a node id")
}

/// Calls with what is shown and reads the caller from what the server saw.
#[track_caller]
fn accepted(cluster: &Cluster, shown: Shown, trust: &Arc<ClientTrust>) -> Caller {
    let meeting = cluster.call(shown, trust).succeeded();
    trust.caller(meeting.server.peer_certificates().expect("a chain"), at(NOW)).expect("known")
}

#[track_caller]
fn accepted_node(cluster: &Cluster, shown: Shown, trust: &Arc<ClientTrust>) -> NodeCertificate {
    match accepted(cluster, shown, trust) {
        Caller::Node(node) => node,
        Caller::Identity(identity) => panic!("read as an identity: {identity:?}"),
        Caller::Operator(operator) => panic!("read as an operator: {operator:?}"),
    }
}

#[track_caller]
fn unknown(cluster: &Cluster, shown: Shown, trust: &Arc<ClientTrust>) {
    let chain = shown.chain.clone();
    let refusal = cluster.call(shown, trust).refused_by_server(AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");
    assert_eq!(trust.caller(&chain, at(NOW)), Err(refusal));
}

#[test]
fn a_node_says_swarm_node_and_role_once_its_swarm_is_trusted() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let trust = cluster.trust();
    unknown(&cluster, swarm.node("swarm-worker", &node()), &trust);
    trust.trust_nodes(&swarm.root_pem()).expect("trusted");
    for (unit, role) in [("swarm-worker", Role::Worker), ("swarm-manager", Role::Manager)] {
        let shown = swarm.node(unit, &node());
        let thumbprint = certs::Thumbprint::of(&shown.chain[0]);
        let read = accepted_node(&cluster, shown, &trust);
        assert_eq!((&read.swarm, &read.node, read.role), (&swarm.id, &node(), role));
        assert_eq!((read.thumbprint, read.serial.as_str()), (thumbprint, "4d".repeat(16).as_str()));
    }
}

#[test]
fn a_node_of_another_swarm_is_refused() {
    let cluster = Cluster::new();
    let (ours, theirs) = (Swarm::new(SWARM), Swarm::new("z1x2c3v4b5n6m7a8s9d0f1g2h"));
    let trust = cluster.trust();
    trust.trust_nodes(&ours.root_pem()).expect("trusted");
    accepted_node(&cluster, ours.node("swarm-worker", &node()), &trust);
    // All swarms' roots bear the same name, so it is the signature that tells.
    let stranger = theirs.node("swarm-manager", &node());
    let chain = stranger.chain.clone();
    assert!(matches!(
        cluster.call(stranger, &trust).refused_by_server(AlertDescription::UnknownCA),
        Error::InvalidCertificate(_)
    ));
    assert!(trust.caller(&chain, at(NOW)).is_err());
}

#[test]
fn after_the_swarms_root_was_replaced_the_old_roots_nodes_are_refused() {
    let cluster = Cluster::new();
    let old = Swarm::new(SWARM);
    let new = old.rotated();
    let trust = cluster.trust();
    trust.trust_nodes(&old.root_pem()).expect("trusted");
    accepted_node(&cluster, old.node("swarm-worker", &node()), &trust);
    assert!(matches!(
        cluster.call(new.node("swarm-worker", &node()), &trust).refused_by_server(AlertDescription::UnknownCA),
        Error::InvalidCertificate(_)
    ));

    trust.trust_nodes(&format!("{}{}", old.root_pem(), new.root_pem())).expect("both trusted");
    let came_before = accepted_node(&cluster, old.node("swarm-worker", &node()), &trust);
    accepted_node(&cluster, new.node("swarm-worker", &node()), &trust);
    assert!(trust.still_trusts(&came_before, at(NOW)) && !trust.still_trusts(&came_before, at(NOW + 2 * 24 * HOUR)));

    trust.trust_nodes(&new.root_pem()).expect("trusted");
    accepted_node(&cluster, new.node("swarm-worker", &node()), &trust);
    let stale = old.node("swarm-worker", &node());
    let chain = stale.chain.clone();
    assert!(matches!(
        cluster.call(stale, &trust).refused_by_server(AlertDescription::UnknownCA),
        Error::InvalidCertificate(_)
    ));
    assert!(trust.caller(&chain, at(NOW)).is_err());
    assert!(!trust.still_trusts(&came_before, at(NOW)), "whose connection is open from before");
}

#[test]
fn while_the_swarms_root_rotates_a_node_of_the_new_root_is_accepted_under_the_old_one() {
    let cluster = Cluster::new();
    let old = Swarm::new(SWARM);
    let new = old.rotated();
    let trust = cluster.trust();
    trust.trust_nodes(&old.root_pem()).expect("trusted");
    let mut shown = new.node("swarm-worker", &node());
    shown.chain.push(new.cross_signed_by(&old));
    let came = accepted_node(&cluster, shown, &trust);
    assert_eq!(came.node, node());
    assert!(trust.still_trusts(&came, at(NOW)));
    trust.trust_nodes(&new.root_pem()).expect("trusted");
    assert!(trust.still_trusts(&came, at(NOW)));
}

#[test]
fn roots_that_do_not_read_change_nothing() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let trust = cluster.trust();
    trust.trust_nodes(&swarm.root_pem()).expect("trusted");
    let broken = swarm.root_pem().replacen("MI", "!!", 1);
    assert!(trust.trust_nodes(&broken).is_err());
    assert!(trust.trust_nodes("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").is_err());
    accepted_node(&cluster, swarm.node("swarm-worker", &node()), &trust);
    trust.trust_nodes("").expect("no swarm any more");
    unknown(&cluster, swarm.node("swarm-worker", &node()), &trust);
}

#[test]
fn what_the_swarm_signed_is_never_an_identity() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let trust = cluster.trust();
    trust.trust_nodes(&swarm.root_pem()).expect("trusted");
    let claim = uri(&format!("swarm-broker://{}/manager/{}", cluster.id, InviteId::random()));
    // With a node's subject it is that node, as a worker.
    let shown = swarm.certificate("swarm-worker", NODE, std::slice::from_ref(&claim));
    assert_eq!(accepted_node(&cluster, shown, &trust).role, Role::Worker);
    // With another subject it is nobody.
    let cases = [("swarm-broker", NODE), ("", NODE), ("swarm-manager", "not a node id"), ("SWARM-MANAGER", NODE)];
    for (unit, name) in cases {
        let shown = swarm.certificate(unit, name, std::slice::from_ref(&claim));
        let chain = shown.chain.clone();
        let refusal = cluster.call(shown, &trust).refused_by_server(AlertDescription::HandshakeFailure);
        assert_eq!(refusal, Error::General("this is not a swarm node certificate".into()), "{unit} {name}");
        assert_eq!(trust.caller(&chain, at(NOW)), Err(refusal));
    }
    // Before the swarm was trusted it was nobody at all.
    unknown(&cluster, swarm.certificate("swarm-worker", NODE, &[claim]), &cluster.trust());
}

#[test]
fn an_identity_stays_an_identity_when_a_swarm_is_trusted() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let trust = cluster.trust();
    trust.trust_nodes(&swarm.root_pem()).expect("trusted");
    let (machine, issued) = cluster.machine(Role::Manager, &InviteId::random());
    assert_eq!(accepted(&cluster, machine, &trust), Caller::Identity(issued.clone()));
    // The swarm's certificates sent along with an identity do not make it a node.
    let (mut machine, issued) = cluster.machine(Role::Worker, &InviteId::random());
    machine.chain.extend(swarm.node("swarm-manager", &node()).chain);
    machine.chain.extend(swarm.root.chain.iter().cloned());
    assert_eq!(accepted(&cluster, machine, &trust), Caller::Identity(issued));
}

#[test]
fn a_node_cannot_issue_another_or_an_identity() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let trust = cluster.trust();
    trust.trust_nodes(&swarm.root_pem()).expect("trusted");
    let worker = swarm.node("swarm-worker", &node());
    let names = [
        vec![dns("swarm-manager")],
        vec![uri(&format!("swarm-broker://{}/manager/{}", cluster.id, InviteId::random()))],
    ];
    for names in names {
        let params = node_params(&swarm.id, "swarm-manager", NODE, &names);
        let made = signed_by(&worker, &params);
        let chain = made.chain.clone();
        let refusal = cluster.call(made, &trust).refused_by_server(AlertDescription::UnknownCA);
        assert!(matches!(refusal, Error::InvalidCertificate(_)), "{refusal:?}");
        assert!(trust.caller(&chain, at(NOW)).is_err());
    }
}

#[test]
fn a_node_certificate_that_is_not_valid_now_is_refused() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let trust = cluster.trust();
    trust.trust_nodes(&swarm.root_pem()).expect("trusted");
    let cases = [(NOW - 2 * HOUR, NOW - 1, "ExpiredContext"), (NOW + 1, NOW + HOUR, "NotValidYetContext")];
    for (begins, ends, why) in cases {
        let mut params = node_params(&swarm.id, "swarm-worker", NODE, &[]);
        (params.not_before, params.not_after) = (date(begins), date(ends));
        let shown = signed_by(&swarm.root, &params);
        let chain = shown.chain.clone();
        let refusal = cluster.call(shown, &trust).refused_by_server(AlertDescription::CertificateExpired);
        assert_eq!(reason(&refusal), why);
        assert_eq!(trust.caller(&chain, at(NOW)), Err(refusal));
        assert!(matches!(trust.caller(&chain, at(ends)), Ok(Caller::Node(node)) if node.node.as_str() == NODE));
    }
}

#[test]
fn a_swarm_node_certificate_is_not_accepted_as_a_server() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let name = protocol::server_name(&cluster.id);
    let at_least = format!("{}.g1.swarm-broker.internal", cluster.id);
    let mut shown = swarm.certificate("swarm-manager", NODE, &[dns(&name), dns(&at_least)]);
    shown.chain.push(swarm.root.chain[0].clone());
    // Even with our issuing CA and our root sent along.
    shown.chain.push(cluster.issuing.public().certificate.clone());
    shown.chain.push(cluster.issuing.public().root.clone());
    let refusal = cluster.dial(cluster.pin(), shown.into_server()).refused_by_client(AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");
}
