//! `broker audit prove`.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::logs::Logs;
use crate::audit::leaf;
use crate::exit::{Code, Failure};
use crate::review::{Log, Proof, visible};

#[derive(clap::Args)]
pub(in crate::cli) struct Prove {
    /// The record's number
    #[arg(value_name = "NUMBER", required_unless_present = "check")]
    number: Option<u64>,
    /// The broker whose log it is: its id, or how it begins. Needed where there is more than one log
    #[arg(long, value_name = "BROKER")]
    broker: Option<String>,
    /// Check this proof, with the public keys of --key and nothing else
    #[arg(long, value_name = "FILE", requires = "keys", conflicts_with_all = ["number", "broker"])]
    check: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    logs: Logs,
}

impl Prove {
    pub(super) fn run(self) -> Result<(), Failure> {
        match (&self.check, self.number) {
            (Some(file), _) => self.check(file),
            (None, Some(number)) => self.prove(number),
            (None, None) => Err(Failure::new(Code::Usage, "name a record by its number")),
        }
    }

    fn prove(&self, number: u64) -> Result<(), Failure> {
        let logs = self.logs.read()?;
        let wanted = chosen(&logs, self.broker.as_deref())?;
        let proof = wanted.iter().find_map(|log| {
            let entry = log.entries.iter().find(|entry| entry.number == number && log.has_signed(entry))?;
            Proof::of(log, entry)
        });
        let Some(proof) = proof else {
            let signed = wanted.iter().filter_map(|log| log.signed.as_ref()).map(|signed| signed.head.size).max();
            return Err(match signed {
                Some(size) if number >= size => Failure::new(
                    Code::Usage,
                    format!("there is no record {number}: {size} records are signed, from 0 on"),
                ),
                _ => Failure::new(
                    Code::Data,
                    format!("record {number} is not the one that was signed: see 'broker audit verify'"),
                ),
            });
        };
        if !self.json {
            return super::super::print(&proof.text());
        }
        let path: Vec<String> = proof.path.iter().map(ToString::to_string).collect();
        super::super::print_json(&json!({
            "number": number,
            "record": proof.record,
            "hash": leaf(proof.record.as_bytes()).to_string(),
            "path": path,
            "head": proof.note,
        }))
    }

    fn check(&self, file: &Path) -> Result<(), Failure> {
        let text = std::fs::read_to_string(file)
            .map_err(|error| Failure::new(Code::NoInput, format!("{}: {error}", file.display())))?;
        let bad = |error| Failure::new(Code::Data, format!("{}: {error}", file.display()));
        let proof = Proof::read(&text).map_err(bad)?;
        let proved = proof.check(&self.logs.keys()?).map_err(bad)?;
        if self.json {
            let record: Value = serde_json::from_str(&proof.record).unwrap_or(Value::Null);
            let (broker, size) = (proved.broker, proved.head.size);
            return super::super::print_json(
                &json!({ "ok": true, "broker": broker, "number": proof.number, "signed": size, "record": record }),
            );
        }
        super::super::print(&format!(
            "record {} of the log of broker {} is as it was signed, with {} records\n{}",
            proof.number,
            proved.broker,
            proved.head.size,
            visible(&proof.record)
        ))
    }
}

/// The log that is meant, or its copies.
fn chosen<'l>(logs: &'l [Log], broker: Option<&str>) -> Result<Vec<&'l Log>, Failure> {
    let wanted: Vec<&Log> =
        logs.iter().filter(|log| broker.is_none_or(|broker| log.name().starts_with(broker))).collect();
    let mut names: Vec<String> = wanted.iter().map(|log| log.name()).collect();
    names.sort();
    names.dedup();
    match names.as_slice() {
        [_] => Ok(wanted),
        [] => Err(Failure::new(Code::Usage, format!("there is no log of broker {} here", broker.unwrap_or_default()))),
        several => Err(Failure::new(
            Code::Usage,
            format!("there are several logs, name one with --broker: {}", several.join(", ")),
        )),
    }
}
