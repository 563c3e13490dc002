//! Managers that come up by user-data alone, from an image that carries Docker and both packages.

use std::time::Duration;

use lab::whole::{Root, WholeMachine};
use lab::{Failed, Host, Pool, until};
use serde_json::Value;

use crate::deb::Deb;

/// From power-on to a broker that serves; for a machine that is busy with other things.
const UP: Duration = Duration::from_mins(3);

/// A machine whose disk is a copy of such an image: the packages were installed on it, and cloud-init has forgotten that.
fn from_image<'h>(host: &'h Host, root: &Root) -> Result<WholeMachine<'h>, Failed> {
    let mut machine = WholeMachine::new(host, root)?;
    for name in ["broker", "joiner"] {
        machine.disk().put(&format!("/root/{name}.deb"), &Deb::of(name, "amd64")?.bytes(), 0o644)?;
    }
    machine.boot("#cloud-config\n")?;
    assert_eq!(machine.settled()?, "done");
    machine.ok(&["dpkg", "--install", "/root/broker.deb", "/root/joiner.deb"])?;
    machine.ok(&["cloud-init", "clean", "--logs"])?;
    machine.power_off()?;
    Ok(machine)
}

fn status(machine: &WholeMachine<'_>) -> Option<Value> {
    serde_json::from_str(&machine.ok(&["broker", "status", "--json"]).ok()?).ok()
}

/// Waits until a machine's broker shows so many that are ready.
fn shows(machine: &WholeMachine<'_>, ready: usize) -> Result<(), Failed> {
    let mut last = None;
    let shown = until(UP, "so many ready brokers", || {
        last = status(machine);
        let brokers = last.as_ref()?["brokers"].as_array()?;
        (brokers.iter().filter(|broker| broker["ready"] == true).count() == ready).then_some(())
    });
    shown.map_err(|late| format!("{late}: {last:?}\n{}", machine.console()).into())
}

pub(crate) fn managers_with_one_user_data_come_up_with_their_brokers(pool: &Pool) -> Result<(), Failed> {
    let (hosts, root) = (pool.lease_bare(3)?, Root::ready()?);
    let mut machines = hosts.iter().map(|host| from_image(host, &root)).collect::<Result<Vec<_>, _>>()?;

    machines[0].power_on()?;
    assert_eq!(machines[0].settled()?, "done");
    machines[0].ok(&["broker", "init", "--cluster", "lab"])?;
    machines[0].ok(&["docker", "swarm", "init", "--advertise-addr", &hosts[0].address().to_string()])?;
    machines[0].ok(&["systemctl", "start", "broker"])?;
    let user_data = machines[0].ok(&["broker", "cloud-init", "manager", "--uses", "2", "--embed"])?;
    for machine in &mut machines[1..] {
        machine.boot(&user_data)?;
    }
    shows(&machines[0], 3)?;
    for machine in &machines[1..] {
        assert_eq!(machine.settled()?, "done");
        assert!(!machine.exists("/etc/joiner/invite"), "it was shredded");
        assert!(!machine.exists("/var/lib/broker/root.key"), "the root's key stays where it was made");
        assert_eq!(machine.ok(&["systemctl", "is-active", "broker"])?, "active");
    }
    let managers = machines[0].ok(&["docker", "node", "ls", "--filter", "role=manager", "--quiet"])?;
    assert_eq!(managers.lines().count(), 3, "{managers}");

    // A reboot changes nothing: the same unit finds all that it needs, and serves.
    let started = |machine: &WholeMachine<'_>| -> Result<usize, Failed> {
        Ok(machine.ok(&["broker", "audit", "list", "--local"])?.matches("broker.started").count())
    };
    let before = started(&machines[2])?;
    machines[2].reboot()?;
    until(UP, "the broker to have started once more", || {
        started(&machines[2]).ok().filter(|after| *after == before + 1)
    })?;
    shows(&machines[1], 3)?;
    Ok(())
}
