//! The swarm's own locks: what a locked manager's broker says, and the key that opens it.

use std::fs;
use std::path::Path;

use lab::cluster::{Broker, Cluster, Stream, assert_admits, finish, node_key, on_terminal, write_private};
use lab::{Failed, Host, LONG, Pool, until};
use serde_json::Value;

use crate::never_shows::{forms, processes, texts_below};

/// The key that the swarm has now.
fn unlock_key(manager: &Host) -> Result<String, Failed> {
    Ok(manager.docker(&["swarm", "unlock-key", "--quiet"])?.trim().to_owned())
}

/// The node's key as it lies on the manager's disk, once it is locked with the key that the swarm has now: the engine does
/// that a moment after it was told to.
pub(crate) fn locked_key(manager: &Host, other_than: &str) -> Result<String, Failed> {
    let root = manager.docker(&["info", "--format", "{{.DockerRootDir}}"])?;
    let file = Path::new(root.trim()).join("swarm/certificates/swarm-node.key");
    let locked = until(LONG, "the node's key to be locked", || {
        fs::read_to_string(&file).ok().filter(|key| key.contains("ENCRYPTED") && key != other_than)
    });
    Ok(locked?)
}

fn status(broker: &Broker<'_>) -> Option<Value> {
    broker.json(&["status", "--json"]).ok()
}

pub(crate) fn a_locked_managers_broker_says_so_and_goes_on_with_the_key_that_was_shown_once(
    pool: &Pool,
) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start_with(manager, &["--log", "trace"])?;
    let invite = broker.invite(&["--uses", "9"])?;
    let off = broker.run(&["rotate", "unlock-key", "--dry-run"])?;
    assert!(off.code == 0 && off.stdout.contains("autolock is off"), "{off:?}");
    let at_terminal = || -> Result<_, Failed> {
        let mut command = broker.command();
        command.args(["rotate", "unlock-key", "--reason", "a test"]);
        Ok(on_terminal(command, Stream::Output)?)
    };
    assert_eq!(at_terminal()?.code, 64, "there is none");
    manager.docker(&["swarm", "update", "--autolock=true"])?;
    let before = unlock_key(manager)?;
    let on_disk = locked_key(manager, "")?;

    // Into a pipe, a file or JSON: refused before anything is done.
    for arguments in [&["rotate", "unlock-key"] as &[&str], &["rotate", "unlock-key", "--json"]] {
        let told = broker.run(arguments)?;
        assert!(told.code == 64 && told.stderr.contains("at a terminal") && told.stdout.is_empty(), "{told:?}");
    }
    let mut command = broker.command();
    command.args(["rotate", "unlock-key", "--json"]);
    assert_eq!(on_terminal(command, Stream::Output)?.code, 64);
    assert_eq!(unlock_key(manager)?, before);
    let all = broker.json(&["rotate", "all", "--json"])?;
    assert_eq!(all["also"][0], "broker rotate unlock-key", "{all}");

    let shown = at_terminal()?;
    assert_eq!(shown.code, 0, "{}", shown.stdout);
    let keys: Vec<&str> = shown.stdout.split_whitespace().filter(|word| word.starts_with("SWMKEY-")).collect();
    let [key] = keys[..] else { return Err(format!("not one key: {}", shown.stdout).into()) };
    assert!(key == unlock_key(manager)? && key != before);
    let records = broker.records()?;
    let record = records.iter().rfind(|record| record["what"] == "unlock-key").ok_or("no record")?;
    assert_eq!((&record["event"], &record["generation"]), (&"key.rotated".into(), &2.into()), "{record}");
    assert!(record["operator"].is_string() && record["detail"].to_string().contains("a test"), "{record}");

    // The engine starts again, and is locked: so says the broker that runs, and one that starts.
    locked_key(manager, &on_disk)?;
    manager.kill_engine()?;
    manager.start_engine()?;
    let locked = until(LONG, "the broker to say that the engine is locked", || {
        status(&broker).filter(|status| status["missing"].to_string().contains("docker swarm unlock"))
    })?;
    assert_eq!(locked["ready"], false, "{locked}");
    let doctor = broker.run(&["doctor"])?;
    assert!(doctor.code == 78 && doctor.stdout.contains("docker swarm unlock"), "{doctor:?}");
    let second = Broker::init_in(manager, manager.folder().join("another"))?;
    let mut command = second.command();
    command.args(["serve", "--listen", "127.0.0.1:7444", "--admin", "/run/nowhere.sock"]);
    let ended = finish(manager.spawn("another", command)?)?;
    assert!(ended.code == 75 && ended.stderr.contains("docker swarm unlock"), "{ended:?}");

    // The former key does not open it, the one that was shown does; the broker goes on by itself.
    let file = manager.folder().join("typed");
    for (typed, opens) in [(before.as_str(), false), (key, true)] {
        write_private(&file, typed)?;
        assert_eq!(broker.typed("docker swarm unlock < typed")?.code == 0, opens);
        fs::remove_file(&file)?;
    }
    until(LONG, "the broker to be ready again", || status(&broker).filter(|status| status["ready"] == true))?;
    assert_admits(manager, &broker, &invite)?;

    // With autolock off the node's key can be read again: what a broker needs to follow another.
    assert!(node_key(manager).is_err());
    manager.docker(&["swarm", "update", "--autolock=false"])?;
    until(LONG, "the node's key to be readable", || node_key(manager).ok())?;

    // It was shown once, and is nowhere else.
    let mut texts: Vec<(String, String)> = processes().into_iter().map(|text| ("a process".into(), text)).collect();
    let stopped = broker.stop()?;
    assert!(stopped.stderr.contains("TRACE") || stopped.stderr.contains("DEBUG"), "the log was at its loudest");
    texts.push(("the broker's output".into(), stopped.stdout + &stopped.stderr));
    texts_below(&manager.folder(), &mut texts)?;
    for id in manager.docker(&["config", "ls", "-q"])?.split_whitespace() {
        texts.push((format!("config {id}"), manager.docker(&["config", "inspect", id])?));
    }
    for form in forms(key) {
        for (place, text) in &texts {
            assert!(!text.contains(&form), "{place} shows the unlock key");
        }
    }
    Ok(())
}
