//! `broker uninstall`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::serve::{Logged, run};
use crate::exit::Failure;
use crate::state;
use crate::uninstall::{NodeUndone, Uninstalled, uninstall};

/// Take out of this swarm all that brokers put there
///
/// Stop every broker first. The Swarm configs of the ledger go, and the labels of brokers on nodes; nodes that a broker drained, and
/// machines that wait for their confirm, get tasks again. Services, and the labels that invites gave to nodes, stay as they are, and so do keys and log
/// in the state directories. Run it on one manager; cut off, run it again. Look with --dry-run first.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Uninstall {
    /// Say what there is; change nothing. Brokers may run
    #[arg(long)]
    dry_run: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// The Docker socket
    #[arg(long, value_name = "SOCKET", env = "BROKER_DOCKER", default_value = "/var/run/docker.sock")]
    docker: PathBuf,
    #[command(flatten)]
    logged: Logged,
}

impl Uninstall {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { dry_run, json, state, docker, logged } = self;
        run(logged, async move {
            let done = uninstall(&state, &docker, dry_run).await?;
            if json { super::print_json(&done) } else { super::print(&told(&done, &state)) }
        })
    }
}

fn told(done: &Uninstalled, state: &Path) -> String {
    let Uninstalled { dry_run, name, cluster, configs, nodes } = done;
    if configs.is_empty() && nodes.is_empty() {
        return format!("there is nothing of brokers in this swarm (cluster '{name}', {cluster})");
    }
    let mut kinds: BTreeMap<&str, usize> = BTreeMap::new();
    for config in configs {
        *kinds.entry(&config.kind).or_default() += 1;
    }
    let kinds: Vec<String> = kinds.into_iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    let mut lines = vec![
        format!("cluster '{name}', {cluster}"),
        format!("configs of the ledger: {} ({})", configs.len(), kinds.join(", ")),
    ];
    lines.extend(nodes.iter().map(of_node));
    lines.push(if *dry_run {
        "Nothing was changed. To take it out: stop every broker, then run this without --dry-run".to_owned()
    } else {
        format!(
            "Taken out of the swarm. What is left as it was: services, the labels that invites set, and the join tokens; on each \
             manager {}, with keys and the log; on machines that joined /var/lib/joiner; and the record in a store, where \
             --store named one",
            state.display()
        )
    });
    lines.join("\n")
}

fn of_node(node: &NodeUndone) -> String {
    let labels = (!node.labels.is_empty()).then(|| format!("labels {}", node.labels.join(", ")));
    let active = node.active.map(|why| format!("gets tasks again: {why}"));
    let stays = node.stays_drained.then(|| "stays drained: nothing explains it, and no broker did that".to_owned());
    let told: Vec<String> = labels.into_iter().chain(active).chain(stays).collect();
    format!("node {} ({}): {}", node.hostname, node.id, told.join("; "))
}
