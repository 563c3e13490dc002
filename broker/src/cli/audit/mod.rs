//! `broker audit`.

mod list;
mod verify;

use crate::exit::Failure;

/// Read the audit log, and check that nobody has changed it
#[derive(clap::Subcommand)]
pub(super) enum Audit {
    /// List this broker's records: readable lines on a terminal, one JSON object a line elsewhere
    List(list::List),
    /// Check logs, without a broker: that each record is the one that was signed
    Verify(verify::Verify),
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Verify(verify) => verify.run(),
        }
    }
}
