//! The demo on hosts that are a network and an engine each: up in seconds.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use lab::cluster::{Broker, Joiner};
use lab::{Host, Lab, Result};

use crate::MACHINES;
use crate::show::{self, Ending, indented, title};

pub(crate) fn demo() -> Result<bool> {
    title("Four hosts: a network of their own, a Docker engine on each");
    let begun = Instant::now();
    let lab = Lab::up(1 + MACHINES)?;
    lab.down_on_signals()?;
    let (manager, machines) = (&lab.hosts()[0], &lab.hosts()[1..]);
    lab.hosts().iter().try_for_each(show::host)?;
    println!("  up in {:.1} s", begun.elapsed().as_secs_f64());

    title(&format!("{} becomes the manager of a swarm, and runs a broker", manager.name()));
    lab::form(&[manager], &[])?;
    let broker = Broker::start(manager)?;
    print!("{}", indented(&broker.ok(&["status"])?));

    title(&format!("One invite, for {MACHINES} machines: this line is all they get"));
    println!("  $ broker invite create --uses {MACHINES} --ttl 10m --label zone=a");
    let invite = broker.invite(&["--uses", &MACHINES.to_string(), "--ttl", "10m", "--label", "zone=a"])?;
    println!("  {}…{}  ({} bytes)", &invite[..32], &invite[invite.len() - 8..], invite.len());

    title(&format!("{MACHINES} fresh machines run 'joiner join' at once"));
    let times = join_all(machines, &invite)?;

    show::swarm(manager, &broker)?;
    show::audit(&broker)?;
    title("How long it took");
    for (host, time) in &times {
        println!("  {host:4} {time}");
    }
    let ending = Ending::read(&broker)?;
    drop(broker);
    drop(lab);
    title("All hosts are gone again");
    Ok(ending.tell())
}

/// Runs a joiner on each machine, shows what each says as it says it, and gives what each took.
fn join_all(machines: &[Host], invite: &str) -> Result<BTreeMap<String, String>> {
    let mut running = Vec::new();
    for machine in machines {
        running.push((machine, Joiner::new(machine, invite).start()?, 0));
    }
    let mut times = BTreeMap::new();
    let deadline = Instant::now() + Duration::from_mins(2);
    while !running.is_empty() && Instant::now() < deadline {
        let mut going = Vec::new();
        for (machine, mut process, mut told) in running {
            let ended = process.ended()?.is_some();
            let text = process.stderr();
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            for line in text[told..whole].lines().map(|line| line.trim_start_matches("joiner: ")) {
                println!("  {:4} {line}", machine.name());
                if line.starts_with("exchange took") {
                    times.insert(machine.name().to_owned(), line.to_owned());
                }
            }
            told = whole;
            if ended {
                print!("  {:4} {}", machine.name(), process.stdout());
            } else {
                going.push((machine, process, told));
            }
        }
        running = going;
        thread::sleep(Duration::from_millis(5));
    }
    Ok(times)
}
