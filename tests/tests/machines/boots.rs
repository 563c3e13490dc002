//! Boots that end with a node, whatever is down meanwhile.

use std::fs;

use lab::cluster::{Broker, Cluster};
use lab::whole::{Root, WholeMachine};
use lab::{Failed, Pool, programs, until};

use crate::scene::{JOINED, boot, boot_all, invite_in, joined, lines, says, user_data, with_joiner};

/// What a boot through the broker leaves in the audit log.
const STEPS: [&str; 4] = ["identity.issued", "grant.issued", "grant.redeemed", "node.joined"];

/// How often each step of a boot is in the log.
fn steps(broker: &Broker<'_>) -> Result<Vec<usize>, Failed> {
    STEPS.iter().map(|step| Ok(broker.count(step, None)?)).collect()
}

/// Where on the machine's disk any part of the invite can still be read: its header, its policy or its signature.
fn found(machine: &WholeMachine<'_>, invite: &str) -> Result<Vec<String>, Failed> {
    let mut found = Vec::new();
    for part in invite.split('.') {
        found.extend(machine.disk().files_with(part)?.iter().map(|path| path.display().to_string()));
    }
    Ok(found)
}

pub(crate) fn three_machines_boot_at_once_with_one_user_data_and_join(pool: &Pool) -> Result<(), Failed> {
    let (cluster, hosts, root) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(4)?, Root::ready()?);
    let manager = cluster.manager();
    let mut broker = with_joiner(manager)?;
    broker.serve()?;
    let user_data = user_data(&broker, 3)?;
    let invite = invite_in(&user_data);

    let mut machines = boot_all(&hosts[..3], &root, &user_data)?;
    let joined_all = || hosts[..3].iter().map(|host| joined(manager, host)).collect::<Result<Vec<_>, _>>();
    let nodes = joined_all()?;
    for machine in &machines {
        assert_eq!(machine.settled()?, "done");
        machine.ok(&["timeout", "60", "sh", "-c", "until systemctl is-active joiner.service; do sleep 0.1; done"])?;
        assert_eq!(found(machine, invite)?, Vec::<String>::new(), "the invite is gone");
        assert!(!machine.exists("/etc/joiner/invite"));
        assert!(!machine.exists("/usr/sbin/sshd"), "nobody needs SSH");
        assert_eq!(machine.ok(&["ss", "-Hltn", "sport = :22"])?, "");
    }
    let report = broker.json(&["nodes", "--json"])?;
    let explained = |node: &serde_json::Value| node["explained"] == true;
    assert!(
        report["nodes"].as_array().is_some_and(|nodes| nodes.len() == 4 && nodes.iter().all(explained)),
        "{report}"
    );
    assert_eq!(steps(&broker)?, [3; 4]);

    for machine in &mut machines {
        machine.reboot()?;
    }
    for machine in &machines {
        assert_eq!(machine.settled()?, "done");
        let unit = machine.ok(&["systemctl", "show", "joiner.service", "--property=ConditionResult,ActiveState"])?;
        assert_eq!(unit, "ActiveState=inactive\nConditionResult=no", "nothing is left to do");
        assert_eq!(found(machine, invite)?, Vec::<String>::new(), "the invite stays gone");
    }
    assert_eq!(joined_all()?, nodes, "the same nodes");
    assert_eq!(lab::nodes(manager)?.len(), 4);
    assert_eq!(steps(&broker)?, [3; 4], "nothing was asked for again");

    let fourth = boot(&hosts[3], &root, &user_data)?;
    says(&fourth, "This is final")?;
    assert_eq!(fourth.settled()?, "done");
    let told = lines(&fourth, "This is final");
    assert!(matches!(&told[..], [line] if line.contains("audit log")), "{told:?}");
    assert_eq!(lab::nodes(manager)?.len(), 4);
    assert_eq!(
        fourth.ok(&["systemctl", "show", "joiner.service", "--property=NRestarts"])?,
        "NRestarts=0",
        "it is final"
    );
    assert_eq!(broker.json(&["invite", "list", "--json"])?["invites"][0]["claimed"], 3);
    Ok(())
}

pub(crate) fn machines_that_boot_before_the_broker_join_when_it_is_up(pool: &Pool) -> Result<(), Failed> {
    let (cluster, hosts, root) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(3)?, Root::ready()?);
    let manager = cluster.manager();
    let mut broker = with_joiner(manager)?;
    broker.serve()?;
    let user_data = user_data(&broker, 3)?;
    broker.stop()?;

    // The first goes on trying to download.
    let downloading = boot(&hosts[0], &root, &user_data)?;
    // The second gives that up at once, so that it is systemd that tries again.
    let mut starting = WholeMachine::new(&hosts[1], &root)?;
    let impatient = "[Service]\nEnvironment=FETCH_ROUNDS=1\nRestartSec=1\n";
    starting.disk().put("/etc/systemd/system/joiner.service.d/trial.conf", impatient.as_bytes(), 0o644)?;
    starting.boot(&user_data)?;
    // The third has the joiner in its image, which asks for the invite's broker by itself.
    let mut asking = WholeMachine::new(&hosts[2], &root)?;
    asking.disk().put("/usr/local/bin/joiner", &fs::read(programs::static_joiner()?)?, 0o755)?;
    asking.boot(&user_data)?;

    says(&downloading, "gave no joiner")?;
    says(&starting, "no broker gave the joiner")?;
    until(JOINED, "systemd to start it again", || {
        let told = starting.ok(&["systemctl", "show", "joiner.service", "--property=NRestarts"]).ok()?;
        (told != "NRestarts=0").then_some(())
    })?;
    says(&asking, "cannot be reached")?;
    for machine in [&downloading, &starting, &asking] {
        assert_eq!(machine.settled()?, "done", "the boot is not held up");
    }
    assert_eq!(lab::nodes(manager)?.len(), 1);

    broker.serve()?;
    for host in &hosts[..] {
        joined(manager, host)?;
    }
    assert_eq!(steps(&broker)?, [3; 4]);
    Ok(())
}

pub(crate) fn a_machine_joins_through_the_next_broker_when_the_first_is_dead(pool: &Pool) -> Result<(), Failed> {
    let (cluster, hosts, root) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(2)?, Root::ready()?);
    let (manager, dead, machine) = (cluster.manager(), &hosts[0], &hosts[1]);
    let mut broker = with_joiner(manager)?;
    // Nothing comes back from there, not even that nobody listens.
    dead.cut()?;
    let (first, next) = (format!("{}:7443", dead.address()), broker.address().to_string());
    broker.serve_with(&["--advertise", &first, "--advertise", &next])?;
    let user_data = user_data(&broker, 1)?;

    let machine_on = boot(machine, &root, &user_data)?;
    joined(manager, machine)?;
    let (failed, gave) =
        (lines(&machine_on, &format!("{first} gave no joiner")), lines(&machine_on, &format!("from {next}")));
    assert!(!failed.is_empty() && !gave.is_empty(), "{}", machine_on.console());
    Ok(())
}
