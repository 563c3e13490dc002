//! Promises 1 and 5 for managers that find each other through a store, where something is not as it should be.

use std::fs;
use std::path::Path;
use std::process::Command;

use lab::cluster::{Broker, REFUSED, UNAVAILABLE, finish};
use lab::{Failed, Host, LONG, Pool, Role, until};

use crate::formation::{LOCK, RECORD, Scene, swarm};
use crate::recovery::{admits_exactly, asked, lost, remove_configs};

fn has_ledger(manager: &Host) -> Result<bool, Failed> {
    Ok(manager.docker(&["config", "ls", "--format", "{{.Name}}"])?.contains("swarm-broker.sentinel"))
}

pub(crate) fn whoever_came_into_the_swarm_begins_no_ledger_in_place_of_a_lost_one(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 2)?;
    let mut first = Broker::nowhere(&scene.hosts[0])?;
    first.up_with(&scene.words())?;
    let invite = first.invite(&["--uses", "1"])?;
    assert_eq!(asked(&first, &invite, 1)?, [Ok(())]);
    remove_configs(&scene.hosts[0])?;
    lost(&first)?;

    // By hand, so that no broker had a say in it.
    let token = scene.hosts[0].join_token(Role::Manager)?;
    scene.hosts[1].join(&scene.hosts[0], &token)?;
    let mut second = Broker::nowhere(&scene.hosts[1])?;
    second.up_with(&[&scene.words()[..], &["--timeout", "3s"]].concat())?;
    assert!(!has_ledger(&scene.hosts[0])?, "nobody began another ledger");
    lost(&second)?;
    assert_eq!(asked(&second, &invite, 1)?, [Err(UNAVAILABLE)]);
    second.stop()?;
    // Nor does it without the store, and without waiting.
    second.serve_with(&[])?;
    lost(&second)?;
    assert!(!has_ledger(&scene.hosts[0])?);

    first.ok(&["recover", "--reason", "a clean-up script removed the configs"])?;
    for broker in [&first, &second] {
        until(LONG, "it to go on by itself", || asked(broker, &invite, 1).ok().filter(|told| *told == [Err(REFUSED)]))?;
    }
    Ok(())
}

pub(crate) fn managers_of_a_swarm_that_was_there_before_begin_one_ledger(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 3)?;
    lab::form(&scene.hosts.iter().collect::<Vec<_>>(), &[])?;
    let mut booted = scene.boot()?;
    let mut begun = 0;
    for (broker, process) in &mut booted {
        until(LONG, "it to be ready", || {
            let status = broker.json(&["status", "--json"]).ok()?;
            (status["ready"] == true).then_some(())
        })?;
        assert!(process.ended()?.is_none(), "{}", process.stderr());
        assert_eq!(broker.count("ledger.lost", None)?, 0);
        begun += broker.count("ledger.made", None)?;
    }
    assert_eq!(begun, 1, "the one that published the swarm begins its ledger");
    Ok(())
}

pub(crate) fn who_was_cut_off_before_it_published_begins_no_ledger_in_place_of_a_lost_one(
    pool: &Pool,
) -> Result<(), Failed> {
    let scene = Scene::new(pool, 2)?;
    lab::form(&scene.hosts.iter().collect::<Vec<_>>(), &[])?;
    let cut_off = Broker::nowhere(&scene.hosts[0])?;
    let mut electing = cut_off.spawn_up(&scene.words())?;
    until(LONG, "its lock", || scene.path(LOCK).exists().then_some(()))?;
    electing.kill()?;
    // As a release before left it that was killed just before the record: sure that the swarm is its own.
    let (file, swarm) = (cut_off.state().join("cluster.json"), swarm(&scene.hosts[0])?);
    let text = fs::read_to_string(&file)?;
    fs::write(&file, text.replacen('{', &format!("{{ \"founds\": \"{swarm}\","), 1))?;

    let mut second = Broker::nowhere(&scene.hosts[1])?;
    second.up_with(&scene.words())?;
    let invite = second.invite(&["--uses", "1"])?;
    assert_eq!((second.count("ledger.made", None)?, asked(&second, &invite, 1)?), (1, vec![Ok(())]));
    remove_configs(&scene.hosts[1])?;
    lost(&second)?;

    let mut first = cut_off;
    first.up_with(&[&scene.words()[..], &["--timeout", "3s"]].concat())?;
    assert!(!has_ledger(&scene.hosts[0])?, "nobody began another ledger");
    lost(&first)?;
    assert_eq!(asked(&first, &invite, 1)?, [Err(UNAVAILABLE)]);
    Ok(())
}

pub(crate) fn a_broker_starts_again_whichever_issuing_ca_signed_the_record(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 1)?;
    let mut broker = Broker::init(&scene.hosts[0])?;
    broker.up_with(&scene.words()[..2])?;
    let record = scene.path(RECORD);
    let leaked = ["--now", "--reason", "a leak"];
    for (how, told) in [(&leaked[1..], ""), (&leaked[..], "that a void issuing CA signed")] {
        let before = fs::read(&record)?;
        broker.ok(&[&["rotate", "ca"], how].concat())?;
        broker.stop()?;
        // As if it had stopped before its next look at the store.
        fs::write(&record, &before)?;
        broker.serve()?;
        until(LONG, "the record to be signed anew, and that told", || {
            let is_told = broker.process().ok()?.stderr().contains(told);
            (is_told && fs::read(&record).ok()? != before).then_some(())
        })?;
    }
    Ok(())
}

pub(crate) fn a_store_that_hangs_keeps_no_broker_from_serving_and_stopping(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 1)?;
    let mut broker = Broker::init(&scene.hosts[0])?;
    broker.up_with(&scene.words()[..2])?;
    // Whoever reads it waits for ever, as for a server of files that went away. The record is never missing meanwhile: the
    // broker would put it back.
    let (record, fifo) = (scene.path(RECORD), scene.path("fifo"));
    assert!(Command::new("mkfifo").arg(&fifo).status()?.success());
    fs::rename(&fifo, &record)?;
    until(LONG, "it to be told", || broker.process().ok()?.stderr().contains("no answer within 6 s").then_some(()))?;
    assert_eq!(broker.json(&["status", "--json"])?["ready"], true);
    assert_eq!(broker.stop()?.code, 0);

    // One that hangs as a whole before the first look at it.
    let (folder, _server) = scene.hosts[0].hung_folder()?;
    let ended = finish(broker.spawn_up(&["--store", &format!("file://{}", folder.display())])?)?;
    assert!(ended.code == 75 && ended.stderr.contains("no answer within 6 s"), "{ended:?}");
    Ok(())
}

pub(crate) fn first_starts_that_are_cut_off_between_two_steps_are_gone_on_with(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 1)?;
    let host = &scene.hosts[0];
    let broker = Broker::nowhere(host)?;
    let state = host.folder().join("cut-off");
    let init = |keys: &str| {
        let keys = host.folder().join(keys).display().to_string();
        broker.run(&[
            "init",
            "--cluster",
            "lab",
            "--json",
            "--state",
            &state.display().to_string(),
            "--keys-file",
            &keys,
        ])
    };
    let refused = init("nowhere/keys")?;
    assert!(refused.code == 73 && refused.stderr.contains("No cluster was made"), "{refused:?}");
    assert!(!state.exists());
    let first = init("first.keys")?;
    assert_eq!(first.code, 0, "{first:?}");
    assert_eq!(init("second.keys")?.code, 73, "it was finished");
    // As a kill leaves it before the record: with keys, and with nothing in the log.
    forget_log(&state)?;
    let keys = |name: &str| fs::read(host.folder().join(name));
    let before = keys("first.keys")?;
    let again = init("first.keys")?;
    assert_eq!((again.code, &again.stdout), (0, &first.stdout), "the same command finishes it: {}", again.stderr);
    assert_eq!(keys("first.keys")?, before);
    forget_log(&state)?;
    fs::write(host.folder().join("a-file-of-others"), "text")?;
    let others = init("a-file-of-others")?;
    assert!(others.code == 73 && !others.stderr.contains("No cluster was made"), "{others:?}");
    assert_eq!(keys("a-file-of-others")?, b"text");
    let second = init("second.keys")?;
    assert_eq!((second.code, &second.stdout), (0, &first.stdout), "the same cluster");
    assert_eq!(keys("first.keys")?, keys("second.keys")?);
    assert!(fs::read_to_string(state.join("audit.jsonl"))?.contains("cluster.made"));

    // A broker that has served and lost its log is another matter.
    let cluster = state.join("cluster.json");
    fs::write(&cluster, fs::read_to_string(&cluster)?.replace("\"ledger\": false", "\"ledger\": true"))?;
    forget_log(&state)?;
    let lost = init("third.keys")?;
    assert!(lost.code == 73 && !host.folder().join("third.keys").exists(), "{lost:?}");

    for _ in 0..2 {
        let mut up = broker.spawn_up(&scene.words())?;
        until(LONG, "the record of the keys", || (broker.count("keys.taken", None).ok()? == 1).then_some(()))?;
        up.kill()?;
        forget_log(broker.state())?;
    }
    // Where the store is no good after all, the operator names the founder.
    let mut broker = broker;
    broker.up_with(&["--form"])?;
    assert_eq!((broker.count("ledger.made", None)?, broker.count("ledger.lost", None)?), (1, 0));
    Ok(())
}

fn forget_log(state: &Path) -> Result<(), Failed> {
    for entry in fs::read_dir(state)? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("audit.")) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

pub(crate) fn a_ledger_of_a_swarm_made_by_a_store_is_recovered_by_an_operators_word(pool: &Pool) -> Result<(), Failed> {
    let scene = Scene::new(pool, 2)?;
    let (mut first, mut second) = (Broker::nowhere(&scene.hosts[0])?, Broker::nowhere(&scene.hosts[1])?);
    first.up_with(&scene.words())?;
    second.up_with(&scene.words())?;
    let invite = first.invite(&["--uses", "3"])?;
    for broker in [&first, &second] {
        assert_eq!(asked(broker, &invite, 1)?, [Ok(())]);
    }
    let backup = scene.hosts[0].folder().join("backup").display().to_string();
    first.ok(&["backup", &backup])?;
    remove_configs(&scene.hosts[0])?;
    lost(&first)?;
    second.stop()?;

    let logs = [second.log(), scene.operator().join("audit.jsonl")].map(|log| log.display().to_string());
    let recover = ["recover", "--json", "--log", &logs[0], "--log", &logs[1]];
    let preview = first.json(&[&recover[..], &["--dry-run"]].concat())?;
    let gaps = preview["gaps"].as_array().cloned().unwrap_or_default();
    assert!(gaps.len() == 1 && gaps[0].to_string().contains("--trust-logs"), "{preview}");
    let recovery = first.json(&[&recover[..], &["--trust-logs", "--reason", "two managers, and no other"]].concat())?;
    assert_eq!(recovery["gaps"].as_array().map(Vec::len), Some(1), "{recovery}");
    admits_exactly(&first, &invite, 1)?;

    // All managers are lost.
    first.stop()?;
    for host in scene.hosts.iter() {
        host.leave()?;
    }
    fs::remove_dir_all(first.state())?;
    first.ok(&["restore", &backup])?;
    lab::form(&[&scene.hosts[0]], &[])?;
    let refused = |what: &str, code: i32| -> Result<(), Failed> {
        let ended = finish(first.spawn_up(&[&scene.words()[..2], &["--timeout", "2s"]].concat())?)?;
        assert!(ended.code == code && ended.stderr.contains(what), "{ended:?}");
        Ok(())
    };
    refused("the cluster record names swarm", 78)?;
    fs::remove_file(scene.path(RECORD))?;
    refused("no cluster record came into the store", 75)?;
    fs::remove_file(scene.path(LOCK))?;
    first.up_with(&scene.words()[..2])?;
    lost(&first)?;
    first.ok(&["recover", "--new-swarm", "--reason", "all managers were lost"])?;
    assert_eq!(asked(&first, &invite, 1)?, [Err(REFUSED)]);
    until(LONG, "the record of the new swarm", || scene.path(RECORD).exists().then_some(()))?;
    Ok(())
}
