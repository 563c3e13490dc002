//! `broker audit list`.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader, BufWriter, ErrorKind, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::Value;

use crate::audit;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::state;

/// What every record is listed with as JSON, whether it applies or not.
const ALWAYS: [&str; 6] = ["time", "event", "outcome", "node", "invite", "broker"];

#[derive(clap::Args)]
pub(in crate::cli) struct List {
    /// Only records from this time on: '2h' ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<u64>,
    /// Only records before this time: '10m' ago, or 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<u64>,
    /// Only these events: 'node.joined', or 'token' for all that begin with 'token.'; may be repeated
    #[arg(long = "event", value_name = "EVENT")]
    events: Vec<String>,
    /// Only records about this node: its id, or its hostname
    #[arg(long, value_name = "NODE")]
    node: Option<String>,
    /// Only records about this invite: its id, or how it begins
    #[arg(long, value_name = "INVITE")]
    invite: Option<String>,
    /// Only records that ended so
    #[arg(long, value_name = "OUTCOME", value_parser = ["ok", "refused", "failed", "alarm"])]
    outcome: Option<String>,
    /// Only records of this broker: its id, or how it begins
    #[arg(long, value_name = "BROKER")]
    broker: Option<String>,
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// Print one JSON object a line, also on a terminal
    #[arg(long, conflicts_with = "table")]
    json: bool,
    /// Print readable lines, also where the output is no terminal
    #[arg(long)]
    table: bool,
}

/// A time, in seconds since 1970: so long ago, or as RFC 3339 says it.
fn time(text: &str) -> Result<u64, String> {
    if let Ok(ago) = humantime::parse_duration(text) {
        return Ok(clock::now().saturating_sub(ago.as_secs()));
    }
    clock::read(text).ok_or_else(|| "it is no time: '2h' is so long ago, '2026-01-31T12:00:00Z' is then".to_owned())
}

impl List {
    pub(super) fn run(self) -> Result<(), Failure> {
        let path = self.state.join(audit::FILE);
        let failed = |error: std::io::Error| Failure::new(Code::Io, format!("{}: {error}", path.display()));
        let file =
            File::open(&path).map_err(|error| Failure::new(Code::NoInput, format!("{}: {error}", path.display())))?;
        let json = self.json || !(self.table || std::io::stdout().is_terminal());
        let mut out = BufWriter::new(std::io::stdout().lock());
        for (number, line) in BufReader::new(file).split(b'\n').enumerate() {
            let line = line.map_err(failed)?;
            let Ok(mut record) = serde_json::from_slice::<Value>(&line) else {
                tracing::warn!("line {} of {} does not read: see 'broker audit verify'", number + 1, path.display());
                continue;
            };
            if !self.wants(&record) {
                continue;
            }
            let shown = if json { whole(&mut record) } else { told(&record) };
            match writeln!(out, "{shown}") {
                Ok(()) => {}
                // A reader that went away is no failure.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(()),
                Err(error) => return Err(Failure::new(Code::Io, format!("standard output: {error}"))),
            }
        }
        match out.flush() {
            Err(error) if error.kind() != ErrorKind::BrokenPipe => {
                Err(Failure::new(Code::Io, format!("standard output: {error}")))
            }
            Ok(()) | Err(_) => Ok(()),
        }
    }

    fn wants(&self, record: &Value) -> bool {
        let text = |field: &str| record.get(field).and_then(Value::as_str).unwrap_or_default();
        let at = clock::read(text("time")).unwrap_or(0);
        let is = |event: &String| {
            text("event") == event || text("event").strip_prefix(event).is_some_and(|rest| rest.starts_with('.'))
        };
        let begins = |field: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| text(field).starts_with(wanted.as_str()))
        };
        self.since.is_none_or(|since| at >= since)
            && self.until.is_none_or(|until| at < until)
            && (self.events.is_empty() || self.events.iter().any(is))
            && self.node.as_ref().is_none_or(|node| text("node") == node || text("hostname") == node)
            && self.outcome.as_ref().is_none_or(|outcome| text("outcome") == outcome)
            && begins("invite", &self.invite)
            && begins("broker", &self.broker)
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
