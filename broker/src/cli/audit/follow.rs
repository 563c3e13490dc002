//! `broker audit follow`.

use std::path::PathBuf;
use std::time::Duration;

use super::choice::Choice;
use super::folders;
use super::merged::Merged;
use super::others::Others;
use super::shown::{Format, Reader};
use crate::audit;
use crate::exit::Failure;
use crate::state;

/// How often this broker's log is looked at.
const LOOK: Duration = Duration::from_millis(300);
/// How long the running broker rests between two looks at the others'.
const OTHERS: Duration = Duration::from_secs(2);

#[derive(clap::Args)]
pub(in crate::cli) struct Follow {
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

impl Follow {
    pub(super) fn run(self) -> Result<(), Failure> {
        let Self { choice, state, others, format } = self;
        let mut merged = Merged::default();
        let from_end = !choice.has_beginning();
        merged.add(&state.join(audit::FILE), from_end)?;
        let local = others.left_out();
        if !local {
            others.bring_up(&state)?;
            for copy in folders::copies(&state)? {
                merged.add(&copy.join(audit::FILE), from_end)?;
            }
            bring_up_again_and_again(others);
        }
        let mut printer = format.printer();
        loop {
            while let Some(record) = merged.next()? {
                if choice.wants(&record) && printer.print(record)? == Reader::Gone {
                    return Ok(());
                }
            }
            if printer.flush()? == Reader::Gone {
                return Ok(());
            }
            std::thread::sleep(LOOK);
            // A broker that came meanwhile: all of it is new.
            for copy in if local { Vec::new() } else { folders::copies(&state)? } {
                merged.add(&copy.join(audit::FILE), false)?;
            }
        }
    }
}

/// Beside what is printed: one that is down keeps no record of the others waiting. It ends with the program.
fn bring_up_again_and_again(others: Others) {
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(OTHERS);
            others.refresh();
        }
    });
}
