//! What brokers put into a swarm is taken out of it again, all of it, and nothing else.

use lab::cluster::{Broker, Joiner};
use lab::{BUSYBOX, Failed, Host, LONG, Pool, Role, until};
use serde_json::Value;

use crate::managers::{follow, found, fresh_token};

fn configs(manager: &Host) -> Result<Vec<String>, Failed> {
    Ok(manager.docker(&["config", "ls", "--format", "{{.Name}}"])?.lines().map(str::to_owned).collect())
}

/// The ids of the service's tasks that run.
fn tasks(manager: &Host) -> Result<Vec<String>, Failed> {
    let listed = manager.docker(&["service", "ps", "--no-trunc", "--format", "{{.ID}} {{.CurrentState}}", "web"])?;
    let running = listed.lines().filter(|line| line.contains("Running"));
    Ok(running.filter_map(|line| line.split(' ').next().map(str::to_owned)).collect())
}

/// Two managers with brokers, a machine that came by a grant, one that came with the token and was drained, and a service.
fn used(hosts: &[Host]) -> Result<(Broker<'_>, Broker<'_>), Failed> {
    for host in hosts {
        host.import_busybox()?;
    }
    let mut first = found(&hosts[0])?;
    let second = follow(&hosts[1], &first.invite(&["--role", "manager"])?)?;
    Joiner::new(&hosts[2], &first.invite(&["--label", "zone=a"])?).joins()?;
    let service = ["service", "create", "--detach", "--no-resolve-image", "--name", "web", "--constraint"];
    hosts[0].docker(&[&service[..], &["node.labels.zone==a", BUSYBOX, "sleep", "10000"]].concat())?;
    hosts[0].docker(&["config", "create", "swarm-broker.of-somebody-else", "/etc/hosts"])?;
    first.stop()?;
    first.serve_with(&["--enforce", "strict", "--rotate-worker", "manual"])?;
    hosts[3].join(&hosts[0], &fresh_token(&first, Role::Worker)?)?;
    let thief = hosts[3].node_id()?;
    until(LONG, "the node that nothing explains to be drained", || {
        let nodes = lab::nodes(&hosts[0]).ok()?;
        nodes.into_iter().find(|node| node.id == thief && node.availability == "drain").map(drop)
    })?;
    until(LONG, "the service to run", || (tasks(&hosts[0]).ok()?.len() == 1).then_some(()))?;
    Ok((first, second))
}

pub(crate) fn all_that_brokers_put_into_a_swarm_is_taken_out_and_nothing_else(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(4)?;
    let (mut first, mut second) = used(&hosts)?;
    let before = (configs(&hosts[0])?, lab::nodes(&hosts[0])?.len(), tasks(&hosts[0])?);

    let shown = first.json(&["uninstall", "--dry-run", "--json"])?;
    let names: Vec<&str> =
        shown["configs"].as_array().ok_or("configs")?.iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.len() > 4 && names.contains(&"swarm-broker.sentinel"), "{shown}");
    let drained = |node: &&Value| node["active"].is_string();
    assert_eq!(shown["nodes"].as_array().ok_or("nodes")?.iter().filter(drained).count(), 1, "{shown}");
    // Beside a broker, here or elsewhere, it changes nothing.
    let refused = first.run(&["uninstall"])?;
    assert!(
        refused.code == 75 && refused.stderr.contains("Stop it first: systemctl disable --now broker"),
        "{refused:?}"
    );
    first.stop()?;
    let there = format!("the broker at {}:7443", hosts[1].reached_at());
    let beside = first.run(&["uninstall"])?;
    assert!(beside.code == 75 && beside.stderr.contains(&there), "{beside:?}");
    assert_eq!((configs(&hosts[0])?, lab::nodes(&hosts[0])?.len(), tasks(&hosts[0])?), before);

    second.stop()?;
    // As a run leaves it that was cut off in the middle.
    hosts[0].docker(&["node", "update", "--label-rm", "swarm-broker.adopted", &hosts[0].node_id()?])?;
    hosts[0].docker(&["config", "rm", "swarm-broker.rotation"])?;
    let told = first.ok(&["uninstall"])?;
    assert!(told.contains("Taken out of the swarm") && told.contains("nothing explained it"), "{told}");
    assert_eq!(configs(&hosts[0])?, ["swarm-broker.of-somebody-else"]);
    let nodes = lab::nodes(&hosts[0])?;
    assert_eq!(nodes.len(), before.1);
    for node in &nodes {
        assert!(node.labels.keys().all(|label| !label.starts_with("swarm-broker.")), "{node:?}");
        assert_eq!(node.availability, "active", "{node:?}");
    }
    assert_eq!(nodes.iter().filter(|node| node.labels.get("zone").is_some_and(|zone| zone == "a")).count(), 1);
    assert_eq!(tasks(&hosts[0])?, before.2, "the service lost a task");
    assert_eq!(first.count("broker.uninstalled", None)?, 1);
    first.ok(&["audit", "verify"])?;
    assert!(first.ok(&["uninstall"])?.contains("there is nothing of brokers in this swarm"));
    // Nobody takes up by chance what was ended: a broker that is started again admits nobody, and puts nothing there.
    second.serve()?;
    let refused = second.run(&["invite", "create"])?;
    assert!(refused.code != 0 && configs(&hosts[0])?.len() == 1, "{refused:?}");
    Ok(())
}
