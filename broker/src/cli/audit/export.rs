//! `broker audit export`.

use std::path::{Path, PathBuf};

use super::choice::Choice;
use super::logs::Logs;
use super::report::verdict;
use super::tiles;
use crate::exit::{Code, Failure};
use crate::review::{self, Told, in_order};

#[derive(clap::Args)]
pub(in crate::cli) struct Export {
    /// What the records are written as
    #[arg(long, value_name = "FORMAT")]
    format: Format,
    /// Where they go, readable only for its owner, in place of standard output. For tiles a folder
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    choice: Choice,
    #[command(flatten)]
    logs: Logs,
}

/// What records are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// One JSON object a line: the record as it is in the log, and its proof
    Jsonl,
    /// A table of fixed columns, as spreadsheets read it
    Csv,
    /// One event of OCSF 1.1 a line, in JSON
    Ocsf,
    /// A folder of files for each log, of 256 records or hashes each (C2SP tlog-tiles). What is there is not written again
    Tiles,
}

impl Export {
    pub(super) fn run(self) -> Result<(), Failure> {
        let format = match self.format {
            Format::Jsonl => review::Format::Jsonl,
            Format::Csv => review::Format::Csv,
            Format::Ocsf => review::Format::Ocsf,
            Format::Tiles => return self.tiles(),
        };
        let logs = self.logs.read()?;
        let records: Vec<Told<'_>> =
            in_order(&logs).into_iter().filter(|told| self.choice.wants(&told.entry.fields)).collect();
        let text = review::export(format, &logs, &records);
        match self.file() {
            Some(path) => super::super::write_output(path, &text)?,
            None if text.is_empty() => {}
            None => super::super::print(&text)?,
        }
        verdict(&logs)
    }

    fn tiles(&self) -> Result<(), Failure> {
        let usage = |what: &str| Failure::new(Code::Usage, format!("--format tiles: {what}"));
        let folder = self.file().ok_or_else(|| usage("they are many files: name their folder with --output DIR"))?;
        if !self.choice.is_all() {
            return Err(usage("a tile has every record: leave out --since, --until, --event and the like"));
        }
        tiles::write(&self.logs.folders()?, &self.logs.keys()?, folder)
    }

    fn file(&self) -> Option<&Path> {
        self.output.as_deref().filter(|path| path.as_os_str() != "-")
    }
}
