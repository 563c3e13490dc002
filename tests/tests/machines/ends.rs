//! The end of a machine: what it does of itself when it is powered off.

use lab::cluster::Cluster;
use lab::whole::Root;
use lab::{Failed, LONG, Pool, until};

use crate::scene::{JOINED, boot, joined, with_joiner};

pub(crate) fn an_ephemeral_machine_leaves_when_it_is_powered_off_and_not_when_it_restarts(
    pool: &Pool,
) -> Result<(), Failed> {
    let (cluster, hosts, root) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(1)?, Root::ready()?);
    let manager = cluster.manager();
    // The swarm sees within some three seconds that a node is down, and not within some fifteen.
    manager.docker(&["swarm", "update", "--dispatcher-heartbeat", "1s"])?;
    let mut broker = with_joiner(manager)?;
    broker.serve()?;
    // Should it be removed because it is down, and not because it left, that would take an hour.
    let order = ["cloud-init", "worker", "--ephemeral", "--gone-after", "1h", "--label", "zone=a"];
    let mut machine = boot(&hosts[0], &root, &broker.ok(&order)?)?;
    let node = joined(manager, &hosts[0])?;
    let ready = |machine: &lab::whole::WholeMachine<'_>| {
        let active = machine.ok(&["systemctl", "is-active", "joiner-leave.service"]).ok()?;
        (active == "active").then_some(())
    };
    until(JOINED, "the unit to stand by", || ready(&machine))?;
    assert_eq!(machine.settled()?, "done");

    machine.ok(&["systemctl", "--no-block", "reboot"])?;
    until(JOINED, "the machine to go down", || (!machine.is_on().ok()?).then_some(()))?;
    machine.power_on()?;
    until(JOINED, "the unit to stand by again", || ready(&machine))?;
    assert_eq!(joined(manager, &hosts[0])?.id, node.id);
    assert_eq!(broker.count("node.leaving", None)?, 0, "it is the node that it was");

    machine.power_off()?;
    until(LONG, "its row to go", || lab::nodes(manager).ok()?.iter().all(|row| row.id != node.id).then_some(()))?;
    assert_eq!(broker.count("node.leaving", None)?, 1);
    Ok(())
}
