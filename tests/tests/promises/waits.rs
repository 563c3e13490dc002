//! `broker wait`: it ends when so many have joined, and says of each machine that did not come why.

use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Joiner, Relay, Rule, Stream, finish, invite};
use lab::{Failed, Host, LONG, Pool, Process, Role, until};
use serde_json::{Value, json};

/// `broker wait`, in the background.
fn wait(broker: &Broker<'_>, arguments: &[&str]) -> Result<Process, Failed> {
    let mut command = broker.command();
    command.arg("wait").args(arguments);
    Ok(broker.host().spawn("wait", command)?)
}

fn says(wait: &Process, what: &str) -> Result<(), Failed> {
    Ok(until(LONG, what, || wait.stderr().contains(what).then_some(()))?)
}

/// The lines on standard error that tell of machines, without their times.
fn told(wait: &Process) -> Vec<String> {
    let stderr = wait.stderr();
    let news = stderr.lines().filter_map(|line| line.split_once("Z  "));
    news.map(|(_, what)| what.split_whitespace().collect::<Vec<_>>().join(" ")).collect()
}

pub(crate) fn it_ends_when_the_third_of_three_has_joined(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 5)?;
    let (manager, other, by_hand) = (cluster.manager(), &cluster[4], &cluster[5]);
    // The token that is read below is not about to be replaced.
    let broker = Broker::start_with(manager, &["--rotate-worker", "manual"])?;
    // Neither a node of another invite counts, nor one that joined by hand.
    Joiner::new(other, &broker.invite(&["--uses", "1"])?).joins()?;
    by_hand.join(manager, &manager.join_token(Role::Worker)?)?;
    let invite = broker.invite(&["--uses", "3", "--label", "zone=a"])?;
    let id = invite::id(&invite)?;
    let mut wait = wait(&broker, &["--count", "3", "--invite", &id, "--timeout", "60s", "--json"])?;
    let mut expected = Vec::new();
    for machine in &cluster[1..4] {
        assert_eq!(wait.ended()?, None, "{}{}", wait.stdout(), wait.stderr());
        Joiner::new(machine, &invite).joins()?;
        expected.push(format!("joined {} {} zone=a", machine.name(), machine.node_id()?));
        until(LONG, "a line for it", || (told(&wait) == expected).then_some(()))?;
    }
    let ended = finish(wait)?;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let object: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!((&object["count"], &object["joined"], &object["timed_out"]), (&3.into(), &3.into(), &false.into()));
    assert_eq!(object["missing"], json!([]));
    for (node, machine) in object["nodes"].as_array().ok_or("no nodes")?.iter().zip(&cluster[1..4]) {
        assert_eq!(node["node"], machine.node_id()?.as_str());
        assert_eq!((&node["hostname"], &node["labels"]), (&machine.name().into(), &json!({ "zone": "a" })));
        assert_eq!((&node["address"], &node["invite"]), (&machine.address().to_string().into(), &id.as_str().into()));
        assert!(node["joined_at"].as_str().is_some_and(|at| at.ends_with('Z')), "{node}");
    }

    // Whoever asks later finds them there; and one that was lost since is named.
    let again = broker.run(&["wait", "--count", "4", "--role", "worker"])?;
    assert_eq!(again.code, 0, "{}", again.stderr);
    assert!(again.stdout.starts_with("4 of 4 joined"), "{}", again.stdout);
    other.kill_engine()?;
    until(Duration::from_mins(2), "its node to be down", || {
        let down = manager.docker(&["node", "inspect", "--format", "{{.Status.State}}", other.name()]).ok()?;
        (down.trim() == "down").then_some(())
    })?;
    let lost = broker.run(&["wait", "--count", "4", "--timeout", "0s"])?;
    assert_eq!(lost.code, 75, "{}", lost.stderr);
    let named = format!("down: {} ({}): not-ready", other.name(), other.address());
    assert!(lost.stdout.starts_with("3 of 4 joined") && lost.stdout.contains(&named), "{}", lost.stdout);
    assert_eq!(broker.run(&["wait", "--count", "1", "--role", "manager", "--timeout", "0s"])?.code, 75);
    // What can never be is not waited for.
    let impossible = broker.run(&["wait", "--count", "4", "--invite", &id])?;
    assert_eq!(impossible.code, 64);
    assert!(impossible.stderr.contains(&format!("invite {id} admits 3")), "{}", impossible.stderr);
    Ok(())
}

/// Four machines of which one joins: one got no further than the token, one was refused, one was never switched on.
/// The broker sees them all at the relay's address, as behind a NAT.
pub(crate) fn each_machine_that_did_not_come_has_its_reason(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let (manager, stuck, joined, refused) = (cluster.manager(), &cluster[1], &cluster[2], &cluster[3]);
    let relay = Relay::start(stuck, 7999, (manager.address(), 7443).into(), Rule::HoldRequest(4))?;
    let broker = Broker::start_with(manager, &["--advertise", &relay.address().to_string()])?;
    let invite = broker.invite(&["--uses", "2"])?;
    let id = invite::id(&invite)?;
    let all = wait(&broker, &["--count", "4", "--timeout", "25s", "--json"])?;
    says(&all, "waiting for 4")?;

    let mut joiner = Joiner::new(stuck, &invite).start()?;
    until(LONG, "the confirm to be on its way", || relay.struck().then_some(()))?;
    joiner.kill()?;
    relay.set(Rule::Pass);
    Joiner::new(joined, &invite).joins()?;
    assert_eq!(Joiner::new(refused, &invite).join()?.code, 77);
    // A stranger that speaks to the port is no machine that was waited for.
    let garbled = broker.invite(&["--uses", "1"])?.replacen(".ey", ".eY", 1);
    assert_eq!(Joiner::new(manager, &garbled).with("JOINER_TIMEOUT", "2s").join()?.code, 65);

    let ended = finish(all)?;
    assert_eq!(ended.code, 75, "{}", ended.stderr);
    assert!(ended.stderr.ends_with("broker: 3 of 4 did not join within 25s\n"), "{}", ended.stderr);
    assert!(ended.stderr.contains(&format!("refused  {} ({})  used-up", refused.name(), stuck.address())));
    assert_three(&serde_json::from_str(&ended.stdout)?, &id, [refused, stuck, joined])?;

    // Who asks later, for this invite, is told the same: the log has it.
    let later = broker.run(&["wait", "--count", "2", "--invite", &id, "--timeout", "0s"])?;
    assert_eq!(later.code, 75, "{}", later.stderr);
    for part in [
        "1 of 2 joined",
        &format!("refused: {} ({})", refused.name(), stuck.address()),
        "used-up: every use of its invite is another machine's",
        &format!("stuck: {} ({})", stuck.name(), stuck.address()),
        "no-confirm: it has the token and did not confirm",
    ] {
        assert!(later.stdout.contains(part), "lacks '{part}': {}", later.stdout);
    }
    let all = broker.run(&["wait", "--count", "4", "--timeout", "0s"])?;
    let hint = format!("2 machines never asked: are they booted, can they reach {}", relay.address());
    assert!(all.stdout.contains(&hint), "what was refused before it began is not its business: {}", all.stdout);

    // And it is over with the third that comes: the stuck one by itself, another one by another invite.
    let mut last = wait(&broker, &["--count", "3", "--timeout", "60s"])?;
    Joiner::new(stuck, &invite).joins()?;
    assert_eq!(last.ended()?, None, "{}", last.stdout());
    let another = broker.invite(&["--uses", "1"])?;
    Joiner::new(refused, &another).joins()?;
    let ended = finish(last)?;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    Ok(())
}

fn assert_three(object: &Value, invite: &str, [refused, stuck, joined]: [&Host; 3]) -> Result<(), Failed> {
    assert_eq!((&object["count"], &object["joined"], &object["timed_out"]), (&4.into(), &1.into(), &true.into()));
    assert_eq!(object["nodes"][0]["hostname"], joined.name());
    assert!(object["elapsed_s"].as_f64().is_some_and(|seconds| (25.0..60.0).contains(&seconds)), "{object}");
    let missing = object["missing"].as_array().ok_or("nothing is missing")?;
    let found: Vec<_> = missing
        .iter()
        .map(|one| [&one["state"], &one["reason"], &one["hostname"], &one["source"], &one["invite"]].map(Value::clone))
        .collect();
    let of = |state: &str, reason: &str, host: &Host| {
        [state, reason, host.name(), &stuck.address().to_string(), invite].map(Value::from)
    };
    let never = ["never-seen", "never-seen"].map(Value::from);
    assert_eq!(found.len(), 3, "{missing:?}");
    assert_eq!(found[0], of("refused", "used-up", refused));
    assert_eq!(found[1], of("stuck", "no-confirm", stuck));
    assert_eq!(found[2], [never[0].clone(), never[1].clone(), Value::Null, Value::Null, Value::Null]);
    assert!(missing[..2].iter().all(|one| one["since"].as_str().is_some_and(|at| at.ends_with('Z'))), "{missing:?}");
    Ok(())
}

pub(crate) fn it_outlives_a_broker_that_is_restarted(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    // Before there is a broker.
    let mut wait = wait(&broker, &["--count", "2", "--timeout", "90s", "--json"])?;
    says(&wait, "still waiting: no broker is running behind")?;
    broker.serve()?;
    says(&wait, "the broker answers")?;
    let invite = broker.invite(&["--uses", "2"])?;
    Joiner::new(&cluster[1], &invite).joins()?;
    let revoked = broker.invite(&["--uses", "1"])?;
    broker.ok(&["invite", "revoke", &invite::id(&revoked)?])?;
    assert_eq!(Joiner::new(&cluster[3], &revoked).join()?.code, 77);

    broker.kill()?;
    until(LONG, "the wait to notice", || (wait.stderr().matches("still waiting").count() == 2).then_some(()))?;
    let since = Instant::now();
    until(LONG, "it to have asked again and again", || (since.elapsed() > Duration::from_secs(3)).then_some(()))?;
    assert_eq!(wait.ended()?, None);
    broker.serve()?;
    until(LONG, "the wait to go on", || (wait.stderr().matches("the broker answers").count() == 2).then_some(()))?;
    assert_eq!(wait.stderr().matches("still waiting").count(), 2, "said once: {}", wait.stderr());
    Joiner::new(&cluster[2], &invite).joins()?;
    let ended = finish(wait)?;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    for host in &cluster[1..3] {
        assert_eq!(ended.stderr.matches(&host.node_id()?).count(), 1, "told once: {}", ended.stderr);
    }
    assert_eq!(ended.stderr.matches("invite-revoked").count(), 1, "told once: {}", ended.stderr);

    broker.stop()?;
    let nobody = broker.run(&["wait", "--count", "1", "--timeout", "2s", "--json"])?;
    assert_eq!(nobody.code, 75, "{}", nobody.stderr);
    let object: Value = serde_json::from_str(&nobody.stdout)?;
    assert_eq!(
        (&object["missing"][0]["state"], &object["missing"][0]["reason"]),
        (&"unknown".into(), &"no-answer".into())
    );
    Ok(())
}

pub(crate) fn a_terminal_is_shown_a_bar_and_anything_else_lines(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2"])?;
    Joiner::new(&cluster[1], &invite).joins()?;
    let count = ["--count", "2", "--timeout", "60s"];
    let lines = wait(&broker, &count)?;
    let screen = std::thread::scope(|scope| {
        let screen = scope.spawn(|| on_terminal(&broker, &count));
        says(&lines, "1 of 2 there already")?;
        Joiner::new(&cluster[2], &invite).joins()?;
        screen.join().map_err(|_| "the terminal's reader panicked")?
    })?;
    let (stdout, stderr) = (finish(lines)?, screen);
    assert!(stdout.stdout.starts_with("2 of 2 joined"), "{}", stdout.stdout);
    assert!(!stdout.stderr.contains('\u{1b}') && !stdout.stderr.contains(']'), "{}", stdout.stderr);
    assert!(stderr.contains("] 1 of 2 joined, "), "{stderr:?}");
    assert!(stderr.contains("\u{1b}[2K"), "the bar is drawn in place: {stderr:?}");
    assert!(stderr.contains(&format!("joined   {}", cluster[2].name())), "{stderr:?}");
    Ok(())
}

/// What a terminal is sent as standard error of `broker wait`.
fn on_terminal(broker: &Broker<'_>, arguments: &[&str]) -> Result<String, Failed> {
    let mut command = broker.command();
    command.arg("wait").args(arguments);
    let ended = lab::cluster::on_terminal(command, Stream::Errors)?;
    if ended.code == 0 { Ok(ended.stderr) } else { Err(format!("{ended:?}").into()) }
}
