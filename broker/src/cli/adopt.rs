//! `broker adopt`.

use super::AskFlags;
use crate::admin::{AdoptOrder, Adopted};
use crate::exit::Failure;

/// Say why nodes are here that joined without the broker
#[derive(clap::Args)]
pub(super) struct Adopt {
    /// Nodes, by id or hostname
    #[arg(value_name = "NODE", required_unless_present = "all", conflicts_with = "all")]
    nodes: Vec<String>,
    /// All nodes that nothing explains
    #[arg(long)]
    all: bool,
    /// Why they belong here; it goes into the audit log
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    flags: AskFlags,
}

impl Adopt {
    pub(super) fn run(self) -> Result<(), Failure> {
        let nodes = if self.all { Vec::new() } else { self.nodes };
        let adopted: Adopted = self.flags.admin.open().post("/v1/adopt", &AdoptOrder { nodes, reason: self.reason })?;
        if self.flags.json {
            return super::print_json(&adopted);
        }
        if adopted.nodes.is_empty() {
            return super::print("nothing to adopt: every node is explained");
        }
        let lines: Vec<String> = adopted.nodes.iter().map(|node| format!("{node} adopted")).collect();
        super::print(&lines.join("\n"))?;
        super::print(
            "A node that a broker drained because nothing explained it gets tasks again. Else availability and labels are as they were: see 'docker node update'",
        )
    }
}
