//! `broker audit`.

use std::fmt::Write as _;
use std::path::PathBuf;

use serde_json::Value;

use crate::audit;
use crate::exit::{Code, Failure};
use crate::state;

/// Read the audit log
#[derive(clap::Subcommand)]
pub(super) enum Audit {
    /// List this broker's records
    List(List),
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
        }
    }
}

#[derive(clap::Args)]
pub(super) struct List {
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// Print the records as they are, one JSON object a line
    #[arg(long)]
    json: bool,
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let path = self.state.join(audit::FILE);
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::new(Code::NoInput, format!("{}: {error}", path.display())))?;
        if self.json {
            return super::print(&text);
        }
        let rows: Vec<String> =
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).map(|record| told(&record)).collect();
        super::print(&rows.join("\n"))
    }
}

/// A record in one line for people: when, what, how it ended, and what it is about.
fn told(record: &Value) -> String {
    let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
    let time = text("time").get(..19).unwrap_or_default();
    let mut line = format!("{time}Z  {:21}", text("event"));
    if text("outcome") != "ok" {
        let _ = write!(line, "  {}", text("outcome").to_uppercase());
    }
    if let Some(generation) = record.get("generation").and_then(Value::as_u64) {
        let _ = match text("what") {
            "" => write!(line, "  {} token {generation}", text("role")),
            what => write!(line, "  {what} {generation}"),
        };
    }
    for field in ["reason", "hostname", "node", "source", "operator", "detail"] {
        if !text(field).is_empty() {
            let _ = write!(line, "  {field}={}", text(field));
        }
    }
    for field in ["invite", "key", "grant"] {
        if let Some(short) = text(field).get(..8) {
            let _ = write!(line, "  {field}={short}…");
        }
    }
    line.trim_end().to_owned()
}
