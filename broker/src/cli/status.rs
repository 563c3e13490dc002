//! `broker status`.

use std::fmt::Write as _;

use super::AskFlags;
use crate::admin::{self, TokenRotated, TokenShown, lines, plain};
use crate::exit::Failure;

/// Show what is: the cluster, its brokers, and whether machines can be admitted
#[derive(clap::Args)]
pub(super) struct Status {
    #[command(flatten)]
    flags: AskFlags,
}

impl Status {
    pub(super) fn run(self) -> Result<(), Failure> {
        let status: admin::Status = self.flags.admin.open().get("/v1/status")?;
        if self.flags.json {
            return super::print_json(&status);
        }
        let key = match status.issuing_key.as_str() {
            "state" => "in the state directory".to_owned(),
            kind => format!("from a {kind}"),
        };
        let mut rows = vec![
            vec!["cluster".into(), format!("{} ({})", status.name, status.cluster)],
            vec!["pin".into(), status.pin.to_string()],
            vec![
                "issuing CA".into(),
                format!("generation {}, until {}, key {key}", status.generation, status.issuing_ends),
            ],
            vec!["swarm".into(), status.swarm.map_or_else(|| "not reachable".into(), |swarm| swarm.to_string())],
            vec![
                "ready".into(),
                if status.ready { "yes".into() } else { format!("no: {}", status.missing.join("; ")) },
            ],
            vec!["alarms".into(), format!("{} since the start", status.alarms)],
        ];
        rows.extend(status.behind.iter().map(|behind| vec!["behind".into(), behind.words()]));
        rows.extend(status.tokens.iter().map(|TokenShown { token, policy }| {
            let TokenRotated { role, generation, rotated_at } = token;
            vec![format!("{role} token"), format!("generation {generation} since {rotated_at}, policy {policy}")]
        }));
        let mut text = lines(&rows);
        for broker in status.brokers {
            let addresses: Vec<String> = broker.addresses.iter().map(ToString::to_string).collect();
            let leader = if broker.leader { ", on the leader" } else { "" };
            let ready = if broker.ready { "" } else { ", not ready" };
            let _ = writeln!(
                text,
                "broker {} at {} (node {}{leader}{ready})",
                plain(&broker.id),
                addresses.join(", "),
                broker.node
            );
        }
        for joiner in status.joiners {
            let here = if joiner.served { "served" } else { "not here" };
            let (hash, architecture, until) = (joiner.sha256, joiner.architecture, plain(&joiner.until));
            let _ = writeln!(text, "joiner {hash} {here}, for {architecture}, until {until}");
        }
        super::print(&text)
    }
}
