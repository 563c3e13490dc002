//! `broker nodes`.

use std::fmt::Write as _;

use super::AdminSocket;
use crate::admin::lines;
use crate::clock;
use crate::exit::Failure;
use crate::fleet::{NodeState, Report};

/// Show every node and what explains it, and the machines on their way
#[derive(clap::Args)]
pub(super) struct Nodes {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

impl Nodes {
    pub(super) fn run(self) -> Result<(), Failure> {
        let report: Report = self.admin.open().get("/v1/nodes")?;
        if self.json { super::print_json(&report) } else { super::print(&table(&report)) }
    }
}

fn table(report: &Report) -> String {
    let head =
        ["NODE", "HOSTNAME", "STATE", "ROLE", "AVAILABILITY", "EXPLAINED BY", "LABELS"].map(String::from).to_vec();
    let rows = report.nodes.iter().map(|node| {
        let by = match (&node.invite, &node.grant, &node.adopted) {
            (Some(invite), _, _) => format!("invite {invite}"),
            (None, Some(grant), _) if node.explained => format!("grant {grant}"),
            (None, _, Some(adopted)) => format!("adopted {adopted}"),
            (None, _, None) => "nothing".into(),
        };
        let ours = |label: &&String| !label.starts_with(crate::admission::RESERVED);
        let labels: Vec<String> =
            node.labels.iter().filter(|(key, _)| ours(key)).map(|(key, value)| format!("{key}={value}")).collect();
        let state = format!("{:?}", node.state).to_lowercase();
        vec![
            node.id.to_string(),
            if node.hostname.is_empty() { "(never came)".into() } else { node.hostname.clone() },
            state,
            node.role.to_string(),
            node.availability.clone(),
            by,
            labels.join(","),
        ]
    });
    let mut text = lines(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
    for boot in report.booting.iter().filter(|boot| boot.open) {
        let step = if boot.redeemed.is_some() { "has the token, did not confirm" } else { "has a use" };
        let _ = writeln!(
            text,
            "booting: key {} of invite {} since {}: {step}",
            boot.key,
            boot.invite,
            clock::shown(boot.claimed)
        );
    }
    let count = |state| report.count(state);
    let (joined, adopted) = (count(NodeState::Joined), count(NodeState::Adopted));
    let (pending, down, unexplained) =
        (count(NodeState::Pending), count(NodeState::Down), count(NodeState::Unexplained));
    let _ =
        writeln!(text, "{joined} joined, {adopted} adopted, {pending} pending, {down} down, {unexplained} unexplained");
    if unexplained > 0 {
        text.push_str(
            "An unexplained node joined with the real token. If it belongs here: broker adopt NODE --reason TEXT\n",
        );
    }
    text
}
