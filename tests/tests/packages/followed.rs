//! The README's "Set it up" and "Run it", followed step by step on whole machines that get the Debian packages.

use std::fs;

use lab::whole::{Disk, Root, WholeMachine};
use lab::{Failed, Pool, programs};

use crate::deb::tree;

/// The commands in the `sh` blocks of both sections, in order.
fn commands() -> Result<Vec<String>, Failed> {
    let readme = fs::read_to_string(tree().join("README.md"))?;
    let (_, rest) = readme.split_once("\n## Set it up\n").ok_or("a section is gone")?;
    let (sections, _) = rest.split_once("\n## A broker on every manager").ok_or("a section is gone")?;
    let blocks = sections.split("```sh\n").skip(1).filter_map(|block| block.split("```").next());
    // What this house makes is there already; a broker in the foreground is for who has no package.
    let typed = blocks.flat_map(str::lines).filter(|line| !line.starts_with("./run ") && *line != "broker serve");
    Ok(typed.map(str::to_owned).collect())
}

/// Puts the file that such a command installs where its reader has it.
fn bring(disk: &Disk, command: &str) -> Result<(), Failed> {
    let name = command.strip_prefix("apt install ./dist/").ok_or_else(|| format!("nobody types {command} first"))?;
    Ok(disk.put(&format!("/root/dist/{name}"), &fs::read(programs::shipped(name)?)?, 0o644)?)
}

fn types(machine: &WholeMachine<'_>, command: &str) -> Result<String, Failed> {
    // Nobody is there to say yes.
    let command = command.replacen("apt install ", "apt install --yes ", 1);
    Ok(machine.ok(&["sh", "-c", &format!("cd /root && {command}")])?)
}

pub(crate) fn the_readme_step_by_step_with_the_packages(pool: &Pool) -> Result<(), Failed> {
    let (hosts, root, commands) = (pool.lease_bare(2)?, Root::ready()?, commands()?);
    let (mut manager, mut worker) = (WholeMachine::new(&hosts[0], &root)?, WholeMachine::new(&hosts[1], &root)?);
    let joins = commands.iter().position(|command| command.starts_with("joiner ")).ok_or("no joiner in the README")?;
    let at_worker = commands[..joins].iter().rposition(|command| command.starts_with("apt ")).ok_or("no package")?;

    bring(manager.disk(), &commands[0])?;
    manager.boot("#cloud-config\n")?;
    assert_eq!(manager.settled()?, "done");
    manager.ok(&["docker", "swarm", "init", "--advertise-addr", &hosts[0].address().to_string()])?;
    for command in &commands[..at_worker] {
        types(&manager, command)?;
    }

    bring(worker.disk(), &commands[at_worker])?;
    let invite = manager.read("/root/invite").ok_or("no invite")?;
    worker.disk().put("/root/invite", invite.as_bytes(), 0o600)?;
    worker.boot("#cloud-config\n")?;
    assert_eq!(worker.settled()?, "done");
    types(&worker, &commands[at_worker])?;
    let joined = types(&worker, &commands[joins])?;
    assert!(joined.contains("joined: node") && joined.ends_with("labels tier=web zone=a"), "{joined}");

    let after: Vec<String> =
        commands[joins + 1..].iter().map(|command| types(&manager, command)).collect::<Result<_, _>>()?;
    assert!(after.concat().contains("1 joined, 1 adopted, 0 pending, 0 down, 0 unexplained"), "{after:?}");
    Ok(())
}
