//! Hosts as a test finds them: engines, swarms, programs, leases.
//! Promise: each host looks like a machine of its own.
//! Must not: break anything; that is for `faults`.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use lab::{Failed, LONG, Pool, Role, until};

pub(crate) fn engines_come_up(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    for host in hosts.iter() {
        let info = host.json(&["info", "--format", "{{json .}}"])?;
        assert_eq!(info["Name"], host.name());
        assert_eq!(info["Driver"], "vfs");
        assert_eq!(host.swarm_state()?, "inactive");
        assert_eq!(host.node_id()?, "");
    }
    let engine = |at: usize| hosts[at].docker(&["info", "--format", "{{.ID}}"]);
    assert_ne!(engine(0)?, engine(1)?, "engines are told apart by their ids");
    Ok(())
}

pub(crate) fn a_swarm_of_three_forms(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    lab::form(&[&hosts[0]], &[&hosts[1], &hosts[2]])?;
    let nodes = until(LONG, "three ready nodes", || {
        let nodes = lab::nodes(&hosts[0]).ok()?;
        (nodes.len() == 3 && nodes.iter().all(|node| node.state == "ready")).then_some(nodes)
    })?;
    for host in hosts.iter() {
        let node = nodes.iter().find(|node| node.hostname == host.name()).ok_or("not a node")?;
        assert_eq!(node.id, host.node_id()?);
        assert_eq!(node.role == Role::Manager, host.name() == hosts[0].name());
        assert_eq!(node.availability, "active");
        assert!(node.labels.is_empty());
    }
    hosts[2].leave()?;
    assert_eq!(hosts[2].swarm_state()?, "inactive");
    Ok(())
}

pub(crate) fn tokens_rotate(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    lab::form(&[&hosts[0]], &[])?;
    let old = hosts[0].join_token(Role::Worker)?;
    let new = hosts[0].rotate_token(Role::Worker)?;
    assert_ne!(old, new);
    assert_eq!(hosts[0].join_token(Role::Worker)?, new);
    assert_ne!(hosts[0].join_token(Role::Manager)?, new);
    Ok(())
}

pub(crate) fn tasks_run_on_nodes_that_have_the_image(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    lab::form(&[&hosts[0]], &[&hosts[1]])?;
    for host in hosts.iter() {
        host.import_busybox()?;
    }
    hosts[0].create_service("idle", 4)?;
    let tasks = until(LONG, "four running tasks", || hosts[0].tasks("idle").ok().filter(|tasks| tasks.len() == 4))?;
    for host in hosts.iter() {
        assert!(tasks.iter().any(|task| task == host.name()), "{tasks:?}");
    }
    Ok(())
}

pub(crate) fn a_host_has_its_own_name_and_addresses(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let mut hostname = hosts[0].spawn("uname", {
        let mut command = hosts[0].command("uname");
        command.arg("--nodename");
        command
    })?;
    assert!(hostname.wait(LONG)?.success());
    assert_eq!(hostname.stdout().trim(), hosts[0].name());

    let own = hosts[0].inside(|| TcpListener::bind((hosts[0].address(), 0)))??;
    let own6 = hosts[0].inside(|| TcpListener::bind((hosts[0].address6(), 0)))??;
    for (listener, what) in [(own, "IPv4"), (own6, "IPv6")] {
        let address = listener.local_addr()?;
        hosts[1].inside(|| TcpStream::connect_timeout(&address, LONG))??;
        assert!(
            TcpStream::connect_timeout(&address, Duration::from_millis(300)).is_err(),
            "the machine itself reaches a host by {what}"
        );
    }
    let other = hosts[0].inside(|| TcpListener::bind((hosts[1].address(), 0)))?;
    assert!(other.is_err(), "a host has another host's address");
    Ok(())
}

pub(crate) fn a_program_is_watched_while_it_runs(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    let mut command = hosts[0].command("sh");
    command.args(["-c", "echo warning >&2; echo ready; while :; do :; done"]);
    let mut shell = hosts[0].spawn("shell", command)?;
    until(LONG, "its first words", || (shell.stdout() == "ready\n").then_some(()))?;
    assert_eq!(shell.stderr(), "warning\n");
    let name = std::fs::read_to_string(format!("/proc/{}/comm", shell.pid()))?;
    assert_eq!(name, "sh\n", "the process is the program itself");
    until(LONG, "some work", || (shell.cpu_time() > Duration::from_millis(50)).then_some(()))?;
    assert!(shell.peak_memory() > 100_000);

    shell.pause()?;
    let before = shell.cpu_time();
    assert!(shell.wait(Duration::from_millis(300)).is_err());
    assert!(shell.cpu_time() < before + Duration::from_millis(50), "it works while paused");
    shell.resume()?;
    shell.terminate()?;
    assert_eq!(shell.wait(LONG)?.signal(), Some(15));
    assert!(shell.terminate().is_err(), "a dead process takes a signal");
    assert!(shell.cpu_time() >= before);
    Ok(())
}

pub(crate) fn a_program_ends_with_its_process(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    let mut command = hosts[0].command("sleep");
    command.arg("86400");
    let sleep = hosts[0].spawn("sleep", command)?;
    let process = format!("/proc/{}", sleep.pid());
    assert!(std::path::Path::new(&process).exists());
    drop(sleep);
    assert!(!std::path::Path::new(&process).exists());
    Ok(())
}

pub(crate) fn every_lease_is_of_new_hosts(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let folders: Vec<_> = hosts.iter().map(lab::Host::folder).collect();
    lab::form(&[&hosts[0], &hosts[1]], &[])?;
    hosts[0].docker(&["volume", "create", "old"])?;
    hosts[0].small_disk(1 << 20)?;
    hosts[0].pause_engine()?;
    hosts[1].cut()?;
    // Nobody's child: its parent is gone at once.
    let stray = hosts[1].command("sh").args(["-c", "sleep 86400 > /dev/null 2>&1 & echo $!"]).output()?;
    let stray = format!("/proc/{}", String::from_utf8(stray.stdout)?.trim());
    assert!(std::path::Path::new(&stray).exists());
    drop(hosts);

    let still_runs = std::fs::read_link(format!("{stray}/ns/net")).is_ok();
    assert!(!still_runs, "a stray process is left");
    assert!(folders.iter().all(|folder| !folder.exists()));
    let hosts = pool.lease(2)?;
    for host in hosts.iter() {
        assert_eq!(host.swarm_state()?, "inactive");
        assert_eq!(host.docker(&["volume", "ls", "--quiet"])?, "");
        assert!(std::fs::read_dir(host.folder())?.next().is_none());
    }
    Ok(())
}

pub(crate) fn a_pool_serves_more_than_it_has(pool: &Pool) -> Result<(), Failed> {
    std::thread::scope(|scope| {
        let leases: Vec<_> = (0..3).map(|_| scope.spawn(|| pool.lease(4).map(|l| l.len()))).collect();
        for lease in leases {
            assert_eq!(lease.join().map_err(|_| "a lease panicked")??, 4);
        }
        Ok::<_, Failed>(())
    })?;
    assert!(pool.lease(9).is_err(), "more than a pool can ever have");
    Ok(())
}
