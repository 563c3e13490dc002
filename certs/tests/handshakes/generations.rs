//! Issuing CAs come in generations: a newer one serves all machines, a leaked older one cannot pose as newer.

use certs::{BrokerServer, Issuing, ServerPin};
use protocol::ClusterId;
use rcgen::{DnType, SanType};
use rustls::{AlertDescription, Error};

use crate::cluster::{Cluster, NOW, Shown, at, copy};
use crate::forgery::{SERVER, dns, leaf, signed_by};
use crate::pipe::reason;

fn asking_for(cluster: &Cluster, generation: u32) -> ServerPin {
    ServerPin { generation, ..cluster.pin() }
}

fn server(issuing: &Issuing) -> BrokerServer {
    issuing.server(at(NOW)).expect("a server certificate")
}

/// A server certificate with any names, made with the key of an issuing CA that leaked.
fn leaked(issuing: &Issuing, names: &[SanType]) -> BrokerServer {
    let public = issuing.public();
    let ca = Shown { chain: vec![public.certificate.clone(), public.root.clone()], key: copy(issuing.key()) };
    let subject = [(DnType::OrganizationName, public.cluster.as_str()), (DnType::CommonName, "broker")];
    let mut params = leaf(&subject, names);
    params.extended_key_usages = vec![SERVER];
    signed_by(&ca, &params).into_server()
}

fn fixed(cluster: &ClusterId) -> SanType {
    dns(&protocol::server_name(cluster))
}

fn of_generation(cluster: &ClusterId, generation: u32) -> SanType {
    dns(&format!("{cluster}.g{generation}.swarm-broker.internal"))
}

#[track_caller]
fn refused(cluster: &Cluster, pin: ServerPin, shown: BrokerServer, alert: AlertDescription) -> Error {
    cluster.dial(pin, shown).refused_by_client(alert)
}

#[test]
fn a_newer_generation_serves_machines_that_ask_for_any_earlier_one() {
    let cluster = Cluster::new();
    for generation in [1, 2, 3, 12] {
        let issuing = cluster.root.issue(generation, at(NOW)).expect("an issuing CA");
        for asked in 1..=generation {
            cluster.dial(asking_for(&cluster, asked), server(&issuing)).succeeded();
        }
        let refusal =
            refused(&cluster, asking_for(&cluster, generation + 1), server(&issuing), AlertDescription::BadCertificate);
        assert_eq!(reason(&refusal), "NotValidForNameContext", "generation {generation}");
    }
}

#[test]
fn a_leaked_generation_cannot_claim_to_be_a_newer_one() {
    let cluster = Cluster::new();
    let id = &cluster.id;
    let claims = [
        vec![fixed(id), of_generation(id, 1), of_generation(id, 2)],
        vec![fixed(id), of_generation(id, 2)],
        vec![fixed(id), dns("*.g2.swarm-broker.internal")],
        vec![fixed(id), dns(&format!("*.{id}.g2.swarm-broker.internal")), of_generation(id, 2)],
    ];
    for claim in claims {
        // Whatever is asked for, a certificate that claims too much is refused.
        for asked in [1, 2] {
            let shown = leaked(&cluster.issuing, &claim);
            let refusal = refused(&cluster, asking_for(&cluster, asked), shown, AlertDescription::CertificateUnknown);
            assert_eq!(reason(&refusal), "NameConstraintViolation", "{claim:?}");
        }
    }
}

#[test]
fn a_leaked_generation_gets_nowhere_with_names_that_it_may_bear() {
    let cluster = Cluster::new();
    let id = &cluster.id;
    let below = |name: &str| dns(&format!("{name}.{id}.g1.swarm-broker.internal"));
    let names = vec![fixed(id), of_generation(id, 1), below("*"), below(&format!("{id}.g2.swarm-broker.internal"))];
    let shown = leaked(&cluster.issuing, &names);
    let refusal = refused(&cluster, asking_for(&cluster, 2), shown, AlertDescription::BadCertificate);
    assert_eq!(reason(&refusal), "NotValidForNameContext");
    // For invites that still accept generation 1 it is good: those must be replaced (DESIGN §3b).
    cluster.dial(asking_for(&cluster, 1), leaked(&cluster.issuing, &names)).succeeded();
    // A common name is not a name.
    let shown = leaked(&cluster.issuing, &[]);
    let refusal = refused(&cluster, asking_for(&cluster, 1), shown, AlertDescription::BadCertificate);
    assert_eq!(reason(&refusal), "NotValidForNameContext");
}

#[test]
fn a_newer_issuing_ca_sent_along_does_not_help_an_older_one() {
    let cluster = Cluster::new();
    let newer = cluster.root.issue(2, at(NOW)).expect("generation 2");
    let id = &cluster.id;
    let mut shown = leaked(&cluster.issuing, &[fixed(id), of_generation(id, 1), of_generation(id, 2)]);
    shown.chain.push(newer.public().certificate.clone());
    let refusal = refused(&cluster, asking_for(&cluster, 2), shown, AlertDescription::CertificateUnknown);
    assert_eq!(reason(&refusal), "NameConstraintViolation");
}

#[test]
fn a_generation_cannot_serve_another_cluster_of_the_same_root() {
    let cluster = Cluster::new();
    let other = ClusterId::random();
    let pin = ServerPin { cluster: other.clone(), ..cluster.pin() };
    let shown = leaked(&cluster.issuing, &[fixed(&other), of_generation(&other, 1)]);
    let refusal = refused(&cluster, pin, shown, AlertDescription::CertificateUnknown);
    assert_eq!(reason(&refusal), "NameConstraintViolation");
}
