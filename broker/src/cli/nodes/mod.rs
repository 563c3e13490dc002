//! `broker nodes`: what there is, and, held against a list, what is missing and why.
//!
//! Asks the running broker, and compares here: neither the list nor what it names goes anywhere.

mod ask;
mod changes;
mod input;
mod object;
mod screen;
mod table;
#[cfg(test)]
mod tests;
mod watch;

use std::path::PathBuf;

use self::ask::Asker;
use self::object::Object;
use super::AdminSocket;
use crate::exit::{Code, Failure};
use crate::fleet::{Comparison, NodeState, Report};

/// Show every node and what explains it, the machines on their way, and those that are missing
///
/// With --expect, each machine of a list is held against what is: joined, booting (it has a use and did not confirm),
/// refused and why, missing, down. The list may be what 'terraform output -json' prints, one output of it, a plain list
/// (a hostname a line, # for comments), or any JSON list or map of hostnames, or of objects with 'hostname' or 'name' in
/// them. A machine is known by its hostname, or by its address if the list has one.
#[derive(clap::Args)]
pub(super) struct Nodes {
    /// The machines that should be there: a file, or - for standard input
    #[arg(long, value_name = "FILE")]
    expect: Option<PathBuf>,
    /// Show it again every two seconds, until Ctrl-C: drawn over on a terminal, else a line for each change
    #[arg(long, conflicts_with_all = ["json", "exit_code"])]
    watch: bool,
    /// Exit with 78 if an expected machine has not joined or is not Ready, if a node is unexplained, or if one has the name of
    /// an expected machine that another one is
    #[arg(long)]
    exit_code: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

impl Nodes {
    pub(super) fn run(self) -> Result<(), Failure> {
        let expected = self.expect.as_deref().map(input::read).transpose()?;
        if self.json && expected.is_none() {
            // The same from each broker: what the logs saw is left out.
            let report: Report = self.admin.open().get("/v1/nodes")?;
            super::print_json(&report)?;
            return self.judged(0, report.count(NodeState::Unexplained), 0);
        }
        let mut asker = Asker::new(self.admin.clone(), expected);
        if self.watch {
            return watch::watch(&mut asker);
        }
        let comparison: Comparison = asker.ask()?;
        if self.json {
            super::print_json(&Object::of(&comparison))?;
        } else {
            screen::print(&table::lines(&comparison))?;
        }
        self.judged(comparison.wanting(), comparison.count(NodeState::Unexplained), comparison.twins())
    }

    /// What it comes to, where that is asked for.
    fn judged(&self, wanting: usize, unexplained: usize, twins: usize) -> Result<(), Failure> {
        if !self.exit_code || (wanting, unexplained, twins) == (0, 0, 0) {
            return Ok(());
        }
        let of = |count: usize, one: &str, more: &str| format!("{count} {}", if count == 1 { one } else { more });
        let wanting = of(wanting, "expected machine is not there", "expected machines are not there");
        let unexplained = of(unexplained, "node is unexplained", "nodes are unexplained");
        let twins = match twins {
            0 => String::new(),
            1 => ", 1 node has an expected machine's name and is another".to_owned(),
            more => format!(", {more} nodes have expected machines' names and are others"),
        };
        Err(Failure::new(Code::Config, format!("{wanting}, {unexplained}{twins}")))
    }
}
