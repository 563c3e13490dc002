//! `broker promote` and `broker demote`.

use protocol::Role;

use super::OrderFlags;
use crate::admin::{ROLES, RoleOrder};
use crate::exit::Failure;
use crate::fleet::RoleChanged;

/// Make a worker a manager
///
/// Only a node that is explained and Ready. Its broker gets the cluster's keys where one runs there: 'broker up --wait', as
/// broker.service does with `BROKER_WAIT=true`. Refused where the swarm would lose its quorum.
#[derive(clap::Args)]
pub(super) struct Promote {
    #[command(flatten)]
    change: Change,
}

/// Make a manager a worker
///
/// Its broker ends. It keeps what it knew: if the machine is not trusted any more, 'broker rotate all --now' when it is out.
/// Refused where the swarm would lose its quorum.
#[derive(clap::Args)]
pub(super) struct Demote {
    #[command(flatten)]
    change: Change,
}

#[derive(clap::Args)]
struct Change {
    /// The node: to promote by its id, to demote by its id or hostname
    #[arg(value_name = "NODE")]
    node: String,
    #[command(flatten)]
    flags: OrderFlags,
}

impl Promote {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.change.make(Role::Manager)
    }
}

impl Demote {
    pub(super) fn run(self) -> Result<(), Failure> {
        self.change.make(Role::Worker)
    }
}

impl Change {
    fn make(self, role: Role) -> Result<(), Failure> {
        let Self { node, flags: OrderFlags { reason, json, admin } } = self;
        let changed: RoleChanged = admin.open().post(ROLES, &RoleOrder { node, role, reason })?;
        if json { super::print_json(&changed) } else { super::print(&told(&changed)) }
    }
}

fn told(changed: &RoleChanged) -> String {
    let RoleChanged { node, hostname, role, already, settled, before, after, spare } = changed;
    let what = match (already, settled) {
        (true, _) => "is that already",
        (false, true) => "done",
        (false, false) => "done; the managers have not followed yet, see 'docker node ls'",
    };
    let mut lines = vec![format!("{hostname} ({node}) to be a {role}: {what}")];
    if !already {
        lines.push(format!("managers: {} before, {} reachable", before.managers, before.reachable));
    }
    lines.push(format!(
        "managers: {} now, {} reachable, {} needed: {spare} may fail",
        after.managers, after.reachable, after.needed
    ));
    if after.managers % 2 == 0 {
        lines.push("An odd number of managers bears as many failures with one machine less".to_owned());
    }
    lines.join("\n")
}
