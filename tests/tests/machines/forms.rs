//! User-data in each form that cloud-init takes.

use lab::cluster::{Broker, Cluster};
use lab::whole::{Root, WholeMachine};
use lab::{Failed, Pool};

use crate::scene::{boot, joined, with_joiner};

/// The options that change what stands in a cloud-config.
const VARIANTS: [&[&str]; 5] = [
    &[],
    &["--embed"],
    &["--install-docker"],
    &["--advertise-addr", "10.0.0.0/8"],
    &["--on-failure", r#"echo "$(hostname): \ `id`" # 'x' {a: b}"#],
];

fn printed(broker: &Broker<'_>, arguments: &[&str]) -> Result<String, Failed> {
    let text = broker.ok(&[&["cloud-init", "worker", "--label", "zone=a"], arguments].concat())?;
    assert!(text.len() <= 16_384 && !text.contains("SWMTKN"), "{} bytes", text.len());
    Ok(text)
}

pub(crate) fn cloud_init_accepts_every_form_and_machines_join(pool: &Pool) -> Result<(), Failed> {
    let (cluster, hosts, root) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(2)?, Root::ready()?);
    let manager = cluster.manager();
    let mut broker = with_joiner(manager)?;
    broker.serve()?;

    let mut multipart = WholeMachine::new(&hosts[0], &root)?;
    for (number, options) in VARIANTS.iter().enumerate() {
        let text = printed(&broker, &[&["--uses", "3"], *options].concat())?;
        multipart.disk().put(&format!("/root/variant-{number}"), text.as_bytes(), 0o600)?;
    }
    multipart.boot(&printed(&broker, &["--format", "multipart"])?)?;
    let shell = boot(&hosts[1], &root, &printed(&broker, &["--format", "shell"])?)?;
    for machine in [&multipart, &shell] {
        joined(manager, machine.host())?;
        assert_eq!(machine.settled()?, "done");
    }

    // What the machine itself was given, out of its multipart.
    multipart.ok(&["cloud-init", "schema", "--system"])?;
    for number in 0..VARIANTS.len() {
        multipart.ok(&["cloud-init", "schema", "--config-file", &format!("/root/variant-{number}")])?;
    }
    multipart.ok(&["sh", "-c", "printf '#cloud-config\\nruncmd: nothing\\n' >/root/wrong"])?;
    let refused = multipart.run(&["cloud-init", "schema", "--config-file", "/root/wrong"])?;
    assert_ne!(refused.code, 0, "and it can tell: {}", refused.stdout);
    Ok(())
}
