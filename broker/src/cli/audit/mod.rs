//! `broker audit`.

mod asked;
mod choice;
mod cluster;
mod elsewhere;
mod export;
mod folders;
mod follow;
mod list;
mod logs;
mod merged;
mod others;
mod prove;
mod report;
mod shown;
mod tiles;
mod verify;

use crate::exit::Failure;

/// Read the audit log, and check that nobody has changed it
#[derive(clap::Subcommand)]
pub(super) enum Audit {
    /// List the brokers' records: readable lines on a terminal, one JSON object a line elsewhere
    List(list::List),
    /// Print records as they are written, until it is ended (Ctrl-C)
    Follow(follow::Follow),
    /// Check logs, without a broker: that each record is the one that was signed
    Verify(verify::Verify),
    /// Write a page for whoever reviews the cluster, without a broker: who joined and on whose invitation, what was
    /// refused and replaced, and whether the logs are those that were signed
    Report(report::Report),
    /// Write records for other programs, without a broker: each with its proof
    Export(export::Export),
    /// Prove one record to whoever has the log's public key and not the log, or check such a proof
    Prove(prove::Prove),
}

impl Audit {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::List(list) => list.run(),
            Self::Follow(follow) => follow.run(),
            Self::Verify(verify) => verify.run(),
            Self::Report(report) => report.run(),
            Self::Export(export) => export.run(),
            Self::Prove(prove) => prove.run(),
        }
    }
}
