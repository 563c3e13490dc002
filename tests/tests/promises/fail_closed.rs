//! Promise 5: what is not known is unavailable, and a ledger that went back admits nobody.

use std::time::{Duration, Instant};

use http_body_util::Full;
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use lab::cluster::{Broker, Cluster, Machine, REFUSED, UNAVAILABLE, invite, on};
use lab::{Failed, Host, LONG, Pool, until};
use protocol::InviteLine;
use serde_json::Value;

/// Sets a label of a config behind the broker's back, or takes it away.
pub(crate) fn relabel(manager: &Host, config: &str, label: &str, value: Option<&str>) -> Result<(), Failed> {
    let stored = manager.config(config)?;
    let mut spec = stored["Spec"].clone();
    let labels = spec["Labels"].as_object_mut().ok_or("no labels")?;
    assert!(labels.remove(label).is_some(), "{config} has no label {label}");
    labels.extend(value.map(|value| (label.to_owned(), value.into())));
    let (id, version) = (stored["ID"].as_str().ok_or("no id")?, &stored["Version"]["Index"]);
    let request = hyper::Request::post(format!("/configs/{id}/update?version={version}"))
        .header("host", "docker")
        .header("content-type", "application/json")
        .body(Full::new(Bytes::from(spec.to_string())))?;
    let socket = manager.socket();
    let status = on(manager, || async {
        let stream = tokio::net::UnixStream::connect(socket).await.expect("the engine's socket");
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.expect("the engine speaks HTTP");
        let connection = tokio::spawn(connection);
        let status = sender.send_request(request).await.expect("an answer").status();
        connection.abort();
        status
    })?;
    assert_eq!(status, 200, "{config} was not changed");
    Ok(())
}

pub(crate) fn a_manager_cut_off_from_quorum_hands_out_nothing(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 3, 1)?;
    let (leader, outside) = (cluster.manager(), &cluster[3]);
    let broker = Broker::start(leader)?;
    let invite = broker.invite(&["--uses", "3"])?;
    let address = broker.address();
    let (booting, grant) = on(outside, || Machine::with_grant(&invite, address))?;

    leader.cut_from(&cluster[1])?;
    leader.cut_from(&cluster[2])?;
    let cut = Instant::now();
    let asked = on(outside, || async {
        let mut asked = 0;
        // The engine goes on answering reads for about 16 s: the whole time is covered, from the first moment.
        while cut.elapsed() < Duration::from_secs(20) {
            assert_eq!(booting.redeem(&grant).await.err(), Some(UNAVAILABLE), "{:?} after the cut", cut.elapsed());
            assert_eq!(Machine::new(&invite, address).identity().await, Err(UNAVAILABLE), "{:?}", cut.elapsed());
            asked += 1;
        }
        asked
    })?;
    assert!(asked > 0);
    assert_eq!(broker.count("grant.redeemed", None)?, 0);
    assert_eq!(broker.count("refused", None)?, 0, "an unknown outcome is never a refusal");
    let mut shown = String::new();
    let told = until(LONG, "the broker to say that there is no quorum", || {
        shown = broker.ok(&["status"]).ok()?;
        shown.contains("no: the swarm has no quorum").then_some(())
    });
    assert!(told.is_ok(), "{shown}");

    leader.heal()?;
    until(Duration::from_mins(1), "the healed manager to hand out the token", || {
        on(outside, || async { booting.redeem(&grant).await }).ok()?.map_or_else(
            // The grant was good for a minute: the same key asks for another.
            |_| on(outside, || async { booting.redeem(&booting.grant().await.ok()?.grant).await.ok() }).ok()?,
            Some,
        )
    })?;
    Ok(())
}

pub(crate) fn a_manager_cut_off_from_quorum_refuses_nobody(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 3, 1)?;
    let (leader, outside) = (cluster.manager(), &cluster[3]);
    let broker = Broker::start(leader)?;
    let invite = broker.invite(&["--uses", "1"])?;
    let address = broker.address();
    on(outside, || async { Machine::new(&invite, address).identity().await.expect("an identity") })?;

    leader.cut_from(&cluster[1])?;
    leader.cut_from(&cluster[2])?;
    let cut = Instant::now();
    // What this engine still reads says that the invite is used up; a refusal would be final.
    on(outside, || async {
        while cut.elapsed() < Duration::from_secs(8) {
            assert_eq!(Machine::new(&invite, address).identity().await, Err(UNAVAILABLE), "{:?}", cut.elapsed());
        }
    })?;
    assert_eq!(broker.count("refused", None)?, 0);
    Ok(())
}

pub(crate) fn deleted_configs_give_no_revoked_invite_back(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "1"])?;
    let address = broker.address();
    broker.ok(&["invite", "revoke", &invite::id(&invite)?])?;
    // Nobody claimed anything, so only the sentinel tells that something is gone.
    let ids = manager.docker(&["config", "ls", "-q"])?;
    for id in ids.split_whitespace() {
        manager.docker(&["config", "rm", id])?;
    }
    let asked = || on(manager, || async { Machine::new(&invite, address).identity().await });
    assert_eq!(asked()?, Err(UNAVAILABLE), "the invite is not revoked any more");
    until(LONG, "the alarm", || (broker.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    broker.stop()?;
    broker.serve()?;
    assert_eq!(asked()?, Err(UNAVAILABLE), "the invite is not revoked any more");
    Ok(())
}

pub(crate) fn the_floor_ends_invites_and_never_goes_back(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let (below, above) =
        (broker.invite(&["--ttl", "10m", "--uses", "1"])?, broker.invite(&["--ttl", "20m", "--uses", "1"])?);
    let address = broker.address();
    let (booting, grant) = on(manager, || Machine::with_grant(&below, address))?;
    let again = || on(manager, || async { booting.again().identity().await });
    let above = Machine::new(&above, address);
    let other = || on(manager, || async { above.again().identity().await });

    // As another broker does before it sweeps. Whatever a clock says, the invite is over: at every step.
    let floor = InviteLine::parse(&below)?.unverified().exp + 1;
    relabel(manager, "swarm-broker.sentinel", "swarm-broker.floor", Some(&floor.to_string()))?;
    until(LONG, "the floor to be seen", || (again().ok()? == Err(REFUSED)).then_some(()))?;
    on(manager, || async {
        assert_eq!(booting.grant().await.err(), Some(REFUSED));
        assert_eq!(booting.redeem(&grant).await.err(), Some(REFUSED));
    })?;
    assert_eq!(broker.count("refused", Some("below-floor"))?, 3);
    assert_eq!(other()?, Ok(()));

    relabel(manager, "swarm-broker.sentinel", "swarm-broker.floor", Some("0"))?;
    until(LONG, "the alarm", || (broker.count("ledger.lost", None).ok()? == 1).then_some(()))?;
    assert_eq!(other()?, Err(UNAVAILABLE), "somebody was admitted from a ledger that went back");
    assert_eq!(broker.json(&["status", "--json"])?["ready"], false);
    Ok(())
}

pub(crate) fn a_use_that_was_taken_out_of_the_ledger_is_not_given_again(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "1"])?;
    let address = broker.address();
    let key = on(manager, || async {
        let mut machine = Machine::new(&invite, address);
        machine.identity().await.expect("an identity");
        machine.key().hash()
    })?;
    let (object, label) = (format!("swarm-broker.invite.{}", invite::id(&invite)?), format!("swarm-broker.use.{key}"));
    // While it is there and does not read, nobody is told to remove what the ledger hangs on.
    relabel(manager, &object, &label, Some("no use"))?;
    let alarm = until(LONG, "the alarm", || {
        broker.records().ok()?.into_iter().find(|record| record["event"] == "invite.unread")
    })?;
    let detail = alarm["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("Do not remove it") && !detail.contains("config rm"), "{alarm}");
    assert_eq!(broker.count("ledger.lost", None)?, 0);
    // Nor does it keep anybody from seeing the rest.
    let told = broker.run(&["audit", "verify", "--cluster", "--json"])?;
    let found: Value = serde_json::from_str(&told.stdout)?;
    let wrong = &found["cluster"]["mismatches"];
    assert_eq!((told.code, wrong.as_array().map(Vec::len), &wrong[0]["object"]), (65, Some(1), &object.clone().into()));
    let look = broker.json(&["recover", "--dry-run", "--json"])?;
    assert_eq!((&look["sound"], &look["unread"][0]), (&true.into(), &object.clone().into()), "{look}");
    relabel(manager, &object, &label, None)?;
    let another = || on(manager, || async { Machine::new(&invite, address).identity().await });
    assert_eq!(another()?, Err(UNAVAILABLE), "the use was given back");
    until(LONG, "the alarm", || (broker.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    // Nor from recovering: what the logs know of it is put back.
    relabel(manager, &object, "swarm-broker.signed", Some("no key"))?;
    let recovered = broker.json(&["recover", "--reason", "somebody changed an invite", "--json"])?;
    assert_eq!((&recovered["invites"][0]["action"], &recovered["unread"]), (&"put-back".into(), &Value::Array(vec![])));
    assert_eq!(another()?, Err(REFUSED), "the use was given back");
    Ok(())
}

pub(crate) fn deleted_configs_admit_nobody(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "5"])?;
    let address = broker.address();
    on(manager, || async { Machine::new(&invite, address).identity().await.expect("an identity") })?;

    // A clean-up script, as one finds them.
    let ids = manager.docker(&["config", "ls", "-q"])?;
    for id in ids.split_whitespace() {
        manager.docker(&["config", "rm", id])?;
    }
    let refused = || on(manager, || async { Machine::new(&invite, address).identity().await });
    assert_eq!(refused()?, Err(UNAVAILABLE));
    until(LONG, "the alarm", || (broker.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    assert_eq!(broker.json(&["status", "--json"])?["ready"], false);

    // Nor after a restart: a broker never makes its ledger a second time.
    broker.stop()?;
    broker.serve()?;
    assert_eq!(refused()?, Err(UNAVAILABLE));
    assert_eq!(broker.count("ledger.made", None)?, 1);
    Ok(())
}

pub(crate) fn a_deleted_invite_gives_no_use_back(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "1"])?;
    let address = broker.address();
    on(manager, || async { Machine::new(&invite, address).identity().await.expect("an identity") })?;
    broker.stop()?;
    // The broker has forgotten all it does not keep on disk, and the use is gone from raft.
    let id = invite::id(&invite)?;
    manager.docker(&["config", "rm", &format!("swarm-broker.invite.{id}")])?;
    broker.serve()?;
    let told = on(manager, || async { Machine::new(&invite, address).identity().await })?;
    assert_eq!(told, Err(UNAVAILABLE), "the use was given back");
    until(LONG, "the alarm", || (broker.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    Ok(())
}
