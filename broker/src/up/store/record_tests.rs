//! A record is believed as it was signed, by a key that this cluster's issuing CA made for records.

use certs::{Issuing, Root, SigningKey};
use rustls::crypto::aws_lc_rs::default_provider;

use super::*;

const NOW: u64 = 1_900_000_000;

fn issuing(cluster: &ClusterId, generation: u32) -> Issuing {
    Root::create(cluster, "test", clock::unix(NOW))
        .and_then(|root| root.issue(generation, clock::unix(NOW)))
        .expect("made")
}

fn record(cluster: &ClusterId) -> Record {
    let id = "k9vqn1p0r3a8j2m4x6t5b7c1d";
    let brokers = vec![Listed { id: "b".into(), addresses: vec!["10.0.0.1".parse().expect("one")], key: "k".into() }];
    Record {
        iss: cluster.clone(),
        swarm: id.parse().expect("an id"),
        made: NOW,
        renewed: NOW,
        form_until: NOW,
        brokers,
    }
}

fn read(bytes: &[u8], cluster: &ClusterId, pin: &Pin, generation: u32) -> Result<Record, String> {
    verify(bytes, &Trust { cluster, pin, generation, provider: &default_provider() })
}

#[test]
fn what_was_signed_is_verified_by_the_pin_alone() {
    let cluster = ClusterId::random();
    let issuing = issuing(&cluster, 2);
    let bytes = sign(&record(&cluster), &issuing).expect("signs");
    for generation in [1, 2] {
        assert_eq!(read(&bytes, &cluster, &issuing.pin(), generation), Ok(record(&cluster)));
    }
    let newer = read(&bytes, &cluster, &issuing.pin(), 3).expect_err("an issuing CA that was replaced");
    assert!(newer.contains("not signed under"), "{newer}");
    for secret in [issuing.key().to_pem(), SigningKey::generate().expect("made").to_pem()] {
        let text = String::from_utf8(bytes.clone()).expect("text");
        assert!(!secret.lines().any(|line| line.len() > 20 && text.contains(line)));
    }
}

#[test]
fn another_clusters_is_not_believed() {
    let (cluster, other) = (ClusterId::random(), ClusterId::random());
    let (ours, theirs) = (issuing(&cluster, 1), issuing(&other, 1));
    let bytes = sign(&record(&other), &theirs).expect("signs");
    for (cluster, pin) in [(&cluster, ours.pin()), (&other, ours.pin()), (&cluster, theirs.pin())] {
        assert!(read(&bytes, cluster, &pin, 1).is_err());
    }
    // Its own key, another cluster's name in the statement.
    let bytes = sign(&record(&other), &ours).expect("signs");
    assert!(read(&bytes, &cluster, &ours.pin(), 1).expect_err("refused").contains("another cluster"));
}

#[test]
fn a_servers_certificate_signs_no_record() {
    let cluster = ClusterId::random();
    let issuing = issuing(&cluster, 1);
    let server = issuing.server(clock::unix(NOW)).expect("made");
    let statement = Signer::new(TYP, &server.key).sign(&record(&cluster)).expect("signs");
    let chain = server.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
    let bytes = serde_json::to_vec(&Envelope { format: FORMAT, chain, statement }).expect("text");
    assert!(read(&bytes, &cluster, &issuing.pin(), 1).expect_err("refused").contains("not signed under"));
}

#[test]
fn a_statement_of_another_time_or_kind_is_refused() {
    let cluster = ClusterId::random();
    let issuing = issuing(&cluster, 1);
    let signer = issuing.record_signer(clock::unix(NOW)).expect("made");
    let sealed = |typ: &str, record: &Record| {
        let statement = Signer::new(typ, &signer.key).sign(record).expect("signs");
        let chain = signer.chain.iter().map(|certificate| STANDARD.encode(certificate)).collect();
        serde_json::to_vec(&Envelope { format: FORMAT, chain, statement }).expect("text")
    };
    let pin = issuing.pin();
    assert!(read(&sealed(TYP, &record(&cluster)), &cluster, &pin, 1).is_ok());
    assert!(read(&sealed("swarm-voucher+jwt", &record(&cluster)), &cluster, &pin, 1).is_err());
    // A record key that leaked signs for the day it was made for, and not for a later one.
    let later = Record { renewed: NOW + 2 * GOOD_FOR, ..record(&cluster) };
    assert!(read(&sealed(TYP, &later), &cluster, &pin, 1).is_err());
}

#[test]
fn what_is_damaged_or_newer_is_an_error() {
    let cluster = ClusterId::random();
    let issuing = issuing(&cluster, 1);
    let bytes = sign(&record(&cluster), &issuing).expect("signs");
    for cut in [0, 1, bytes.len() / 2, bytes.len() - 1] {
        assert!(read(&bytes[..cut], &cluster, &issuing.pin(), 1).is_err());
    }
    let newer = String::from_utf8(bytes).expect("text").replacen("\"format\":1", "\"format\":2", 1);
    assert!(read(newer.as_bytes(), &cluster, &issuing.pin(), 1).expect_err("newer").contains("install that release"));
    let huge = vec![b'['; MOST];
    assert!(read(&huge, &cluster, &issuing.pin(), 1).is_err());
}

#[test]
fn one_that_nobody_renewed_for_a_day_has_ended() {
    let record = record(&ClusterId::random());
    assert!(!record.has_ended(NOW + GOOD_FOR - 1) && record.has_ended(NOW + GOOD_FOR));
    assert!(!record.has_ended(0), "a clock that was never set");
}

#[tokio::test]
async fn one_that_a_void_issuing_ca_signed_is_told_from_a_good_and_a_forged_one() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("shared-by-managers"), "").expect("written");
    let store = Store::open(&format!("file://{}", folder.path().display()), &[]).await.expect("opens");
    let cluster = ClusterId::random();
    let root = Root::create(&cluster, "test", clock::unix(NOW)).expect("made");
    let issuing = root.issue(2, clock::unix(NOW)).expect("made");
    assert!(record(&cluster).publish(&store, &issuing).await.expect("an outcome"));
    let (pin, provider) = (issuing.pin(), default_provider());
    let trust = |generation| Trust { cluster: &cluster, pin: &pin, generation, provider: &provider };
    let Ok(Read::Good(published)) = Record::read(&store, &trust(1)).await else { panic!("a good one") };
    assert!(published.is_from(2, &trust(1)) && !published.is_from(3, &trust(1)));
    let Ok(Read::Void(version)) = Record::read(&store, &trust(3)).await else { panic!("a void one") };
    let next = root.issue(3, clock::unix(NOW)).expect("made");
    assert!(record(&cluster).renew(&store, &next, &version).await.expect("an outcome"));
    assert!(matches!(Record::read(&store, &trust(3)).await, Ok(Read::Good(_))));
    let other = ClusterId::random();
    let stranger = Trust { cluster: &other, ..trust(1) };
    assert!(matches!(Record::read(&store, &stranger).await, Err(StoreError::Bad { .. })));
}
