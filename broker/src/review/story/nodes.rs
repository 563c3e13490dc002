//! The nodes: each one once, and what explains it.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Span, Told, each_once};

/// A node that came in.
#[derive(Debug)]
pub(crate) struct Node<'l> {
    pub(crate) id: &'l str,
    pub(crate) hostname: &'l str,
    pub(crate) role: &'l str,
    /// When, in seconds since 1970.
    pub(crate) at: u64,
    pub(crate) explained: Explained<'l>,
    pub(crate) labels: Vec<(&'l str, &'l str)>,
    /// Every record about it, and about the key that it came with.
    pub(crate) records: Vec<Told<'l>>,
}

/// What explains a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Explained<'l> {
    /// It joined on this invitation.
    Invited { invite: &'l str },
    /// An operator said why it is here.
    Adopted { by: &'l str, why: &'l str },
    /// Nothing.
    Nothing,
}

/// The nodes that came in within this time, in order.
pub(super) fn nodes<'l>(all: &[Told<'l>], span: Span) -> Vec<Node<'l>> {
    let (mut of_node, mut of_key) = (HashMap::<&str, Vec<Told<'l>>>::new(), HashMap::<&str, Vec<Told<'l>>>::new());
    for told in all {
        for (field, map) in [("node", &mut of_node), ("key", &mut of_key)] {
            if let Some(id) = text(*told, field) {
                map.entry(id).or_default().push(*told);
            }
        }
    }
    let mut nodes: BTreeMap<&str, Node<'l>> = BTreeMap::new();
    for told in all.iter().copied() {
        let (Some(id), Some(explained)) = (text(told, "node"), explained(told)) else { continue };
        let node = nodes.entry(id).or_insert_with(|| Node {
            id,
            hostname: "",
            role: "",
            at: told.at(),
            explained,
            labels: Vec::new(),
            records: of_node.get(id).cloned().unwrap_or_default(),
        });
        // The best explanation counts, and of that the first.
        if rank(explained) > rank(node.explained) {
            (node.explained, node.at) = (explained, told.at());
        }
        node.hostname = text(told, "hostname").unwrap_or(node.hostname);
        node.role = text(told, "role").unwrap_or(node.role);
        if let Some(boot) = text(told, "key").and_then(|key| of_key.get(key)) {
            node.records.extend(boot);
        }
    }
    let mut nodes: Vec<Node<'l>> = nodes.into_values().filter(|node| span.has(node.at)).collect();
    for node in &mut nodes {
        node.records = each_once(std::mem::take(&mut node.records));
        let labelled = node.records.iter().rev().find(|told| told.event() == "node.labelled");
        node.labels = labelled.map(|told| labels(*told)).unwrap_or_default();
    }
    nodes.sort_by_key(|node| (node.at, node.id));
    nodes
}

/// What a record says of why its node is here.
fn explained(told: Told<'_>) -> Option<Explained<'_>> {
    let entry = told.entry;
    match (entry.event(), entry.text("outcome")) {
        ("node.joined", "ok") => Some(Explained::Invited { invite: entry.text("invite") }),
        ("node.adopted", "ok") => Some(Explained::Adopted { by: entry.text("operator"), why: entry.text("detail") }),
        ("node.unexplained", _) => Some(Explained::Nothing),
        _ => None,
    }
}

fn rank(explained: Explained<'_>) -> u8 {
    match explained {
        Explained::Nothing => 0,
        Explained::Adopted { .. } => 1,
        Explained::Invited { .. } => 2,
    }
}

fn text<'l>(told: Told<'l>, field: &str) -> Option<&'l str> {
    Some(told.entry.text(field)).filter(|text| !text.is_empty())
}

fn labels(told: Told<'_>) -> Vec<(&str, &str)> {
    let labels = told.entry.fields.get("labels").and_then(Value::as_object).into_iter().flatten();
    labels.map(|(name, value)| (name.as_str(), value.as_str().unwrap_or_default())).collect()
}
