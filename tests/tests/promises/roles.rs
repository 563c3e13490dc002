//! Promise 10, for managers: who is made one by an operator is explained by that, and no quorum is lost on the way.

use lab::cluster::{Broker, Joiner};
use lab::{Failed, LONG, Pool, Role, until};

use crate::managers::{fresh_token, three};

/// Whether it ended as an operator reads it: by itself, with this word.
fn refuses(broker: &Broker<'_>, arguments: &[&str], code: i32, words: &str) -> Result<(), Failed> {
    let refused = broker.run(arguments)?;
    assert!(refused.code == code && refused.stderr.contains(words), "{arguments:?}: {refused:?}");
    Ok(())
}

pub(crate) fn a_worker_is_promoted_its_broker_serves_and_no_quorum_is_lost(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(5)?;
    let brokers = three(&hosts)?;
    let first = &brokers[0];
    Joiner::new(&hosts[3], &first.invite(&["--label", "zone=a"])?).joins()?;
    let fourth = Broker::nowhere(&hosts[3])?;
    let mut waiting = fourth.spawn_up(&["--wait"])?;
    until(LONG, "it to wait", || waiting.stderr().contains("waiting").then_some(()))?;

    // What nothing explains becomes no manager.
    hosts[4].join(&hosts[0], &fresh_token(first, Role::Worker)?)?;
    refuses(first, &["promote", &hosts[4].node_id()?], 77, "nothing explains")?;
    // Nor what only says its name.
    let id = hosts[3].node_id()?;
    refuses(first, &["promote", hosts[3].name()], 64, &format!("is {id}"))?;
    refuses(first, &["promote", "nobody"], 64, "there is no node 'nobody'")?;

    let promoted = first.json(&["promote", &id, "--reason", "the fourth", "--json"])?;
    assert_eq!((&promoted["before"]["managers"], &promoted["after"]["needed"]), (&3.into(), &3.into()), "{promoted}");
    assert_eq!((&promoted["settled"], &promoted["spare"]), (&true.into(), &1.into()), "{promoted}");
    let serves = until(LONG, "its broker to serve", || waiting.stderr().contains("serving").then_some(()));
    assert!(serves.is_ok(), "{}", waiting.stderr());
    assert_eq!(first.count("node.role-changed", None)?, 1);
    assert!(first.ok(&["promote", &id])?.contains("is that already"));

    // It goes as it came, and its broker with it.
    first.ok(&["demote", hosts[3].name()])?;
    until(LONG, "its broker to end", || waiting.ended().ok().flatten().map(drop))?;
    let nodes = lab::nodes(&hosts[0])?;
    let labels = nodes.iter().find(|node| node.hostname == hosts[3].name()).map(|node| &node.labels);
    assert!(labels.is_some_and(|labels| labels.contains_key("zone") && !labels.contains_key("swarm-broker.manager")));

    // One of three is gone: only that one may be demoted.
    hosts[2].kill_engine()?;
    until(LONG, "the managers to miss it", || {
        let listed = hosts[0].docker(&["node", "ls", "--format", "{{.ManagerStatus}}"]).ok()?;
        listed.contains("Unreachable").then_some(())
    })?;
    refuses(first, &["demote", hosts[1].name()], 77, "2 of 3 managers can be reached; then 1 of 2")?;
    let done = first.json(&["demote", hosts[2].name(), "--json"])?;
    assert_eq!(done["after"]["managers"], 2, "{done}");
    Ok(())
}
