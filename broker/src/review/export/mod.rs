//! Records for other programs: as they are, as a table, or as events of the Open Cybersecurity Schema Framework.
//!
//! Each one says which record of which log it is, its hash, and whether that is the one that was signed.

mod csv;
mod jsonl;
mod ocsf;

use super::{Log, Told};

/// What records are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// One JSON object a line: the record as it is in the log, and its proof
    Jsonl,
    /// A table of fixed columns, as spreadsheets read it
    Csv,
    /// One event of OCSF 1.1 a line, in JSON
    Ocsf,
}

/// These records, as text.
pub(crate) fn export(format: Format, logs: &[Log], records: &[Told<'_>]) -> String {
    let lines = records.iter().filter_map(|told| Some((logs.get(told.log)?, *told)));
    match format {
        Format::Jsonl => lines.map(|(log, told)| jsonl::line(log, told)).collect(),
        Format::Csv => std::iter::once(csv::head()).chain(lines.map(|(log, told)| csv::line(log, told))).collect(),
        Format::Ocsf => lines.map(|(log, told)| ocsf::line(log, told)).collect(),
    }
}
