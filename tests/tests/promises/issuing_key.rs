//! The issuing key may be kept outside the state directory: machines join all the same, and a wrong key stops the start.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner, Run};
use lab::{Failed, Host, Pool};
use serde_json::Value;

/// What `broker doctor` finds about the key.
fn finding(broker: &Broker<'_>) -> Result<(String, String), Failed> {
    let told: Value = serde_json::from_str(&broker.run(&["doctor", "--json"])?.stdout)?;
    let found = told["findings"].as_array().and_then(|all| all.iter().find(|one| one["check"] == "key"));
    let found = found.ok_or_else(|| format!("nothing about the key: {told}"))?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Ok((text("result"), text("text")))
}

fn joins(broker: &Broker<'_>, machine: &Host) -> Result<(), Failed> {
    Joiner::new(machine, &broker.invite(&["--uses", "1"])?).joins().map(drop).map_err(Failed::from)
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

pub(crate) fn machines_join_with_the_key_in_a_credential_a_command_or_a_file(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let (here, credentials) = (broker.state().join("issuing.key"), manager.folder().join("credentials"));
    fs::create_dir(&credentials)?;
    let away = credentials.join("issuing.key");
    fs::rename(&here, &away)?;
    // As systemd leaves it.
    fs::set_permissions(&away, Permissions::from_mode(0o440))?;
    let key = fs::read_to_string(&away)?;
    let invite = broker.invite(&["--offline", "--broker", &broker.address().to_string()])?;

    broker.with("CREDENTIALS_DIRECTORY", &text(&credentials));
    let command = format!("command:cat {} | cat", away.display());
    let file = format!("file:{}", away.display());
    for (number, (kind, place)) in
        [("credential", "credential:issuing.key"), ("command", &command), ("file", &file)].into_iter().enumerate()
    {
        if kind == "file" {
            fs::set_permissions(&away, Permissions::from_mode(0o600))?;
        }
        broker.serve_with(&["--issuing-key", place, "--log", "trace"])?;
        assert_eq!(broker.json(&["status", "--json"])?["issuing_key"], kind);
        assert!(!here.exists(), "it was written back");
        assert_eq!(finding(&broker)?, ("ok".into(), format!("the broker has the issuing key from a {kind}")));
        if number == 0 {
            Joiner::new(&cluster[1], &invite).joins()?;
        } else {
            joins(&broker, &cluster[number + 1])?;
        }
        let log = broker.stop()?.stderr;
        for line in key.lines().filter(|line| !line.starts_with('-')) {
            assert!(
                !log.contains(line) && !fs::read_to_string(broker.log())?.contains(line),
                "{kind}: the key is shown"
            );
        }
    }

    // A copy that was left behind is what somebody finds.
    fs::copy(&away, &here)?;
    broker.serve_with(&["--issuing-key", &file])?;
    let (result, words) = finding(&broker)?;
    assert!(result == "advice" && words.ends_with(&format!("remove {}", here.display())), "{result}: {words}");
    broker.stop()?;
    broker.serve_with(&[])?;
    assert_eq!(finding(&broker)?.0, "ok");
    fs::remove_file(&here)?;
    assert_eq!(finding(&broker)?.0, "wrong", "the next start would fail");
    Ok(())
}

pub(crate) fn a_key_that_is_wrong_or_cannot_be_had_stops_the_start(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let other = Broker::init_in(manager, manager.folder().join("other"))?;
    let (ours, others) = (broker.state().join("issuing.key"), other.state().join("issuing.key"));
    let starts = |place: &str, code: i32, words: &[&str]| -> Result<(), Failed> {
        let mut command = broker.command();
        command.args(["serve", "--issuing-key", place]);
        let mut process = manager.spawn("broker", command)?;
        // A broker that starts all the same does not end.
        let status = process.wait(Duration::from_secs(20)).map_err(|late| format!("{place}: {late}"))?;
        let ended = Run { code: status.code().unwrap_or(-1), stdout: process.stdout(), stderr: process.stderr() };
        assert_eq!(ended.code, code, "{place}: {}", ended.stderr);
        for words in words {
            assert!(ended.stderr.contains(words), "{place}: lacks '{words}': {}", ended.stderr);
        }
        for key in [&ours, &others] {
            let key = fs::read_to_string(key)?;
            let shown = key.lines().any(|line| !line.starts_with('-') && ended.stderr.contains(line));
            assert!(!shown, "{place}: the key is shown: {}", ended.stderr);
        }
        Ok(())
    };

    let wrong = "does not belong to";
    let certificate = text(&broker.state().join("issuing.crt"));
    let init = "Give the key that 'broker init' made";
    starts(&format!("file:{}", others.display()), 65, &[wrong, &certificate, "(file)", init])?;
    starts(&format!("command:cat {}", others.display()), 65, &[wrong, &certificate, "(command)", init])?;
    starts(&format!("command:head -c 100 {}", ours.display()), 65, &["not a P-256 private key", &certificate])?;
    starts("command:yes", 65, &["longer than a key can be"])?;
    starts("command:echo the vault is sealed >&2; exit 7", 69, &["the vault is sealed", "failed (exit status: 7)"])?;
    starts("file:/nowhere", 66, &["/nowhere cannot be read: No such file"])?;
    starts("credential:issuing.key", 78, &["$CREDENTIALS_DIRECTORY is not set", "LoadCredential=issuing.key:FILE"])?;
    starts("vault:key", 78, &["--issuing-key: it is not file:PATH, credential:NAME or command:LINE"])?;
    starts(&fs::read_to_string(&ours)?, 78, &["--issuing-key: it is not file:PATH"])?;
    fs::set_permissions(&others, Permissions::from_mode(0o644))?;
    starts(&format!("file:{}", others.display()), 78, &["can be read by others", "chmod 0600"])?;

    fs::remove_file(&ours)?;
    let ended = broker.run(&["serve"])?;
    assert_eq!(ended.code, 66);
    assert!(
        ended.stderr.contains("issuing.key is missing") && ended.stderr.contains("--issuing-key"),
        "{}",
        ended.stderr
    );
    assert_eq!(manager.docker(&["config", "ls", "-q"])?, "", "nothing was changed in the swarm");
    broker.with("CREDENTIALS_DIRECTORY", "/nowhere");
    let ended = broker.run(&["serve", "--issuing-key", "credential:issuing.key"])?;
    assert_eq!(ended.code, 66);
    assert!(ended.stderr.contains("systemd passed no credential 'issuing.key'"), "{}", ended.stderr);
    Ok(())
}
