//! A machine shows its identity: who it is comes from that certificate, and from nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{Caller, ClientTrust};
use protocol::{InviteId, Role};
use rustls::{AlertDescription, CertificateError, Error};
use sha2::{Digest as _, Sha256};

use crate::cluster::{Cluster, HOUR, MINUTE, NOW, at, provider, serving};
use crate::pipe::{client_at, meet, reason, server_at};

#[test]
fn an_identity_says_cluster_role_invite_and_key() {
    let cluster = Cluster::new();
    for role in [Role::Worker, Role::Manager] {
        let invite = InviteId::random();
        let (machine, issued) = cluster.machine(role, &invite);
        let (leaf, key) = (machine.chain[0].clone(), machine.key.hash());
        let trust = cluster.trust();
        let meeting = cluster.call(machine, &trust).succeeded();
        let chain = meeting.server.peer_certificates().expect("the server saw a chain");
        assert_eq!(chain[0], leaf);
        let Caller::Identity(caller) = trust.caller(chain, at(NOW)).expect("known") else { panic!("not an identity") };
        assert_eq!(caller, issued);
        assert_eq!(matches!(caller, certs::MachineIdentity::Manager(_)), role == Role::Manager, "told apart by type");
        assert_eq!((&caller.cluster, caller.role, &caller.invite), (&cluster.id, role, &invite));
        assert_eq!(caller.key, key);
        assert_eq!(caller.thumbprint.as_str(), URL_SAFE_NO_PAD.encode(Sha256::digest(&leaf)));
        assert!(caller.serial.len() == 32 && caller.serial.bytes().all(|byte| byte.is_ascii_hexdigit()));
    }
}

#[test]
fn two_identities_for_one_key_differ_in_their_thumbprint_only() {
    let cluster = Cluster::new();
    let invite = InviteId::random();
    let key = certs::SigningKey::generate().expect("a key");
    let csr = certs::Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
    let issue = || cluster.issuing.identity(&csr, Role::Worker, &invite, at(NOW)).expect("an identity").1;
    let (first, second) = (issue(), issue());
    assert_eq!((&first.key, &first.invite, first.role), (&second.key, &second.invite, second.role));
    assert_eq!(first.key, csr.key());
    assert_ne!(first.thumbprint, second.thumbprint);
    assert_ne!(first.serial, second.serial);
}

#[test]
fn an_identity_is_good_from_five_minutes_before_it_was_made_for_fifteen_minutes_after() {
    let cluster = Cluster::new();
    let (machine, issued) = cluster.machine_at(NOW, Role::Worker, &InviteId::random());
    let trust = cluster.trust();
    let caller = |time| trust.caller(&machine.chain, at(time));
    for good in [NOW - 5 * MINUTE, NOW, NOW + 15 * MINUTE] {
        assert_eq!(caller(good), Ok(Caller::Identity(issued.clone())));
    }
    let early = caller(NOW - 5 * MINUTE - 1).expect_err("not valid yet");
    assert_eq!(reason(&early), "NotValidYetContext");
    let late = caller(NOW + 15 * MINUTE + 1).expect_err("expired");
    assert_eq!(reason(&late), "ExpiredContext");
}

#[test]
fn an_identity_that_is_not_valid_now_is_refused_in_the_handshake() {
    let cluster = Cluster::new();
    let cases = [(NOW - HOUR, "ExpiredContext"), (NOW + HOUR, "NotValidYetContext")];
    for (made, why) in cases {
        let (machine, _) = cluster.machine_at(made, Role::Worker, &InviteId::random());
        let refusal = cluster.call(machine, &cluster.trust()).refused_by_server(AlertDescription::CertificateExpired);
        assert_eq!(reason(&refusal), why);
    }
}

#[test]
fn the_clock_that_judges_an_identity_is_the_brokers() {
    let cluster = Cluster::new();
    let (machine, _) = cluster.machine(Role::Worker, &InviteId::random());
    let client = cluster.client();
    let dial = |broker_clock| {
        let config = client.with_certificate(machine.chain.clone(), machine.key.to_tls()).expect("settings");
        let server = server_at(at(broker_clock), serving(cluster.broker(), &cluster.trust()));
        meet(client_at(at(0), config), client.server_name().expect("a name"), server)
    };
    dial(NOW).succeeded();
    let refusal = dial(NOW + HOUR).refused_by_server(AlertDescription::CertificateExpired);
    assert_eq!(reason(&refusal), "ExpiredContext");
}

#[test]
fn an_identity_of_another_cluster_is_refused() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let (machine, _) = theirs.machine(Role::Worker, &InviteId::random());
    let chain = machine.chain.clone();
    let refusal = ours.call(machine, &ours.trust()).refused_by_server(AlertDescription::UnknownCA);
    assert_eq!(refusal, Error::InvalidCertificate(CertificateError::UnknownIssuer));
    assert!(ours.trust().caller(&chain, at(NOW)).is_err());
    assert!(theirs.trust().caller(&chain, at(NOW)).is_ok());
}

#[test]
fn the_issuing_cas_that_are_trusted_can_change_while_the_broker_serves() {
    let cluster = Cluster::new();
    let next = cluster.root.issue(2, at(NOW)).expect("generation 2");
    let trust = cluster.trust();
    let old = cluster.machine(Role::Worker, &InviteId::random());
    let call = || {
        let (machine, _) = cluster.machine(Role::Worker, &InviteId::random());
        cluster.call(machine, &trust)
    };
    call().succeeded();
    trust.trust_identities(&[next.public().clone(), cluster.issuing.public().clone()]).expect("both");
    call().succeeded();
    trust.trust_identities(&[next.public().clone()]).expect("the new one");
    assert_eq!(reason(&call().refused_by_server(AlertDescription::UnknownCA)), "UnknownIssuer");
    assert!(trust.caller(&old.0.chain, at(NOW)).is_err());
}

#[test]
fn a_broker_that_trusts_no_issuing_ca_knows_nobody_but_still_serves() {
    let cluster = Cluster::new();
    let nobody = ClientTrust::new(provider(), &[]).expect("no one");
    let (machine, _) = cluster.machine(Role::Worker, &InviteId::random());
    cluster.call(machine, &nobody).refused_by_server(AlertDescription::UnknownCA);
    crate::cluster::dial_at(NOW, cluster.pin(), serving(cluster.broker(), &nobody)).succeeded();
    assert_eq!(nobody.caller(&[], at(NOW)), Err(Error::NoCertificatesPresented));
}
