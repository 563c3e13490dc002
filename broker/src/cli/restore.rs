//! `broker restore`.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use crate::admin::operator;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::state;

/// Make a state directory from a backup, as another broker of the same cluster
///
/// The folder must be empty. The new broker has an id and a signing key of its own, so that it does no harm if the one that
/// the backup is of still runs. In the swarm of the cluster, start it: it serves. In a new swarm, and wherever the ledger was
/// lost, 'broker recover' is next. A restore that was cut off is finished by the same command.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Restore {
    /// The backup; - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Restore {
    pub(super) fn run(self) -> Result<(), Failure> {
        let operator = operator(rustix::process::getuid().as_raw());
        let restored = if self.file == Path::new("-") {
            state::restore(BufReader::new(std::io::stdin()), &self.state, operator)?
        } else {
            let file = File::open(&self.file)
                .map_err(|error| Failure::new(Code::NoInput, format!("{}: {error}", self.file.display())))?;
            state::restore(BufReader::new(file), &self.state, operator)?
        };
        let (head, state) = (&restored.head, self.state.display());
        let made = clock::shown(head.made);
        if self.json {
            return super::print_json(&serde_json::json!({
                "cluster": head.cluster,
                "name": head.name,
                "state": self.state,
                "broker": restored.broker,
                "backup_of": head.broker,
                "backup_made_at": made,
            }));
        }
        let mut lines =
            vec![format!("restored cluster '{}' as of {made} into {state}, as broker {}", head.name, restored.broker)];
        if !head.has("issuing.key") {
            lines.push("the issuing key was kept elsewhere: say where with --issuing-key of 'broker serve'".into());
        }
        lines
            .push("next: broker serve, on a manager; 'broker status' says whether the ledger must be recovered".into());
        super::print(&lines.join("\n"))
    }
}
