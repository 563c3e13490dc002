//! How a record is shown.

use std::fmt::Write as _;
use std::io::{self, BufWriter, ErrorKind, IsTerminal as _, StdoutLock, Write as _};

use serde_json::Value;

use crate::exit::{Code, Failure};

/// What every record is listed with as JSON, whether it applies or not.
const ALWAYS: [&str; 6] = ["time", "event", "outcome", "node", "invite", "broker"];

/// How
#[derive(clap::Args)]
pub(in crate::cli) struct Format {
    /// Print one JSON object a line, also on a terminal
    #[arg(long, conflicts_with = "table")]
    json: bool,
    /// Print readable lines, also where the output is no terminal
    #[arg(long)]
    table: bool,
}

/// Where records are printed.
pub(super) struct Printer {
    json: bool,
    out: BufWriter<StdoutLock<'static>>,
}

/// Whether somebody still reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    Here,
    Gone,
}

impl Format {
    pub(super) fn printer(&self) -> Printer {
        let json = self.json || !(self.table || io::stdout().is_terminal());
        Printer { json, out: BufWriter::new(io::stdout().lock()) }
    }
}

impl Printer {
    pub(super) fn print(&mut self, mut record: Value) -> Result<Reader, Failure> {
        let shown = if self.json { whole(&mut record) } else { told(&record) };
        written(writeln!(self.out, "{shown}"))
    }

    pub(super) fn flush(&mut self) -> Result<Reader, Failure> {
        written(self.out.flush())
    }
}

/// A reader that went away is no failure.
fn written(result: io::Result<()>) -> Result<Reader, Failure> {
    match result {
        Ok(()) => Ok(Reader::Here),
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(Reader::Gone),
        Err(error) => Err(Failure::new(Code::Io, format!("standard output: {error}"))),
    }
}

/// A record as JSON, with what every line has.
fn whole(record: &mut Value) -> String {
    if let Some(fields) = record.as_object_mut() {
        for field in ALWAYS {
            fields.entry(field).or_insert(Value::Null);
        }
    }
    record.to_string()
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
            // What came from outside is in quotes where it holds anything that a terminal would act on.
            let shown = text(field);
            let acts = shown.chars().any(char::is_control);
            let _ = if acts { write!(line, "  {field}={shown:?}") } else { write!(line, "  {field}={shown}") };
        }
    }
    for field in ["invite", "key", "grant"] {
        if let Some(short) = text(field).get(..8) {
            let _ = write!(line, "  {field}={short}…");
        }
    }
    line.trim_end().to_owned()
}
