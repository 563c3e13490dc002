//! Promise 13: user-data made by an older release still boots. It names its joiner by SHA-256, and each broker serves it.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use hyper::body::Bytes;
use hyper::{Method, Response};
use lab::cluster::{Broker, Cluster, Machine, Wire, on};
use lab::{Failed, Host, Pool, until};
use protocol::{JOINER, JoinerHash, PROBLEM_JSON, Problem, ProblemKind};
use serde_json::Value;

use crate::at_most_n::second;
use crate::fail_closed::relabel;

/// A broker looks around every 10 s.
pub(crate) const SOON: Duration = Duration::from_secs(40);

/// Something that looks like a static program for `x86_64`, of this length, with a hash of its own.
pub(crate) fn program(name: &str, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; 120];
    bytes[..6].copy_from_slice(b"\x7fELF\x02\x01");
    for (place, value) in [(16, 2_u16), (18, 62), (32, 64), (54, 56), (56, 1), (64, 1)] {
        bytes[place..place + 2].copy_from_slice(&value.to_le_bytes());
    }
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(length, 0xa5);
    bytes
}

pub(crate) fn path_of(program: &[u8]) -> String {
    format!("{JOINER}{}", JoinerHash::of(program))
}

/// Puts a joiner where the package would, whole in one moment, as dpkg does.
pub(crate) fn install(broker: &Broker<'_>, program: &[u8]) -> Result<(), Failed> {
    let folder = broker.joiners();
    fs::create_dir_all(&folder)?;
    let new = broker.host().folder().join("joiner.new");
    fs::write(&new, program)?;
    Ok(fs::rename(new, folder.join("joiner-x86_64"))?)
}

/// Anybody who can reach the broker, without a certificate.
pub(crate) fn anybody(broker: &Broker<'_>) -> Result<Wire, Failed> {
    Ok(Machine::new(&broker.invite(&["--uses", "1"])?, broker.address()).anonymous())
}

fn ask(host: &Host, wire: &Wire, method: Method, path: &str) -> Result<Response<Bytes>, Failed> {
    Ok(on(host, || async { wire.ask(method, path, Bytes::new()).await })??)
}

/// What a machine gets for this joiner: the bytes, or the status it is told instead.
pub(crate) fn get(host: &Host, wire: &Wire, program: &[u8]) -> Result<Result<Bytes, u16>, Failed> {
    let reply = ask(host, wire, Method::GET, &path_of(program))?;
    Ok(if reply.status() == 200 { Ok(reply.into_body()) } else { Err(reply.status().as_u16()) })
}

/// The file in which a broker keeps a joiner.
pub(crate) fn kept(broker: &Broker<'_>, program: &[u8]) -> PathBuf {
    broker.state().join("joiners").join(JoinerHash::of(program).as_str())
}

/// What `broker joiner list` says of a joiner.
fn listed(broker: &Broker<'_>, program: &[u8]) -> Result<Value, Failed> {
    let shown = broker.json(&["joiner", "list", "--json"])?;
    let hash = JoinerHash::of(program).to_string();
    let found = shown["joiners"].as_array().and_then(|all| all.iter().find(|joiner| joiner["sha256"] == hash.as_str()));
    found.cloned().ok_or_else(|| Failed::from(format!("{hash} is not among {shown}")))
}

/// The config that lists a joiner.
pub(crate) fn config(program: &[u8]) -> String {
    format!("swarm-broker.joiner.{}", &JoinerHash::of(program).as_str()[..32])
}

/// What doctor says of joiners: results and texts.
pub(crate) fn findings(broker: &Broker<'_>) -> Result<Vec<(String, String)>, Failed> {
    let told: Value = serde_json::from_str(&broker.run(&["doctor", "--json"])?.stdout)?;
    let findings = told["findings"].as_array().ok_or("no findings")?.iter();
    let words = |finding: &Value| (finding["result"].to_string(), finding["text"].to_string());
    Ok(findings.filter(|finding| finding["check"] == "joiner").map(words).collect())
}

pub(crate) fn a_machine_gets_its_joiner_by_hash_and_nothing_else(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let mut broker = Broker::init(manager)?;
    let joiner = program("this release", 1_200_000);
    install(&broker, &joiner)?;
    fs::write(broker.joiners().join("README"), "not a joiner")?;
    broker.serve_with(&["--metrics", "127.0.0.1:9443"])?;
    let (wire, path) = (anybody(&broker)?, path_of(&joiner));

    let reply = ask(machine, &wire, Method::GET, &path)?;
    let header = |name: &str| reply.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    assert_eq!((reply.status().as_u16(), header("content-type")), (200, "application/octet-stream"));
    assert_eq!((header("content-length"), header("etag").trim_matches('"')), ("1200000", &path[JOINER.len()..]));
    assert!(header("cache-control").contains("immutable"), "{reply:?}");
    assert!(reply.body() == &joiner, "other bytes");
    let head = ask(machine, &wire, Method::HEAD, &path)?;
    assert_eq!((head.status().as_u16(), head.body().len()), (200, 0));
    assert_eq!(head.headers()["content-length"], "1200000");

    let unknown = path_of(b"nobody has this");
    let upper = format!("{JOINER}{}", path[JOINER.len()..].to_uppercase());
    let paths = [&unknown, &upper, &path[..path.len() - 1], &format!("{path}/"), &format!("{JOINER}../status"), JOINER];
    for path in paths {
        for method in [Method::GET, Method::HEAD] {
            let reply = ask(machine, &wire, method.clone(), path)?;
            assert_eq!((reply.status().as_u16(), &reply.headers()["content-type"]), (404, &PROBLEM_JSON.parse()?));
            let problem: Option<Problem> = serde_json::from_slice(reply.body()).ok();
            assert!(method == Method::HEAD || problem.and_then(|told| told.kind()) == Some(ProblemKind::NotFound));
        }
    }
    assert_eq!(ask(machine, &wire, Method::POST, &path)?.status(), 405);

    let shown = listed(&broker, &joiner)?;
    assert_eq!(
        (&shown["architecture"], &shown["from"], &shown["size"]),
        (&"x86_64".into(), &"package".into(), &1_200_000.into())
    );
    assert_eq!((&shown["current"], &shown["served"]), (&true.into(), &true.into()));
    assert_eq!(broker.json(&["status", "--json"])?["joiners"][0], shown);
    let told = findings(&broker)?;
    assert!(told.iter().any(|(result, text)| result.contains("advice") && text.contains("README")), "{told:?}");
    assert_eq!(broker.count("joiner.listed", None)?, 1);
    let stored = manager.config(&config(&joiner))?["Spec"]["Labels"].clone();
    assert_eq!(stored["swarm-broker.kind"], "joiner", "{stored}");
    let figures = manager.inside(crate::serving::scraped)??;
    for line in [r#"step="joiner",ending="ok"} 2"#, r#"step="joiner",ending="not_found"} 2"#, "_joiners 1\n"] {
        assert!(figures.contains(line), "{line} is not in {figures}");
    }
    Ok(())
}

pub(crate) fn a_joiner_is_served_while_nobody_can_be_admitted(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let joiner = program("a", 5_000);
    install(&broker, &joiner)?;
    broker.serve()?;
    let wire = anybody(&broker)?;
    listed(&broker, &joiner)?;
    for id in manager.docker(&["config", "ls", "-q"])?.split_whitespace() {
        manager.docker(&["config", "rm", id])?;
    }
    until(SOON, "the ledger to be lost", || (broker.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    assert!(get(manager, &wire, &joiner)? == Ok(joiner.clone().into()));
    // After a restart too, and though the package is gone: what is kept is not dropped for want of a ledger.
    broker.stop()?;
    fs::remove_dir_all(broker.joiners())?;
    broker.serve()?;
    assert_eq!(broker.json(&["status", "--json"])?["ready"], false);
    assert!(get(manager, &wire, &joiner)? == Ok(joiner.clone().into()));
    assert!(!manager.docker(&["config", "ls"])?.contains("joiner"), "nothing is written into a lost ledger");
    Ok(())
}

pub(crate) fn an_upgraded_broker_serves_the_joiner_of_older_user_data(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let releases = ["1", "2", "3"].map(|release| program(release, 50_000));
    install(&broker, &releases[0])?;
    broker.serve()?;
    let wire = anybody(&broker)?;
    assert_eq!(listed(&broker, &releases[0])?["current"], true);

    broker.stop()?;
    install(&broker, &releases[1])?;
    broker.serve()?;
    for release in &releases[..2] {
        assert!(
            get(manager, &wire, release)? == Ok(release.clone().into()),
            "user-data of an older release boots no more"
        );
    }
    assert_eq!(get(manager, &wire, &releases[2])?, Err(404));
    // A package that is installed while the broker runs is seen when somebody asks, and else soon after.
    install(&broker, &releases[2])?;
    assert_eq!(listed(&broker, &releases[2])?["current"], true);
    assert_eq!(listed(&broker, &releases[1])?["current"], false, "new user-data names the new one");
    install(&broker, &releases[0])?;
    until(SOON, "the folder to be looked at", || {
        let status = broker.json(&["status", "--json"]).ok()?;
        let current = status["joiners"].as_array()?.iter().find(|joiner| joiner["current"] == true)?;
        (current["sha256"] == JoinerHash::of(&releases[0]).as_str()).then_some(())
    })?;
    for release in &releases {
        assert!(get(manager, &wire, release)? == Ok(release.clone().into()));
    }
    Ok(())
}

pub(crate) fn a_broker_gets_a_joiner_from_another_and_serves_it_alone(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 0)?;
    let mut first = Broker::init(cluster.manager())?;
    let (packaged, given) = (program("packaged", 1_200_000), program("given", 300_000));
    install(&first, &packaged)?;
    first.serve()?;
    let file = first.host().folder().join("given");
    fs::write(&file, &given)?;
    let uploaded = first.json(&["joiner", "upload", "--json", &file.display().to_string()])?;
    assert_eq!((&uploaded["from"], &uploaded["current"]), (&"upload".into(), &false.into()));
    assert_eq!(uploaded["sha256"], JoinerHash::of(&given).as_str());
    let records = first.records()?;
    let by = |text: &str| {
        records.iter().any(|record| {
            record["event"] == "joiner.listed" && record["operator"].as_str().is_some_and(|by| by.contains(text))
        })
    };
    assert!(by("broker") && by("uid 0"), "who gave a joiner to the machines is not in the log: {records:?}");

    let mut second = second(&first, &cluster[1])?;
    second.serve()?;
    let wire = anybody(&second)?;
    for joiner in [&packaged, &given] {
        until(SOON, "the joiner to be with the second broker", || {
            (get(&cluster[1], &wire, joiner).ok()? == Ok(joiner.clone().into())).then_some(())
        })?;
    }
    assert_eq!(listed(&second, &packaged)?["from"], "peer");
    first.stop()?;
    second.stop()?;
    second.serve()?;
    for joiner in [&packaged, &given] {
        assert!(get(&cluster[1], &wire, joiner)? == Ok(joiner.clone().into()), "the second broker has it on disk");
    }
    assert!(findings(&second)?.iter().all(|(result, _)| result.contains("ok")), "{:?}", findings(&second)?);
    Ok(())
}

pub(crate) fn a_joiner_that_changed_on_disk_is_never_served(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let (joiner, other) = (program("right", 100_000), program("wrong", 100_000));
    install(&broker, &joiner)?;
    broker.serve()?;
    let wire = anybody(&broker)?;
    listed(&broker, &joiner)?;
    let file = kept(&broker, &joiner);
    let right = || -> Result<bool, Failed> {
        match get(manager, &wire, &joiner)? {
            Ok(bytes) => {
                assert!(bytes == joiner, "changed bytes were served");
                Ok(true)
            }
            Err(status) => {
                assert_eq!(status, 503, "it should be here, so it is no unknown one");
                Ok(false)
            }
        }
    };

    // While the broker runs: the folder has another.
    fs::write(&file, &other)?;
    assert!(!right()?);
    until(SOON, "the joiner to be taken from the folder again", || right().ok()?.then_some(()))?;
    // While it does not run.
    broker.stop()?;
    fs::write(&file, &other)?;
    broker.serve()?;
    assert!(right()?);
    assert_eq!(fs::read(&file)?, joiner);
    // With nobody who has it.
    broker.stop()?;
    fs::remove_dir_all(broker.joiners())?;
    fs::write(&file, &other)?;
    broker.serve()?;
    until(SOON, "doctor to say what is missing", || {
        assert!(!right().ok()?);
        findings(&broker)
            .ok()?
            .iter()
            .any(|(result, text)| result.contains("wrong") && text.contains("no other live broker"))
            .then_some(())
    })?;
    assert_eq!(broker.run(&["doctor"])?.code, 78);
    assert!(!file.exists(), "changed bytes are kept");
    // As doctor advises.
    let found = manager.folder().join("found");
    fs::write(&found, &joiner)?;
    broker.ok(&["joiner", "upload", &found.display().to_string()])?;
    assert!(right()?);
    Ok(())
}

pub(crate) fn a_joiner_that_ended_is_dropped(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let (old, new) = (program("old", 5_000), program("new", 5_000));
    install(&broker, &old)?;
    broker.serve()?;
    let wire = anybody(&broker)?;
    listed(&broker, &old)?;
    install(&broker, &new)?;
    listed(&broker, &new)?;
    // What time does to it: its end has passed.
    for joiner in [&old, &new] {
        relabel(manager, &config(joiner), "swarm-broker.until", Some("1000000000"))?;
    }
    until(SOON, "what ended to be dropped", || (get(manager, &wire, &old).ok()? == Err(404)).then_some(()))?;
    assert!(!kept(&broker, &old).exists());
    assert!(get(manager, &wire, &new)? == Ok(new.clone().into()), "what the package has does not end");
    until(SOON, "what the package has to be renewed", || {
        (listed(&broker, &new).ok()?["until"].as_str()? > "2026").then_some(())
    })?;
    assert!(manager.docker(&["config", "inspect", &config(&old)]).is_ok(), "the sweep comes a day later");
    Ok(())
}

pub(crate) fn what_is_no_joiner_has_words_and_a_code(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let told = findings(&broker)?;
    assert!(
        matches!(&told[..], [(result, text)] if result.contains("advice") && text.contains("--joiners")),
        "{told:?}"
    );

    let file = manager.folder().join("file");
    let mut dynamic = program("dynamic", 5_000);
    dynamic[64] = 3;
    let mut foreign = program("foreign", 5_000);
    foreign[18] = 243;
    let cases: [(Vec<u8>, i32, &str); 5] = [
        (b"#!/bin/sh\n".to_vec(), 65, "no Linux program"),
        // It may run where libraries are: whoever names it is warned.
        (dynamic, 0, "shared libraries"),
        (foreign, 65, "ELF machine 243"),
        (program("cut", 5_000)[..60].to_vec(), 65, "no Linux program"),
        (vec![0; 32 * 1024 * 1024 + 1], 65, "larger than 32 MiB"),
    ];
    for (bytes, code, words) in cases {
        fs::write(&file, bytes)?;
        let ended = broker.run(&["joiner", "upload", &file.display().to_string()])?;
        assert!(ended.code == code && ended.stderr.contains(words), "{words}: {ended:?}");
    }
    assert_eq!(broker.run(&["joiner", "upload", "/nowhere"])?.code, 66);
    // The largest there may be.
    fs::write(&file, program("large", 8 * 1024 * 1024))?;
    broker.ok(&["joiner", "upload", &file.display().to_string()])?;
    // And as many as there may be.
    for number in 1..31 {
        fs::write(&file, program(&number.to_string(), 1_000))?;
        broker.ok(&["joiner", "upload", &file.display().to_string()])?;
    }
    fs::write(&file, program("one more", 1_000))?;
    let ended = broker.run(&["joiner", "upload", &file.display().to_string()])?;
    assert!(ended.code == 75 && ended.stderr.contains("32 joiners"), "{ended:?}");
    assert_eq!(broker.count("joiner.listed", None)?, 32, "what was turned away is not in the log as listed");
    // As the message says.
    let remove = ended.stderr.split("docker ").nth(1).ok_or("no command in the message")?;
    manager.docker(&remove.split_whitespace().collect::<Vec<_>>())?;
    broker.ok(&["joiner", "upload", &file.display().to_string()])?;
    Ok(())
}
