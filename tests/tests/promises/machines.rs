//! Machines as they are found: with IPv6 only, with several interfaces, with a clock that was never set, with an invite
//! that lies about.

use std::fs;
use std::time::Duration;

use lab::cluster::{Broker, Cluster, Joiner, finish};
use lab::{Failed, Host, LONG, Pool, form, nodes, until};

/// The address that its engine tells other nodes.
fn advertised(machine: &Host) -> Result<String, Failed> {
    Ok(machine.docker(&["info", "--format", "{{.Swarm.NodeAddr}}"])?)
}

fn is_ipv6(text: &str) -> bool {
    text.parse::<std::net::Ipv6Addr>().is_ok()
}

pub(crate) fn machines_with_ipv6_only_form_and_join(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let (manager, machine, both) = (&hosts[0], &hosts[1], &hosts[2]);
    for host in [manager, machine] {
        host.only_ipv6()?;
    }
    form(&[manager], &[])?;
    // Nothing is said about addresses: the broker takes its own from the swarm.
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "1", "--from", "fd4c:4142::/64", "--label", "zone=a"])?;
    let line = protocol::InviteLine::parse(&invite)?;
    let named: Vec<String> = line.unverified().brokers.iter().map(ToString::to_string).collect();
    assert_eq!(named, [format!("[{}]:7443", manager.address6())]);

    let ended = Joiner::new(machine, &invite).advertising("").joins()?;
    assert!(ended.stdout.contains("labels zone=a"), "{}", ended.stdout);
    assert_eq!(advertised(machine)?, machine.address6().to_string());
    until(LONG, "the node to be ready", || {
        nodes(manager).ok()?.iter().any(|node| node.hostname == machine.name() && node.state == "ready").then_some(())
    })?;
    let listed = broker.json(&["nodes", "--json"])?;
    let explained =
        |node: &serde_json::Value| node["explained"] == true && node["address"].as_str().is_some_and(is_ipv6);
    assert!(
        listed["nodes"].as_array().is_some_and(|nodes| nodes.len() == 2 && nodes.iter().all(explained)),
        "{listed}"
    );
    let records = broker.records()?;
    let issued = records.iter().find(|record| record["event"] == "identity.issued").ok_or("no record")?;
    assert_eq!(issued["source"], machine.address6().to_string());

    // A machine with both families: Docker by itself would tell the others its IPv4 address, which they cannot reach.
    let second = broker.invite(&["--uses", "1"])?;
    Joiner::new(both, &second).advertising("").joins()?;
    assert_eq!(advertised(both)?, both.address6().to_string());

    // From elsewhere: the invite's network is compared, and told.
    let invite = broker.invite(&["--uses", "1", "--from", "fd00:1::/64"])?;
    let refused = Joiner::new(machine, &invite).with("JOINER_STATE", &machine.folder().join("s").display().to_string());
    machine.leave()?;
    let ended = refused.join()?;
    assert_eq!(ended.code, 77, "{}", ended.stderr);
    let reason = format!("the invite is for fd00:1::/64, and this machine calls from {}", machine.address6());
    assert!(ended.stderr.lines().last().is_some_and(|line| line.contains(&reason)), "{}", ended.stderr);
    Ok(())
}

pub(crate) fn a_machine_with_two_interfaces_advertises_the_address_towards_the_managers(
    pool: &Pool,
) -> Result<(), Failed> {
    let hosts = pool.lease(4)?;
    let seconds = hosts.iter().map(Host::second_interface).collect::<Result<Vec<_>, _>>()?;
    let manager = &hosts[0];
    // The swarm is on the second network, the broker is reached on the first.
    manager.docker(&["swarm", "init", "--advertise-addr", &seconds[0].to_string()])?;
    let broker = Broker::start_with(manager, &["--advertise", &manager.address().to_string()])?;
    let invite = broker.invite(&["--uses", "3"])?;

    let ended = Joiner::new(&hosts[1], &invite).advertising("").joins()?;
    assert_eq!(advertised(&hosts[1])?, seconds[1].to_string(), "{}", ended.stderr);
    let told = format!("docker: advertising {}, from which this machine reaches the managers", seconds[1]);
    assert!(ended.stderr.contains(&told), "{}", ended.stderr);

    // A network names the address as well, also the other one.
    Joiner::new(&hosts[2], &invite).advertising("192.168.77.0/24").joins()?;
    assert_eq!(advertised(&hosts[2])?, hosts[2].address().to_string());

    let several = Joiner::new(&hosts[3], &invite).advertising("0.0.0.0/0").join()?;
    assert_eq!(several.code, 78, "{}", several.stderr);
    let (first, second) = (format!("eth0 {}", hosts[3].address()), format!("eth1 {}", seconds[3]));
    let last = several.stderr.lines().last().unwrap_or_default();
    assert!(
        last.contains("several addresses in 0.0.0.0/0") && last.contains(&first) && last.contains(&second),
        "{last}"
    );
    assert_eq!(broker.count("identity.issued", None)?, 2, "it cost no use");
    Joiner::new(&hosts[3], &invite).advertising("eth1").joins()?;
    assert_eq!(advertised(&hosts[3])?, seconds[3].to_string());
    Ok(())
}

pub(crate) fn a_machine_whose_clock_was_never_set_waits_and_joins_when_it_is(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let machine = &cluster[1];
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "1"])?;
    // The joiner's clock is what this file says. Its engine's cannot be changed without changing everybody's, so the
    // joiner is what must not let Docker join too early.
    let clock = machine.folder().join("clock");
    fs::write(&clock, "@1970-01-01 00:00:05\n")?;
    let joiner = Joiner::new(machine, &invite)
        .with("LD_PRELOAD", "/usr/$LIB/faketime/libfaketime.so.1")
        .with("FAKETIME_TIMESTAMP_FILE", &clock.display().to_string())
        .with("FAKETIME_NO_CACHE", "1")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    let mut process = joiner.start()?;
    until(LONG, "the joiner to wait for the clock", || {
        process.stderr().contains("waiting for the clock to be set").then_some(())
    })?;
    assert!(process.stderr().contains("clock: this machine says 1970-01-01T00:00:"), "{}", process.stderr());
    // Up to here everything went well: the pin and the invite's time vouch for the broker, not this clock.
    assert_eq!(broker.count("identity.issued", None)?, 1);
    assert!(process.wait(Duration::from_secs(2)).is_err(), "it waits");
    assert_eq!(machine.swarm_state()?, "inactive");

    fs::write(&clock, "+0\n")?;
    let ended = finish(process)?;
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("waiting for the clock").count(), 1, "{}", ended.stderr);
    assert!(ended.stderr.contains("clock: it was set, going on"), "{}", ended.stderr);
    Ok(())
}

pub(crate) fn the_invite_and_its_copies_are_gone_once_a_machine_is_in(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let machine = &cluster[1];
    let broker = Broker::start(cluster.manager())?;
    let (invite, other) = (broker.invite(&["--uses", "1"])?, broker.invite(&["--uses", "1"])?);
    let (file, copy) = (machine.folder().join("invite"), machine.folder().join("copy"));
    fs::write(&file, format!("{invite}\n"))?;
    fs::write(&copy, format!("#cloud-config\na: {invite}\nb: {other}\n"))?;
    // A /run of the joiner's own, with a copy where cloud-init has it; what it holds at the end is printed.
    let script = "mount -t tmpfs run /run && mkdir /run/cloud-init && cp \"$1\" /run/cloud-init/copy && shift && \"$@\" && \
                  cat /run/cloud-init/copy";
    let joiner = Joiner::new(machine, &invite);
    let run = || -> Result<String, Failed> {
        let join = joiner.command(&["join", "--shred-invite", "--invite-file", &file.display().to_string()]);
        let mut command = machine.command("unshare");
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(&copy);
        command.args(join.get_args().skip_while(|word| *word != "env"));
        let ended = finish(machine.spawn("joiner", command)?)?;
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        assert!(!file.exists(), "{}", ended.stderr);
        Ok(ended.stdout.split_once('\n').ok_or("nothing was printed")?.1.to_owned())
    };
    let cleaned = format!("#cloud-config\na: {}\nb: {other}\n", "x".repeat(invite.len()));
    assert_eq!(run()?, cleaned);
    assert_eq!(run()?, cleaned, "a copy that was left, or came back, is cleaned by a run without the invite");
    Ok(())
}
