//! A broker in operation: what it says of itself, invites made without it, and how it stops.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use lab::cluster::{Broker, Cluster, Gated, Held, Joiner, Machine, Systemd, assert_admits, on};
use lab::{Failed, LONG, Pool, until};

/// A GET on the public listener: the status.
fn status(broker: &Broker<'_>, machine: &Machine, path: &str) -> Result<u16, Failed> {
    let wire = machine.anonymous();
    let answer = on(broker.host(), || async { wire.send(hyper::Method::GET, path, "".into()).await })?;
    Ok(answer.map_err(|error| format!("{path}: {error}"))?.0)
}

/// What a scraper reads.
pub(crate) fn scraped() -> std::io::Result<String> {
    let mut stream = TcpStream::connect("127.0.0.1:9443")?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nHost: broker\r\nConnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}

/// The alert rules that are shipped: each looks at what is served, and names what stands in the page on operations.
fn assert_rules_are_of_this_broker(metrics: &str) {
    let rules = include_str!("../../../package/prometheus/broker.rules.yml");
    let page = include_str!("../../../docs/operations.md");
    let of = |key: &str| -> Vec<&str> {
        rules
            .lines()
            .filter_map(|line| line.trim().strip_prefix(key))
            .map(|rest| rest.trim().trim_matches('"'))
            .collect()
    };
    let (expressions, lines) = (of("expr:"), of("runbook:"));
    assert!(expressions.len() > 5 && expressions.len() == lines.len(), "a line for each");
    for word in expressions
        .iter()
        .flat_map(|expression| expression.split(|letter: char| !letter.is_alphanumeric() && letter != '_'))
    {
        let family = word.trim_end_matches("_total");
        assert!(
            !word.starts_with("swarm_broker_") || metrics.contains(&format!("# TYPE {family} ")),
            "no figure {word}"
        );
    }
    for line in lines {
        assert!(page.contains(line), "nothing in operations.md about: {line}");
    }
}

pub(crate) fn ready_means_that_machines_can_be_admitted(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let _systemd = Systemd::serves(&mut broker, &["--metrics", "127.0.0.1:9443"])?;

    let machine = Machine::new(&broker.invite(&["--uses", "1"])?, broker.address());
    assert_eq!(status(&broker, &machine, "/healthz")?, 200);
    assert_eq!(status(&broker, &machine, "/readyz")?, 200);
    let metrics = || -> Result<String, Failed> { Ok(manager.inside(scraped)??) };
    assert!(metrics()?.contains("swarm_broker_ready 1"), "{}", metrics()?);

    assert_rules_are_of_this_broker(&metrics()?);

    manager.kill_engine()?;
    until(LONG, "the broker not to be ready", || (status(&broker, &machine, "/readyz").ok()? == 503).then_some(()))?;
    assert_eq!(status(&broker, &machine, "/healthz")?, 200, "alive all the same");
    assert!(metrics()?.contains("swarm_broker_ready 0"));
    manager.start_engine()?;
    until(LONG, "the broker to be ready again", || (status(&broker, &machine, "/readyz").ok()? == 200).then_some(()))?;

    let stopped = broker.stop()?;
    assert_eq!(stopped.code, 0, "{}", stopped.stderr);
    assert_eq!(broker.count("broker.stopped", None)?, 1);
    assert!(!manager.folder().join("admin.sock").exists());
    Ok(())
}

pub(crate) fn an_invite_made_before_the_broker_ran_admits(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let mut broker = Broker::init(manager)?;
    let nowhere = broker.run(&["invite", "create", "--offline"])?;
    assert_eq!(nowhere.code, 64);
    assert!(nowhere.stderr.contains("--broker"), "{}", nowhere.stderr);
    let address = broker.address().to_string();
    let ephemeral = broker.run(&["invite", "create", "--offline", "--ephemeral", "--broker", &address])?;
    assert_eq!((ephemeral.code, ephemeral.stderr.contains("older release")), (0, true), "{}", ephemeral.stderr);
    let invite = broker.invite(&["--offline", "--broker", &address, "--uses", "1", "--label", "zone=a"])?;

    broker.serve()?;
    assert_eq!(
        broker.json(&["invite", "list", "--json"])?["invites"].as_array().map(Vec::len),
        Some(0),
        "not seen yet"
    );
    Joiner::new(machine, &invite).joins()?;
    let listed = broker.json(&["invite", "list", "--json"])?;
    assert_eq!((&listed["invites"][0]["state"], &listed["invites"][0]["joined"]), (&"used-up".into(), &1.into()));
    let running = broker.run(&["invite", "create", "--offline", "--broker", &address])?;
    assert_eq!(running.code, 64, "the log is the running broker's: {}", running.stderr);
    Ok(())
}

pub(crate) fn a_first_start_that_is_cut_off_is_gone_on_with(pool: &Pool) -> Result<(), Failed> {
    // The ledger is made; its first manager is listed, and then adopted.
    for (request, number) in [("/configs/create", 1), ("/configs/create", 2), ("/nodes/", 1)] {
        for done in [false, true] {
            let place = format!("killed {} {request} {number}", if done { "after" } else { "before" });
            let cluster = Cluster::form(pool, 1, 1)?;
            let manager = cluster.manager();
            let mut broker = Gated::init(manager)?;
            let step = Held { request: format!("POST {request}"), number, done };
            broker.cut_off_start(&step, || match request {
                "/configs/create" => manager.config_versions().is_ok_and(|configs| configs.len() >= number),
                _ => lab::nodes(manager).is_ok_and(|nodes| nodes.iter().any(|node| !node.labels.is_empty())),
            })?;
            let told = broker.json(&["nodes", "--json"])?;
            let nodes = told["nodes"].as_array().ok_or("no nodes")?;
            assert!(nodes.len() == 1 && nodes[0]["explained"] == true, "{place}: {told}");
            let invite = broker.invite(&["--uses", "1"])?;
            Joiner::new(&cluster[1], &invite).joins()?;
            assert_eq!(broker.count("ledger.lost", None)?, 0, "{place}");
        }
    }
    Ok(())
}

pub(crate) fn an_engine_that_hangs_does_not_starve_the_watchdog(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let systemd = Systemd::serves(&mut broker, &[])?;
    manager.pause_engine()?;
    let silence = systemd.longest_silence(Duration::from_secs(40))?;
    manager.resume_engine()?;
    // The unit gives it two minutes.
    assert!(silence < Duration::from_secs(30), "{silence:?}");
    Ok(())
}

pub(crate) fn a_rotation_that_waits_does_not_starve_the_watchdog(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let systemd = Systemd::serves(&mut broker, &["--rotation-wait", "30s", "--grant-lifetime", "5m"])?;
    // By its policy the token is replaced 30 s after the first machine got it, and the second one is waited for then.
    let invite = broker.invite(&["--uses", "2"])?;
    assert_admits(manager, &broker, &invite)?;
    systemd.longest_silence(Duration::from_secs(20))?;
    assert_admits(manager, &broker, &invite)?;
    until(LONG, "the rotation", || {
        let dry = broker.json(&["rotate", "worker", "--dry-run", "--json"]).ok()?;
        (!dry["under_way"].is_null()).then_some(())
    })?;
    let silence = systemd.longest_silence(Duration::from_secs(10))?;
    let dry = broker.json(&["rotate", "worker", "--dry-run", "--json"])?;
    assert!(!dry["under_way"].is_null(), "it still waits: {dry}");
    // What the keeper does besides goes on: it says so every two seconds.
    assert!(silence < Duration::from_secs(8), "{silence:?}");
    Ok(())
}
