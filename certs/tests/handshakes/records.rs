//! A record's key signs records, and passes for nobody else; nobody else's key passes for a record's.

use certs::{RecordSigner, record_key};
use protocol::{ClusterId, InviteId, Role};
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;

use crate::cluster::{Cluster, DAY, HOUR, NOW, Shown, at, provider};
use crate::pipe::reason;

fn signer(cluster: &Cluster) -> RecordSigner {
    cluster.issuing.record_signer(at(NOW)).expect("a record key")
}

fn key(cluster: &Cluster, chain: &[CertificateDer<'_>], generation: u32, when: u64) -> Option<Vec<u8>> {
    record_key(chain, &cluster.id, &cluster.root.pin(), generation, at(when), &provider()).ok()
}

#[test]
fn a_record_key_is_known_by_the_pin_for_a_day() {
    let cluster = Cluster::new();
    let signer = signer(&cluster);
    for when in [NOW - HOUR, NOW, NOW + DAY] {
        assert_eq!(key(&cluster, &signer.chain, 1, when).as_deref(), Some(signer.key.public_point()));
    }
    for when in [NOW - HOUR - 1, NOW + DAY + 1] {
        assert_eq!(key(&cluster, &signer.chain, 1, when), None);
    }
    assert_eq!(key(&cluster, &signer.chain, 2, NOW), None, "of a generation that was replaced");
}

#[test]
fn a_record_key_of_another_cluster_or_root_is_none() {
    let (cluster, other) = (Cluster::new(), Cluster::new());
    let signer = signer(&other);
    assert_eq!(key(&cluster, &signer.chain, 1, NOW), None);
    let mixed = [&signer.chain[..2], &self::signer(&cluster).chain[2..]].concat();
    assert_eq!(key(&cluster, &mixed, 1, NOW), None);
    let stranger = record_key(&signer.chain, &ClusterId::random(), &other.root.pin(), 1, at(NOW), &provider());
    assert!(stranger.is_err(), "the same root, another cluster");
    assert_eq!(key(&cluster, &[], 1, NOW), None);
}

#[test]
fn nobody_elses_key_signs_a_record() {
    let cluster = Cluster::new();
    let server = cluster.broker();
    let (machine, _) = cluster.machine(Role::Manager, &InviteId::random());
    let root = signer(&cluster).chain[2].clone();
    let identity: Vec<_> = machine.chain.iter().cloned().chain([root.clone()]).collect();
    let issuing = [cluster.issuing.public().certificate.clone(), root.clone()];
    for chain in [&server.chain[..], &identity, &issuing, &[root]] {
        assert_eq!(key(&cluster, chain, 1, NOW), None);
    }
}

#[test]
fn a_record_key_passes_neither_for_a_broker_nor_for_a_machine() {
    let cluster = Cluster::new();
    let RecordSigner { chain, key } = signer(&cluster);
    assert!(cluster.trust().caller(&chain, at(NOW)).is_err());
    let refusal = cluster
        .dial(cluster.pin(), Shown { chain, key }.into_server())
        .refused_by_client(AlertDescription::UnsupportedCertificate);
    assert!(reason(&refusal).starts_with("InvalidPurpose"), "{refusal:?}");
}
