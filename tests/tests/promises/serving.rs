//! A broker in operation: what it says of itself, invites made without it, and how it stops.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Gate, Held, Joiner, Machine, on};
use lab::{Failed, Pool, until};

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

pub(crate) fn ready_means_that_machines_can_be_admitted(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let notify = manager.folder().join("notify");
    let systemd = UnixDatagram::bind(&notify)?;
    systemd.set_read_timeout(Some(Duration::from_secs(5)))?;
    broker.with("NOTIFY_SOCKET", &notify.display().to_string());
    broker.serve_with(&["--metrics", "127.0.0.1:9443"])?;
    let mut told = [0; 64];
    let length = systemd.recv(&mut told)?;
    assert_eq!(&told[..length], b"READY=1\n", "systemd is told");

    let machine = Machine::new(&broker.invite(&["--uses", "1"])?, broker.address());
    assert_eq!(status(&broker, &machine, "/healthz")?, 200);
    assert_eq!(status(&broker, &machine, "/readyz")?, 200);
    let metrics = || -> Result<String, Failed> { Ok(manager.inside(scraped)??) };
    assert!(metrics()?.contains("swarm_broker_ready 1"), "{}", metrics()?);

    manager.kill_engine()?;
    until(Duration::from_secs(30), "the broker not to be ready", || {
        (status(&broker, &machine, "/readyz").ok()? == 503).then_some(())
    })?;
    assert_eq!(status(&broker, &machine, "/healthz")?, 200, "alive all the same");
    assert!(metrics()?.contains("swarm_broker_ready 0"));
    manager.start_engine()?;
    until(Duration::from_secs(30), "the broker to be ready again", || {
        (status(&broker, &machine, "/readyz").ok()? == 200).then_some(())
    })?;

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
            let mut broker = Broker::init(manager)?;
            let gate = Gate::start(manager, "gate.sock")?;
            gate.hold(Held { request: format!("POST {request}"), number, done });
            let mut command = broker.command();
            command.args(["serve", "--docker", &gate.socket().display().to_string()]);
            let mut first = manager.spawn("broker", command)?;
            until(Duration::from_secs(30), &place, || gate.struck().then_some(()))?;
            first.kill()?;
            gate.lose();

            broker.serve()?;
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

/// The longest that systemd heard nothing for, within a time.
fn longest_silence(systemd: &UnixDatagram, within: Duration) -> Result<Duration, Failed> {
    let (start, mut heard, mut longest) = (Instant::now(), Instant::now(), Duration::ZERO);
    systemd.set_read_timeout(Some(Duration::from_secs(1)))?;
    let mut told = [0; 64];
    while start.elapsed() < within {
        if let Ok(length) = systemd.recv(&mut told) {
            assert_eq!(&told[..length], b"WATCHDOG=1\n");
            heard = Instant::now();
        }
        longest = longest.max(heard.elapsed());
    }
    Ok(longest)
}

pub(crate) fn an_engine_that_hangs_does_not_starve_the_watchdog(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let notify = manager.folder().join("notify");
    let systemd = UnixDatagram::bind(&notify)?;
    broker.with("NOTIFY_SOCKET", &notify.display().to_string());
    broker.serve_with(&[])?;
    let mut told = [0; 64];
    let length = systemd.recv(&mut told)?;
    assert_eq!(&told[..length], b"READY=1\n");
    manager.pause_engine()?;
    let silence = longest_silence(&systemd, Duration::from_secs(40))?;
    manager.resume_engine()?;
    // The unit gives it two minutes.
    assert!(silence < Duration::from_secs(30), "{silence:?}");
    Ok(())
}

pub(crate) fn a_rotation_that_waits_does_not_starve_the_watchdog(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let notify = manager.folder().join("notify");
    let systemd = UnixDatagram::bind(&notify)?;
    broker.with("NOTIFY_SOCKET", &notify.display().to_string());
    broker.serve_with(&["--rotation-wait", "30s", "--grant-lifetime", "5m"])?;
    let mut told = [0; 64];
    let length = systemd.recv(&mut told)?;
    assert_eq!(&told[..length], b"READY=1\n");
    // By its policy the token is replaced 30 s after the first machine got it, and the second one is waited for then.
    let invite = broker.invite(&["--uses", "2"])?;
    let address = broker.address();
    let given = || on(manager, || async { Machine::new(&invite, address).admitted().await.map(drop) });
    given()?.map_err(|told| format!("{told:?}"))?;
    longest_silence(&systemd, Duration::from_secs(20))?;
    given()?.map_err(|told| format!("{told:?}"))?;
    until(Duration::from_secs(20), "the rotation", || {
        let dry = broker.json(&["rotate", "worker", "--dry-run", "--json"]).ok()?;
        (!dry["under_way"].is_null()).then_some(())
    })?;
    let silence = longest_silence(&systemd, Duration::from_secs(10))?;
    let dry = broker.json(&["rotate", "worker", "--dry-run", "--json"])?;
    assert!(!dry["under_way"].is_null(), "it still waits: {dry}");
    // What the keeper does besides goes on: it says so every two seconds.
    assert!(silence < Duration::from_secs(5), "{silence:?}");
    Ok(())
}
