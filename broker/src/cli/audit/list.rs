//! `broker audit list`.

use std::path::PathBuf;

use super::choice::Choice;
use super::folders;
use super::merged::Merged;
use super::others::Others;
use super::shown::{Format, Reader};
use crate::audit;
use crate::exit::Failure;
use crate::state;

#[derive(clap::Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    choice: Choice,
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    #[command(flatten)]
    others: Others,
    #[command(flatten)]
    format: Format,
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let mut merged = Merged::default();
        merged.add(&self.state.join(audit::FILE), false)?;
        if !self.others.left_out() {
            self.others.bring_up(&self.state)?;
            for copy in folders::copies(&self.state)? {
                merged.add(&copy.join(audit::FILE), false)?;
            }
        }
        let mut printer = self.format.printer();
        while let Some(record) = merged.next()? {
            if self.choice.wants(&record) && printer.print(record)? == Reader::Gone {
                return Ok(());
            }
        }
        printer.flush().map(drop)
    }
}
