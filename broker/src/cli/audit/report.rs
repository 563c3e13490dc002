//! `broker audit report`.

use std::path::PathBuf;

use super::choice::time;
use super::logs::Logs;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::review::{Log, Span, Story, page};

#[derive(clap::Args)]
pub(in crate::cli) struct Report {
    /// Where the page goes, readable only for its owner; '-' for standard output
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Only what happened from this time on: '30d' ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<u64>,
    /// Only what happened before this time: '1d' ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    #[command(flatten)]
    logs: Logs,
}

impl Report {
    pub(super) fn run(self) -> Result<(), Failure> {
        let logs = self.logs.read()?;
        let span = Span { since: self.since, until: self.until };
        let story = Story::of(&logs, span);
        let text = page(&logs, &story, span, clock::now());
        if self.output.as_os_str() == "-" {
            super::super::print(&text)?;
        } else {
            super::super::write_output(&self.output, &text)?;
        }
        verdict(&logs)
    }
}

/// What is wrong with the logs is in what was written; the exit code says so, too.
pub(super) fn verdict(logs: &[Log]) -> Result<(), Failure> {
    let wrong: Vec<String> =
        logs.iter().filter_map(|log| Some(format!("{}: {}", log.folder.display(), log.wrong()?))).collect();
    match wrong.as_slice() {
        [] => Ok(()),
        wrong => Err(Failure::new(Code::Data, format!("not every log is what was signed:\n{}", wrong.join("\n")))),
    }
}
