//! The Debian packages: what is in them, and what they do to a machine from their installation to their end.

use std::fs;
use std::time::Duration;

use lab::whole::{Root, WholeMachine};
use lab::{Failed, Pool, until};

use crate::deb::{Deb, tree};

/// What both packages install by name; `man` pages and joiners are looked for besides.
const FILES: [&str; 9] = [
    "usr/bin/NAME",
    "usr/lib/systemd/system/NAME.service",
    "usr/share/man/man1/NAME.1.gz",
    "usr/share/bash-completion/completions/NAME",
    "usr/share/zsh/vendor-completions/_NAME",
    "usr/share/fish/vendor_completions.d/NAME.fish",
    "usr/share/doc/NAME/README.Debian",
    "usr/share/doc/NAME/copyright",
    "usr/share/doc/NAME/changelog.gz",
];

/// Without these, the units do nothing.
const CONDITIONS: [&str; 2] = ["/etc/joiner/invite", "/var/lib/broker/cluster.json"];

/// Pages of commands of one word, of two and of three.
const PAGES: [&str; 6] =
    ["joiner", "broker", "broker-init", "broker-serve", "broker-invite-create", "broker-audit-list"];

/// All that a package could leave behind.
const PLACES: &str = "find /etc /usr /var/lib/broker /var/lib/joiner /var/lib/systemd/deb-systemd-helper-* /run/broker \
                      -path /usr/lib/python3 -prune -o -print 2>/dev/null | sort";

const START: Duration = Duration::from_mins(1);

pub(crate) fn packages_say_what_is_true_and_hold_what_is_in_the_tree(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease_bare(1)?;
    let folder = hosts[0].folder();
    for (name, architecture) in [("broker", "amd64"), ("joiner", "amd64"), ("joiner", "arm64")] {
        let deb = Deb::of(name, architecture)?;
        assert_eq!(deb.field("Architecture")?, architecture);
        assert_eq!(deb.field("Depends")?, "init-system-helpers (>= 1.54~)", "static programs need no library");
        let list = deb.list()?;
        let strange = list.iter().find(|line| !line.contains(" 0/0 ") || line.contains("rwxrwx"));
        assert_eq!(strange, None, "{name}");

        let files = folder.join(format!("{name}-{architecture}"));
        deb.unpack(&files)?;
        for file in FILES.map(|file| file.replace("NAME", name)) {
            assert!(files.join(&file).is_file(), "{name} has {file}");
        }
        let unit = format!("{name}.service");
        let packaged = fs::read(files.join("usr/lib/systemd/system").join(&unit))?;
        assert!(packaged == fs::read(tree().join("cloud-init/units").join(&unit))?, "{unit} is the tree's");
        let program = fs::read(files.join("usr/bin").join(name))?;
        // elf(5), e_machine: x86_64 is 62, aarch64 is 183.
        let machine = if architecture == "amd64" { 62 } else { 183 };
        assert_eq!((&program[..4], program[18]), (&b"\x7fELF"[..], machine), "{name} for {architecture}");
    }
    let served = |machine| fs::read(folder.join("broker-amd64/usr/lib/broker/joiners").join(machine));
    let installed = |machine: &str| fs::read(folder.join(machine).join("usr/bin/joiner"));
    assert!(served("joiner-x86_64")? == installed("joiner-amd64")?, "both packages bring one joiner");
    assert!(served("joiner-aarch64")? == installed("joiner-arm64")?, "both packages bring one joiner");
    let changelog = fs::read_to_string(tree().join("package/debian/changelog"))?;
    let first = concat!("swarm-join-broker (", env!("CARGO_PKG_VERSION"), ") ");
    assert!(changelog.starts_with(first), "package/debian/changelog says what is new in {first}");
    Ok(())
}

pub(crate) fn both_are_installed_with_all_that_belongs_to_them_and_start_nothing(pool: &Pool) -> Result<(), Failed> {
    let (hosts, root) = (pool.lease_bare(1)?, Root::ready()?);
    let mut machine = WholeMachine::new(&hosts[0], &root)?;
    let (broker, joiner) = (Deb::of("broker", "amd64")?, Deb::of("joiner", "amd64")?);
    machine.disk().put("/root/broker.deb", &broker.bytes(), 0o644)?;
    machine.disk().put("/root/joiner.deb", &joiner.bytes(), 0o644)?;
    machine.disk().put("/root/broker-next.deb", &broker.next(&hosts[0].folder())?.bytes(), 0o644)?;
    machine.disk().put("/root/joiner-next.deb", &joiner.next(&hosts[0].folder())?.bytes(), 0o644)?;
    machine.boot("#cloud-config\n")?;
    assert_eq!(machine.settled()?, "done");

    // All that the units wait for is there; nothing but an installation that starts them would show it.
    for file in CONDITIONS {
        machine.ok(&["install", "-D", "-m", "600", "/dev/null", file])?;
    }
    // With apt, which would tell of a dependency that cannot be met; then an upgrade.
    machine.ok(&["apt-get", "install", "--yes", "/root/broker.deb", "/root/joiner.deb"])?;
    machine.ok(&["dpkg", "--install", "/root/broker-next.deb", "/root/joiner-next.deb"])?;
    for name in ["broker", "joiner"] {
        let unit = format!("{name}.service");
        assert_eq!(machine.ok(&["systemctl", "is-enabled", &unit])?, "enabled");
        assert_eq!(machine.run(&["systemctl", "is-active", &unit])?.stdout, "inactive\n", "{name} was not started");
    }
    assert_eq!(machine.ok(&["systemctl", "is-enabled", "joiner-leave.service"])?, "enabled");
    machine.ok(&["systemd-analyze", "security", "--threshold=30", "--no-pager", "joiner-leave.service"])?;
    machine.ok(&[&["rm"], &CONDITIONS[..]].concat())?;
    for name in ["broker", "joiner"] {
        let unit = format!("{name}.service");
        // Without an invite, without a cluster, there is nothing to do, and that is no failure.
        machine.ok(&["systemctl", "start", &unit])?;
        let shown = machine.ok(&["systemctl", "show", "--property=ConditionResult,ActiveState,MainPID", &unit])?;
        let mut shown: Vec<&str> = shown.lines().collect();
        shown.sort_unstable();
        assert_eq!(shown, ["ActiveState=inactive", "ConditionResult=no", "MainPID=0"], "{name}");
        let told = machine.run(&["systemd-analyze", "verify", &unit])?;
        assert_eq!((told.code, told.stderr.as_str()), (0, ""), "{name}");
        machine.ok(&["systemd-analyze", "security", "--threshold=30", "--no-pager", &unit])?;
        let complete = "source /usr/share/bash-completion/bash_completion; _completion_loader $0; complete -p $0";
        assert!(machine.ok(&["bash", "-c", complete, name])?.ends_with(&format!("-F _{name} {name}")), "{name}");
    }
    for page in PAGES {
        assert_eq!(machine.ok(&["man", "-w", page])?, format!("/usr/share/man/man1/{page}.1.gz"));
    }
    let check = "for page in $(find /usr/share/man/man1 -name 'broker*' -o -name 'joiner*'); do \
                 man --warnings -E UTF-8 -l -Tutf8 -Z $page >/dev/null; done";
    let told = machine.run(&["sh", "-c", check])?;
    assert_eq!((told.code, told.stderr.as_str()), (0, ""), "the man pages");
    Ok(())
}

pub(crate) fn a_broker_is_installed_upgraded_removed_and_purged_and_its_keys_stay(pool: &Pool) -> Result<(), Failed> {
    let (hosts, root) = (pool.lease_bare(2)?, Root::ready()?);
    let mut machine = WholeMachine::new(&hosts[0], &root)?;
    let broker = Deb::of("broker", "amd64")?;
    machine.disk().put("/root/broker.deb", &broker.bytes(), 0o644)?;
    machine.disk().put("/root/next.deb", &broker.next(&hosts[0].folder())?.bytes(), 0o644)?;
    machine.boot("#cloud-config\n")?;
    assert_eq!(machine.settled()?, "done");
    machine.ok(&["docker", "swarm", "init", "--advertise-addr", &hosts[0].address().to_string()])?;
    let before = machine.ok(&["sh", "-c", PLACES])?;

    machine.ok(&["dpkg", "--install", "/root/broker.deb"])?;
    machine.ok(&["broker", "init", "--cluster", "lab"])?;
    // Type=notify: this comes back when the broker says that it is ready.
    machine.ok(&["systemctl", "start", "broker"])?;
    let first = serves(&machine)?;
    let fed = || property(&machine, "WatchdogTimestampMonotonic");
    let then = fed()?;
    until(START, "the watchdog to be fed", || fed().ok().filter(|now| *now != then))?;
    machine.ok(&["install", "-D", "-m", "600", "/dev/null", "/etc/broker/broker.toml"])?;

    machine.ok(&["dpkg", "--install", "/root/next.deb"])?;
    assert_ne!(serves(&machine)?, first, "the upgrade restarted it");
    let worker = WholeMachine::new(&hosts[1], &root)?;
    joins_and_is_purged(worker, &machine.ok(&["broker", "invite", "create"])?)?;
    assert!(machine.ok(&["broker", "nodes"])?.contains("1 joined, 1 adopted"));

    // One that was stopped stays so, whatever version comes.
    machine.ok(&["systemctl", "stop", "broker"])?;
    machine.ok(&["dpkg", "--install", "/root/broker.deb"])?;
    assert_eq!(property(&machine, "ActiveState")?, "inactive");
    machine.ok(&["systemctl", "start", "broker"])?;
    let third = serves(&machine)?;

    let packaged = machine.ok(&["dpkg", "--listfiles", "broker"])?;
    machine.ok(&["dpkg", "--remove", "broker"])?;
    assert_eq!(machine.run(&["systemctl", "is-active", "broker"])?.stdout, "inactive\n");
    assert_eq!(machine.run(&["kill", "-0", &third])?.code, 1, "it was stopped");
    let left = machine.ok(&["sh", "-c", PLACES])?;
    let left: Vec<&str> = left.lines().filter(|path| !before.lines().any(|old| old == *path)).collect();
    let of_package = left.iter().find(|path| packaged.lines().any(|file| file == **path));
    assert_eq!(of_package, None, "{left:?}");

    machine.ok(&["install", "-m", "600", "/dev/null", "/etc/broker/issuing.key"])?;
    let told = machine.run(&["dpkg", "--purge", "broker"])?;
    for kept in ["kept /var/lib/broker,", "kept /etc/broker,"] {
        assert!(told.code == 0 && told.stderr.contains(kept), "{told:?}");
    }
    let left = machine.ok(&["sh", "-c", PLACES])?;
    let left: Vec<&str> = left.lines().filter(|path| !before.lines().any(|old| old == *path)).collect();
    let other: Vec<&str> = left.iter().copied().filter(|path| !path.starts_with("/var/lib/broker")).collect();
    assert_eq!(other, ["/etc/broker", "/etc/broker/issuing.key"], "only what somebody put there");
    for kept in ["root.key", "issuing.key", "audit.jsonl"] {
        assert!(machine.exists(&format!("/var/lib/broker/{kept}")), "{kept}");
    }
    Ok(())
}

/// A machine with the joiner's package joins when there is an invite and its unit is started; a purge leaves it a node.
fn joins_and_is_purged(mut machine: WholeMachine, invite: &str) -> Result<(), Failed> {
    machine.disk().put("/root/joiner.deb", &Deb::of("joiner", "amd64")?.bytes(), 0o644)?;
    machine.disk().put("/etc/joiner/invite", format!("{invite}\n").as_bytes(), 0o600)?;
    machine.boot("#cloud-config\n")?;
    assert_eq!(machine.settled()?, "done");
    machine.ok(&["dpkg", "--install", "/root/joiner.deb"])?;
    machine.ok(&["systemctl", "start", "joiner"])?;
    assert!(machine.ok(&["docker", "info"])?.contains("Swarm: active"));
    assert!(!machine.exists("/etc/joiner/invite"), "it was shredded");
    machine.ok(&["dpkg", "--purge", "joiner"])?;
    for gone in ["/etc/joiner", "/var/lib/joiner", "/usr/bin/joiner"] {
        assert!(!machine.exists(gone), "{gone}");
    }
    assert!(machine.ok(&["docker", "info"])?.contains("Swarm: active"), "it is still a node");
    Ok(())
}

/// Waits until it admits machines and serves both joiners, and gives its process's id.
fn serves(machine: &WholeMachine) -> Result<String, Failed> {
    let is_ready = |told: &str| told.lines().any(|line| line.starts_with("ready") && line.ends_with("yes"));
    let is_well = |told: &str| is_ready(told) && told.matches(" served, for ").count() == 2;
    until(START, "a broker that is ready and serves two joiners", || {
        machine.ok(&["broker", "status"]).ok().filter(|told| is_well(told))
    })?;
    assert_eq!(property(machine, "ActiveState")?, "active");
    property(machine, "MainPID")
}

fn property(machine: &WholeMachine, name: &str) -> Result<String, Failed> {
    Ok(machine.ok(&["systemctl", "show", "--value", "--property", name, "broker"])?)
}
