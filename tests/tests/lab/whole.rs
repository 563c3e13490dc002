//! Whole machines: what trials of boots rely on.

use std::time::{SystemTime, UNIX_EPOCH};

use lab::whole::{Root, WholeMachine};
use lab::{Failed, Pool};

const USER_DATA: &str = "#cloud-config\n\
    write_files:\n - {path: /root/given, content: zebra}\n\
    runcmd:\n - echo booted >> /root/boots\n - logger saffron\n - echo turmeric >/dev/console\n";

pub(crate) fn a_machine_boots_and_keeps_its_disk(pool: &Pool) -> Result<(), Failed> {
    let (hosts, root) = (pool.lease_bare(1)?, Root::ready()?);
    let mut machine = WholeMachine::new(&hosts[0], &root)?;
    machine.disk().put("/opt/tool", b"#!/bin/sh\necho basil\n", 0o755)?;
    machine.boot(USER_DATA)?;
    assert_eq!(machine.settled()?, "done");
    assert_eq!(machine.ok(&["hostname"])?, hosts[0].name());
    assert_eq!(machine.ok(&["/opt/tool"])?, "basil");
    assert!(machine.ok(&["ip", "-brief", "address"])?.contains(&hosts[0].address().to_string()));
    assert!(machine.ok(&["docker", "info"])?.contains("Swarm: inactive"), "an engine of its own");
    assert!(machine.console().contains("turmeric\n"), "{}", machine.console());

    let of = |text: &str| machine.disk().files_with(text).map(|files| format!("{files:?}"));
    assert!(of("zebra")?.contains("root/given"), "{}", of("zebra")?);
    assert!(of("saffron")?.contains("var/log/journal"), "{}", of("saffron")?);
    assert_eq!(of("dragonfruit")?, "[]");

    machine.reboot()?;
    assert_eq!(machine.settled()?, "done");
    assert_eq!(machine.read("/root/boots").as_deref(), Some("booted\n"), "user-data runs once");
    machine.power_off()?;
    assert!(!machine.is_on()?);
    Ok(())
}

pub(crate) fn a_machine_cannot_change_what_it_shares(pool: &Pool) -> Result<(), Failed> {
    let (hosts, root) = (pool.lease_bare(1)?, Root::ready()?);
    let mut machine = WholeMachine::new(&hosts[0], &root)?;
    machine.boot("#cloud-config\nruncmd:\n - date -s @$(date +%s) || echo no-clock > /root/told\n")?;
    assert_eq!(machine.settled()?, "done");
    assert_eq!(machine.read("/root/told").as_deref(), Some("no-clock\n"));
    // Now, so that it would do no harm.
    let now = format!("@{}", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs());
    for (words, refusal) in [
        (["date", "--set", &now], "not permitted"),
        (["sh", "-c", "echo 60 >/proc/sys/vm/swappiness"], "Read-only"),
        (["sh", "-c", "echo change >/sys/class/net/lo/uevent"], "Read-only"),
    ] {
        let told = machine.run(&words)?;
        assert!(told.code != 0 && told.stderr.contains(refusal), "{words:?}: {told:?}");
    }
    Ok(())
}
