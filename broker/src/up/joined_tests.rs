//! One machine begins the ledger, whoever was cut off on the way.

use std::path::Path;
use std::time::Duration;

use super::super::store::Listed;
use super::*;
use crate::state::{self, Brought, KeySource, PrivateFile, Waiting};

const SWARM: &str = "k9vqn1p0r3a8j2m4x6t5b7c1d";

/// A machine with the keys that the operator brought to several.
pub(in crate::up) fn brought(folder: &Path) -> Cluster {
    let (operator, keys, state) = (folder.join("operator"), folder.join("keys"), folder.join("state"));
    state::init(&operator, "test", Vec::new(), Duration::from_hours(1)).expect("made");
    let made = Cluster::open(&operator).expect("opens");
    Brought::write(&made, PrivateFile::create(&keys).expect("made"), &keys).expect("written");
    let keys = Brought::read(&KeySource::File(keys)).expect("reads").expect("is there");
    Waiting::at(&state).and_then(|waiting| waiting.take_brought(&keys)).expect("taken");
    Cluster::open(&state).expect("opens")
}

fn manager_of(nodes: i64) -> Membership {
    Membership {
        swarm: SWARM.parse().expect("an id"),
        node: SWARM.parse().expect("an id"),
        roots: String::new(),
        managers: nodes,
        nodes,
        address: "10.0.0.1".into(),
    }
}

/// The record of the swarm, as this broker published it.
fn record_of(cluster: &Cluster, broker: &str) -> Record {
    let brokers = vec![Listed { id: broker.to_owned(), addresses: Vec::new(), key: String::new() }];
    let swarm = SWARM.parse().expect("an id");
    Record { iss: cluster.id().clone(), swarm, made: 1, renewed: 1, form_until: 2, brokers }
}

fn by_store(cluster: &Cluster, record: Option<&Record>) -> Part {
    part(cluster, &Known { shared: true, named: false, by_store: true, record }, &manager_of(3))
}

#[test]
fn who_published_the_record_begins_the_ledger_and_nobody_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let cluster = brought(folder.path());
    let (own, others) = (record_of(&cluster, cluster.broker()), record_of(&cluster, "another"));
    assert_eq!(by_store(&cluster, Some(&own)), Part::Begins);
    assert_eq!(by_store(&cluster, Some(&others)), Part::CameIn);
    assert_eq!(by_store(&cluster, None), Part::CameIn, "it was published, and is gone");
    let elsewhere = Record { swarm: "k9vqn1p0r3a8j2m4x6t5b7c1e".parse().expect("an id"), ..own };
    assert_eq!(by_store(&cluster, Some(&elsewhere)), Part::CameIn);
}

#[test]
fn who_was_about_to_publish_and_was_overtaken_begins_none() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = brought(folder.path());
    let others = record_of(&cluster, "another");
    cluster.remember_founding(&manager_of(3).swarm).expect("written");
    assert_eq!(by_store(&cluster, Some(&others)), Part::CameIn);
    let named = Known { shared: true, named: true, by_store: true, record: Some(&others) };
    cluster.remember_forming().expect("written");
    assert_eq!(part(&cluster, &named, &manager_of(1)), Part::CameIn);
    cluster.remember_joined().expect("written");
    assert!(!cluster.begins_ledger_in(&manager_of(3).swarm), "nor by 'broker serve' after that");
}

#[test]
fn who_took_part_in_the_ledger_before_is_asked_no_more() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = brought(folder.path());
    cluster.remember_ledger().expect("written");
    let own = record_of(&cluster, cluster.broker());
    for record in [None, Some(&own)] {
        assert_eq!(by_store(&cluster, record), Part::Told);
    }
}

#[test]
fn without_a_store_the_operators_word_counts_also_after_a_kill() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut cluster = brought(folder.path());
    let told = |named| Known { shared: false, named, by_store: false, record: None };
    cluster.remember_forming().expect("written");
    assert_eq!(part(&cluster, &told(false), &manager_of(1)), Part::CameIn);
    assert_eq!(part(&cluster, &told(true), &manager_of(3)), Part::CameIn, "others can have begun it");
    assert_eq!(part(&cluster, &told(true), &manager_of(1)), Part::Begins);
    cluster.remember_founding(&manager_of(1).swarm).expect("written");
    assert_eq!(part(&cluster, &told(false), &manager_of(1)), Part::Told);
    assert!(cluster.begins_ledger_in(&manager_of(1).swarm));
}
