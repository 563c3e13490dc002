//! The broker's unit, run by a real systemd on a whole machine: hardened, watched, started again, or not.

use std::path::Path;
use std::time::Duration;

use lab::cluster::{Broker, Joiner, Run};
use lab::whole::{Root, WholeMachine};
use lab::{Failed, Host, Pool, Role, programs, until};
use serde_json::Value;

use crate::object_store;

/// The most that `systemd-analyze security` may find, in tenths.
const EXPOSURE: &str = "20";
const LONG: Duration = Duration::from_mins(1);
/// From power-on to brokers that serve; for a machine that is busy with other things.
const UP: Duration = Duration::from_mins(3);
const UNIT: &str = "/usr/lib/systemd/system/broker.service";

/// A machine with the broker's program and unit, as its package leaves them, that was never on.
fn machine<'h>(host: &'h Host, root: &Root) -> Result<WholeMachine<'h>, Failed> {
    let machine = WholeMachine::new(host, root)?;
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-init/units/broker.service");
    machine.disk().put(UNIT, &std::fs::read(unit)?, 0o644)?;
    machine.disk().put("/usr/bin/broker", &std::fs::read(programs::broker()?)?, 0o755)?;
    Ok(machine)
}

/// The same, on, and a manager.
fn manager<'h>(host: &'h Host, root: &Root) -> Result<WholeMachine<'h>, Failed> {
    let mut machine = machine(host, root)?;
    machine.boot("#cloud-config\n{}\n")?;
    assert_eq!(machine.settled()?, "done");
    machine.ok(&["docker", "swarm", "init", "--advertise-addr", &host.address().to_string()])?;
    Ok(machine)
}

/// What systemd says of the service.
fn shown(machine: &WholeMachine<'_>, property: &str) -> Result<String, Failed> {
    Ok(machine.ok(&["systemctl", "show", "--value", "--property", property, "broker"])?)
}

fn is(machine: &WholeMachine<'_>, property: &str, wanted: &str) -> Result<(), Failed> {
    let told =
        until(LONG, &format!("{property} to be {wanted}"), || (shown(machine, property).ok()? == wanted).then_some(()));
    told.map_err(|late| format!("{late}: {}", machine.disk().journal().unwrap_or_default()).into())
}

fn status(machine: &WholeMachine<'_>) -> Result<Value, Failed> {
    Ok(serde_json::from_str(&machine.ok(&["broker", "status", "--json"])?)?)
}

fn joins(machine: &WholeMachine<'_>, newcomer: &Host) -> Result<Run, Failed> {
    let invite = machine.ok(&["broker", "invite", "create", "--uses", "1"])?;
    Ok(Joiner::new(newcomer, &invite).joins()?)
}

/// Settings of the unit, as 'systemctl edit' leaves them.
fn drop_in(machine: &WholeMachine<'_>, lines: &str) -> Result<(), Failed> {
    let folder = "/etc/systemd/system/broker.service.d";
    machine.ok(&["mkdir", "-p", folder])?;
    machine.ok(&["sh", "-c", &format!("printf '[Service]\\n{lines}\\n' >{folder}/override.conf")])?;
    machine.ok(&["systemctl", "daemon-reload"])?;
    Ok(())
}

pub(crate) fn a_packaged_broker_runs_hardened_and_machines_join(pool: &Pool) -> Result<(), Failed> {
    let (hosts, newcomers, root) = (pool.lease_bare(1)?, pool.lease(3)?, Root::ready()?);
    let machine = manager(&hosts[0], &root)?;
    let analyse = ["systemd-analyze", "security", "--offline=true", "--no-pager"];
    let found = machine.run(&[&analyse[..], &["--threshold", EXPOSURE, UNIT]].concat())?;
    assert_eq!(found.code, 0, "{}{}", found.stdout, found.stderr);
    let verified = machine.run(&["systemd-analyze", "verify", UNIT])?;
    assert!(verified.code == 0 && !verified.stderr.contains("broker.service"), "{}", verified.stderr);

    // Nothing happens before there is a cluster, and it is no failure.
    machine.ok(&["systemctl", "enable", "--now", "broker"])?;
    assert_eq!(
        (shown(&machine, "ActiveState")?, shown(&machine, "ConditionResult")?),
        ("inactive".into(), "no".into())
    );
    assert!(!machine.exists("/var/lib/broker") && !machine.exists("/run/broker"));

    machine.ok(&["broker", "init", "--cluster", "lab"])?;
    // Here, too: a start ends when machines can be admitted, not before.
    machine.ok(&["systemctl", "start", "broker"])?;
    assert_eq!(status(&machine)?["ready"], true);
    let modes = ["stat", "-c", "%a %U", "/var/lib/broker", "/run/broker", "/run/broker/admin.sock"];
    assert_eq!(machine.ok(&modes)?, "700 root\n700 root\n600 root");
    let capabilities = machine.ok(&["grep", "CapBnd", &format!("/proc/{}/status", shown(&machine, "MainPID")?)])?;
    assert!(capabilities.ends_with("\t0000000000000000"), "{capabilities}");
    joins(&machine, &newcomers[0])?;

    // The issuing key as a credential, and gone from the state directory.
    machine.ok(&["mv", "/var/lib/broker/issuing.key", "/etc/broker.key"])?;
    drop_in(
        &machine,
        "LoadCredential=issuing.key:/etc/broker.key\\nEnvironment=BROKER_ISSUING_KEY=credential:issuing.key",
    )?;
    machine.ok(&["systemctl", "restart", "broker"])?;
    assert_eq!(status(&machine)?["issuing_key"], "credential");
    joins(&machine, &newcomers[1])?;

    // The same, sealed to the machine; and a port that only a capability opens.
    let key = "/etc/broker.key";
    machine.ok(&["systemd-creds", "encrypt", "--with-key=host", "--name=issuing.key", key, "/etc/broker.cred"])?;
    machine.ok(&["shred", "--remove", key])?;
    let lines = [
        "LoadCredentialEncrypted=issuing.key:/etc/broker.cred",
        "Environment=BROKER_ISSUING_KEY=credential:issuing.key BROKER_LISTEN=[::]:443",
        "CapabilityBoundingSet=CAP_NET_BIND_SERVICE",
    ];
    drop_in(&machine, &lines.join("\\n"))?;
    machine.ok(&["systemctl", "restart", "broker"])?;
    assert_eq!(status(&machine)?["brokers"][0]["address"], format!("{}:443", hosts[0].address()));
    joins(&machine, &newcomers[2])?;
    let waited = machine.run(&["broker", "wait", "--count", "3", "--timeout", "10s"])?;
    assert_eq!(waited.code, 0, "{}", waited.stderr);
    machine.ok(&["systemctl", "stop", "broker"])?;
    assert_eq!(shown(&machine, "Result")?, "success");
    let log = machine.read("/var/lib/broker/audit.jsonl").ok_or("no log")?;
    assert_eq!(log.matches("broker.stopped").count(), 3, "{log}");
    assert!(!machine.exists("/run/broker"));
    Ok(())
}

pub(crate) fn a_broker_that_comes_up_by_itself_reads_its_nodes_key_wherever_docker_has_it(
    pool: &Pool,
) -> Result<(), Failed> {
    let (hosts, founders, root) = (pool.lease_bare(1)?, pool.lease(1)?, Root::ready()?);
    let first = crate::managers::found(&founders[0])?;
    let mut machine = machine(&hosts[0], &root)?;
    let units = Path::new(env!("CARGO_MANIFEST_DIR")).join("../cloud-init/units");
    machine.disk().put(
        "/etc/systemd/system/broker.service.d/up.conf",
        &std::fs::read(units.join("broker.service.d/up.conf"))?,
        0o644,
    )?;
    // Somebody's own folder, as with userns-remap, and under /home.
    machine.disk().put(
        "/etc/docker/daemon.json",
        b"{\"storage-driver\": \"vfs\", \"data-root\": \"/home/somebody/docker\"}",
        0o644,
    )?;
    machine.disk().put("/home/somebody/.profile", b"", 0o644)?;
    machine.boot("#cloud-config\n{}\n")?;
    assert_eq!(machine.settled()?, "done");
    machine.ok(&["chown", "1000:1000", "/home/somebody"])?;
    machine.ok(&["chmod", "0700", "/home/somebody"])?;

    let (token, manager) = (founders[0].join_token(Role::Manager)?, founders[0].address().to_string());
    let own = hosts[0].address().to_string();
    machine.ok(&[
        "docker",
        "swarm",
        "join",
        "--advertise-addr",
        &own,
        "--token",
        &token,
        &format!("{manager}:2377"),
    ])?;
    let node = machine.ok(&["docker", "info", "--format", "{{.Swarm.NodeID}}"])?;
    first.ok(&["adopt", node.trim(), "--reason", "ours"])?;
    let started = machine.run(&["timeout", "60", "systemctl", "start", "broker"])?;
    assert_eq!(started.code, 0, "{}", machine.disk().journal()?);
    assert_eq!(status(&machine)?["ready"], true);

    let analyse = ["systemd-analyze", "security", "--no-pager", "--threshold", EXPOSURE, "broker.service"];
    let found = machine.run(&analyse)?;
    assert_eq!(found.code, 0, "{}{}", found.stdout, found.stderr);
    let verified = machine.run(&["systemd-analyze", "verify", "broker.service"])?;
    assert!(verified.code == 0 && !verified.stderr.contains("broker.service"), "{}", verified.stderr);
    Ok(())
}

pub(crate) fn a_packaged_broker_is_started_again_unless_that_changes_nothing(pool: &Pool) -> Result<(), Failed> {
    let (hosts, root) = (pool.lease_bare(1)?, Root::ready()?);
    let machine = manager(&hosts[0], &root)?;
    machine.ok(&["broker", "init", "--cluster", "lab"])?;
    machine.ok(&["systemctl", "start", "broker"])?;
    let main = || shown(&machine, "MainPID");

    let killed = main()?;
    machine.ok(&["kill", "-KILL", &killed])?;
    is(&machine, "NRestarts", "1")?;
    is(&machine, "ActiveState", "active")?;
    assert_ne!(main()?, killed);

    // One that hangs says nothing to systemd any more.
    drop_in(&machine, "WatchdogSec=6")?;
    machine.ok(&["systemctl", "restart", "broker"])?;
    machine.ok(&["sleep", "12"])?;
    assert_eq!(shown(&machine, "NRestarts")?, "0", "one that lives is not disturbed");
    machine.ok(&["kill", "-STOP", &main()?])?;
    is(&machine, "NRestarts", "1")?;
    is(&machine, "ActiveState", "active")?;
    assert!(machine.disk().journal()?.contains("Watchdog timeout"), "{}", machine.disk().journal()?);

    // The engine is not there: it is waited for.
    machine.ok(&["systemctl", "stop", "broker", "docker.socket", "docker.service"])?;
    machine.ok(&["systemctl", "start", "--no-block", "broker"])?;
    until(LONG, "some tries", || (shown(&machine, "NRestarts").ok()?.parse::<u32>().ok()? >= 3).then_some(()))?;
    machine.ok(&["systemctl", "start", "docker"])?;
    is(&machine, "ActiveState", "active")?;

    // Damaged state is the operator's.
    machine.ok(&["systemctl", "stop", "broker"])?;
    machine.ok(&["cp", "-a", "/var/lib/broker/issuing.key", "/root"])?;
    machine.ok(&["cp", "/var/lib/broker/invite.key", "/var/lib/broker/issuing.key"])?;
    let refused = machine.run(&["systemctl", "start", "broker"])?;
    assert_ne!(refused.code, 0);
    is(&machine, "ActiveState", "failed")?;
    assert_eq!((shown(&machine, "ExecMainStatus")?, shown(&machine, "NRestarts")?), ("65".into(), "0".into()));
    assert!(machine.disk().journal()?.contains("issuing.crt is damaged: the key is not the one of the certificate"));
    machine.ok(&["cp", "-a", "/root/issuing.key", "/var/lib/broker"])?;
    machine.ok(&["systemctl", "start", "broker"])?;
    assert_eq!(status(&machine)?["ready"], true);
    Ok(())
}

pub(crate) fn managers_with_one_user_data_and_a_store_make_one_swarm(pool: &Pool) -> Result<(), Failed> {
    let (hosts, stores, root) = (pool.lease_bare(3)?, pool.lease(1)?, Root::ready()?);
    let (_server, operator) = (object_store::serve(&stores[0], &[])?, Broker::nowhere(&stores[0])?);
    let file = |name: &str| stores[0].folder().join(name).display().to_string();
    operator.ok(&["init", "--cluster", "lab", "--state", &file("operator"), "--keys-file", &file("keys")])?;
    let endpoint = format!("endpoint=http://{}:9000", stores[0].reached_at());
    let network = format!("{}/24", hosts[0].address());
    let store = ["cloud-init", "manager", "--store", "s3://managers/prod", "--store-option", &endpoint];
    let keys = ["--keys-file", "command:cat /etc/broker/prod.keys", "--advertise-addr", &network];
    let user_data = operator.ok(&[&store[..], &["--store-option", "allow_http=true"], &keys].concat())?;

    // What such an image carries, or its machine gets by its role.
    let role = format!("AWS_ACCESS_KEY_ID=lab\nAWS_SECRET_ACCESS_KEY={}\nAWS_REGION=us-east-1\n", object_store::SECRET);
    let booted = hosts.iter().map(|host| {
        let mut machine = machine(host, &root)?;
        machine.disk().put("/etc/broker/prod.keys", &std::fs::read(file("keys"))?, 0o600)?;
        machine.disk().put("/etc/broker/environment", role.as_bytes(), 0o600)?;
        machine.boot(&user_data)?;
        Ok(machine)
    });
    let machines = booted.collect::<Result<Vec<_>, Failed>>()?;
    for machine in &machines {
        assert_eq!(machine.settled()?, "done");
        machine.ok(&["cloud-init", "schema", "--system"])?;
        let mut last = None;
        let all = until(UP, "three ready brokers", || {
            last = status(machine).ok();
            let brokers = last.as_ref()?["brokers"].as_array()?;
            (brokers.iter().filter(|broker| broker["ready"] == true).count() == 3).then_some(())
        });
        all.map_err(|late| format!("{late}: {last:?}\n{}", machine.disk().journal().unwrap_or_default()))?;
    }
    let nodes = machines[0].ok(&["docker", "node", "ls", "--filter", "role=manager", "--quiet"])?;
    assert_eq!(nodes.lines().count(), 3, "{nodes}");
    let told: Value = serde_json::from_str(&machines[1].ok(&["broker", "nodes", "--json"])?)?;
    assert!(told["nodes"].as_array().is_some_and(|all| all.iter().all(|node| node["explained"] == true)), "{told}");

    let analyse = ["systemd-analyze", "security", "--no-pager", "--threshold", EXPOSURE, "broker.service"];
    let found = machines[2].run(&analyse)?;
    assert_eq!(found.code, 0, "{}{}", found.stdout, found.stderr);
    let verified = machines[2].run(&["systemd-analyze", "verify", "broker.service"])?;
    assert!(verified.code == 0 && !verified.stderr.contains("broker.service"), "{}", verified.stderr);
    Ok(())
}
