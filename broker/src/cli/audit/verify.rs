//! `broker audit verify`.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::cluster::{self, Cluster, Reconciled};
use super::folders::Folders;
use super::merged::Merged;
use super::others;
use crate::audit::tiles::{self, CheckedTiles};
use crate::audit::{self, AuditError, Checked, Files, Head, PublicLogKey};
use crate::cli::AdminSocket;
use crate::exit::{Code, Failure};

#[derive(clap::Args)]
pub(in crate::cli) struct Verify {
    #[command(flatten)]
    folders: Folders,
    /// A file with public keys, one a line, as in the brokers' audit.pub: kept since before there was any doubt. Without
    /// it each log is held against the key that lies beside it, which whoever could write there could replace
    #[arg(long = "key", value_name = "FILE")]
    keys: Vec<PathBuf>,
    /// A head that was kept, as in audit.head: its log must go on from there
    #[arg(long = "head", value_name = "FILE")]
    heads: Vec<PathBuf>,
    /// Hold the logs against the ledger and the swarm, too: asks the running broker. Names a node that no log explains, a
    /// claim without a record, and a record whose claim is gone
    #[arg(long)]
    cluster: bool,
    #[command(flatten)]
    admin: AdminSocket,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Reconciled>,
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
    #[serde(skip)]
    files: Files,
    /// What it is of, where it is no log but its tiles.
    #[serde(skip)]
    tiles: Option<CheckedTiles>,
    #[serde(skip)]
    note: Option<Vec<u8>>,
    broker: Option<String>,
    key: Option<String>,
    key_given: bool,
    /// The brokers that have seen its head, and that it continued what they knew.
    cosigned_by: Vec<String>,
    records: u64,
    signed: u64,
    /// Of tiles: how many records were moved away, and are known by their hashes.
    #[serde(skip_serializing_if = "Option::is_none")]
    elsewhere: Option<u64>,
    /// The number of the first record that is wrong, from 0, where one can be named.
    record: Option<u64>,
    wrong: Option<String>,
}

impl Verify {
    pub(super) fn run(self) -> Result<(), Failure> {
        let keys = self.keys.iter().map(|file| read_keys(file)).collect::<Result<Vec<_>, _>>()?.concat();
        let cluster = self.cluster.then(|| self.ask()).transpose()?;
        let mut checked: Vec<Log> = self.folders.all()?.iter().map(|folder| check(folder, &keys)).collect();
        for head in &self.heads {
            hold_against(&mut checked, head)?;
        }
        compare(&mut checked);
        cosigned(&mut checked, &keys);
        let cluster = cluster.map(|cluster| reconcile(&cluster, &checked)).transpose()?;
        let report = Report {
            ok: checked.iter().all(|log| log.ok) && cluster.as_ref().is_none_or(|cluster| cluster.ok),
            logs: checked.len(),
            records: checked.iter().map(|log| log.records).sum(),
            checked,
            cluster,
        };
        if self.json {
            super::super::print_json(&report)?;
        } else {
            let logs = report.checked.iter().map(told);
            let lines: Vec<String> = logs.chain(report.cluster.as_ref().map(cluster::told)).collect();
            super::super::print(&lines.join("\n"))?;
        }
        let count = |kind: Look| report.checked.iter().filter(|log| log.look == kind).count();
        let told = |count: usize, one: &str, more: &str| {
            if count == 1 { format!("a log {one}") } else { format!("{count} logs {more}") }
        };
        match (count(Look::Wrong), count(Look::Missing), count(Look::Failed)) {
            (0, 0, 0) if report.ok => Ok(()),
            (0, 0, 0) => Err(Failure::new(Code::Data, "the cluster is not what the logs say")),
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

impl Verify {
    /// What the cluster says; and then, so that they know all of it, what the logs of all brokers say.
    fn ask(&self) -> Result<Cluster, Failure> {
        let cluster = Cluster::ask(&self.admin.open())?;
        others::bring_up(&self.admin)?.iter().for_each(others::tell);
        Ok(cluster)
    }
}

/// What the logs say together, held against the cluster.
fn reconcile(cluster: &Cluster, checked: &[Log]) -> Result<Reconciled, Failure> {
    let mut merged = Merged::default();
    for log in checked.iter().filter(|log| log.files.records.exists()) {
        merged.add(&log.files.records, false)?;
    }
    cluster.reconcile(std::iter::from_fn(|| merged.next().transpose()))
}

pub(super) fn read_keys(file: &Path) -> Result<Vec<PublicLogKey>, Failure> {
    let text = std::fs::read_to_string(file)
        .map_err(|error| Failure::new(Code::NoInput, format!("{}: {error}", file.display())))?;
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let keys: Option<Vec<_>> = lines.map(PublicLogKey::read).collect();
    keys.filter(|keys| !keys.is_empty()).ok_or_else(|| {
        let what = "it is no list of public keys: one a line, each as in a broker's audit.pub";
        Failure::new(Code::Data, format!("{}: {what}", file.display()))
    })
}

/// One log, or its tiles. One that cannot be read hides no other.
fn check(folder: &Path, keys: &[PublicLogKey]) -> Log {
    let files = Files::of(&folder.join(audit::FILE));
    let checked = if tiles::are_in(folder) {
        tiles::check(folder, keys).map(|tiles| (tiles.checked.clone(), Some(tiles)))
    } else {
        audit::check(&files, keys).map(|checked| (checked, None))
    };
    let (Checked { broker, key, trusted, records, signed, note, wrong }, tiles) = match checked {
        Ok(checked) => checked,
        Err(error) => return Log::unread(folder, files, &error),
    };
    let mut log = Log {
        folder: folder.display().to_string(),
        ok: true,
        look: Look::Right,
        files,
        elsewhere: tiles.as_ref().map(|tiles| tiles.elsewhere),
        tiles,
        note,
        broker,
        key,
        key_given: trusted,
        cosigned_by: Vec::new(),
        records,
        signed,
        record: None,
        wrong: None,
    };
    if let Some(wrong) = wrong {
        log.fail(wrong.record, wrong.to_string());
    } else if let Some(what) = audit::proof_of_fork(folder) {
        log.fail(None, what);
    }
    log
}

/// That a log goes on from a head that was kept.
fn hold_against(checked: &mut [Log], file: &Path) -> Result<(), Failure> {
    let note =
        std::fs::read(file).map_err(|error| Failure::new(Code::NoInput, format!("{}: {error}", file.display())))?;
    let mut found = false;
    for log in checked.iter_mut().filter(|log| log.look != Look::Missing) {
        let Some(head) = log.public().and_then(|key| key.verify(&note).ok()) else { continue };
        found = true;
        match log.continues(head) {
            Ok(true) => {}
            Ok(false) => {
                let size = head.size;
                log.fail(None, format!("it does not go on from the {size} records of {}", file.display()));
            }
            Err(error) => log.fail(None, error.to_string()),
        }
    }
    if found {
        return Ok(());
    }
    Err(Failure::new(Code::Data, format!("{} is no head of any of these logs", file.display())))
}

/// That logs of one broker are one log: the shorter is the beginning of the longer. Of one that is wrong by itself it is
/// known already, and it says nothing of another.
fn compare(checked: &mut [Log]) {
    for second in 1..checked.len() {
        for first in 0..second {
            let (before, rest) = checked.split_at_mut(second);
            let (one, other) = (&before[first], &mut rest[0]);
            let both_right = one.look == Look::Right && other.look == Look::Right;
            if !both_right || one.broker.is_none() || one.broker != other.broker {
                continue;
            }
            let (Some(this), Some(that)) = (one.head(), other.head()) else { continue };
            let (longer, head) = if this.size > that.size { (one, that) } else { (&*other, this) };
            let same = one.key == other.key && longer.continues(head).unwrap_or(false);
            if !same {
                let record = audit::differ(&one.files, &other.files).ok().flatten();
                let at = record.map_or_else(String::new, |record| format!(": record {record} differs"));
                let what = format!("it is not the log in {}, though of the same broker{at}", one.folder);
                other.fail(record, what);
            }
        }
    }
}

/// Which brokers have cosigned a head, by the keys that are given or lie in these folders.
fn cosigned(checked: &mut [Log], given: &[PublicLogKey]) {
    let beside = checked.iter().filter_map(Log::public);
    let keys: Vec<PublicLogKey> = given.iter().cloned().chain(beside).collect();
    for log in checked {
        let Some(note) = &log.note else { continue };
        log.cosigned_by = audit::cosigned_by(note, &keys);
    }
}

impl Log {
    fn unread(folder: &Path, files: Files, error: &AuditError) -> Self {
        Self {
            folder: folder.display().to_string(),
            ok: false,
            look: if files.records.exists() || tiles::are_in(folder) { Look::Failed } else { Look::Missing },
            files,
            tiles: None,
            elsewhere: None,
            note: None,
            broker: None,
            key: None,
            key_given: false,
            cosigned_by: Vec::new(),
            records: 0,
            signed: 0,
            record: None,
            wrong: Some(error.to_string()),
        }
    }

    /// Whether it has all that this head covers, and as it says.
    fn continues(&self, head: Head) -> Result<bool, AuditError> {
        self.tiles.as_ref().map_or_else(|| audit::continues(&self.files, head), |tiles| Ok(tiles.continues(head)))
    }

    /// The first thing that is wrong stays.
    fn fail(&mut self, record: Option<u64>, what: String) {
        self.ok = false;
        if self.look == Look::Right {
            self.look = Look::Wrong;
            (self.record, self.wrong) = (record, Some(what));
        }
    }

    fn public(&self) -> Option<PublicLogKey> {
        self.key.as_deref().and_then(PublicLogKey::read)
    }

    fn head(&self) -> Option<Head> {
        self.public()?.verify(self.note.as_deref()?).ok()
    }
}

/// What is said of records whose tiles are not here.
fn away(elsewhere: Option<u64>) -> String {
    let elsewhere = elsewhere.filter(|records| *records > 0);
    elsewhere
        .map_or_else(String::new, |records| format!(" ({records} of them are kept elsewhere; their hashes are here)"))
}

/// One log in a line for people.
fn told(log: &Log) -> String {
    let Log { folder, records, .. } = log;
    let mut signed = match (&log.broker, log.key_given) {
        (Some(broker), true) => format!("signed by broker {broker}"),
        (Some(broker), false) => format!("signed by broker {broker}, with a key that nobody vouches for: give --key"),
        (None, _) => "signed by nobody that is known".to_owned(),
    };
    if !log.cosigned_by.is_empty() {
        signed.push_str("; cosigned by ");
        signed.push_str(&log.cosigned_by.join(", "));
    }
    match &log.wrong {
        Some(wrong) if log.look != Look::Wrong => format!("{folder}: NOT READ: {wrong}"),
        None => format!("{folder}: {records} records, all as they were signed{}; {signed}", away(log.elsewhere)),
        Some(wrong) => format!("{folder}: WRONG: {wrong} ({records} records; {signed})"),
    }
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
