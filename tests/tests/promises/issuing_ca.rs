//! The issuing CA is replaced by the next generation of the same root: nobody is stranded, and after a leak the former one
//! is good for nothing.

use std::fs;
use std::path::Path;
use std::time::Duration;

use certs::Root;
use lab::cluster::{Broker, Cluster, Gated, Held, Machine, REFUSED, Storm, admitted, assert_admits, invite, on};
use lab::{Failed, LONG, Pool, until};
use protocol::InviteLine;
use rustls_pki_types::UnixTime;
use serde_json::Value;

use crate::at_most_n::second;

fn text(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn generation(broker: &Broker<'_>) -> Result<u64, Failed> {
    let status = broker.json(&["status", "--json"])?;
    assert_eq!(status["ready"], true, "{status}");
    Ok(status["generation"].as_u64().ok_or("no generation")?)
}

fn lowest(invite: &str) -> Result<u32, Failed> {
    Ok(InviteLine::parse(invite)?.unverified().generation)
}

pub(crate) fn boots_while_the_issuing_ca_is_replaced_all_join(pool: &Pool) -> Result<(), Failed> {
    const MACHINES: usize = 15;
    let cluster = Cluster::form(pool, 1, MACHINES)?;
    let mut broker = Broker::init(cluster.manager())?;
    let arguments = ["--rotation-wait", "20s"];
    // User-data of before there was a cluster.
    let address = broker.address().to_string();
    let invite = broker.invite(&["--offline", "--broker", &address, "--uses", &MACHINES.to_string()])?;
    broker.serve_with(&arguments)?;
    let storm = Storm::every(Duration::from_millis(100)).while_all_join(&cluster.joiners(&invite), || {
        for what in ["ca", "signing-key", "server-cert"] {
            broker.ok(&["rotate", what])?;
        }
        Ok(true)
    })?;
    println!("ca: {MACHINES} boots in {:?} through {} generations", storm.took, storm.times);
    assert!(storm.times > 1, "the storm was none");
    assert_eq!(generation(&broker)?, storm.times as u64 + 1);
    assert_eq!(broker.count("node.joined", None)?, MACHINES);
    broker.stop()?;
    broker.serve_with(&arguments)?;
    assert_eq!(generation(&broker)?, storm.times as u64 + 1, "it is on disk");
    Ok(())
}

pub(crate) fn both_issuing_cas_are_trusted_by_all_and_after_a_leak_only_the_new_one(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 0)?;
    let manager = cluster.manager();
    let mut first = Broker::init(manager)?;
    let (one, state) = (first.address(), first.state().clone());
    // User-data of before there was a broker: of one invite a machine comes early, of the other none does.
    let offline = || first.invite(&["--offline", "--broker", &one.to_string(), "--uses", "9"]);
    let (unseen, never_seen) = (offline()?, offline()?);
    first.serve()?;
    let mut second = second(&first, &cluster[1])?;
    second.serve()?;
    let other = second.address();
    let old = first.invite(&["--uses", "900"])?;
    let (early, grant) = on(manager, || Machine::with_grant(&old, one))?;
    let served = fs::read(state.join("issuing.crt"))?;

    let told = first.json(&["rotate", "ca", "--json", "--reason", "a test"])?;
    assert_eq!((&told["what"], &told["generation"]), (&"ca".into(), &2.into()), "{told}");
    assert!(told["rotated_at"].is_string() && told["former_until"].is_string(), "{told}");
    assert_eq!((generation(&first)?, generation(&second)?), (2, 1));
    assert_ne!(fs::read(state.join("issuing.crt"))?, served);
    // An identity of the former one at both, one of the new one at the other broker, which has the former one.
    on(manager, || async { early.at(other).redeem(&grant).await })?.map_err(|told| format!("{told:?}"))?;
    on(manager, || early.redeem(&grant))?.map_err(|told| format!("{told:?}"))?;
    until(LONG, "the other broker to follow", || {
        let (new, grant) = on(manager, || Machine::with_grant(&old, one)).ok()?;
        on(manager, || async { new.at(other).redeem(&grant).await }).ok()?.ok().map(drop)
    })?;
    let both = first.invite(&["--uses", "9"])?;
    assert_eq!(lowest(&both)?, 1, "the other broker still serves with the former one");
    for (broker, invite) in [(&first, &both), (&second, &both), (&first, &unseen), (&second, &unseen)] {
        assert_admits(manager, broker, invite)?;
    }

    // The plan names the invites, and changes nothing.
    let plan = first.run(&["rotate", "ca", "--now", "--plan"])?;
    assert!(plan.stdout.contains(&invite::id(&both)?) && plan.stdout.contains(&invite::id(&old)?), "{}", plan.stdout);
    assert!(plan.stdout.contains("must be made anew") && plan.stdout.contains("gets the new one"), "{}", plan.stdout);
    assert_eq!(generation(&first)?, 2);
    let (booting, grant) = on(manager, || Machine::with_grant(&both, one))?;
    let told = first.json(&["rotate", "ca", "--now", "--json", "--reason", "a leak"])?;
    assert_eq!((&told["generation"], &told["former_until"]), (&3.into(), &Value::Null), "{told}");
    let refused: Vec<&Value> = told["invites"].as_array().into_iter().flatten().collect();
    assert!(refused.len() >= 3 && refused.iter().all(|invite| invite["revoked"] == true), "{told}");
    for invite in [&old, &both, &unseen] {
        assert_eq!(admitted(manager, &first, invite)?, Err(REFUSED));
    }
    assert!(on(manager, || booting.redeem(&grant))?.is_err(), "an identity of a void one");
    let new = first.invite(&["--uses", "9"])?;
    assert_eq!(lowest(&new)?, 3);
    assert_admits(manager, &first, &new)?;
    // The other broker has a void one, and hands nothing out with it; it says what it needs.
    let status = until(LONG, "the other broker to notice", || {
        second.json(&["status", "--json"]).ok().filter(|status| status["ready"] == false)
    })?;
    assert!(status["missing"].to_string().contains("is not trusted any more"), "{status}");
    assert!(admitted(manager, &second, &old)?.is_err());

    // What is void stays void.
    first.stop()?;
    first.serve()?;
    assert_eq!(generation(&first)?, 3);
    assert_eq!(admitted(manager, &first, &unseen)?, Err(REFUSED));
    // The ledger knows nothing of this one: what it accepts is all that is against it.
    let void = || first.count("refused", Some("void-issuing"));
    let before = void()?;
    assert_eq!(admitted(manager, &first, &never_seen)?, Err(REFUSED));
    assert_eq!(void()?, before + 1);
    assert_admits(manager, &first, &new)?;
    Ok(())
}

pub(crate) fn a_root_that_is_kept_elsewhere_signs_a_request(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "9"])?;
    let vault = manager.folder().join("vault");
    fs::create_dir(&vault)?;
    fs::set_permissions(&vault, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    fs::rename(broker.state().join("root.key"), vault.join("root.key"))?;
    fs::copy(broker.state().join("root.crt"), vault.join("root.crt"))?;
    let (request, certificate) = (manager.folder().join("request.json"), manager.folder().join("issuing.crt"));

    let told = broker.run(&["rotate", "ca", "--output", &text(&request)])?;
    assert_eq!(told.code, 0, "{}", told.stderr);
    assert!(told.stderr.contains("broker ca issue") && told.stderr.contains("broker ca install"), "{}", told.stderr);
    let asked = fs::read_to_string(&request)?;
    let printed = broker.json(&["rotate", "ca", "--json"])?;
    let before: Value = serde_json::from_str(&asked)?;
    assert_eq!((&printed["generation"], &printed["pin"]), (&before["generation"], &before["pin"]));
    assert!(!asked.contains("PRIVATE"));
    assert_eq!(generation(&broker)?, 1, "nothing is replaced yet");

    let issue = |root: &Path| {
        broker.run(&["ca", "issue", &text(&request), "--root", &text(root), "--output", &text(&certificate)])
    };
    let nowhere = issue(&manager.folder().join("nowhere"))?;
    assert_eq!(nowhere.code, 66, "{}", nowhere.stderr);
    assert!(nowhere.stderr.contains("--root"), "{}", nowhere.stderr);
    let issued = issue(&vault)?;
    assert_eq!(issued.code, 0, "{}", issued.stderr);
    assert!(issued.stderr.contains("generation 2"), "{}", issued.stderr);

    // What is not ours is not installed.
    for wrong in [&broker.state().join("root.crt"), &request] {
        let told = broker.run(&["ca", "install", &text(wrong)])?;
        assert_eq!(told.code, 64, "{}: {}", wrong.display(), told.stderr);
    }
    let told = broker.json(&["ca", "install", &text(&certificate), "--json"])?;
    assert_eq!((&told["what"], &told["generation"]), (&"ca".into(), &2.into()), "{told}");
    assert_eq!(generation(&broker)?, 2);
    assert_admits(manager, &broker, &invite)?;
    let names: Vec<_> = fs::read_dir(broker.state())?.flatten().map(|entry| entry.file_name()).collect();
    assert!(!names.iter().any(|name| name.to_string_lossy().contains("next")), "{names:?}");

    // After a leak a request of before it is not good enough: its key may have leaked, too.
    broker.ok(&["rotate", "ca", "--output", &text(&request)])?;
    assert_eq!(issue(&vault)?.code, 0);
    broker.ok(&["rotate", "ca", "--now", "--output", &text(&manager.folder().join("another.json"))])?;
    let told = broker.run(&["ca", "install", &text(&certificate), "--now"])?;
    assert_eq!(told.code, 64, "{}", told.stderr);
    assert!(told.stderr.contains("another key"), "{}", told.stderr);
    assert_eq!(generation(&broker)?, 2);
    Ok(())
}

pub(crate) fn an_issuing_key_that_is_kept_elsewhere_is_replaced_there(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let away = manager.folder().join("away.key");
    fs::rename(broker.state().join("issuing.key"), &away)?;
    let place = format!("file:{}", away.display());
    broker.serve_with(&["--issuing-key", &place])?;
    let invite = broker.invite(&["--uses", "9"])?;
    let told = broker.run(&["rotate", "ca"])?;
    assert_eq!(told.code, 64, "{}", told.stderr);
    assert!(told.stderr.contains("kept elsewhere"), "{}", told.stderr);

    let (key, certificate) = (manager.folder().join("new.key"), manager.folder().join("new.crt"));
    let state = text(broker.state());
    let (key_file, file) = (text(&key), text(&certificate));
    let issue_as = |generation| {
        ["ca", "issue", "--new-key", &key_file, "--generation", generation, "--root", &state, "--output", &file]
    };
    // A number that was mistyped would use up all up to it.
    broker.ok(&issue_as("170"))?;
    fs::rename(&key, &away)?;
    let told = broker.run(&["ca", "install", &file])?;
    assert_eq!(told.code, 64, "{}", told.stderr);
    assert!(told.stderr.contains("--generation 2"), "{}", told.stderr);
    assert_eq!(generation(&broker)?, 1);

    let issue = issue_as("2");
    broker.ok(&issue)?;
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&key)?.permissions()) & 0o777, 0o600);
    assert_eq!(broker.run(&issue)?.code, 73, "a key is never written over");
    let told = broker.run(&["ca", "install", &file])?;
    assert_eq!(told.code, 64, "the new key is not where the broker looks: {}", told.stderr);
    fs::rename(&key, &away)?;
    broker.ok(&["ca", "install", &file])?;
    assert_eq!(generation(&broker)?, 2);
    assert!(!broker.state().join("issuing.key").exists(), "it was written back");
    assert_admits(manager, &broker, &invite)?;
    broker.stop()?;
    broker.serve()?;
    assert_eq!(generation(&broker)?, 2);
    assert_admits(manager, &broker, &invite)?;
    Ok(())
}

pub(crate) fn a_broker_killed_while_its_issuing_ca_is_replaced_starts_and_admits(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Gated::start(manager)?;
    let invite = broker.invite(&["--uses", "50"])?;
    let address = broker.address();
    let list = manager.config("swarm-broker.issuing")?["ID"].as_str().ok_or("no id")?.to_owned();
    let mut expected = 1;
    for done in [false, true] {
        let place = format!("killed {} the list was written", if done { "after" } else { "before" });
        let (machine, grant) = on(manager, || Machine::with_grant(&invite, address))?;
        let step = Held { request: format!("/configs/{list}/update"), number: 1, done };
        let before = manager.config_versions()?;
        broker.cut_off(&["rotate", "ca"], &step, || {
            manager.config_versions().is_ok_and(|now| now.get(&list) != before.get(&list))
        })?;
        // It was on disk already: the next start does the rest.
        expected += 1;
        assert_eq!(generation(&broker)?, expected, "{place}");
        let redeemed = on(manager, || machine.redeem(&grant))?;
        redeemed.map_err(|told| format!("{place}: an identity and a grant of before: {told:?}"))?;
        assert_admits(manager, &broker, &invite)?;
        let records = broker.records()?;
        assert!(records.iter().any(|record| record["event"] == "key.rotating" && record["what"] == "ca"), "{place}");
    }
    broker.ok(&["rotate", "ca"])?;
    assert_eq!(generation(&broker)?, expected + 1);
    assert_admits(manager, &broker, &invite)?;
    Ok(())
}

/// Puts an issuing CA of this age into the state.
fn age(broker: &Broker<'_>, days: u64) -> Result<(), Failed> {
    let read = |name: &str| fs::read_to_string(broker.state().join(name));
    let root = Root::from_pem(&read("root.crt")?, &read("root.key")?, "lab")?;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let made = UnixTime::since_unix_epoch(now.saturating_sub(Duration::from_hours(24 * days)));
    let issuing = root.issue(1, made)?;
    fs::write(broker.state().join("issuing.crt"), issuing.certificate_pem())?;
    fs::write(broker.state().join("issuing.key"), issuing.key().to_pem().as_bytes())?;
    Ok(())
}

/// What doctor says of an end.
fn told_of_end(broker: &Broker<'_>) -> Result<Option<(String, String)>, Failed> {
    let told: Value = serde_json::from_str(&broker.run(&["doctor", "--json"])?.stdout)?;
    let found = told["findings"].as_array().into_iter().flatten().find(|one| one["check"] == "ends");
    Ok(found.map(|one| (one["result"].to_string(), one["text"].to_string())))
}

pub(crate) fn the_end_of_the_issuing_ca_is_told_in_time_and_can_be_mended_after_it(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    for (days, result, words) in [(310, "advice", "ends in 5"), (370, "wrong", "has ended")] {
        age(&broker, days)?;
        let told = broker.count("key.ending", None)?;
        broker.serve_with(&["--metrics", "127.0.0.1:9443"])?;
        let (found, said) = told_of_end(&broker)?.ok_or("doctor says nothing")?;
        assert!(found.contains(result) && said.contains(words) && said.contains("broker rotate ca"), "{found}: {said}");
        until(LONG, "the alarm", || (broker.count("key.ending", None).ok()? > told).then_some(()))?;
        let record =
            broker.records()?.into_iter().rfind(|record| record["event"] == "key.ending").ok_or("no record")?;
        assert!(record["detail"].as_str().is_some_and(|detail| detail.contains(words)), "{record}");
        let metrics = manager.inside(crate::serving::scraped)??;
        let left = metrics.lines().find_map(|line| line.strip_prefix("swarm_broker_issuing_ends_seconds "));
        let left: u64 = left.ok_or("no figure")?.parse()?;
        assert!(left < 60 * 24 * 3600, "{left}");
        assert!(metrics.contains("swarm_broker_root_ends_seconds"), "{metrics}");
        assert_eq!(broker.json(&["status", "--json"])?["ready"], days < 366);
        broker.stop()?;
    }
    // After the end, nobody is admitted; the broker is there, and it can be mended.
    broker.serve()?;
    broker.ok(&["rotate", "ca"])?;
    assert_eq!(generation(&broker)?, 2);
    assert_eq!(told_of_end(&broker)?, None);
    assert_admits(manager, &broker, &broker.invite(&["--uses", "1"])?)?;
    Ok(())
}
