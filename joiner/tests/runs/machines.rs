//! The joiner on a machine that got nothing but user-data: what becomes of its invite, what it waits for, and what happens
//! when it will not join.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};

use protocol::{GRANTS, IDENTITIES, JOINS, ProblemKind};

use crate::fake::{Ended, JoinScript, NODE, Scripted, World, ended};

fn last_line(ended: &Ended) -> &str {
    ended.log.lines().last().unwrap_or_default()
}

/// Runs `joiner join --shred-invite`.
fn shredding(world: &World) -> Ended {
    ended(world.command("20s").arg("--shred-invite").output().expect("runs"))
}

#[test]
fn the_invite_is_gone_when_the_machine_is_in_and_only_where_that_was_asked_for() {
    let world = World::new();
    assert_eq!(world.join("20s").code, Some(0));
    assert!(world.invite_file().exists(), "it was not asked for");
    // In already: the file came back, with an image or with user-data that is run at each start.
    let again = shredding(&world);
    assert_eq!((again.code, again.out.as_str()), (Some(0), format!("already joined: node {NODE}\n").as_str()));
    assert!(!world.invite_file().exists(), "{again:?}");
    assert!(again.log.contains("its file was overwritten and removed"), "{again:?}");

    let fresh = World::new();
    let first = shredding(&fresh);
    assert_eq!(first.code, Some(0), "{first:?}");
    assert!(!fresh.invite_file().exists(), "{first:?}");
    // The next run finds no file, and has nothing left to do.
    let mut command = fresh.command("20s");
    fs::remove_file(fresh.invite_file()).expect("removes");
    let third = ended(command.env("JOINER_SHRED_INVITE", "yes").output().expect("runs"));
    assert_eq!(
        (third.code, third.out.as_str()),
        (Some(0), format!("already joined: node {NODE}\n").as_str()),
        "{third:?}"
    );
}

#[test]
fn a_machine_that_did_not_get_in_keeps_its_invite() {
    for (path, kind, code) in [
        (IDENTITIES, ProblemKind::Refused, 77),
        (JOINS, ProblemKind::Refused, 77),
        (GRANTS, ProblemKind::Malformed, 70),
    ] {
        let world = World::new();
        world.broker.script(path, [Scripted::Problem(kind)]);
        let ended = shredding(&world);
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(world.invite_file().exists(), "an operator may mend the reason: {ended:?}");
        assert!(!ended.log.contains("invite: "), "and it is no news: {ended:?}");
    }
}

#[test]
fn an_invite_that_cannot_be_removed_costs_a_warning_and_not_the_boot() {
    let world = World::new();
    let mut command = world.command("20s");
    let elsewhere = world.invite_file().with_extension("elsewhere");
    fs::rename(world.invite_file(), &elsewhere).expect("renames");
    std::os::unix::fs::symlink(&elsewhere, world.invite_file()).expect("links");
    let ended = ended(command.arg("--shred-invite").output().expect("runs"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let warning =
        ended.log.lines().find(|line| line.contains("warning: the invite may still stand in")).expect("a warning");
    assert!(
        warning.contains(&world.invite_file().display().to_string()) && warning.contains("symbolic link"),
        "{warning}"
    );
    assert!(fs::read_to_string(elsewhere).expect("is there").starts_with("SWINV-1-"));
}

#[test]
fn the_last_line_of_a_refusal_says_it_all() {
    let mut world = World::new();
    world.invite.exp = world.invite.iat;
    world.broker.script(IDENTITIES, [Scripted::Problem(ProblemKind::Refused)]);
    let ended = world.join("30s");
    let line = last_line(&ended);
    for words in [
        "joiner: refused by the broker at",
        "the invite ended at",
        "final for this invite",
        "audit log (request request-1)",
    ] {
        assert!(line.contains(words), "{words} in {line}");
    }
    assert_eq!(world.status()["stopped"]["code"], 77);
    assert_eq!(format!("joiner: {}", world.status()["stopped"]["reason"].as_str().expect("a reason")), line);
    assert!(world.status()["stopped"]["at"].as_str().expect("a time").ends_with('Z'));

    let mut elsewhere = World::new();
    elsewhere.invite.brokers = vec![World::strange_broker().address, World::strange_broker().address];
    let ended = elsewhere.join("1s");
    let line = last_line(&ended);
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(line.contains("does not belong to the invite's cluster") && line.contains("and 1 more"), "{line}");
    assert_eq!(
        ended.log.lines().filter(|line| line.starts_with("joiner: last seen: 127.0.0.1:")).count(),
        2,
        "{ended:?}"
    );
}

#[test]
fn status_tells_where_a_boot_stopped_until_the_machine_is_in() {
    let world = World::new();
    assert_eq!(world.status()["stopped"], serde_json::Value::Null);
    world.broker.script(GRANTS, [Scripted::Problem(ProblemKind::Refused)]);
    assert_eq!(world.join("20s").code, Some(77));
    let words = world.status_in_words();
    assert!(
        words.contains("state    booting") && words.contains("stopped  at ") && words.contains("exit code 77"),
        "{words}"
    );
    assert!(words.contains("because  refused by the broker at"), "{words}");
    world.broker.behave();
    assert_eq!(world.join("20s").code, Some(0));
    assert_eq!(world.status()["stopped"], serde_json::Value::Null);
    let words = world.status_in_words();
    assert!(words.contains("state    confirmed") && words.contains(&format!("node     {NODE}")), "{words}");
    assert!(!words.contains("stopped"), "{words}");
}

/// Runs a boot that is refused, with this command for its failure; gives the run, and what the command wrote to `$OUT`.
fn refused(world: &World, command: &str) -> (Ended, Option<String>) {
    world.broker.script(IDENTITIES, [Scripted::Problem(ProblemKind::Refused)]);
    with_command(world, command)
}

fn with_command(world: &World, on_failure: &str) -> (Ended, Option<String>) {
    let out = world.invite_file().with_extension("out");
    let _ = fs::remove_file(&out);
    let mut command = world.command("1s");
    command.env("OUT", &out).env("PATH", "/usr/bin:/bin").env("JOINER_ON_FAILURE", on_failure);
    command.env("JOINER_INVITE_FILE", "/secret").env("JOINER_INVITE", "SWINV-1-secret");
    (ended(command.output().expect("runs")), fs::read_to_string(out).ok())
}

#[test]
fn a_machine_that_is_refused_runs_the_command_and_tells_it_why_and_no_secret() {
    let world = World::new();
    let (ended, wrote) = refused(&world, "env > $OUT; cat /proc/$$/cmdline >> $OUT; echo told");
    assert_eq!((ended.code, ended.out.as_str()), (Some(77), ""), "what the command prints is no answer: {ended:?}");
    let wrote = wrote.expect("it ran");
    assert!(wrote.contains("JOINER_EXIT_CODE=77\n"), "{wrote}");
    let reason = wrote.lines().find_map(|line| line.strip_prefix("JOINER_REASON=")).expect("a reason");
    assert_eq!(format!("joiner: {reason}"), last_line(&ended), "one line, and the last one: {ended:?}");
    assert!(!wrote.contains("SWINV") && !wrote.contains("JOINER_INVITE") && !wrote.contains("SWMTKN"), "{wrote}");
    let told = ended.log.find("told").expect("what it printed");
    assert!(ended.log[..told].contains(reason), "the reason comes first, too: the command may end the machine");
}

#[test]
fn a_command_that_fails_changes_nothing() {
    let (ended, _) = refused(&World::new(), "exit 3");
    assert_eq!(ended.code, Some(77));
    assert!(ended.log.contains("warning: on-failure: the command failed: exit code 3"), "{ended:?}");
}

#[test]
fn every_end_that_is_final_runs_the_command_and_no_other_does() {
    let not_run = |ended: &Ended, wrote: &Option<String>| assert_eq!(*wrote, None, "{ended:?}");
    // May pass: no broker, no Docker, no time.
    let mut world = World::new();
    world.invite.brokers = vec!["127.0.0.1:1".parse().expect("an address")];
    let (ended, wrote) = with_command(&world, "echo ran > $OUT");
    assert_eq!(ended.code, Some(69));
    not_run(&ended, &wrote);
    let mut world = World::new();
    world.engine.socket = "/nonexistent/docker.sock".into();
    let (ended, wrote) = with_command(&world, "echo ran > $OUT");
    assert_eq!(ended.code, Some(72));
    not_run(&ended, &wrote);
    let world = World::new();
    world.broker.script(GRANTS, std::iter::repeat_n(Scripted::Problem(ProblemKind::Unavailable), 100));
    let (ended, wrote) = with_command(&world, "echo ran > $OUT");
    assert_eq!(ended.code, Some(75));
    not_run(&ended, &wrote);
    // In the swarm, though not confirmed, or in another: nobody may take such a machine away.
    let world = World::new();
    world.broker.script(JOINS, [Scripted::Problem(ProblemKind::Refused)]);
    let (ended, wrote) = with_command(&world, "echo ran > $OUT");
    assert_eq!(ended.code, Some(77));
    not_run(&ended, &wrote);
    assert!(ended.log.contains("on-failure: not run: Docker on this machine is in a swarm"), "{ended:?}");

    // Final: a Docker that can be no node, a state folder that cannot be used.
    let world = World::new();
    world.engine.set_info("SecurityOptions", serde_json::json!(["name=rootless"]));
    let (ended, wrote) = with_command(&world, "echo ran > $OUT");
    assert_eq!((ended.code, wrote.as_deref()), (Some(78), Some("ran\n")), "{ended:?}");
    let world = World::new();
    fs::create_dir(&world.state).expect("makes");
    fs::set_permissions(&world.state, fs::Permissions::from_mode(0o777)).expect("sets");
    let (ended, wrote) = with_command(&world, "echo ran > $OUT");
    assert_eq!((ended.code, wrote.as_deref()), (Some(73), Some("ran\n")), "{ended:?}");
}

#[test]
fn docker_that_comes_later_than_the_joiner_is_waited_for() {
    let mut world = World::new();
    let socket = world.engine.socket.clone();
    let away = socket.with_extension("away");
    fs::rename(&socket, &away).expect("renames");
    let mut child = world.start("30s");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(child.try_wait().expect("asks").is_none(), "it waits");
    fs::rename(&away, &socket).expect("renames");
    let ended = ended(child.wait_with_output().expect("ends"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    world.engine.socket = socket;
}

#[test]
fn a_wait_is_told_once() {
    // No Docker, for many looks.
    let mut world = World::new();
    world.engine.socket = "/nonexistent/docker.sock".into();
    let quiet = |world: &World, timeout: &str| ended(world.command(timeout).output().expect("runs"));
    let lines = |ended: &Ended, words: &str| ended.log.lines().filter(|line| line.contains(words)).count();
    let ended = quiet(&world, "3s");
    assert_eq!(lines(&ended, "waiting for it"), 1, "{ended:?}");

    // Two brokers, one unavailable and one not there, for many rounds.
    let mut world = World::new();
    world.invite.brokers.push("127.0.0.1:1".parse().expect("an address"));
    world.broker.script(IDENTITIES, std::iter::repeat_n(Scripted::Problem(ProblemKind::Unavailable), 100));
    let ended = quiet(&world, "3s");
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(world.broker.calls("POST /v1/identities") > 2);
    assert_eq!(lines(&ended, "joiner: identity: "), 2, "each broker once: {ended:?}");

    // A Docker that cannot join, for many tries.
    let world = World::new();
    world.engine.script(std::iter::repeat_n(JoinScript::Fails("inactive"), 100));
    let ended = quiet(&world, "4s");
    assert!(world.engine.joins().len() > 2, "{ended:?}");
    assert_eq!(lines(&ended, "docker: joining"), 1, "{ended:?}");
}

#[test]
fn an_address_in_no_network_of_this_machine_costs_no_use_of_the_invite() {
    let world = World::new();
    let began = Instant::now();
    let ended = ended(world.command("1s").args(["--advertise-addr", "198.51.100.255/32"]).output().expect("runs"));
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(began.elapsed() > Duration::from_millis(900), "it may come: it is waited for");
    assert!(
        last_line(&ended).contains("no address in 198.51.100.255/32, which --advertise-addr asks for"),
        "{ended:?}"
    );
    assert_eq!(world.broker.calls("POST /v1/identities"), 0);
}
