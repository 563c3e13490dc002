//! What changed since the look before, a line each: for pipes and logs. Pure.

use std::collections::BTreeMap;

use super::table::{boots, explained_by, node_state, of_boot, of_missing, state};
use crate::admin::plain;
use crate::cli::wait::labels;
use crate::fleet::{Compared, Comparison};

/// What was told.
#[derive(Default)]
pub(super) struct Changes {
    /// Of each node its line, and how it is called.
    nodes: BTreeMap<String, (String, String)>,
    others: BTreeMap<String, String>,
}

impl Changes {
    /// What is new, each fit for a terminal. At first that is all there is.
    pub(super) fn news(&mut self, comparison: &Comparison) -> Vec<String> {
        let nodes = comparison.nodes.iter().map(|one| {
            let name = format!("{}  {}", one.node.hostname, one.node.id);
            (one.node.id.to_string(), (of_node(one), name))
        });
        let nodes: BTreeMap<_, _> = nodes.collect();
        let boots = boots(comparison).map(|one| {
            let line = format!("{:11}  {}", "booting", of_boot(one));
            (format!("key {}", one.boot.key), line)
        });
        let missing = comparison.missing.iter().map(|one| {
            let line = format!("{:11}  {}", state(one.state), of_missing(one));
            (format!("machine {}", one.hostname), line)
        });
        let others: BTreeMap<String, String> = boots.chain(missing).collect();

        let removed = self.nodes.iter().filter(|(id, _)| !nodes.contains_key(*id));
        let removed = removed.map(|(_, (_, name))| format!("{:11}  {name}", "removed"));
        let came =
            nodes.iter().filter(|(id, node)| self.nodes.get(*id) != Some(*node)).map(|(_, (line, _))| line.clone());
        let moved = others.iter().filter(|(about, line)| self.others.get(*about) != Some(*line));
        let moved = moved.map(|(_, line)| line.clone());
        let news = removed.chain(came).chain(moved).map(|line| plain(line.trim_end())).collect();
        (self.nodes, self.others) = (nodes, others);
        news
    }
}

fn of_node(one: &Compared) -> String {
    let node = &one.node;
    format!(
        "{:11}  {}  {}  {}  {}  {}  {}  {}",
        node_state(node.state),
        node.hostname,
        node.id,
        node.role,
        node.availability,
        node.address,
        explained_by(one),
        labels(node),
    )
}
