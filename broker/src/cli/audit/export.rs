//! `broker audit export`.

use std::path::PathBuf;

use super::choice::Choice;
use super::logs::Logs;
use super::report::verdict;
use crate::exit::Failure;
use crate::review::{self, Format, Told, in_order};

#[derive(clap::Args)]
pub(in crate::cli) struct Export {
    /// What the records are written as
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// Where they go, readable only for its owner, in place of standard output
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    logs: Logs,
}

impl Export {
    pub(super) fn run(self) -> Result<(), Failure> {
        let logs = self.logs.read()?;
        let records: Vec<Told<'_>> =
            in_order(&logs).into_iter().filter(|told| self.choice.wants(&told.entry.fields)).collect();
        let text = review::export(self.format, &logs, &records);
        match self.output.as_deref().filter(|path| path.as_os_str() != "-") {
            Some(path) => super::super::write_output(path, &text)?,
            None if text.is_empty() => {}
            None => super::super::print(&text)?,
        }
        verdict(&logs)
    }
}
