//! What programs printed on the hosts of a failed test.
//! Promise: the last words of each program stand in the test's failure; all of them are kept only if
//! `LAB_OUTPUT` names a folder for them.
//! Must not: say where a file is that will be gone.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use crate::engine::last_lines;

/// How many lines of a program's output a failure shows, and of an engine's, which talks a lot.
const LINES: usize = 60;
const ENGINE_LINES: usize = 10;

/// The last lines of all files in all hosts' folders, and where all lines are, if they are kept.
pub(crate) fn tell(folder: &Path) -> String {
    // Writing to a string does not fail.
    let mut story = String::new();
    for host in sorted(folder) {
        for file in sorted(&host) {
            let printed = fs::read(&file).unwrap_or_default();
            let printed = String::from_utf8_lossy(&printed);
            let count = if name(&file).starts_with("dockerd") { ENGINE_LINES } else { LINES };
            let tail = last_lines(&printed, count);
            if !tail.is_empty() {
                let _ = write!(story, "--- {}: {}\n{tail}\n", name(&host), name(&file));
            }
        }
    }
    if let Some(keep) = env::var_os("LAB_OUTPUT") {
        let kept = Path::new(&keep).join(name(folder));
        let _ = match copy(folder, &kept) {
            Ok(()) => writeln!(story, "--- all lines are in {}", kept.display()),
            Err(refusal) => writeln!(story, "--- {} cannot be written: {refusal}", kept.display()),
        };
    }
    story
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    for host in sorted(from) {
        let folder = to.join(name(&host));
        fs::create_dir_all(&folder)?;
        for file in sorted(&host) {
            fs::copy(&file, folder.join(name(&file)))?;
        }
    }
    Ok(())
}

fn sorted(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
