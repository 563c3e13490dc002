//! `broker audit export --format tiles`.

use std::path::{Path, PathBuf};

use crate::audit::tiles::{self, Written};
use crate::audit::{self, Files, PublicLogKey};
use crate::exit::{Code, Failure};

/// Writes what is new of each of these logs to a folder of its own. One that is wrong hides no other.
pub(super) fn write(folders: &[PathBuf], keys: &[PublicLogKey], to: &Path) -> Result<(), Failure> {
    let (mut lines, mut failures) = (Vec::new(), Vec::new());
    for folder in folders {
        match one(folder, keys, to) {
            Ok(line) => lines.push(line),
            Err(failure) => failures.push(failure),
        }
    }
    if !lines.is_empty() {
        super::super::print(&lines.join("\n"))?;
    }
    let words: Vec<String> = failures.iter().map(ToString::to_string).collect();
    match failures.first() {
        None => Ok(()),
        Some(first) => Err(Failure::new(first.code, words.join("\n"))),
    }
}

/// Gives what is said of it.
fn one(folder: &Path, keys: &[PublicLogKey], to: &Path) -> Result<String, Failure> {
    let files = Files::of(&folder.join(audit::FILE));
    let checked = audit::check(&files, keys)?;
    if let Some(wrong) = checked.wrong.as_ref().map(ToString::to_string).or_else(|| audit::proof_of_fork(folder)) {
        return Err(Failure::new(Code::Data, format!("{}: not what was signed: {wrong}", folder.display())));
    }
    let broker = checked.broker.as_deref().filter(|name| name.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    let broker = broker
        .ok_or_else(|| Failure::new(Code::Data, format!("{}: its broker's id names no folder", folder.display())))?;
    let to = to.join(broker);
    let Written { records, new } = tiles::write(&files, &checked, &to)?;
    let (to, here) = (to.display(), checked.signed);
    Ok(if records > here {
        format!("{to}: {records} records: it has more already than {}, which has {here} of them", folder.display())
    } else {
        format!("{to}: {records} records, {new} of them new")
    })
}
