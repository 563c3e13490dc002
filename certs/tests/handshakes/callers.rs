//! What is shown in an identity's place and is none: refused in the handshake, and never read as a caller.

use std::sync::Arc;

use certs::{Caller, ClientTrust};
use protocol::{InviteId, Role};
use rcgen::DnType;
use rustls::client::ResolvesClientCert;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::CertifiedKey;
use rustls::{AlertDescription, CertificateError, Error, SignatureScheme};

use crate::cluster::{Cluster, NOW, Shown, anonymous_at, at, provider, serving};
use crate::forgery::{CLIENT, SERVER, ca, leaf, self_made, signed_by, uri};
use crate::pipe::{meet, reason};
use crate::swarm::{Swarm, node_params};

const SWARM: &str = "q1w2e3r4t5y6u7i8o9p0a1s2d";

/// Both answers to what is shown: the handshake's and that of [`ClientTrust::caller`], which must be the same refusal.
#[track_caller]
fn refused(cluster: &Cluster, shown: Shown, trust: &Arc<ClientTrust>, alert: AlertDescription) -> Error {
    let chain = shown.chain.clone();
    let refusal = cluster.call(shown, trust).refused_by_server(alert);
    let read = trust.caller(&chain, at(NOW)).expect_err("nobody");
    assert_eq!(read.to_string(), refusal.to_string());
    refusal
}

fn identity_params(cluster: &Cluster, invite: &InviteId) -> rcgen::CertificateParams {
    let subject = [(DnType::OrganizationName, cluster.id.as_str()), (DnType::CommonName, "identity")];
    let mut params = leaf(&subject, &[uri(&format!("swarm-broker://{}/manager/{invite}", cluster.id))]);
    params.extended_key_usages = vec![CLIENT];
    params
}

#[test]
fn a_self_made_certificate_that_looks_like_an_identity_is_refused() {
    let cluster = Cluster::new();
    let look_alike = self_made(&identity_params(&cluster, &InviteId::random()));
    let refusal = refused(&cluster, look_alike, &cluster.trust(), AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");
}

#[test]
fn a_certificate_of_a_ca_that_looks_like_ours_is_refused() {
    let cluster = Cluster::new();
    // Every name is right: another root and issuing CA were made for the same cluster id.
    let root = certs::Root::create(&cluster.id, "lab", at(NOW)).expect("a root");
    let imitation = Cluster { id: cluster.id.clone(), issuing: root.issue(1, at(NOW)).expect("a CA"), root };
    let (machine, _) = imitation.machine(Role::Manager, &InviteId::random());
    let refusal = refused(&cluster, machine, &cluster.trust(), AlertDescription::DecryptError);
    assert_eq!(reason(&refusal), "BadSignature");
}

#[test]
fn a_brokers_server_certificate_is_not_accepted_as_an_identity() {
    let cluster = Cluster::new();
    let broker = cluster.broker();
    let shown = Shown { chain: broker.chain, key: broker.key };
    let refusal = refused(&cluster, shown, &cluster.trust(), AlertDescription::UnsupportedCertificate);
    assert_eq!(reason(&refusal), "InvalidPurposeContext");
}

#[test]
fn an_identity_cannot_issue_another() {
    let cluster = Cluster::new();
    let (machine, _) = cluster.machine(Role::Worker, &InviteId::random());
    let promoted = signed_by(&machine, &identity_params(&cluster, &InviteId::random()));
    assert_eq!(promoted.chain.len(), 3);
    let trust = cluster.trust();
    let refusal = refused(&cluster, promoted, &trust, AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");
    // The identity itself is good.
    cluster.call(machine, &trust).succeeded();
}

#[test]
fn a_ca_that_an_issuing_ca_signed_cannot_issue_identities() {
    let cluster = Cluster::new();
    let below = signed_by(&cluster.issuing_ca(), &ca(&[(DnType::CommonName, "a CA of my own")]));
    let machine = signed_by(&below, &identity_params(&cluster, &InviteId::random()));
    let refusal = refused(&cluster, machine, &cluster.trust(), AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");
}

#[test]
fn no_ca_is_accepted_as_a_caller() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let trust = cluster.trust();
    trust.trust_nodes(&swarm.root_pem()).expect("trusted");
    let root =
        Shown { chain: vec![cluster.issuing.public().root.clone()], key: crate::cluster::copy(cluster.root.key()) };
    for shown in [cluster.issuing_ca(), root, swarm.root] {
        let alone = Shown { chain: shown.chain.clone(), key: crate::cluster::copy(&shown.key) };
        assert!(trust.caller(&shown.chain, at(NOW)).is_err());
        let refusal = cluster.call(alone, &trust).refused_by_server(AlertDescription::CertificateUnknown);
        assert_eq!(reason(&refusal), "CaUsedAsEndEntity");
    }
    // One that the issuing CA signed, with an identity's name in it.
    let mut params = identity_params(&cluster, &InviteId::random());
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    let shown = signed_by(&cluster.issuing_ca(), &params);
    let refusal = cluster.call(shown, &trust).refused_by_server(AlertDescription::CertificateUnknown);
    assert_eq!(reason(&refusal), "CaUsedAsEndEntity");
}

#[test]
fn an_identity_is_one_uri_of_the_right_form_and_nothing_beside_it() {
    let cluster = Cluster::new();
    let invite = InviteId::random();
    let good = format!("swarm-broker://{}/worker/{invite}", cluster.id);
    let cases = [
        vec![],
        vec![uri(&good), uri(&good)],
        vec![uri(&good), rcgen::SanType::IpAddress([10, 0, 0, 1].into())],
        vec![uri(&format!("{good}/more"))],
        vec![uri(&format!("{good}?role=manager"))],
        vec![uri(&format!("swarm-broker://{}/root/{invite}", cluster.id))],
        vec![uri(&format!("swarm-broker://{}/worker/", cluster.id))],
        vec![uri(&format!("spiffe://{}/worker/{invite}", cluster.id))],
        vec![uri(&good.to_uppercase())],
    ];
    let trust = cluster.trust();
    let issue = |names: &[rcgen::SanType]| {
        let mut params = identity_params(&cluster, &invite);
        params.subject_alt_names = names.to_vec();
        signed_by(&cluster.issuing_ca(), &params)
    };
    let meeting = cluster.call(issue(&[uri(&good)]), &trust).succeeded();
    let caller = trust.caller(meeting.server.peer_certificates().expect("a chain"), at(NOW)).expect("known");
    assert!(matches!(caller, Caller::Identity(identity) if identity.role == Role::Worker && identity.invite == invite));
    for names in cases {
        let refusal = refused(&cluster, issue(&names), &trust, AlertDescription::HandshakeFailure);
        assert_eq!(refusal, Error::General("this is not an identity certificate".into()), "{names:?}");
    }
}

#[test]
fn what_our_issuing_ca_signed_is_never_a_node() {
    let cluster = Cluster::new();
    let swarm = Swarm::new(SWARM);
    let trust = cluster.trust();
    trust.trust_nodes(&swarm.root_pem()).expect("trusted");
    let params = node_params(&swarm.id, "swarm-manager", "k9vqn1p0r3a8j2m4x6t5b7c1d", &[]);
    let shown = signed_by(&cluster.issuing_ca(), &params);
    let refusal = refused(&cluster, shown, &trust, AlertDescription::HandshakeFailure);
    assert_eq!(refusal, Error::General("this is not an identity certificate".into()));

    // With an identity's name beside a node's subject it is that identity, and still no node.
    let invite = InviteId::random();
    let name = uri(&format!("swarm-broker://{}/worker/{invite}", cluster.id));
    let params = node_params(&swarm.id, "swarm-manager", "k9vqn1p0r3a8j2m4x6t5b7c1d", &[name]);
    let meeting = cluster.call(signed_by(&cluster.issuing_ca(), &params), &trust).succeeded();
    let caller = trust.caller(meeting.server.peer_certificates().expect("a chain"), at(NOW)).expect("known");
    assert!(matches!(caller, Caller::Identity(identity) if identity.role == Role::Worker && identity.invite == invite));
}

/// Shows a certificate and signs with another key, as someone must who copied the certificate only.
#[derive(Debug)]
struct Copied(Arc<CertifiedKey>);

impl ResolvesClientCert for Copied {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

#[test]
fn an_identity_without_its_key_is_worth_nothing() {
    let cluster = Cluster::new();
    let (machine, _) = cluster.machine(Role::Worker, &InviteId::random());
    let other = certs::SigningKey::generate().expect("a key");
    let client = cluster.client();
    // Our own client notices by itself.
    let own = client.with_certificate(machine.chain.clone(), other.to_tls()).expect_err("keys differ");
    assert!(matches!(own, Error::InconsistentKeys(_)), "{own:?}");

    let show_signed_with = |key: &certs::SigningKey| {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.to_pkcs8().to_vec()));
        let signer = provider().key_provider.load_private_key(key).expect("a signer");
        let mut config = anonymous_at(NOW, &client);
        let copied = CertifiedKey::new(machine.chain.clone(), signer);
        config.client_auth_cert_resolver = Arc::new(Copied(Arc::new(copied)));
        meet(config, client.server_name().expect("a name"), serving(cluster.broker(), &cluster.trust()))
    };
    let refusal = show_signed_with(&other).refused_by_server(AlertDescription::DecryptError);
    assert_eq!(refusal, Error::InvalidCertificate(CertificateError::BadSignature));
    show_signed_with(&machine.key).succeeded();
}

#[test]
fn a_certificate_for_servers_with_an_identitys_name_is_refused() {
    let cluster = Cluster::new();
    let mut params = identity_params(&cluster, &InviteId::random());
    params.extended_key_usages = vec![SERVER];
    let shown = signed_by(&cluster.issuing_ca(), &params);
    let refusal = refused(&cluster, shown, &cluster.trust(), AlertDescription::UnsupportedCertificate);
    assert_eq!(reason(&refusal), "InvalidPurposeContext");
}
