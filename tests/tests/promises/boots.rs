//! Boots that are interrupted: each ends as it would have ended.

use lab::cluster::{Broker, Cluster, Joiner, Machine, Relay, Rule, finish, on};
use lab::{Failed, Host, LONG, Pool, until};

/// The requests of a boot, in their order.
const STEPS: [&str; 4] = ["identity", "grant", "redeem", "confirm"];

fn assert_joined(manager: &Host, broker: &Broker<'_>, nodes: usize) -> Result<(), Failed> {
    let labelled =
        lab::nodes(manager)?.into_iter().filter(|node| node.labels.get("zone").is_some_and(|zone| zone == "a"));
    assert_eq!(labelled.filter(|node| node.availability == "active").count(), nodes);
    let listed = broker.json(&["invite", "list", "--json"])?;
    let count = |field: &str| {
        listed["invites"].as_array().into_iter().flatten().filter_map(|invite| invite[field].as_u64()).sum::<u64>()
    };
    assert_eq!((count("claimed"), count("joined")), (nodes as u64, nodes as u64), "one use a machine");
    // An engine that was killed in the middle of its join may leave a node behind that never came: shown, and an alarm.
    let came = |node: &serde_json::Value| node["hostname"] != "" || node["ready"] == true;
    let nodes = broker.json(&["nodes", "--json"])?;
    assert!(
        nodes["nodes"].as_array().into_iter().flatten().filter(|node| came(node)).all(|node| node["explained"] == true),
        "{nodes}"
    );
    Ok(())
}

pub(crate) fn a_reply_lost_at_any_step_costs_a_retry(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, STEPS.len())?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    for (at, machine) in cluster[1..].iter().enumerate() {
        let relay = Relay::start(machine, 7999, (manager.address(), 7443).into(), Rule::DropReply(at + 1))?;
        broker.serve_with(&["--advertise", &relay.address().to_string()])?;
        let invite = broker.invite(&["--uses", "1", "--label", "zone=a"])?;
        Joiner::new(machine, &invite).joins()?;
        assert!(relay.struck(), "the reply of step {} was lost", STEPS[at]);
        broker.stop()?;
    }
    broker.serve()?;
    assert_joined(manager, &broker, STEPS.len())
}

pub(crate) fn a_joiner_killed_at_any_step_finishes_the_same_boot(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, STEPS.len() * 2)?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    let rules = (1..=STEPS.len()).flat_map(|step| [Rule::HoldRequest(step), Rule::HoldReply(step)]);
    for (machine, rule) in cluster[1..].iter().zip(rules) {
        let relay = Relay::start(machine, 7999, (manager.address(), 7443).into(), rule)?;
        broker.serve_with(&["--advertise", &relay.address().to_string()])?;
        let invite = broker.invite(&["--uses", "1", "--label", "zone=a"])?;
        let joiner = Joiner::new(machine, &invite);
        let mut first = joiner.start()?;
        until(LONG, "the joiner to wait", || relay.struck().then_some(()))?;
        first.kill()?;
        relay.set(Rule::Pass);
        joiner.joins()?;
        broker.stop()?;
    }
    broker.serve()?;
    assert_joined(manager, &broker, STEPS.len() * 2)
}

pub(crate) fn a_joiner_killed_while_its_engine_joins_finishes_the_same_boot(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2", "--label", "zone=a"])?;
    // Killed as soon as it says that it tells Docker to join: the engine's join runs on without it. The second
    // machine's engine is stopped in the middle of it, too.
    for (machine, stop_engine) in [(&cluster[1], false), (&cluster[2], true)] {
        let joiner = Joiner::new(machine, &invite);
        let mut first = joiner.start()?;
        until(LONG, "Docker to be told", || first.stderr().contains("docker: joining").then_some(()))?;
        first.kill()?;
        if stop_engine {
            machine.kill_engine()?;
            machine.start_engine()?;
        }
        joiner.joins()?;
    }
    assert_joined(manager, &broker, 2)
}

pub(crate) fn a_broker_killed_before_the_claim_loses_nothing(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let mut broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "1", "--label", "zone=a"])?;
    // The engine does not answer, so the claim is asked for and not made.
    manager.pause_engine()?;
    let joiner = Joiner::new(machine, &invite).start()?;
    until(LONG, "the joiner to be told to come back", || (joiner.stderr().lines().count() > 1).then_some(()))?;
    broker.kill()?;
    manager.resume_engine()?;
    broker.serve()?;
    let ended = finish(joiner)?;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_joined(manager, &broker, 1)
}

pub(crate) fn a_broker_killed_after_the_claim_loses_nothing(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, STEPS.len())?;
    let manager = cluster.manager();
    let mut broker = Broker::init(manager)?;
    for (at, machine) in cluster[1..].iter().enumerate() {
        let relay = Relay::start(machine, 7999, (manager.address(), 7443).into(), Rule::HoldReply(at + 1))?;
        broker.serve_with(&["--advertise", &relay.address().to_string()])?;
        let invite = broker.invite(&["--uses", "1", "--label", "zone=a"])?;
        let joiner = Joiner::new(machine, &invite).start()?;
        until(LONG, "the broker to have answered", || relay.struck().then_some(()))?;
        broker.kill()?;
        relay.set(Rule::DropReply(at + 1));
        broker.serve()?;
        let ended = finish(joiner)?;
        assert_eq!(ended.code, 0, "killed after {}: {}", STEPS[at], ended.stderr);
        broker.stop()?;
    }
    broker.serve()?;
    assert_joined(manager, &broker, STEPS.len())
}

pub(crate) fn a_joined_machine_joins_again_as_a_no_op(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let (manager, machine, by_hand) = (cluster.manager(), &cluster[1], &cluster[2]);
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2", "--label", "zone=a"])?;
    let joiner = Joiner::new(machine, &invite);
    joiner.joins()?;
    // What the broker does by itself after a join is done.
    until(LONG, "the token to be replaced", || (broker.count("token.rotated", None).ok()? == 1).then_some(()))?;
    let records = broker.records()?.len();
    let again = joiner.joins()?;
    assert!(again.stdout.contains("already joined"), "{}", again.stdout);
    assert_eq!(broker.records()?.len(), records, "it did not even ask");
    let status = lab::cluster::run(joiner.command(&["status", "--json"]))?;
    let status: serde_json::Value = serde_json::from_str(&status.stdout)?;
    assert_eq!((&status["state"], &status["docker"]), (&"confirmed".into(), &"active".into()));

    // A node that came without the broker is in already, too; a broker says so, and no use is spent.
    by_hand.join(manager, &manager.join_token(lab::Role::Worker)?)?;
    let told = Joiner::new(by_hand, &invite).joins()?;
    assert!(told.stderr.contains("adopt") || told.stdout.contains("adopt"), "{told:?}");
    assert_eq!(broker.json(&["invite", "list", "--json"])?["invites"][0]["claimed"], 1);

    // After the confirm the key gets nothing more.
    let key = std::fs::read_to_string(joiner.state().join("key.pem"))?;
    let address = broker.address();
    let told = on(machine, || async move {
        let mut copied = Machine::with_key(&invite, address, &key);
        copied.identity().await
    })?;
    assert!(told.is_err());
    assert_eq!(broker.count("refused", Some("confirmed"))?, 1);
    Ok(())
}
