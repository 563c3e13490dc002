//! Promise 11: whoever has the public key finds every record that was changed, without a broker.

use std::fs;
use std::path::Path;

use lab::cluster::{Broker, Cluster, run};
use lab::{Failed, LONG, Pool, until};
use serde_json::Value;

use crate::under_load::{Load, killed_under_load};

/// `broker audit verify --json` of these folders, with the key in this file.
fn verify(broker: &Broker<'_>, key: &Path, folders: &[&Path]) -> Result<(i32, Value), Failed> {
    let mut command = broker.command();
    command.args(["audit", "verify", "--json", "--key"]).arg(key).args(folders);
    let told = run(command)?;
    Ok((told.code, serde_json::from_str(&told.stdout).map_err(|_| told.stderr)?))
}

/// Copies what a reviewer takes along.
fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    fs::create_dir_all(to)?;
    // The head first: the records go on meanwhile.
    for name in ["audit.head", "audit.hashes", "audit.jsonl"] {
        fs::copy(from.join(name), to.join(name))?;
    }
    Ok(())
}

pub(crate) fn a_changed_record_is_named_by_whoever_kept_the_key(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let mut broker = Broker::start(cluster.manager())?;
    let key = cluster.manager().folder().join("kept.pub");
    fs::copy(broker.state().join("audit.pub"), &key)?;
    let invite = broker.invite(&["--uses", "3"])?;
    cluster.joiners(&invite).iter().try_for_each(|joiner| joiner.joins().map(drop))?;

    let state = broker.state().clone();
    let (code, told) = verify(&broker, &key, &[&state])?;
    assert_eq!((code, &told["ok"], &told["logs"]), (0, &true.into(), &1.into()), "while it serves: {told}");
    // A broker that is killed leaves a log that is right, save for records it had no time to sign, and goes on with it.
    for _ in 0..3 {
        broker.kill()?;
        let (code, told) = verify(&broker, &key, &[&state])?;
        let log = &told["checked"][0];
        let unsigned =
            log["record"] == log["signed"] && log["wrong"].as_str().is_some_and(|it| it.contains("never signed"));
        assert!(code == 0 || code == 65 && unsigned, "killed: {told}");
        broker.serve()?;
        let (code, told) = verify(&broker, &key, &[&state])?;
        assert_eq!(code, 0, "it goes on: {told}");
    }
    broker.stop()?;
    let records = broker.records()?;
    let (code, told) = verify(&broker, &key, &[&state])?;
    assert_eq!((code, told["records"].as_u64()), (0, Some(records.len() as u64)), "{told}");

    // In a copy: nobody but the holder of the key can change it unseen.
    let taken = cluster.manager().folder().join("taken");
    copy(&state, &taken)?;
    let at = records.iter().position(|record| record["event"] == "node.joined").ok_or("nobody joined")?;
    let text = fs::read_to_string(taken.join("audit.jsonl"))?;
    let lines: Vec<&str> = text.lines().collect();
    let hostname = records[at]["hostname"].as_str().ok_or("no hostname")?;
    let forged = lines[at].replace(hostname, "somebody-else");
    fs::write(taken.join("audit.jsonl"), text.replace(lines[at], &forged))?;
    // One that is not there hides no other.
    let (code, told) = verify(&broker, &key, &[&state, &taken.join("none"), &taken])?;
    assert_eq!((code, &told["ok"], &told["checked"][0]["ok"]), (65, &false.into(), &true.into()), "{told}");
    assert_eq!(told["checked"][2]["record"], at as u64, "{told}");
    assert_eq!(verify(&broker, &key, &[&state, &taken.join("none")])?.0, 66);

    // The broker does not go on with it either, and says where it is.
    fs::write(state.join("audit.jsonl"), text.replace(lines[at], &forged))?;
    let refused = broker.run(&["serve"])?;
    assert_eq!(refused.code, 65);
    assert!(refused.stderr.contains(&format!("record {at}")), "{}", refused.stderr);
    fs::write(state.join("audit.jsonl"), &text)?;
    broker.serve()?;
    until(LONG, "it to be ready", || broker.json(&["status", "--json"]).ok().filter(|status| status["ready"] == true))?;
    Ok(())
}

pub(crate) fn a_broker_that_is_killed_under_load_has_recorded_every_answer(pool: &Pool) -> Result<(), Failed> {
    let storms = killed_under_load(pool, &Load { times: 4, at_once: 16, answers: 1 })?;
    println!("killed under load: {} answers, {} a second, each recorded", storms.answered, storms.rate());
    Ok(())
}

pub(crate) fn records_are_chosen_by_time_event_node_and_invite(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    // Nothing is written by itself between two looks.
    let broker = Broker::start_with(cluster.manager(), &["--rotate-worker", "manual"])?;
    let invites = [broker.invite(&["--uses", "1"])?, broker.invite(&["--uses", "1"])?];
    for (joiner, invite) in cluster[1..].iter().zip(&invites) {
        lab::cluster::Joiner::new(joiner, invite).joins()?;
    }
    let list = |arguments: &[&str]| -> Result<Vec<Value>, Failed> {
        let text = broker.ok(&[&["audit", "list"], arguments].concat())?;
        text.lines().map(|line| serde_json::from_str(line).map_err(Failed::from)).collect()
    };
    let all = list(&["--json"])?;
    assert_eq!(all.len(), list(&[])?.len(), "JSON without a terminal, too");
    for field in ["time", "event", "outcome", "node", "invite", "broker"] {
        assert!(all.iter().all(|record| record.get(field).is_some()), "a record without {field}");
    }
    let joined = list(&["--event", "node.joined"])?;
    assert_eq!(joined.len(), 2);
    assert!(list(&["--event", "node"])?.len() > 2, "all that begin so");
    let (node, invite) =
        (joined[0]["node"].as_str().ok_or("no node")?, joined[0]["invite"].as_str().ok_or("no invite")?);
    assert!(list(&["--node", node])?.iter().all(|record| record["node"] == node));
    let of_one = list(&["--invite", &invite[..12]])?;
    assert!(!of_one.is_empty() && of_one.iter().all(|record| record["invite"] == invite));
    assert_eq!(list(&["--since", "1h"])?.len(), all.len());
    assert_eq!(list(&["--until", "1h"])?.len(), 0);
    let now = all.last().and_then(|record| record["time"].as_str()).ok_or("no time")?;
    assert!(!list(&["--since", now])?.is_empty());
    assert_eq!(list(&["--outcome", "alarm"])?.len(), 0);
    assert_eq!(list(&["--broker", "nobody"])?.len(), 0);
    let wrong = broker.run(&["audit", "list", "--since", "yesterday"])?;
    assert_eq!(wrong.code, 64, "{}", wrong.stderr);
    assert!(broker.ok(&["audit", "list", "--table"])?.contains("node.joined"));
    Ok(())
}

pub(crate) fn what_no_log_says_of_the_cluster_is_named(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    // The token that is read below is not about to be replaced.
    let broker = Broker::start_with(manager, &["--rotate-worker", "manual"])?;
    let invite = broker.invite(&["--uses", "1"])?;
    lab::cluster::Joiner::new(&cluster[1], &invite).joins()?;
    let look = || -> Result<(i32, Value), Failed> {
        let told = broker.run(&["audit", "verify", "--cluster", "--json"])?;
        Ok((told.code, serde_json::from_str::<Value>(&told.stdout).map_err(|_| told.stderr)?["cluster"].clone()))
    };
    let (code, told) = look()?;
    assert_eq!((code, &told["nodes"], &told["claims"]), (0, &2.into(), &1.into()), "{told}");

    // Joined by hand; then labelled by hand, as if somebody had adopted it.
    cluster[2].join(manager, &manager.join_token(lab::Role::Worker)?)?;
    let id = cluster[2].node_id()?;
    for (label, what) in [(None, "nothing explains"), (Some("swarm-broker.adopted=mine"), "anybody adopted")] {
        if let Some(label) = label {
            manager.docker(&["node", "update", "--label-add", label, &id])?;
        }
        let (code, told) = look()?;
        let mismatches = told["mismatches"].as_array().ok_or("no list")?;
        assert_eq!((code, mismatches.len()), (65, 1), "{told}");
        let named = |field: &str, word: &str| mismatches[0][field].as_str().is_some_and(|text| text.contains(word));
        assert!(named("node", &id) && named("what", what), "{told}");
    }
    Ok(())
}
