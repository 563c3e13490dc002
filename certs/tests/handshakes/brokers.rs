//! A machine meets what claims to be its broker: only the pinned root decides.

use certs::{PinnedClient, Root, ServerPin};
use protocol::{ClusterId, InviteId, Pin, Role};
use rcgen::{CertificateParams, DnType};
use rustls::{AlertDescription, CertificateError, Error};

use crate::cluster::{Cluster, NOW, Shown, anonymous_at, at, dial_at, provider, serving};
use crate::forgery::{CLIENT, SERVER, ca, dns, leaf, self_made, signed_by, uri};
use crate::pipe::{meet, reason};

/// What our own server certificates say.
fn server_params(cluster: &ClusterId) -> CertificateParams {
    let subject = [(DnType::OrganizationName, cluster.as_str()), (DnType::CommonName, "broker")];
    let names = [dns(&protocol::server_name(cluster)), dns(&format!("{cluster}.g1.swarm-broker.internal"))];
    let mut params = leaf(&subject, &names);
    params.extended_key_usages = vec![SERVER];
    params
}

/// The issuing CA with the root below it, as an attacker has it who took the issuing key.
fn issuing(cluster: &Cluster) -> Shown {
    let mut shown = cluster.issuing_ca();
    shown.chain.push(cluster.issuing.public().root.clone());
    shown
}

#[test]
fn a_broker_is_known_by_the_pin_alone() {
    let cluster = Cluster::new();
    let meeting = cluster.dial(cluster.pin(), cluster.broker()).succeeded();
    let chain = meeting.client.peer_certificates().expect("a chain");
    assert_eq!(chain.len(), 3);
    assert_eq!(Pin::of_certificate(&chain[2]), cluster.root.pin());

    let other = ServerPin { pin: Cluster::new().root.pin(), ..cluster.pin() };
    let refusal = cluster.dial(other, cluster.broker()).refused_by_client(AlertDescription::UnknownCA);
    assert_eq!(refusal, Error::InvalidCertificate(CertificateError::UnknownIssuer));
}

#[test]
fn a_pin_is_a_roots_and_not_that_of_a_certificate_below_it() {
    let cluster = Cluster::new();
    let broker = cluster.broker();
    // The leaf's hash is looked for among the certificates that follow it, where it is not.
    let leaf = ServerPin { pin: Pin::of_certificate(&broker.chain[0]), ..cluster.pin() };
    let refusal = cluster.dial(leaf, broker).refused_by_client(AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");
}

#[test]
fn a_chain_without_the_root_is_refused() {
    let cluster = Cluster::new();
    for length in [1, 2] {
        let mut broker = cluster.broker();
        broker.chain.truncate(length);
        let refusal = cluster.dial(cluster.pin(), broker).refused_by_client(AlertDescription::UnknownCA);
        assert_eq!(reason(&refusal), "UnknownIssuer");
    }
    // The order of what follows the leaf does not matter.
    let mut broker = cluster.broker();
    broker.chain.swap(1, 2);
    cluster.dial(cluster.pin(), broker).succeeded();
}

#[test]
fn the_root_sent_along_does_not_vouch_for_a_stranger() {
    let cluster = Cluster::new();
    let root = cluster.issuing.public().root.clone();
    // A look-alike of the whole cluster: every name is right.
    let imitation = Root::create(&cluster.id, "lab", at(NOW)).expect("a root");
    let mut below_imitation = imitation.issue(1, at(NOW)).expect("a CA").server(at(NOW)).expect("a certificate");
    below_imitation.chain.push(root.clone());
    let refusal = cluster.dial(cluster.pin(), below_imitation).refused_by_client(AlertDescription::DecryptError);
    assert_eq!(reason(&refusal), "BadSignature");
    // A certificate that nobody signed, with all of our chain below it.
    let mut alone = self_made(&server_params(&cluster.id));
    alone.chain.extend(cluster.broker().chain.into_iter().skip(1));
    let refusal = cluster.dial(cluster.pin(), alone.into_server()).refused_by_client(AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");
}

#[test]
fn another_clusters_broker_is_refused_even_under_its_own_pin() {
    let (ours, theirs) = (Cluster::new(), Cluster::new());
    let refusal = ours.dial(ours.pin(), theirs.broker()).refused_by_client(AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");
    let mixed = ServerPin { cluster: ours.id.clone(), ..theirs.pin() };
    let refusal = theirs.dial(mixed, theirs.broker()).refused_by_client(AlertDescription::BadCertificate);
    assert_eq!(reason(&refusal), "NotValidForNameContext");
    theirs.dial(theirs.pin(), theirs.broker()).succeeded();
}

#[test]
fn an_identity_is_not_accepted_as_a_server() {
    let cluster = Cluster::new();
    let (mut machine, _) = cluster.machine(Role::Manager, &InviteId::random());
    machine.chain.push(cluster.issuing.public().root.clone());
    let refusal =
        cluster.dial(cluster.pin(), machine.into_server()).refused_by_client(AlertDescription::UnsupportedCertificate);
    assert_eq!(reason(&refusal), "InvalidPurposeContext");
    // Nor with a server's names in it.
    let mut params = server_params(&cluster.id);
    params.extended_key_usages = vec![CLIENT];
    params.subject_alt_names.push(uri(&format!("swarm-broker://{}/worker/{}", cluster.id, InviteId::random())));
    let shown = signed_by(&issuing(&cluster), &params).into_server();
    let refusal = cluster.dial(cluster.pin(), shown).refused_by_client(AlertDescription::UnsupportedCertificate);
    assert_eq!(reason(&refusal), "InvalidPurposeContext");
}

#[test]
fn an_identity_cannot_issue_a_server() {
    let cluster = Cluster::new();
    let (mut machine, _) = cluster.machine(Role::Manager, &InviteId::random());
    machine.chain.push(cluster.issuing.public().root.clone());
    let shown = signed_by(&machine, &server_params(&cluster.id)).into_server();
    let refusal = cluster.dial(cluster.pin(), shown).refused_by_client(AlertDescription::CertificateUnknown);
    assert_eq!(reason(&refusal), "EndEntityUsedAsCa");
}

#[test]
fn a_ca_that_an_issuing_ca_signed_cannot_issue_servers() {
    let cluster = Cluster::new();
    let below = signed_by(&issuing(&cluster), &ca(&[(DnType::CommonName, "a CA of my own")]));
    let shown = signed_by(&below, &server_params(&cluster.id)).into_server();
    let refusal = cluster.dial(cluster.pin(), shown).refused_by_client(AlertDescription::CertificateUnknown);
    assert_eq!(reason(&refusal), "PathLenConstraintViolated");
    // The same leaf directly below the issuing CA is a broker's: only the path length refused it.
    cluster.dial(cluster.pin(), signed_by(&issuing(&cluster), &server_params(&cluster.id)).into_server()).succeeded();
}

#[test]
fn the_issuing_ca_itself_is_not_accepted_as_a_server() {
    let cluster = Cluster::new();
    let refusal = cluster
        .dial(cluster.pin(), issuing(&cluster).into_server())
        .refused_by_client(AlertDescription::CertificateUnknown);
    assert_eq!(reason(&refusal), "CaUsedAsEndEntity");
}

#[test]
fn the_name_is_the_clusters_whatever_name_was_dialled() {
    let cluster = Cluster::new();
    let client = PinnedClient::new(provider(), cluster.pin());
    let expected = protocol::server_name(&cluster.id);
    assert_eq!(client.server_name().expect("a name").to_str(), expected.as_str());
    let dialled = "manager-1.example".try_into().expect("a name");
    let refusal = meet(anonymous_at(NOW, &client), dialled, serving(cluster.broker(), &cluster.trust()))
        .refused_by_client(AlertDescription::BadCertificate);
    assert_eq!(reason(&refusal), "NotValidForNameContext");
}

#[test]
fn a_server_without_its_key_is_refused() {
    let cluster = Cluster::new();
    let mut stolen = cluster.broker();
    stolen.key = certs::SigningKey::generate().expect("a key");
    let refusal = certs::ServerTls::new(provider(), stolen).expect_err("our own server notices by itself");
    assert!(matches!(refusal, Error::InconsistentKeys(_)), "{refusal:?}");

    let key = certs::SigningKey::generate().expect("a key");
    let signer = provider().key_provider.load_private_key(key.to_tls()).expect("a signer");
    let certified = rustls::sign::CertifiedKey::new(cluster.broker().chain, signer);
    let mut server = serving(cluster.broker(), &cluster.trust());
    server.cert_resolver = std::sync::Arc::new(rustls::sign::SingleCertAndKey::from(certified));
    let refusal = dial_at(NOW, cluster.pin(), server).refused_by_client(AlertDescription::DecryptError);
    assert_eq!(refusal, Error::InvalidCertificate(CertificateError::BadSignature));
}
