//! The boot, from any beginning, through any interruption.

use crate::fake::{FakeEngine, JoinScript, NODE, SWARM, Scripted, World, until};
use protocol::{ClusterId, GRANTS, IDENTITIES, JOINS, ProblemKind, REDEEM};

#[test]
fn a_machine_joins_drained_and_a_second_run_does_nothing() {
    let world = World::new();
    assert_eq!(world.status()["state"], "none");
    let ended = world.join("20s");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.out, format!("joined: node {NODE} (worker), labels zone=a\n"));
    assert!(ended.log.contains("joiner: exchange took ") && ended.log.contains("Docker's join took "), "{}", ended.log);

    let join = &world.engine.joins()[0];
    assert_eq!(join["Availability"], "drain");
    assert_eq!(join["ListenAddr"], "0.0.0.0:2377");
    assert_eq!(join["RemoteAddrs"], serde_json::json!(["10.9.9.9:2377"]));
    let status = world.status();
    assert_eq!(
        (&status["state"], &status["node"], &status["docker"]),
        (&"confirmed".into(), &NODE.into(), &"active".into())
    );
    let record = std::fs::read_to_string(world.state.join("boot.json")).expect("reads");
    assert!(record.contains(SWARM) && !record.contains("SWMTKN"), "{record}");

    let calls = world.broker.calls("POST /v1/identities");
    for again in [world.join("20s"), world.join_without_invite()] {
        assert_eq!(again.code, Some(0), "{again:?}");
        assert_eq!(again.out, format!("already joined: node {NODE}\n"));
    }
    assert_eq!((world.engine.joins().len(), world.broker.calls("POST /v1/identities")), (1, calls));
}

#[test]
fn a_boot_that_is_killed_at_any_step_is_finished_with_the_same_key() {
    for path in [IDENTITIES, GRANTS, REDEEM, "/swarm/join", JOINS] {
        let world = World::new();
        if path == "/swarm/join" {
            world.engine.script([JoinScript::SilentSuccess]);
        } else {
            world.broker.script(path, [Scripted::Silence]);
        }
        let mut first = world.start("30s");
        until(path, || world.broker.calls(&format!("POST {path}")) > 0 || !world.engine.joins().is_empty());
        until(path, || path != JOINS || world.broker.calls("POST /v1/joins") > 0);
        first.kill().expect("killed");
        first.wait().expect("ended");

        world.broker.behave();
        let ended = world.join("30s");
        assert_eq!(ended.code, Some(0), "{path}: {ended:?}");
        assert_eq!(world.broker.keys(), 1, "{path}: the same key");
        assert_eq!(world.engine.joins().len(), 1, "{path}");
        assert_eq!(world.status()["state"], "confirmed", "{path}");
    }
}

#[test]
fn a_token_that_was_rotated_in_between_is_asked_for_again_with_the_same_key() {
    let world = World::new();
    world.engine.script([JoinScript::TokenNotValid, JoinScript::TokenNotValid]);
    let ended = world.join("30s");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let tokens: Vec<_> = world.engine.joins().iter().map(|join| join["JoinToken"].clone()).collect();
    assert_eq!(tokens.len(), 3);
    assert!(tokens[0] != tokens[1] && tokens[1] != tokens[2]);
    assert_eq!((world.broker.keys(), world.broker.calls("POST /v1/identities")), (1, 1));
}

#[test]
fn an_identity_that_is_not_accepted_any_more_is_asked_for_again_with_the_same_key() {
    let world = World::new();
    world.broker.refuse_identities_before(3);
    let ended = world.join("30s");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!((world.broker.keys(), world.broker.calls("POST /v1/identities")), (1, 3), "{ended:?}");
}

#[test]
fn a_join_that_goes_on_in_the_background_is_waited_for() {
    let world = World::new();
    world.engine.script([JoinScript::Background(3)]);
    let ended = world.join("30s");
    assert_eq!((ended.code, world.engine.joins().len()), (Some(0), 1), "{ended:?}");
}

#[test]
fn a_join_that_failed_is_given_up_and_tried_again_only_where_this_boot_asked_for_it() {
    let world = World::new();
    world.engine.script([JoinScript::Fails("error"), JoinScript::Fails("inactive")]);
    let ended = world.join("30s");
    assert_eq!((ended.code, world.engine.leaves()), (Some(0), 1), "{ended:?}");

    let strange = World::new();
    strange.engine.set_state("error");
    let ended = strange.join("5s");
    assert_eq!((ended.code, strange.engine.leaves()), (Some(78), 0), "{ended:?}");
}

#[test]
fn what_is_not_a_refusal_is_tried_again_and_a_refusal_is_final() {
    let world = World::new();
    let unavailable = Scripted::Problem(ProblemKind::Unavailable);
    world.broker.script(IDENTITIES, [unavailable, Scripted::Garbage(500), Scripted::Garbage(403)]);
    world.broker.script(GRANTS, [unavailable, Scripted::Problem(ProblemKind::NotFound)]);
    world.broker.script(REDEEM, [unavailable, Scripted::Problem(ProblemKind::AskAgain)]);
    world.broker.script(JOINS, [unavailable, Scripted::Garbage(200)]);
    let ended = world.join("30s");
    assert_eq!((ended.code, world.broker.keys()), (Some(0), 1), "{ended:?}");

    for (path, asked) in [(IDENTITIES, 1), (GRANTS, 1), (REDEEM, 1)] {
        let world = World::new();
        world.broker.script(path, [Scripted::Problem(ProblemKind::Refused)]);
        let ended = world.join("30s");
        assert_eq!((ended.code, world.broker.calls(&format!("POST {path}"))), (Some(77), asked), "{ended:?}");
        assert!(ended.log.contains("request-1") && world.engine.joins().is_empty(), "{ended:?}");
    }
}

#[test]
fn a_refused_confirm_says_that_the_node_is_in_and_unexplained() {
    let world = World::new();
    world.broker.script(JOINS, [Scripted::Problem(ProblemKind::Refused)]);
    let ended = world.join("30s");
    assert_eq!(ended.code, Some(77), "{ended:?}");
    assert!(ended.log.contains("stays drained and unexplained") && ended.log.contains("broker adopt"), "{ended:?}");
    assert_eq!(world.status()["state"], "joined");
}

#[test]
fn an_invite_that_ended_is_explained_when_it_is_refused() {
    let mut world = World::new();
    world.invite.exp = world.invite.iat;
    world.invite.from = vec!["10.0.0.0/8".parse().expect("a network")];
    world.broker.script(IDENTITIES, [Scripted::Problem(ProblemKind::Refused)]);
    let ended = world.join("30s");
    assert_eq!(ended.code, Some(77));
    assert!(ended.log.contains("the invite ended at") && ended.log.contains("calls from 127.0.0.1"), "{}", ended.log);
}

#[test]
fn one_broker_of_another_cluster_costs_a_try_and_only_such_brokers_are_told_apart() {
    let mut world = World::new();
    let strange = World::strange_broker();
    let real = world.broker.address.clone();
    let closed = "127.0.0.1:1".parse().expect("an address");
    world.invite.brokers = vec![strange.address.clone(), closed, real];
    let ended = world.join("30s");
    assert_eq!(ended.code, Some(0), "{ended:?}");

    let mut lost = World::new();
    lost.invite.brokers = vec![strange.address.clone()];
    let ended = lost.join("1s");
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.log.contains("does not belong to the invite's cluster"), "{ended:?}");
    assert_eq!(strange.calls("POST /v1/identities"), 0, "nothing is said to a server without the pin");

    lost.invite.brokers = vec!["127.0.0.1:1".parse().expect("an address")];
    let ended = lost.join("1s");
    assert_eq!(ended.code, Some(69), "{ended:?}");
    assert!(ended.log.contains("no broker answered") && ended.log.contains("127.0.0.1:1"), "{ended:?}");
}

#[test]
fn time_that_runs_out_after_an_answer_is_no_refusal() {
    let world = World::new();
    world.broker.script(GRANTS, std::iter::repeat_n(Scripted::Problem(ProblemKind::Unavailable), 100));
    let ended = world.join("2s");
    assert_eq!(ended.code, Some(75), "{ended:?}");
    world.broker.behave();
    assert_eq!(world.join("20s").code, Some(0));
    assert_eq!(world.broker.keys(), 1);
}

#[test]
fn a_node_that_is_in_by_other_means_is_found_in_or_left_alone() {
    let world = World::new();
    world.engine.set_state("active");
    let ended = world.join("20s");
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (Some(0), format!("already joined: node {NODE}\n").as_str()),
        "{ended:?}"
    );
    world.broker.forget_the_node();
    let ended = world.join("20s");
    assert!(ended.code == Some(0) && ended.log.contains("broker adopt"), "{ended:?}");

    // An engine of another swarm: its root is not the one that the broker knows.
    let place = tempfile::tempdir().expect("a place");
    let mut strange = World::new();
    strange.engine = FakeEngine::start(&place.path().join("other"));
    strange.engine.set_state("active");
    let ended = strange.join("60s");
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.log.contains("another swarm"), "{ended:?}");
}

#[test]
fn a_locked_node_key_is_told_apart() {
    let world = World::new();
    let locked = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nkek-version: 9\n\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
    std::fs::write(world.engine.root.join("swarm/certificates/swarm-node.key"), locked).expect("writes");
    let ended = world.join("20s");
    assert_eq!(ended.code, Some(78), "{ended:?}");
    assert!(ended.log.contains("broker adopt") && ended.log.contains("stays drained"), "{ended:?}");
}

#[test]
fn a_node_that_left_and_another_invite_each_begin_with_a_new_key() {
    let mut world = World::new();
    assert_eq!(world.join("20s").code, Some(0));
    world.engine.set_state("inactive");
    let ended = world.join("20s");
    assert_eq!((ended.code, world.broker.keys()), (Some(0), 2), "{ended:?}");
    assert!(ended.log.contains("has left the swarm"), "{ended:?}");

    world.engine.set_state("inactive");
    world.broker.script(GRANTS, [Scripted::Problem(ProblemKind::Refused)]);
    assert_eq!(world.join("20s").code, Some(77));
    world.invite.jti = protocol::InviteId::random();
    let ended = world.join("20s");
    assert_eq!((ended.code, world.broker.keys()), (Some(0), 4), "{ended:?}");
    assert!(ended.log.contains("another invite"), "{ended:?}");
    assert_ne!(world.cluster, ClusterId::random());
}

#[test]
fn a_clock_that_disagrees_is_waited_for_and_told() {
    let world = World::new();
    world.broker.set_clock_ahead(2 * 3600);
    let ended = world.join("2s");
    assert_eq!(ended.code, Some(75), "{ended:?}");
    assert!(ended.log.contains("this machine's clock says") && world.engine.joins().is_empty(), "{ended:?}");
}

#[test]
fn docker_is_waited_for_and_one_that_cannot_be_a_node_is_refused() {
    let mut world = World::new();
    let socket = std::mem::replace(&mut world.engine.socket, "/nonexistent/docker.sock".into());
    let ended = world.join("1s");
    assert_eq!(ended.code, Some(72), "{ended:?}");
    assert!(ended.log.contains("waiting for it"), "{ended:?}");

    world.engine.socket = socket;
    world.engine.set_info("SecurityOptions", serde_json::json!(["name=rootless"]));
    let ended = world.join("5s");
    assert!(ended.code == Some(78) && ended.log.contains("rootless"), "{ended:?}");
    assert_eq!(world.broker.calls("POST /v1/identities"), 0);
}

#[test]
fn two_runs_at_once_are_one_boot() {
    let world = World::new();
    world
        .broker
        .script(GRANTS, [Scripted::Problem(ProblemKind::Unavailable), Scripted::Problem(ProblemKind::Unavailable)]);
    let mut children: Vec<_> = (0..3).map(|_| world.start("30s")).collect();
    for child in &mut children {
        assert!(child.wait().expect("ended").success());
    }
    assert_eq!((world.broker.keys(), world.engine.joins().len()), (1, 1));
}

#[test]
fn a_damaged_state_folder_stops_the_run() {
    let world = World::new();
    assert_eq!(world.join("20s").code, Some(0));
    std::fs::write(world.state.join("boot.json"), "{").expect("writes");
    let ended = world.join("20s");
    assert_eq!(ended.code, Some(73), "{ended:?}");
    assert!(ended.log.contains("boot.json is damaged"), "{ended:?}");
}
