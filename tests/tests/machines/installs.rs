//! A machine without Docker, on which other programs use apt when it starts.

use lab::cluster::Cluster;
use lab::whole::{Root, WholeMachine};
use lab::{Failed, Pool, until};

use crate::scene::{JOINED, joined, lines, says, with_joiner};

/// Has the lock that it is named after, early, until it is stopped.
const BUSY: &str = r#"
[Unit]
DefaultDependencies=no

[Service]
Type=notify
NotifyAccess=all
ExecStart=python3 -c 'import fcntl, os, signal; lock = open("%f", "w"); fcntl.lockf(lock, fcntl.LOCK_EX); \
    os.system("systemd-notify --ready"); signal.pause()'
"#;

/// The lock of who fetches lists of packages, which apt does not wait for.
const FETCHING: &str = "busy@var-lib-apt-lists-lock.service";
/// The lock of who installs, as unattended upgrades do, which apt waits for when it is asked to.
const INSTALLING: &str = r"busy@var-lib-dpkg-lock\x2dfrontend.service";

pub(crate) fn a_machine_without_docker_installs_it_once_apt_is_free_and_joins(pool: &Pool) -> Result<(), Failed> {
    let (cluster, hosts, root) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(1)?, Root::without_docker()?);
    let manager = cluster.manager();
    let mut broker = with_joiner(manager)?;
    broker.serve()?;
    let user_data = broker.ok(&["cloud-init", "worker", "--install-docker", "--label", "zone=a"])?;

    let mut machine = WholeMachine::new(&hosts[0], &root)?;
    machine.disk().put("/etc/systemd/system/busy@.service", BUSY.as_bytes(), 0o644)?;
    let first = format!("[Unit]\nWants={FETCHING} {INSTALLING}\nAfter={FETCHING} {INSTALLING}\n");
    machine.disk().put("/etc/systemd/system/cloud-init.service.d/busy.conf", first.as_bytes(), 0o644)?;
    machine.boot(&user_data)?;
    says(&machine, "Docker could not be installed yet, trying again")?;
    assert_eq!(machine.settled()?, "done", "the boot is not held up");

    machine.ok(&["systemctl", "stop", FETCHING])?;
    let waits = || machine.ok(&["pgrep", "--exact", "--full", "apt-get .* install .* docker.io"]).ok();
    until(JOINED, "apt to be asked for Docker", waits)?;
    assert!(!machine.exists("/usr/sbin/dockerd") && lab::nodes(manager)?.len() == 1);

    machine.ok(&["systemctl", "stop", INSTALLING])?;
    joined(manager, &hosts[0])?;
    assert_eq!(lines(&machine, "could not be installed").len(), 1, "the second try was the last");
    assert_eq!(lines(&machine, "E: Could not get lock /var/lib/dpkg"), Vec::<String>::new(), "it was waited for");
    assert_eq!(machine.ok(&["systemctl", "is-active", "docker.service"])?, "active");
    machine.ok(&["timeout", "60", "sh", "-c", "while [ -e /etc/joiner/invite ]; do sleep 0.1; done"])?;
    Ok(())
}
