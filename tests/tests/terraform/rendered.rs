//! What the module renders, on a machine.

use lab::whole::{Root, WholeMachine};
use lab::{Failed, Pool};
use serde_json::json;

use crate::workspace::{Workspace, invite};

/// Stands for the joiner: it keeps what it was given.
const JOINER: &str = "#!/bin/sh\nprintenv JOINER_ADVERTISE_ADDR JOINER_ON_FAILURE >/etc/joiner/settings\n\
                      cat /etc/joiner/invite /root/order >/etc/joiner/found\n";

/// All that a shell, a YAML reader and systemd could take for theirs.
const COMMAND: &str = r#"echo "$HOME" `id` \ 'x' %h # : {a: b} ö"#;

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
