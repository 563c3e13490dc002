//! What is asked of the logs when their records are listed: which records, of which brokers, shown how.

use std::path::PathBuf;

use super::choice::Choice;
use super::folders;
use super::merged::Merged;
use super::others::Others;
use super::shown::{Format, Printer, Reader};
use crate::audit;
use crate::exit::Failure;
use crate::state;

#[derive(clap::Args)]
pub(in crate::cli) struct Asked {
    #[command(flatten)]
    pub(super) choice: Choice,
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    #[command(flatten)]
    pub(super) others: Others,
    #[command(flatten)]
    pub(super) format: Format,
}

impl Asked {
    /// This broker's log and, unless they are left out, the others' as they are now. From their ends on, if nothing
    /// before is asked for.
    pub(super) fn open(&self, from_end: bool, follows: bool) -> Result<Merged, Failure> {
        let mut merged = Merged::since(self.choice.since());
        if let Some(elsewhere) = self.others.elsewhere(follows)? {
            self.others.look()?;
            elsewhere.add_to(&mut merged, from_end)?;
            return Ok(merged);
        }
        merged.add(&self.state.join(audit::FILE), from_end)?;
        if !self.others.left_out() {
            self.others.bring_up(&self.state)?;
            self.add_copies(&mut merged, from_end)?;
        }
        Ok(merged)
    }

    /// The logs of brokers that came meanwhile: all of each is new.
    pub(super) fn add_new(&self, merged: &mut Merged) -> Result<(), Failure> {
        match self.others.elsewhere(true)? {
            Some(elsewhere) => elsewhere.add_new(merged),
            None if self.others.left_out() => Ok(()),
            None => self.add_copies(merged, false),
        }
    }

    fn add_copies(&self, merged: &mut Merged, from_end: bool) -> Result<(), Failure> {
        folders::copies(&self.state)?.iter().try_for_each(|copy| merged.add(&copy.join(audit::FILE), from_end))
    }

    /// Prints all that is there now and asked for.
    pub(super) fn print(&self, merged: &mut Merged, printer: &mut Printer) -> Result<Reader, Failure> {
        while let Some(record) = merged.next()? {
            if self.choice.wants(&record) && printer.print(record)? == Reader::Gone {
                return Ok(Reader::Gone);
            }
        }
        printer.flush()
    }
}
