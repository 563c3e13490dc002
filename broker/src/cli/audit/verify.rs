//! `broker audit verify`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::audit::{self, AuditError, Checked, Files, PublicLogKey};
use crate::exit::{Code, Failure};
use crate::state;

#[derive(clap::Args)]
pub(in crate::cli) struct Verify {
    /// Folders with a broker's log: state directories, or copies of their audit.* files. The state directory of this
    /// machine's broker if none is named
    #[arg(value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    folders: Vec<PathBuf>,
    /// A file with public keys, one a line, as in the brokers' audit.pub: kept since before there was any doubt. Without
    /// it each log is held against the key that lies beside it, which whoever could write there could replace
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// What was found, as `--json` prints it.
#[derive(Serialize)]
struct Report {
    ok: bool,
    logs: usize,
    records: u64,
    checked: Vec<Log>,
}

/// How a look at a log ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Right,
    Wrong,
    Missing,
    Failed,
}

#[derive(Serialize)]
struct Log {
    folder: String,
    ok: bool,
    #[serde(skip)]
    look: Look,
    broker: Option<String>,
    key: Option<String>,
    key_given: bool,
    records: u64,
    signed: u64,
    /// The number of the first record that is wrong, from 0, where one can be named.
    record: Option<u64>,
    wrong: Option<String>,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failure> {
        let keys = self.keys.iter().map(|file| read_keys(file)).collect::<Result<Vec<_>, _>>()?.concat();
        let checked: Vec<Log> = self.folders.iter().map(|folder| check(folder, &keys)).collect();
        let report = Report {
            ok: checked.iter().all(|log| log.ok),
            logs: checked.len(),
            records: checked.iter().map(|log| log.records).sum(),
            checked,
        };
        if self.json {
            super::super::print_json(&report)?;
        } else {
            super::super::print(&report.checked.iter().map(told).collect::<Vec<_>>().join("\n"))?;
        }
        let count = |kind: Look| report.checked.iter().filter(|log| log.look == kind).count();
        let told = |count: usize, one: &str, more: &str| {
            if count == 1 { format!("a log {one}") } else { format!("{count} logs {more}") }
        };
        match (count(Look::Wrong), count(Look::Missing), count(Look::Failed)) {
            (0, 0, 0) => Ok(()),
            (0, missing, 0) => Err(Failure::new(Code::NoInput, told(missing, "is not there", "are not there"))),
            (0, missing, failed) => {
                Err(Failure::new(Code::Io, told(missing + failed, "cannot be read", "cannot be read")))
            }
            (wrong, ..) => {
                Err(Failure::new(Code::Data, told(wrong, "is not what was signed", "are not what was signed")))
            }
        }
    }
}

fn read_keys(file: &Path) -> Result<Vec<PublicLogKey>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Code::NoInput, format!("{}: {error}", file.display())))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Option<Vec<_>> = lines.map(PublicLogKey::read).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        let what = "it is no list of public keys: one a line, each as in a broker's audit.pub";
        Failure::new(Code::Data, format!("{}: {what}", file.display()))
    })
}

/// One log. One that cannot be read hides no other.
fn check(folder: &Path, keys: &[PublicLogKey]) -> Log {
    let files = Files::of(&folder.join(audit::FILE));
    let Checked { broker, key, trusted, records, signed, wrong } = match audit::check(&files, keys) {
        Ok(checked) => checked,
        Err(error) => return Log::unread(folder, &files, &error),
    };
    Log {
        folder: folder.display().to_string(),
        ok: wrong.is_none(),
        look: if wrong.is_none() { Look::Right } else { Look::Wrong },
        broker,
        key,
        key_given: trusted,
        records,
        signed,
        record: wrong.as_ref().and_then(|wrong| wrong.record),
        wrong: wrong.map(|wrong| wrong.to_string()),
    }
}

impl Log {
    fn unread(folder: &Path, files: &Files, error: &AuditError) -> Self {
        Self {
            folder: folder.display().to_string(),
            ok: false,
            look: if files.records.exists() { Look::Failed } else { Look::Missing },
            broker: None,
            key: None,
            key_given: false,
            records: 0,
            signed: 0,
            record: None,
            wrong: Some(error.to_string()),
        }
    }
}

/// One log in a line for people.
fn told(log: &Log) -> String {
    let Log { folder, records, .. } = log;
    let signed = match (&log.broker, log.key_given) {
        (Some(broker), true) => format!("signed by broker {broker}"),
        (Some(broker), false) => format!("signed by broker {broker}, with a key that nobody vouches for: give --key"),
        (None, _) => "signed by nobody that is known".to_owned(),
    };
    match &log.wrong {
        Some(wrong) if log.look != Look::Wrong => format!("{folder}: NOT READ: {wrong}"),
        None => format!("{folder}: {records} records, all as they were signed; {signed}"),
        Some(wrong) => format!("{folder}: WRONG: {wrong} ({records} records; {signed})"),
    }
}
