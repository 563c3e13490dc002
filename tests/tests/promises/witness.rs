//! Promise 11: brokers keep copies of each other's logs. A lost manager loses none, and one that is put back is found.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use hyper::Method;
use hyper::body::Bytes;
use lab::cluster::{Broker, Joiner, Machine, invite, node_key, on, run};
use lab::{Failed, Host, LONG, Pool, until};
use serde_json::Value;

use crate::managers::three;

/// The broker's id, as its log says it.
fn id(broker: &Broker<'_>) -> Result<String, Failed> {
    Ok(broker.records()?[0]["broker"].as_str().ok_or("no id")?.to_owned())
}

/// The folder of one broker's copy of another's log.
fn copy(broker: &Broker<'_>, of: &str) -> PathBuf {
    broker.state().join("logs").join(of)
}

fn lines(path: &Path) -> usize {
    fs::read_to_string(path).map_or(0, |text| text.lines().count())
}

/// Waits until a broker has all of another's log.
fn copied(broker: &Broker<'_>, of: &Broker<'_>) -> Result<(), Failed> {
    let folder = copy(broker, &id(of)?);
    let signed = |path: PathBuf| fs::read_to_string(path).ok()?.lines().nth(1)?.parse::<usize>().ok();
    until(LONG, "the copy", || {
        (signed(folder.join("audit.head"))? >= lines(&of.state().join("audit.jsonl"))).then_some(())
    })?;
    Ok(())
}

/// `broker audit verify --json` on this broker's manager, with these keys.
fn verify(broker: &Broker<'_>, keys: &Path) -> Result<(i32, Value), Failed> {
    let mut command = broker.command();
    command.args(["audit", "verify", "--json", "--key"]).arg(keys);
    let told = run(command)?;
    Ok((told.code, serde_json::from_str(&told.stdout).map_err(|_| told.stderr)?))
}

/// What was found in the log of one broker.
fn of<'v>(told: &'v Value, broker: &str) -> Result<&'v Value, Failed> {
    let mut logs = told["checked"].as_array().ok_or("no list")?.iter();
    Ok(logs.find(|log| log["broker"] == broker).ok_or_else(|| format!("no log of {broker}: {told}"))?)
}

/// The public keys of all, as a reviewer keeps them.
fn keep_keys(brokers: &[Broker<'_>]) -> Result<PathBuf, Failed> {
    let keys: Result<String, _> =
        brokers.iter().map(|broker| fs::read_to_string(broker.state().join("audit.pub"))).collect();
    let path = brokers[0].host().folder().join("kept.pub");
    fs::write(&path, keys?)?;
    Ok(path)
}

fn list(broker: &Broker<'_>) -> Result<(Vec<Value>, String), Failed> {
    let told = broker.run(&["audit", "list", "--json"])?;
    assert_eq!(told.code, 0, "{}", told.stderr);
    let records: Result<_, _> = told.stdout.lines().map(serde_json::from_str).collect();
    Ok((records?, told.stderr))
}

pub(crate) fn a_lost_managers_log_verifies_from_the_others_copies(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(4)?;
    let mut brokers = three(&hosts[..3])?;
    let keys = keep_keys(&brokers)?;
    let ids = brokers.iter().map(id).collect::<Result<Vec<_>, _>>()?;

    // On any of them the records of all are read as one log, and followed.
    let mut follow = brokers[2].command();
    // Since before it began: whatever is written before it reads is shown, too.
    follow.args(["audit", "follow", "--json", "--since", "1h", "--event", "invite.made", "--event", "node.joined"]);
    let mut follow = hosts[2].spawn("follow", follow)?;
    let invite = brokers[0].invite(&["--uses", "1"])?;
    Joiner::new(&hosts[3], &invite).joins()?;
    let joined = invite::id(&invite)?;
    until(LONG, "both records", || {
        (follow.stdout().lines().filter(|line| line.contains(&joined)).count() >= 2).then_some(())
    })?;
    follow.kill()?;
    for broker in &brokers {
        let (records, trouble) = list(broker)?;
        assert_eq!(trouble, "");
        let seen: BTreeSet<&str> = records.iter().filter_map(|record| record["broker"].as_str()).collect();
        assert_eq!(seen, ids.iter().map(String::as_str).collect());
        let times: Vec<&str> = records.iter().filter_map(|record| record["time"].as_str()).collect();
        assert!(times.is_sorted_by_key(|time| time.trim_end_matches('Z')), "in the order of time");
        assert_eq!(
            records.iter().filter(|record| record["event"] == "node.joined").count(),
            3,
            "two managers, a worker"
        );
    }

    // It is given to managers only.
    let asks = |host: &Host| -> Result<u16, Failed> {
        let wire = Machine::new(&invite, brokers[0].address()).with_node(node_key(host)?);
        Ok(on(host, || async { wire.send(Method::GET, "/v1/log/0/00", Bytes::new()).await })??.0)
    };
    assert_eq!((asks(&hosts[1])?, asks(&hosts[3])?), (200, 403));
    let wire = Machine::new(&invite, brokers[0].address()).anonymous();
    let (status, _) = on(&hosts[1], || async { wire.send(Method::GET, "/v1/log/0/00", Bytes::new()).await })??;
    assert_eq!(status, 403);
    assert_eq!(brokers[0].count("refused", Some("wrong-role"))?, 1);
    assert_eq!(brokers[0].count("refused", Some("wrong-certificate"))?, 1);

    // A copy that somebody changed stays until that is written down, however long that cannot be done.
    brokers[2].stop()?;
    let (damaged, state) = (copy(&brokers[2], &ids[0]), brokers[2].state().clone());
    let text = fs::read_to_string(damaged.join("audit.jsonl"))?;
    fs::write(damaged.join("audit.jsonl"), text.replacen("ok", "no", 1))?;
    brokers[2].serve()?;
    // Nothing can be put in the place of a head.
    fs::create_dir(state.join(".audit.head.new"))?;
    for _ in 0..2 {
        let (_, trouble) = list(&brokers[2])?;
        assert!(trouble.contains(&ids[0]), "{trouble}");
        assert!(!damaged.join("audit.damaged").exists(), "nobody was told, and it is gone");
    }
    fs::remove_dir(state.join(".audit.head.new"))?;
    assert_eq!(list(&brokers[2])?.1, "");
    assert_eq!(brokers[2].count("log.damaged", None)?, 1);
    assert!(damaged.join("audit.damaged").exists());

    // The second manager's disk is lost, when the others have its log. What it writes meanwhile they may have, too.
    let had = brokers[1].records()?.len();
    copied(&brokers[0], &brokers[1])?;
    copied(&brokers[2], &brokers[1])?;
    brokers[1].stop()?;
    let whole = brokers[1].records()?;
    fs::remove_dir_all(brokers[1].state())?;
    let (records, trouble) = list(&brokers[0])?;
    assert!(trouble.contains(&ids[1]) && trouble.contains("not all here"), "{trouble}");
    let here = records.iter().filter(|record| record["broker"] == ids[1].as_str()).count();
    assert!(here >= had, "{here} of {had}");
    for other in [0, 2] {
        let (code, told) = verify(&brokers[other], &keys)?;
        assert_eq!((code, &told["logs"]), (0, &3.into()), "{told}");
        let log = of(&told, &ids[1])?;
        assert!(log["records"].as_u64() >= Some(had as u64), "{log}");
        assert_eq!(log["cosigned_by"], serde_json::json!([ids[other]]), "{log}");
        let kept: Vec<Value> = fs::read_to_string(copy(&brokers[other], &ids[1]).join("audit.jsonl"))?
            .lines()
            .map(serde_json::from_str)
            .collect::<Result<_, _>>()?;
        assert!(kept.len() >= had, "{} of {had}", kept.len());
        assert_eq!(kept, whole[..kept.len()]);
    }
    // A reviewer's page tells what all three saw, each machine once.
    let mut report = brokers[0].command();
    report.args(["audit", "report", "--output", "-", "--key"]).arg(&keys);
    let told = run(report)?;
    assert_eq!(told.code, 0, "{}", told.stderr);
    for said in ["All 3 logs are as they were signed", "3 machines joined on", &format!("cosigned by {}", ids[0])] {
        assert!(told.stdout.contains(said), "'{said}' is not on the page");
    }
    Ok(())
}

pub(crate) fn a_log_that_is_put_back_is_an_alarm_on_the_others(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let mut brokers = three(&hosts)?;
    let keys = keep_keys(&brokers)?;
    let victim = id(&brokers[1])?;

    // Whoever has the disk keeps a copy of all files of the log, and waits.
    brokers[1].stop()?;
    let state = brokers[1].state().clone();
    let names = ["audit.jsonl", "audit.hashes", "audit.head", "audit.key", "audit.pub"];
    let older: Vec<Vec<u8>> = names.iter().map(|name| fs::read(state.join(name))).collect::<Result<_, _>>()?;
    brokers[1].serve()?;
    brokers[1].invite(&["--uses", "7"])?;
    copied(&brokers[0], &brokers[1])?;
    copied(&brokers[2], &brokers[1])?;
    brokers[1].stop()?;
    for (name, bytes) in names.iter().zip(&older) {
        fs::write(state.join(name), bytes)?;
    }

    // By itself it is a log like any other, and the ledger knows of a later one.
    let (_, told) = verify(&brokers[1], &keys)?;
    assert_eq!(of(&told, &victim)?["ok"], true, "{told}");
    let refused = brokers[1].run(&["serve"])?;
    assert!(refused.code == 65 && refused.stderr.contains("put back"), "{}: {}", refused.code, refused.stderr);

    // Who is a manager can make the ledger forget that. The other brokers do not.
    for (name, bytes) in names.iter().zip(&older) {
        fs::write(state.join(name), bytes)?;
    }
    let configs = hosts[1].docker(&["config", "ls", "--format", "{{.Name}}"])?;
    let entry = configs.lines().find(|name| name.contains(&victim)).ok_or("no entry")?;
    hosts[1].docker(&["config", "rm", entry])?;
    brokers[1].serve()?;
    for witness in [0, 2] {
        until(LONG, "the alarm", || {
            let records = brokers[witness].records().ok()?;
            let alarm = records.into_iter().find(|record| record["event"] == "log.forked")?;
            // The head that proves it is kept when the record is on disk.
            let proved = copy(&brokers[witness], &victim).join("forked.head").exists();
            (alarm["outcome"] == "alarm" && alarm["peer"] == victim.as_str() && proved).then_some(())
        })?;
        let (code, told) = verify(&brokers[witness], &keys)?;
        assert_eq!(code, 65, "{told}");
        let wrong = of(&told, &victim)?["wrong"].as_str().ok_or("nothing wrong")?.to_owned();
        assert!(wrong.contains("another log"), "{wrong}");
        until(LONG, "the status to say so", || {
            let status = brokers[witness].json(&["status", "--json"]).ok()?;
            let shown = status["logs"].as_array()?.iter().find(|log| log["broker"] == victim.as_str())?;
            shown["problem"].is_string().then_some(())
        })?;
    }
    Ok(())
}
