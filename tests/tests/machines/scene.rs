//! What the trials share: user-data, machines that boot with it, and what a manager sees of them.

use std::time::Duration;

use lab::cluster::Broker;
use lab::whole::{Root, WholeMachine};
use lab::{Failed, Host, Node, until};

/// From power-on to a labelled node is a matter of seconds; this is for a machine that is busy with other things.
pub(crate) const JOINED: Duration = Duration::from_mins(3);

/// A broker on a manager, not serving yet, with the joiner that it gives to new machines.
pub(crate) fn with_joiner(manager: &Host) -> Result<Broker<'_>, Failed> {
    let broker = Broker::init(manager)?;
    broker.bring_joiner()?;
    Ok(broker)
}

/// What an operator gives to so many new machines.
pub(crate) fn user_data(broker: &Broker<'_>, uses: usize) -> Result<String, Failed> {
    let uses = uses.to_string();
    Ok(broker.ok(&["cloud-init", "worker", "--uses", &uses, "--ttl", "1h", "--label", "zone=a"])?)
}

/// The invite in user-data.
pub(crate) fn invite_in(user_data: &str) -> &str {
    let begin = user_data.find("SWINV-1-").expect("user-data has an invite");
    let line = &user_data[begin..];
    &line[..line.find(char::is_whitespace).unwrap_or(line.len())]
}

/// Boots a machine on each host, all at once.
pub(crate) fn boot_all<'h>(hosts: &'h [Host], root: &Root, user_data: &str) -> Result<Vec<WholeMachine<'h>>, Failed> {
    hosts.iter().map(|host| boot(host, root, user_data)).collect()
}

/// Boots a machine.
pub(crate) fn boot<'h>(host: &'h Host, root: &Root, user_data: &str) -> Result<WholeMachine<'h>, Failed> {
    let mut machine = WholeMachine::new(host, root)?;
    machine.boot(user_data)?;
    Ok(machine)
}

/// Waits until this host's machine is a node that takes tasks and has its label.
pub(crate) fn joined(manager: &Host, machine: &Host) -> Result<Node, Failed> {
    let name = machine.name();
    let node = until(JOINED, &format!("{name} to be a node, ready, active and labelled"), || {
        lab::nodes(manager).ok()?.into_iter().find(|node| {
            let labelled = node.labels.get("zone").is_some_and(|zone| zone == "a");
            node.hostname == name && node.state == "ready" && node.availability == "active" && labelled
        })
    });
    node.map_err(|late| format!("{late}; there are {:?}", lab::nodes(manager)).into())
}

/// Waits until this is on the machine's console.
pub(crate) fn says(machine: &WholeMachine<'_>, words: &str) -> Result<(), Failed> {
    let what = format!("{} to say {words:?}", machine.host().name());
    Ok(until(JOINED, &what, || machine.console().contains(words).then_some(()))?)
}

/// The lines on the machine's console that hold this.
pub(crate) fn lines(machine: &WholeMachine<'_>, words: &str) -> Vec<String> {
    machine.console().lines().filter(|line| line.contains(words)).map(str::to_owned).collect()
}
