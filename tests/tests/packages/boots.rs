//! Boots by what is shipped: real engines, a real swarm, nothing built for the test.

use std::ffi::OsString;
use std::fs;

use lab::cluster::{Broker, Cluster, Joiner};
use lab::{Failed, Host, Pool, programs};

use crate::programs::{BROKER, JOINERS, words};

/// The shipped broker, ready on this manager.
fn serving<'h>(manager: &'h Host, arguments: &[&str]) -> Result<Broker<'h>, Failed> {
    let mut broker = Broker::init_by(manager, manager.folder().join("broker"), programs::shipped(BROKER)?)?;
    broker.serve_with(arguments)?;
    Ok(broker)
}

/// Whether so many machines have come by the broker, and are labelled and explained.
fn assert_joined(manager: &Host, broker: &Broker<'_>, machines: usize) -> Result<(), Failed> {
    let nodes = lab::nodes(manager)?;
    let labelled = nodes.iter().filter(|node| node.labels.get("zone").is_some_and(|zone| zone == "a"));
    assert_eq!(labelled.filter(|node| node.availability == "active").count(), machines);
    let report = broker.json(&["nodes", "--json"])?;
    let listed = report["nodes"].as_array().ok_or("no list of nodes")?;
    assert!(listed.len() == machines + 1 && listed.iter().all(|node| node["explained"] == true), "{report}");
    Ok(())
}

pub(crate) fn the_shipped_joiners_join_by_the_shipped_broker(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, JOINERS.len())?;
    let broker = serving(cluster.manager(), &[])?;
    let invite = broker.invite(&["--uses", "2", "--label", "zone=a"])?;
    for (machine, name) in cluster[1..].iter().zip(JOINERS) {
        let joined = Joiner::new(machine, &invite).by(&words(name)?).joins()?;
        assert!(joined.stdout.contains("joined: node"), "{name}: {}", joined.stdout);
        let again = Joiner::new(machine, &invite).by(&words(name)?).joins()?;
        assert!(again.stdout.contains("already joined"), "{name}: {}", again.stdout);
    }
    assert_joined(cluster.manager(), &broker, JOINERS.len())
}

/// Runs what follows where `/etc/hosts` is this file.
fn with_names(file: OsString) -> Vec<OsString> {
    let script = r#"mount --bind "$0" /etc/hosts && exec "$@""#;
    let words = ["unshare", "--mount", "--propagation", "private", "sh", "-c", script];
    words.into_iter().map(OsString::from).chain([file]).collect()
}

pub(crate) fn a_shipped_joiner_looks_a_brokers_name_up(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, JOINERS.len())?;
    let manager = cluster.manager();
    let broker = serving(manager, &["--advertise", "broker.lab.internal:7443"])?;
    let invite = broker.invite(&["--uses", "2", "--label", "zone=a"])?;
    for (machine, name) in cluster[1..].iter().zip(JOINERS) {
        let names = machine.folder().join("hosts");
        fs::write(&names, format!("127.0.0.1 localhost\n{} broker.lab.internal\n", manager.address()))?;
        let words = [with_names(names.into()), words(name)?].concat();
        let joined = Joiner::new(machine, &invite).by(&words).joins()?;
        assert!(joined.stderr.contains("from broker.lab.internal:7443"), "{name}: {}", joined.stderr);
    }
    assert_joined(manager, &broker, JOINERS.len())
}
