//! Promise 8: a broker on every manager. Managers form and join by `broker up`, and losing one costs a retry.

use std::thread;
use std::time::Duration;

use lab::cluster::{Broker, Gate, Held, Joiner, REFUSED, Relay, Rule, admitted, finish, invite};
use lab::{Failed, Host, LONG, Pool, Role, until};
use serde_json::Value;

/// The founder's broker, which made the swarm.
pub(crate) fn found(host: &Host) -> Result<Broker<'_>, Failed> {
    let mut broker = Broker::init(host)?;
    broker.up_with(&["--form"])?;
    Ok(broker)
}

/// A broker on another machine, which joined by this invite.
pub(crate) fn follow<'h>(host: &'h Host, invite: &str) -> Result<Broker<'h>, Failed> {
    let mut broker = Broker::nowhere(host)?;
    broker.up_with(&["--invite-file", &invite_file(host, invite)?])?;
    Ok(broker)
}

/// Where the invite is on this host.
pub(crate) fn invite_file(host: &Host, invite: &str) -> Result<String, Failed> {
    let file = host.folder().join("manager-invite");
    lab::cluster::write_private(&file, invite)?;
    Ok(file.display().to_string())
}

/// Founder and two more, which come at the same time. Each of them knows of the others.
pub(crate) fn three(hosts: &[Host]) -> Result<Vec<Broker<'_>>, Failed> {
    let first = found(&hosts[0])?;
    let invite = first.invite(&["--role", "manager", "--uses", "2"])?;
    let mut brokers = vec![first];
    let others = thread::scope(|scope| {
        let coming: Vec<_> = hosts[1..3].iter().map(|host| scope.spawn(|| follow(host, &invite))).collect();
        coming.into_iter().map(|thread| thread.join().expect("no panic")).collect::<Result<Vec<_>, Failed>>()
    });
    brokers.extend(others?);
    // By itself a broker reads who else there is every ten seconds.
    brokers.iter().try_for_each(|broker| shown(broker, 3).map(drop))?;
    Ok(brokers)
}

/// A token that was given to nobody: it is not about to be replaced by itself.
pub(crate) fn fresh_token(broker: &Broker<'_>, role: Role) -> Result<String, Failed> {
    broker.ok(&["rotate", role.word(), "--now"])?;
    Ok(broker.host().join_token(role)?)
}

/// The brokers as one of them shows them, once so many are ready.
fn shown(broker: &Broker<'_>, ready: usize) -> Result<Vec<Value>, Failed> {
    let shown = until(LONG, "so many ready brokers in the status", || {
        let brokers = broker.json(&["status", "--json"]).ok()?["brokers"].as_array()?.clone();
        (brokers.iter().filter(|broker| broker["ready"] == true).count() == ready).then_some(brokers)
    });
    Ok(shown?)
}

pub(crate) fn three_managers_come_up_by_themselves_and_any_one_may_die(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(6)?;
    let mut brokers = three(&hosts)?;
    for broker in &brokers {
        let shown = shown(broker, 3)?;
        assert_eq!(shown.iter().filter(|broker| broker["leader"] == true).count(), 1, "{shown:?}");
        for host in &hosts[..3] {
            let address = format!("{}:7443", host.reached_at());
            assert!(shown.iter().any(|broker| broker["address"] == address.as_str()), "{address}: {shown:?}");
        }
    }
    let managers = lab::nodes(&hosts[0])?;
    assert!(managers.len() == 3 && managers.iter().all(|node| node.role == Role::Manager), "{managers:?}");

    let invite = brokers[1].invite(&["--uses", "3", "--label", "zone=a"])?;
    for dead in 0..3 {
        brokers[dead].kill()?;
        Joiner::new(&hosts[3 + dead], &invite).joins()?;
        shown(&brokers[(dead + 1) % 3], 2)?;
        // The same command again: it looks what is there, and serves.
        brokers[dead].serve()?;
    }
    let nodes = |broker: &Broker<'_>| broker.json(&["nodes", "--json"]);
    let first = nodes(&brokers[0])?;
    let listed = first["nodes"].as_array().ok_or("nodes")?;
    assert!(listed.len() == 6 && listed.iter().all(|node| node["explained"] == true), "{first}");
    for broker in &brokers[1..] {
        assert_eq!(nodes(broker)?, first);
    }
    a_refusal_is_told_by_each(&brokers, &hosts[3])
}

/// What one of them refused is known to the others, when they have copied its log.
fn a_refusal_is_told_by_each(brokers: &[Broker<'_>], from: &Host) -> Result<(), Failed> {
    let line = brokers[0].invite(&[])?;
    brokers[0].ok(&["invite", "revoke", &invite::id(&line)?])?;
    assert_eq!(admitted(from, &brokers[1], &line)?, Err(REFUSED));
    for broker in brokers {
        // Has the copies brought up to date.
        broker.ok(&["audit", "list"])?;
        let told = broker.typed("echo machine | broker nodes --expect - --json")?;
        let told: Value = serde_json::from_str(&told.stdout)?;
        let one = &told["missing"][0];
        assert_eq!((&one["state"], &one["reason"]), (&"refused".into(), &"invite-revoked".into()), "{told}");
        assert_eq!((&one["hostname"], &one["source"]), (&"machine".into(), &from.address().to_string().into()));
    }
    Ok(())
}

pub(crate) fn a_manager_gets_the_keys_without_a_file_that_was_copied(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let first = found(&hosts[0])?;
    let token = hosts[0].join_token(Role::Manager)?;
    let invite = first.invite(&["--role", "manager", "--label", "rack=2"])?;
    let mut second = follow(&hosts[1], &invite)?;

    assert!(!second.state().join("root.key").exists(), "the root's key stays where it is");
    let own = |broker: &Broker<'_>| std::fs::read_to_string(broker.state().join("grant.key"));
    assert_ne!(own(&first)?, own(&second)?, "each broker signs grants by a key of its own");
    for (broker, event) in [(&first, "keys.handing-over"), (&first, "keys.handed-over"), (&second, "keys.taken")] {
        assert_eq!(broker.count(event, None)?, 1, "{event}");
    }
    let nodes = lab::nodes(&hosts[0])?;
    let came = nodes.iter().find(|node| node.labels.get("rack").is_some_and(|rack| rack == "2")).ok_or("labelled")?;
    assert!(came.role == Role::Manager && came.availability == "active", "{came:?}");
    until(LONG, "the manager token to be another one", || {
        (hosts[0].join_token(Role::Manager).ok()? != token).then_some(())
    })?;

    // What one of them signed, the other takes: an invite of the second, when the second is gone.
    let invite = second.invite(&[])?;
    second.stop()?;
    Joiner::new(&hosts[2], &invite).joins()?;
    assert_eq!(first.count("node.joined", None)?, 2);
    Ok(())
}

pub(crate) fn a_broker_up_that_is_killed_at_any_moment_goes_on(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let (first, relay) = found_behind_a_relay(&hosts, CONFIRM)?;
    let file = invite_file(&hosts[1], &first.invite(&["--role", "manager"])?)?;
    let gate = Gate::start(&hosts[1], "gate.sock")?;
    let mut second = Broker::nowhere(&hosts[1])?;
    second.with("BROKER_DOCKER", &gate.socket().display().to_string());
    let killed_at = |step: &str, struck: &dyn Fn() -> bool| -> Result<(), Failed> {
        let mut process = second.spawn_up(&["--invite-file", &file])?;
        let came = until(LONG, step, || struck().then_some(()));
        assert!(came.is_ok(), "{step}: {}", process.stderr());
        Ok(process.kill()?)
    };
    let at_request = |step: &str, rule: fn(usize) -> Rule, number: usize| -> Result<(), Failed> {
        relay.set(rule(relay.requests() + number));
        killed_at(step, &|| relay.struck())
    };
    let nodes = || -> Result<usize, Failed> { Ok(lab::nodes(&hosts[0])?.len()) };
    // A run that is not in begins with identity, grant and redemption.
    at_request("a use claimed", Rule::HoldReply, 1)?;
    at_request("a grant given", Rule::HoldReply, 2)?;
    at_request("the token given", Rule::HoldReply, 3)?;
    relay.set(Rule::Pass);
    gate.hold(Held { request: "/swarm/join".into(), number: 1, done: false });
    killed_at("Docker about to join", &|| gate.struck())?;
    gate.lose();
    assert_eq!((nodes()?, hosts[1].swarm_state()?.trim()), (1, "inactive"));
    gate.hold(Held { request: "/swarm/join".into(), number: 1, done: true });
    killed_at("in the swarm, and not confirmed", &|| gate.struck() && nodes().is_ok_and(|count| count == 2))?;
    gate.lose();
    assert_eq!((nodes()?, first.count("node.labelled", None)?), (2, 0));
    // One that is in begins with the confirm, and one that was confirmed with the hand-over.
    at_request("confirmed, and not told so", Rule::HoldReply, 1)?;
    assert_eq!((first.count("node.labelled", None)?, first.count("keys.handing-over", None)?), (1, 0));
    at_request("about to ask for the keys", Rule::HoldRequest, 2)?;
    at_request("the keys given, and not taken", Rule::HoldReply, 1)?;
    assert_eq!(first.count("keys.handed-over", None)?, 1);
    assert!(!second.state().join("cluster.json").exists());
    relay.set(Rule::Pass);
    second.up_with(&["--invite-file", &file])?;
    assert_eq!(shown(&first, 2)?.len(), 2, "one entry a broker");
    let nodes = lab::nodes(&hosts[0])?;
    assert_eq!(nodes.iter().filter(|node| node.state == "ready").count(), 2, "{nodes:?}");
    assert_eq!(first.json(&["invite", "list", "--json"])?["invites"][0]["claimed"], 1);

    // What a kill leaves between the keys and the record of them: no log, here or in the ledger.
    second.stop()?;
    let id = second.records()?[0]["broker"].as_str().ok_or("no id")?.to_owned();
    let configs = hosts[0].docker(&["config", "ls", "--format", "{{.Name}}"])?;
    let entry = configs.lines().find(|name| name.contains(&id)).ok_or("no entry")?;
    hosts[0].docker(&["config", "rm", entry])?;
    let state = second.state().join("cluster.json");
    for file in std::fs::read_dir(second.state())? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with("audit.") {
            std::fs::remove_file(file.path())?;
        }
    }
    std::fs::write(&state, std::fs::read_to_string(&state)?.replace("\"ledger\": true", "\"ledger\": false"))?;
    second.serve()?;
    assert_eq!(second.count("keys.taken", None)?, 1);
    Ok(())
}

/// The confirm is the fourth request of a boot.
const CONFIRM: Rule = Rule::HoldRequest(4);

/// The founder's broker, which all reach by a relay on the second host.
pub(crate) fn found_behind_a_relay(hosts: &[Host], rule: Rule) -> Result<(Broker<'_>, Relay), Failed> {
    let mut first = Broker::init(&hosts[0])?;
    let relay = Relay::start(&hosts[1], 7500, first.address(), rule)?;
    first.up_with(&["--form", "--advertise", &relay.address().to_string()])?;
    Ok((first, relay))
}

pub(crate) fn a_broker_that_waits_asks_for_no_key_before_the_join_is_confirmed(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let (first, relay) = found_behind_a_relay(&hosts, CONFIRM)?;
    let invite = first.invite(&["--role", "manager"])?;
    let second = Broker::nowhere(&hosts[1])?;
    let mut waiting = second.spawn_up(&["--wait"])?;
    let joining = Joiner::new(&hosts[1], &invite).start()?;

    let mut ended = None;
    until(LONG, "it to see a manager that is not confirmed", || {
        ended = waiting.ended().ok().flatten();
        (ended.is_some() || waiting.stderr().contains("until a broker has confirmed")).then_some(())
    })?;
    assert!(ended.is_none(), "{}", waiting.stderr());
    until(LONG, "the confirm to be held back", || relay.struck().then_some(()))?;
    assert_eq!(first.count("node.labelled", None)?, 0);
    relay.set(Rule::Pass);
    assert_eq!(finish(joining)?.code, 0);
    until(LONG, "it to serve", || waiting.stderr().contains("serving").then_some(()))?;
    assert_eq!((first.count("refused", None)?, first.count("keys.handed-over", None)?), (0, 1));
    waiting.terminate()?;
    waiting.wait(LONG)?;
    Ok(())
}

pub(crate) fn a_broker_that_waits_takes_the_keys_of_a_node_that_was_refused_and_adopted(
    pool: &Pool,
) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let (first, relay) = found_behind_a_relay(&hosts, CONFIRM)?;
    let invite = first.invite(&["--role", "manager"])?;
    let joining = Joiner::new(&hosts[1], &invite).start()?;
    until(LONG, "the confirm to be held back", || relay.struck().then_some(()))?;
    // Somebody else's label: the confirm is refused, and the joiner does not try again.
    let node = hosts[1].node_id()?;
    hosts[0].docker(&["node", "update", "--label-add", "swarm-broker.grant=00", node.trim()])?;
    relay.set(Rule::Pass);
    assert_eq!(finish(joining)?.code, 77);

    let second = Broker::nowhere(&hosts[1])?;
    let refused = finish(second.spawn_up(&["--wait"])?)?;
    assert!(refused.code == 77 && refused.stderr.contains("broker adopt NODE"), "{refused:?}");
    first.ok(&["adopt", node.trim(), "--reason", "ours"])?;
    let mut second = second;
    second.up_with(&["--wait"])?;
    assert_eq!(second.count("keys.taken", None)?, 1);
    Ok(())
}

pub(crate) fn a_demoted_managers_broker_stops_and_says_why(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let mut brokers = three(&hosts)?;
    let node = hosts[2].node_id()?;
    hosts[0].docker(&["node", "demote", node.trim()])?;
    let status = brokers[2].process()?.wait(LONG)?;
    assert_eq!(status.code(), Some(78));
    let told = brokers[2].process()?.stderr();
    assert!(told.contains("worker of its swarm") && told.contains("broker promote"), "{told}");
    assert_eq!(brokers[2].count("broker.stopped", None)?, 1);
    shown(&brokers[0], 2)?;

    // Started again it says the same, and as a manager it serves again.
    let again = finish(brokers[2].spawn_up(&[])?)?;
    assert!(again.code == 78 && again.stderr.contains("broker promote"), "{again:?}");
    hosts[0].docker(&["node", "promote", node.trim()])?;
    until(LONG, "the node to be a manager again", || {
        let control = hosts[2].docker(&["info", "--format", "{{.Swarm.ControlAvailable}}"]).ok()?;
        (control.trim() == "true").then_some(())
    })?;
    brokers[2].up_with(&[])?;
    shown(&brokers[0], 3)?;
    Ok(())
}

pub(crate) fn a_swarm_is_in_the_log_once_however_its_making_was_cut_off(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let founder = |host, done| -> Result<(Broker<'_>, Gate), Failed> {
        let (mut broker, gate) = (Broker::init(host)?, Gate::start(host, "gate.sock")?);
        broker.with("BROKER_DOCKER", &gate.socket().display().to_string());
        gate.hold(Held { request: "/swarm/init".into(), number: 1, done });
        Ok((broker, gate))
    };
    // Killed when Docker had made it.
    let (mut broker, gate) = founder(&hosts[0], true)?;
    let mut process = broker.spawn_up(&["--form"])?;
    until(LONG, "Docker to have made it", || (hosts[0].swarm_state().ok()?.trim() == "active").then_some(()))?;
    process.kill()?;
    gate.lose();
    assert_eq!(broker.count("swarm.formed", None)?, 0);
    broker.up_with(&["--form"])?;
    assert_eq!(broker.count("swarm.formed", None)?, 1);

    // Docker was never told, and nobody knows: it is told again.
    let (broker, gate) = founder(&hosts[1], false)?;
    let mut process = broker.spawn_up(&["--form"])?;
    until(LONG, "it to serve", || process.stderr().contains("serving").then_some(()))?;
    assert!(gate.struck());
    gate.lose();
    assert_eq!(broker.count("swarm.formed", None)?, 1);
    process.terminate()?;
    process.wait(LONG)?;
    Ok(())
}

pub(crate) fn what_up_cannot_do_has_words_and_a_code(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let ends = |broker: &Broker<'_>, arguments: &[&str], words: &str| -> Result<(), Failed> {
        let ended = finish(broker.spawn_up(arguments)?)?;
        assert!(ended.code == 78 && ended.stderr.contains(words), "{arguments:?}: {ended:?}");
        assert_eq!(broker.host().swarm_state()?.trim(), "inactive", "{arguments:?}");
        Ok(())
    };
    let nowhere = Broker::nowhere(&hosts[1])?;
    ends(&nowhere, &[], "broker up --form")?;
    ends(&nowhere, &["--form"], "run 'broker init --cluster NAME' first")?;

    let mut first = found(&hosts[0])?;
    let worker = invite_file(&hosts[1], &first.invite(&[])?)?;
    ends(&nowhere, &["--invite-file", &worker], "the invite is for workers")?;
    ends(&nowhere, &["--form", "--invite-file", &worker], "the invite is for workers")?;

    let late = Broker::nowhere(&hosts[2])?;
    late.ok(&["init", "--cluster", "lab", "--form-within", "1s"])?;
    thread::sleep(Duration::from_secs(2));
    ends(&late, &["--form"], "the time to make this cluster's swarm ended")?;
    let manager = invite_file(&hosts[2], &first.invite(&["--role", "manager"])?)?;
    ends(&late, &["--invite-file", &manager], "give another --state, or the right invite")?;

    // A machine that lost its swarm makes no second one.
    first.stop()?;
    hosts[0].leave()?;
    ends(&first, &["--form"], "No second one is made")?;
    Ok(())
}

pub(crate) fn brokers_are_found_where_the_operator_says_besides(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let mut first = Broker::init(&hosts[0])?;
    // Nobody reaches it there: the invite and the ledger name nothing else.
    first.up_with(&["--form", "--advertise", "127.0.0.1:9"])?;
    let file = invite_file(&hosts[1], &first.invite(&["--role", "manager"])?)?;
    let mut second = Broker::nowhere(&hosts[1])?;
    let nobody = finish(second.spawn_up(&["--invite-file", &file, "--timeout", "3s"])?)?;
    assert!(nobody.code == 69 && nobody.stderr.contains("127.0.0.1:9"), "{nobody:?}");

    let found = hosts[0].reached_at().to_string();
    second.up_with(&["--invite-file", &file, "--discover", &format!("192.0.2.7,{found}")])?;
    assert_eq!(second.count("keys.taken", None)?, 1);
    first.stop()?;
    second.stop()?;

    // One that comes to where it can be reached while it is waited for.
    first.up_with(&["--form", "--advertise", "127.0.0.1:9"])?;
    hosts[2].join(&hosts[0], &fresh_token(&first, Role::Manager)?)?;
    first.ok(&["adopt", hosts[2].node_id()?.trim(), "--reason", "ours"])?;
    let mut third = Broker::nowhere(&hosts[2])?.spawn_up(&[])?;
    until(LONG, "it to ask in vain", || third.stderr().contains("waiting for a broker that hands").then_some(()))?;
    first.stop()?;
    first.up_with(&["--form"])?;
    let came = until(Duration::from_mins(1), "it to serve", || third.stderr().contains("serving").then_some(()));
    assert!(came.is_ok(), "{}", third.stderr());
    third.terminate()?;
    third.wait(LONG)?;
    Ok(())
}

pub(crate) fn what_can_only_be_set_when_a_swarm_is_made_is_set(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    found(&hosts[1])?;
    let mut broker = Broker::init(&hosts[0])?;
    let pools = ["--default-addr-pool", "10.77.0.0/16", "--default-addr-pool-mask-length", "26"];
    broker.up_with(&[&["--form", "--data-path-port", "7789", "--cert-expiry", "36h"], &pools[..]].concat())?;
    let cluster = |host: &Host| host.json(&["info", "--format", "{{json .Swarm.Cluster}}"]);
    let (made, usual) = (cluster(&hosts[0])?, cluster(&hosts[1])?);
    assert_eq!(made["DefaultAddrPool"], serde_json::json!(["10.77.0.0/16"]), "{made}");
    assert_eq!((&made["SubnetSize"], &made["DataPathPort"]), (&26.into(), &7789.into()), "{made}");
    let hours = |cluster: &Value| {
        cluster["Spec"]["CAConfig"]["NodeCertExpiry"].as_u64().map(|length| length / 3_600_000_000_000)
    };
    assert_eq!((hours(&made), hours(&usual)), (Some(36), Some(90 * 24)));
    // All else is as Docker has it by itself.
    for part in ["Orchestration", "Raft", "Dispatcher", "EncryptionConfig", "TaskDefaults"] {
        assert_eq!(made["Spec"][part], usual["Spec"][part], "{part}");
    }
    // And it is what networks come of.
    hosts[0].docker(&["network", "create", "--driver", "overlay", "--attachable", "made"])?;
    let subnet = hosts[0].docker(&["network", "inspect", "made", "--format", "{{(index .IPAM.Config 0).Subnet}}"])?;
    assert!(subnet.starts_with("10.77.") && subnet.trim().ends_with("/26"), "{subnet}");
    for (words, told) in [
        (&["--form", "--cert-expiry", "59m"][..], "1h at the least"),
        (&["--form", "--data-path-port", "80"], "1024..=49151"),
        (&["--form", "--default-addr-pool", "10.77.0.0"], "invalid"),
        (&["--data-path-port", "7789"], "--form"),
    ] {
        let refused = finish(broker.spawn_up(words)?)?;
        assert!(refused.code == 64 && refused.stderr.contains(told), "{refused:?}");
    }
    Ok(())
}
