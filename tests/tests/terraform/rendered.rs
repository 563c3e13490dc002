//! What the module renders, on a machine.

use std::io::Write as _;
use std::process::{Command, Stdio};

use lab::whole::{Root, WholeMachine};
use lab::{Failed, Pool, programs};
use serde_json::json;

use crate::workspace::{Workspace, invite};

/// Stands for the joiner: it keeps what it was given.
const JOINER: &str = "#!/bin/sh\nprintenv JOINER_ADVERTISE_ADDR JOINER_ON_FAILURE >/etc/joiner/settings\n\
                      cat /etc/joiner/invite /root/order >/etc/joiner/found\n";

/// All that a shell, a YAML reader and systemd could take for theirs.
const COMMAND: &str = r#"echo "$HOME" `id` \ 'x' %h # : {a: b} ö"#;

/// Runs `broker` on a state folder, with this on its standard input.
fn broker(state: &str, arguments: &[&str], input: &str) -> Result<String, Failed> {
    let mut command = Command::new(programs::broker()?);
    command.args(arguments).env("BROKER_STATE", state).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut broker = command.stderr(Stdio::piped()).spawn()?;
    broker.stdin.take().ok_or("no standard input")?.write_all(input.as_bytes())?;
    let ended = broker.wait_with_output()?;
    let said = String::from_utf8_lossy(&ended.stderr);
    if ended.status.success() {
        Ok(String::from_utf8(ended.stdout)?)
    } else {
        Err(format!("broker {}: {said}", arguments.join(" ")).into())
    }
}

/// What the broker looks at before it has a program fetched: an ELF header for this machine, and one segment.
fn program(machine: u16) -> Vec<u8> {
    let mut bytes = vec![0; 120];
    bytes[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    for (at, value) in [(16, 2), (18, machine), (32, 64), (54, 56), (56, 1), (64, 1)] {
        bytes[at..at + 2].copy_from_slice(&value.to_le_bytes());
    }
    bytes
}

pub(crate) fn it_is_what_the_broker_prints_byte_by_byte(_: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    workspace.init("")?;
    let state = workspace.at("state").display().to_string();
    broker(&state, &["init", "--cluster", "lab"], "")?;
    let create = ["invite", "create", "--offline", "--broker", "10.0.0.11,fd00::12,manager.example:8443", "--uses"];
    let joiners = [("x86_64", 62), ("aarch64", 183)].map(|(name, machine)| (workspace.at(name), program(machine)));
    for (path, bytes) in &joiners {
        std::fs::write(path, bytes)?;
    }
    let [intel, arm] = joiners.map(|(path, _)| path.display().to_string());
    for (uses, options) in [
        ("1", &["--embed"][..]),
        ("3", &["--embed", "--advertise-addr", "10.0.0.0/8", "--on-failure", COMMAND]),
        ("3", &["--joiner", &intel, "--joiner", &arm, "--install-docker", "--on-failure", COMMAND]),
        // These come and go, and leave when they are powered off.
        ("5", &["--joiner", &intel]),
    ] {
        let ephemeral = if uses == "5" { &["--ephemeral"][..] } else { &[] };
        let policy = [&[uses], ephemeral].concat();
        let line =
            broker(&state, &[&create[..], &policy, &["--label", "note=ö>?", "--from", "10.0.0.0/8"]].concat(), "")?;
        let print = |format| {
            let words = ["cloud-init", "worker", "--offline", "--invite", "-", "--format", format];
            broker(&state, &[&words[..], options].concat(), &line)
        };
        // The broker says itself what the module is given.
        std::fs::write(workspace.at("given.auto.tfvars.json"), print("tfvars")?)?;
        let rendered = workspace.user_data(&[])?;
        assert_eq!(rendered, [print("cloud-config")?], "{options:?}");
    }
    Ok(())
}

pub(crate) fn a_machine_boots_from_it_with_more_cloud_config_merged_in(pool: &Pool) -> Result<(), Failed> {
    let workspace = Workspace::new()?;
    workspace.init("")?;
    let line = invite('1', 1);
    let extra = json!({
        "write_files": [{ "path": "/root/note", "content": "a: <b> & \"ö\"\n" }],
        "runcmd": ["echo extra came first >/root/order", ["sh", "-c", "echo 'and again' >>/root/order"]],
    });
    let variables = [
        ("invite", line.as_str()),
        ("embed", "true"),
        ("advertise_addr", "10.0.0.0/8"),
        ("on_failure", COMMAND),
        ("extra", &extra.to_string()),
    ];
    let user_data = workspace.user_data(&variables)?.pop().ok_or("nothing was rendered")?;

    let (hosts, root) = (pool.lease_bare(1)?, Root::ready()?);
    let mut machine = WholeMachine::new(&hosts[0], &root)?;
    // An image with the joiner's package.
    let unit = std::fs::read(workspace.at("../units/joiner.service"))?;
    machine.disk().put("/etc/systemd/system/joiner.service", &unit, 0o644)?;
    machine.disk().put("/usr/bin/joiner", JOINER.as_bytes(), 0o755)?;
    machine.boot(&user_data)?;
    assert_eq!(machine.settled()?, "done");
    machine.ok(&["cloud-init", "schema", "--system"])?;
    assert_eq!(machine.read("/root/note").as_deref(), Some("a: <b> & \"ö\"\n"));
    assert_eq!(machine.ok(&["stat", "-c", "%a %U", "/etc/joiner/invite"])?, "600 root");
    // The unit is started and not waited for.
    machine.ok(&["timeout", "60", "sh", "-c", "until systemctl is-active joiner.service; do sleep 0.1; done"])?;
    let found = machine.read("/etc/joiner/found").ok_or("the unit did not run")?;
    assert_eq!(found, format!("{line}\nextra came first\nand again\n"));
    assert_eq!(machine.read("/etc/joiner/settings"), Some(format!("10.0.0.0/8\n{COMMAND}\n")));
    Ok(())
}
