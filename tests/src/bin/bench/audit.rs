//! Reading a log of a million records, beside `sha256sum` over the same bytes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use lab::programs;
use serde_json::Value;

use crate::figures::Figures;
use crate::{Failure, log};

const RECORDS: u64 = 1_000_000;
/// Each is measured so often; the middle one counts.
const TIMES: usize = 3;

/// A folder that is gone when this is.
struct Scratch(PathBuf);

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

pub(crate) fn measure(figures: &mut Figures) -> Result<(), Failure> {
    let broker = programs::broker()?;
    let folder = Scratch(programs::target()?.join("bench-log"));
    let folder = &folder.0;
    eprintln!("bench: making a log of {RECORDS} records");
    log::make(folder, RECORDS)?;
    let bytes = fs::metadata(folder.join("audit.jsonl"))?.len();
    let (sum, _) = middle(|| {
        let mut sum = Command::new("sha256sum");
        sum.arg(folder.join("audit.jsonl"));
        sum
    })?;
    let beside = (format!("sha256sum over its {bytes} bytes"), sum);
    let beside = (beside.0.as_str(), beside.1);

    let (verify, told) = middle(|| verify(&broker, folder))?;
    let told: Value = serde_json::from_slice(&told)?;
    if told["ok"] != true || told["records"] != RECORDS {
        return Err(format!("verify says {told}").into());
    }
    figures.add("verify_vs_sha256sum", (&format!("broker audit verify, {RECORDS} records"), verify), beside);

    let since = log::at(RECORDS - 100);
    let (list, told) = middle(|| list(&broker, folder, &since))?;
    let lines = String::from_utf8(told)?.lines().count();
    if lines != 100 {
        return Err(format!("list --since {since} shows {lines} records").into());
    }
    figures.add("list_since_vs_sha256sum", ("broker audit list --since, the last 100 of them", list), beside);
    Ok(())
}

fn verify(broker: &Path, folder: &Path) -> Command {
    let mut verify = Command::new(broker);
    verify.args(["audit", "verify", "--json", "--key"]).arg(folder.join("audit.pub")).arg(folder);
    verify
}

fn list(broker: &Path, folder: &Path, since: &str) -> Command {
    let mut list = Command::new(broker);
    list.args(["audit", "list", "--local", "--json", "--since", since, "--state"]).arg(folder);
    list
}

/// How long a command takes, as the middle of some times, and what it prints.
fn middle(command: impl Fn() -> Command) -> Result<(Duration, Vec<u8>), Failure> {
    let mut times = Vec::new();
    let mut printed = Vec::new();
    for _ in 0..TIMES {
        let begun = Instant::now();
        let output = command().stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        times.push(begun.elapsed());
        if !output.status.success() {
            return Err(format!("{:?} ended with {}", command(), output.status).into());
        }
        printed = output.stdout;
    }
    times.sort();
    Ok((times[TIMES / 2], printed))
}
