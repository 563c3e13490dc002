//! Leaving: only the node that this joiner brought in, and only what cannot be a manager's.

use crate::fake::{Ended, NODE, Scripted, World};
use protocol::{LEAVES, ProblemKind};

const OTHER_NODE: &str = "00000000000000000000other";
const IF_EPHEMERAL: &[&str] = &["--if-ephemeral", "--timeout", "1s"];
const IN_ANY_CASE: &[&str] = &["--timeout", "1s"];

/// A machine that an ephemeral invite brought in.
fn ephemeral() -> World {
    let mut world = World::new();
    world.invite.ephemeral = Some(600);
    assert_eq!(world.join("20s").code, Some(0));
    world
}

/// Its brokers do not answer a leave.
fn silent(world: &World) {
    world.broker.script(LEAVES, [Scripted::Silence; 3]);
}

fn asked(world: &World) -> usize {
    world.broker.calls(&format!("POST {LEAVES}"))
}

fn ends(ended: &Ended, code: i32, words: &str) {
    assert_eq!(ended.code, Some(code), "{ended:?}");
    assert!(ended.out.contains(words) || ended.log.contains(words), "{words}: {ended:?}");
}

#[test]
fn a_machine_that_is_not_ephemeral_stays_when_it_is_powered_off() {
    let never_joined = World::new();
    ends(&never_joined.leave(IF_EPHEMERAL), 0, "stays: no invite that says ephemeral");
    assert!(!never_joined.state.exists(), "nothing is made for it");
    ends(&never_joined.leave(IN_ANY_CASE), 78, "docker swarm leave");

    let steady = World::new();
    assert_eq!(steady.join("20s").code, Some(0));
    ends(&steady.leave(IF_EPHEMERAL), 0, "stays: no invite that says ephemeral");

    // An operator took its label away, and kept it.
    let kept = ephemeral();
    kept.broker.keep_the_node();
    ends(&kept.leave(IF_EPHEMERAL), 0, "does not carry the label swarm-broker.ephemeral");
    assert_eq!((kept.engine.leaves(), asked(&kept)), (0, 1));
    kept.engine.set_node("active", NODE);
    ends(&kept.leave(IN_ANY_CASE), 0, &format!("left: node {NODE}"));
}

#[test]
fn a_node_that_joined_by_hand_since_is_left_alone_whoever_answers() {
    let world = ephemeral();
    world.engine.set_node("active", OTHER_NODE);
    silent(&world);
    ends(&world.leave(IF_EPHEMERAL), 0, &format!("stays: joiner did not bring this machine in as node {OTHER_NODE}"));
    ends(&world.leave(IN_ANY_CASE), 78, &format!("docker node rm {OTHER_NODE}"));
    assert_eq!((world.engine.leaves(), asked(&world)), (0, 0));
}

#[test]
fn a_copy_of_a_machine_does_not_make_the_original_leave() {
    let world = ephemeral();
    let path = world.state.join("boot.json");
    let record = std::fs::read_to_string(&path).expect("reads");
    let mut record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    if record["machine"].is_null() {
        // This machine has no id, so nothing tells it from a copy.
        return;
    }
    record["machine"] = "f".repeat(32).into();
    std::fs::write(&path, record.to_string()).expect("writes");
    world.engine.set_node("active", NODE);
    ends(&world.leave(IF_EPHEMERAL), 0, "stays");
    ends(&world.leave(IN_ANY_CASE), 78, "its state folder is another machine's");
    assert_eq!((world.engine.leaves(), asked(&world)), (0, 0));
}

#[test]
fn an_engine_that_may_be_a_managers_leaves_only_if_a_broker_knows() {
    for state in ["pending", "error"] {
        let world = ephemeral();
        world.engine.set_node(state, NODE);
        silent(&world);
        ends(&world.leave(IN_ANY_CASE), 75, "Docker has not left");
        // It could not load its certificate, and was a node all the same.
        world.engine.set_node(state, "");
        ends(&world.leave(IN_ANY_CASE), 78, &format!("state '{state}'"));
        assert_eq!(world.engine.leaves(), 0, "{state}");

        world.broker.behave();
        world.engine.set_node(state, NODE);
        ends(&world.leave(IN_ANY_CASE), 0, "left");
        assert_eq!(world.engine.leaves(), 1, "{state}");
    }
}

#[test]
fn a_worker_leaves_silent_brokers_when_told_to_and_not_because_it_is_powered_off() {
    let world = ephemeral();
    world.engine.set_node("active", NODE);
    silent(&world);
    ends(&world.leave(IF_EPHEMERAL), 75, "Docker has not left");
    assert_eq!(world.engine.leaves(), 0);
    world.broker.behave();
    silent(&world);
    ends(&world.leave(IN_ANY_CASE), 69, "no broker was told");
    assert_eq!(world.engine.leaves(), 1);
    ends(&world.leave(IN_ANY_CASE), 0, "nothing to leave");
}

#[test]
fn a_machine_without_what_tells_a_broker_from_another_server_is_no_exception() {
    let world = ephemeral();
    let path = world.state.join("boot.json");
    let record = std::fs::read_to_string(&path).expect("reads");
    let mut record: serde_json::Value = serde_json::from_str(&record).expect("JSON");
    record.as_object_mut().expect("an object").remove("pinned");
    std::fs::write(&path, record.to_string()).expect("writes");
    world.engine.set_node("pending", NODE);
    ends(&world.leave(IN_ANY_CASE), 75, "Docker has not left");
    world.engine.set_node("active", NODE);
    ends(&world.leave(IN_ANY_CASE), 69, "older release");
    assert_eq!((world.engine.leaves(), asked(&world)), (1, 0));
}

#[test]
fn what_one_run_was_told_is_not_believed_of_a_later_silence() {
    let world = ephemeral();
    world.engine.set_node("active", NODE);
    assert_eq!(world.leave(IN_ANY_CASE).code, Some(0));
    // It was cut off before Docker left, and an operator has set the node active since.
    world.engine.set_node("active", NODE);
    silent(&world);
    ends(&world.leave(IN_ANY_CASE), 69, "no broker was told");
    // Or its row is gone, as was to be.
    world.broker.behave();
    world.engine.set_node("active", NODE);
    world.broker.script(LEAVES, [Scripted::Problem(ProblemKind::Refused)]);
    ends(&world.leave(IN_ANY_CASE), 0, "left");
}
