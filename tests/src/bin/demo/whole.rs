//! The demo with whole machines: each boots Debian with systemd, cloud-init and Docker, and gets nothing but user-data.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::Broker;
use lab::whole::{Root, WholeMachine};
use lab::{Error, Host, Lab, Result};

use crate::MACHINES;
use crate::show::{self, Ending, indented, title};

/// After this, a machine that is no node is not waited for any more.
const LATE: Duration = Duration::from_mins(3);

pub(crate) fn demo() -> Result<bool> {
    let root = Root::ready()?;
    let lab = Lab::up(1)?;
    lab.down_on_signals()?;
    let (manager, hosts) = (&lab.hosts()[0], lab.bare_hosts(MACHINES)?);
    title(&format!("{} becomes the manager of a swarm, and runs a broker", manager.name()));
    show::host(manager)?;
    lab::form(&[manager], &[])?;
    let mut broker = Broker::init(manager)?;
    broker.bring_joiner()?;
    broker.serve()?;
    print!("{}", indented(&broker.ok(&["status"])?));

    title(&format!("One user-data, for {MACHINES} machines: this text is all they get"));
    println!("  $ broker cloud-init worker --uses {MACHINES} --ttl 10m --label zone=a");
    let order = ["cloud-init", "worker", "--uses", &MACHINES.to_string(), "--ttl", "10m", "--label", "zone=a"];
    let user_data = broker.ok(&order)?;
    for line in user_data.lines().take(8) {
        println!("  {}", shortened(line));
    }
    println!("  …  ({} lines, {} bytes)", user_data.lines().count(), user_data.len());

    title(&format!("{MACHINES} machines that were never on are powered on at once: no joiner, no key, no SSH server"));
    let machines = hosts.iter().map(|host| WholeMachine::new(host, &root)).collect::<Result<Vec<_>>>()?;
    let (machines, times) = boot_all(manager, machines, &user_data)?;

    show::swarm(manager, &broker)?;
    title("The machines now");
    for machine in &machines {
        look_at(machine, &user_data)?;
    }
    show::audit(&broker)?;
    title("How long it took, from power-on to a node that takes tasks");
    for (host, time) in &times {
        println!("  {host:4} {:.1} s", time.as_secs_f64());
    }
    let ending = Ending::read(&broker)?;
    drop(machines);
    drop(broker);
    drop(hosts);
    drop(lab);
    title("All machines are gone again");
    Ok(ending.tell())
}

/// Powers all machines on, shows what of their consoles tells the story, and gives when each was a node.
fn boot_all<'h>(
    manager: &Host,
    mut machines: Vec<WholeMachine<'h>>,
    user_data: &str,
) -> Result<(Vec<WholeMachine<'h>>, BTreeMap<String, Duration>)> {
    let begun = Instant::now();
    for machine in &mut machines {
        machine.boot(user_data)?;
    }
    let (mut told, mut times) = (vec![0; machines.len()], BTreeMap::new());
    while times.len() < machines.len() && begun.elapsed() < LATE {
        for (machine, told) in machines.iter().zip(&mut told) {
            tell(machine, told);
        }
        for node in lab::nodes(manager)? {
            if node.state == "ready" && node.availability == "active" && node.hostname != manager.name() {
                times.entry(node.hostname).or_insert_with(|| begun.elapsed());
            }
        }
        thread::sleep(Duration::from_millis(50));
    }
    for (machine, told) in machines.iter().zip(&mut told) {
        // To the joiner's last word.
        machine.settled()?;
        machine.ok(&["timeout", "10", "sh", "-c", "until systemctl is-active joiner; do sleep 0.1; done"])?;
        tell(machine, told);
    }
    Ok((machines, times))
}

/// Shows the console's whole lines from `told` on that have to do with the join.
fn tell(machine: &WholeMachine<'_>, told: &mut usize) {
    let console = machine.console();
    let whole = console.rfind('\n').map_or(0, |end| end + 1);
    for line in console[*told..whole].lines() {
        // As the console has them: `joiner[276]: joiner: identity: …`.
        let words = line.split_once("]: ").map_or(line, |(_, words)| words);
        if words.starts_with("Cloud-init v.") || words.starts_with("joiner") {
            println!("  {:4} {}", machine.host().name(), shortened(words));
        }
    }
    *told = whole;
}

/// What is left of the invite on a machine, and who could log in.
fn look_at(machine: &WholeMachine<'_>, user_data: &str) -> Result<()> {
    let invite = user_data.split_whitespace().find(|word| word.starts_with("SWINV-1-"));
    let invite = invite.ok_or_else(|| Error::Unmet("the user-data has no invite".to_owned()))?;
    let mut found = 0;
    for part in invite.split('.') {
        found += machine.disk().files_with(part)?.len();
    }
    let files = if found == 0 { "no file with any part of the invite".to_owned() } else { format!("{found} FILES") };
    let ssh = if machine.exists("/usr/sbin/sshd") { "SSH SERVER" } else { "no SSH server" };
    let unit = machine.ok(&["systemctl", "is-active", "joiner.service"])?;
    println!("  {:4} joiner.service {unit}; {files}; {ssh}", machine.host().name());
    Ok(())
}

/// A line as far as it is of use on a screen.
fn shortened(line: &str) -> String {
    const MOST: usize = 150;
    if line.chars().count() <= MOST { line.to_owned() } else { line.chars().take(MOST).chain(['…']).collect() }
}
