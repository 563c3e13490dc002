//! `broker nodes --expect`: what should be there, held against what is; and `--watch`.

use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner, Machine, Relay, Rule, on, on_terminal_until};
use lab::{Failed, Host, LONG, Pool, Role, until};
use serde_json::Value;

/// What an example of the Terraform module puts out for these machines.
fn outputs(machines: &[(&str, String)]) -> String {
    let workers: Vec<String> = machines.iter().map(|(name, address)| format!(r#""{name}": "{address}""#)).collect();
    let kinds: Vec<String> = machines.iter().map(|(name, _)| format!(r#""{name}": "string""#)).collect();
    format!(
        r#"{{
  "vpc_uuid": {{ "sensitive": false, "type": "string", "value": "5a4981aa-9653-4bd1-bef5-d6bff52042e4" }},
  "workers": {{ "sensitive": false, "type": ["object", {{ {} }}], "value": {{ {} }} }}
}}"#,
        kinds.join(", "),
        workers.join(", ")
    )
}

/// The hostnames of a list in the answer.
fn names<'a>(told: &'a Value, list: &str) -> Vec<&'a str> {
    told[list].as_array().into_iter().flatten().map(|one| one["hostname"].as_str().unwrap_or("-")).collect()
}

/// Of six machines one joined, one waits for its confirm, one has a use, one was refused, one never asked, and one joined by
/// hand.
pub(crate) fn what_is_expected_is_held_against_what_is(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 4)?;
    let (manager, stuck, joined) = (cluster.manager(), &cluster[1], &cluster[2]);
    let (refused, by_hand) = (&cluster[3], &cluster[4]);
    let relay = Relay::start(stuck, 7999, (manager.address(), 7443).into(), Rule::HoldRequest(4))?;
    // The token that is read below is not about to be replaced.
    let arguments = ["--advertise", &relay.address().to_string(), "--rotate-worker", "manual"];
    let broker = Broker::start_with(manager, &arguments)?;
    let invite = broker.invite(&["--uses", "3", "--label", "zone=a"])?;
    let mut joiner = Joiner::new(stuck, &invite).start()?;
    until(LONG, "the confirm to be on its way", || relay.struck().then_some(()))?;
    joiner.kill()?;
    relay.set(Rule::Pass);
    Joiner::new(joined, &invite).joins()?;
    let address = broker.address();
    on(refused, || async { Machine::new(&invite, address).identity().await })?.map_err(|told| format!("{told:?}"))?;
    assert_eq!(Joiner::new(refused, &invite).join()?.code, 77);
    by_hand.join(manager, &manager.join_token(Role::Worker)?)?;

    let of = |host: &Host| host.address().to_string();
    let list = outputs(&[
        (joined.name(), of(joined)),
        (stuck.name(), of(stuck)),
        ("machine", "10.255.0.1".into()),
        (refused.name(), of(refused)),
        ("never-booted", "10.255.0.2".into()),
    ]);
    let file = manager.folder().join("expected.json");
    fs::write(&file, list)?;
    let expect = ["nodes", "--expect", &file.display().to_string()];
    let told = broker.json(&[&expect[..], &["--json"]].concat())?;
    assert_eq!((&told["expected"], &told["there"]), (&5.into(), &1.into()), "{told}");
    assert_eq!(names(&told, "missing"), [stuck.name(), "machine", refused.name(), "never-booted"]);
    let states: Vec<_> =
        told["missing"].as_array().into_iter().flatten().map(|one| [&one["state"], &one["reason"]]).collect();
    assert_eq!(
        states,
        [["booting", "no-confirm"], ["booting", "no-token"], ["refused", "used-up"], ["missing", "never-seen"]]
    );
    assert_eq!((names(&told, "refused"), names(&told, "adopted")), (vec![refused.name()], vec![manager.name()]));
    assert_eq!((names(&told, "pending"), names(&told, "unexplained")), (vec![stuck.name()], vec![by_hand.name()]));
    assert_eq!(told["booting"].as_array().map(Vec::len), Some(2), "of the machine that has a use, too: {told}");
    let node = &told["joined"][0];
    assert_eq!((names(&told, "joined"), &node["expected"]), (vec![joined.name()], &joined.name().into()));
    assert_eq!((&node["address"], &node["role"]), (&of(joined).into(), &"worker".into()));
    assert_eq!(node["labels"]["zone"], "a");
    let engine = manager.docker(&["version", "--format", "{{.Server.Version}}"])?;
    assert_eq!(node["engine"], engine.trim());
    assert!(node["age_s"].as_u64().is_some_and(|age| age < 600) && node["invite"].is_string(), "{node}");

    // What was there without a list is there with one, too, and as it was.
    let plain = broker.json(&["nodes", "--json"])?;
    let keys: Vec<&String> = plain.as_object().into_iter().flat_map(serde_json::Map::keys).collect();
    assert_eq!(keys, ["booting", "nodes"]);
    for (with, without) in told["nodes"].as_array().into_iter().flatten().zip(plain["nodes"].as_array().ok_or("nodes")?)
    {
        assert!(without.as_object().is_some_and(|fields| fields.iter().all(|(name, value)| with[name] == *value)));
    }
    table_and_exit_code(&broker, &expect, refused, by_hand)?;

    // The one that waited comes, and the stranger is adopted: then nothing is wanting of these two.
    Joiner::new(stuck, &invite).joins()?;
    broker.ok(&["adopt", by_hand.name(), "--reason", "joined by hand for a test"])?;
    let line =
        format!("printf '%s\\n' '# mine' {} {} | broker nodes --exit-code --expect -", stuck.name(), by_hand.name());
    let ended = broker.typed(&line)?;
    assert!(ended.code == 0 && ended.stdout.contains("2 of 2 expected are there; 0 booting"), "{ended:?}");
    Ok(())
}

fn table_and_exit_code(broker: &Broker<'_>, expect: &[&str], refused: &Host, by_hand: &Host) -> Result<(), Failed> {
    let table = broker.ok(expect)?;
    for part in [
        &format!("refused: {} (", refused.name()),
        "used-up: every use of its invite is another machine's",
        "missing: never-booted (10.255.0.2): never-seen: it never asked",
        "booting: machine (",
        "1 joined, 1 adopted, 1 pending, 0 down, 1 unexplained",
        "1 of 5 expected are there; 2 booting, 1 refused, 1 missing",
    ] {
        assert!(table.contains(part), "lacks '{part}': {table}");
    }
    assert!(!table.contains('\u{1b}'), "no colours in a pipe: {table:?}");
    let unexplained =
        table.lines().find(|line| line.split_whitespace().nth(1) == Some(by_hand.name())).ok_or("the stranger")?;
    assert!(unexplained.contains("  unexplained  no ") && unexplained.contains("  nothing"), "{unexplained}");
    let judged = broker.run(&[expect, &["--exit-code"]].concat())?;
    let words = "broker: 4 expected machines are not there, 1 node is unexplained\n";
    assert_eq!((judged.code, judged.stderr.as_str()), (78, words));
    let broken = broker.typed("echo '{' | broker nodes --expect -")?;
    assert!(broken.code == 65 && broken.stderr.starts_with("broker: --expect standard input: it is no whole JSON"));
    Ok(())
}

pub(crate) fn a_watch_tells_each_change_and_ends_with_its_reader(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let mut broker = Broker::start(manager)?;
    let list = manager.folder().join("expected");
    fs::write(&list, machine.name())?;
    let mut command = broker.command();
    command.args(["nodes", "--watch", "--expect"]).arg(&list);
    let mut watch = manager.spawn("watch", command)?;
    let says = |words: String| until(LONG, &words, || watch.stdout().contains(&words).then_some(()));
    says(format!("Z  missing      {}: never-seen: it never asked", machine.name()))?;
    broker.kill()?;
    says("no broker is running behind".into())?;
    broker.serve()?;
    says("the broker answers".into())?;
    Joiner::new(machine, &broker.invite(&[])?).joins()?;
    says(format!("Z  joined       {}  {}", machine.name(), machine.node_id()?))?;
    let told = watch.stdout();
    assert_eq!(told.matches("  adopted  ").count(), 1, "it did not change: {told}");
    assert!(!told.contains('\u{1b}') && watch.stderr().is_empty(), "{told}{}", watch.stderr());
    watch.interrupt()?;
    assert_eq!(watch.wait(Duration::from_secs(10))?.signal(), Some(2));

    // Nothing changes any more, so nothing is written: it ends all the same when nobody reads.
    let ended = broker.typed("{ timeout 30 broker nodes --watch 2>errors; echo $? >code; } | head -n 1")?;
    let written = |name: &str| fs::read_to_string(manager.folder().join(name));
    assert_eq!((written("code")?.trim(), written("errors")?.as_str()), ("0", ""), "{ended:?}");

    let mut command = broker.command();
    command.args(["nodes", "--watch"]);
    let screen = on_terminal_until(command, "three frames", |shown| shown.matches(", every 2 s").count() >= 3)?;
    let shown = &screen.stdout;
    assert!(screen.code == -1 && shown.contains(machine.name()), "{shown:?}");
    // Its time, a head, two nodes and their sum.
    assert!(shown.matches("\r\u{1b}[5A").count() >= 2, "drawn over: {shown:?}");
    assert!(!shown.contains("\u{1b}[2J") && shown.contains("\u{1b}[1mNODE"), "{shown:?}");
    let command = broker.typed_command("NO_COLOR=1 exec broker nodes --watch");
    let screen = on_terminal_until(command, "a frame", |shown| shown.contains("1 joined, 1 adopted"))?;
    assert!(!screen.stdout.contains("\u{1b}[1m"), "{:?}", screen.stdout);
    Ok(())
}
