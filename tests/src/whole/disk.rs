//! A machine's disk: what it wrote itself, over a root that many machines share.
//! Promise: what is asked about it is answered from the files that would be left if the machine lost its power now.
//! Must not: change the root.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::run;
use crate::error::{Error, Result, Trying};
use crate::place::Place;
use crate::whole::root::Root;

/// A machine's disk, in its host's folder.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
    root: Root,
}

impl Disk {
    pub(crate) fn new(place: &Place, root: &Root) -> Result<Self> {
        let folder = place.folder.join("disk");
        let disk = Self { folder, root: root.clone() };
        for part in [disk.folder.clone(), disk.upper(), disk.copy(), disk.folder.join("work"), disk.seed_folder()] {
            fs::create_dir(&part).trying(|| format!("making {}", part.display()))?;
        }
        Ok(disk)
    }

    /// Puts a file on it, as an image would have it. For a machine that was never on.
    pub fn put(&self, path: &str, contents: &[u8], mode: u32) -> Result<()> {
        let file = self.upper().join(path.trim_start_matches('/'));
        let folder = file.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder).trying(|| format!("making {}", folder.display()))?;
        fs::write(&file, contents)
            .and_then(|()| fs::set_permissions(&file, Permissions::from_mode(mode)))
            .trying(|| format!("writing {}", file.display()))
    }

    /// Where the machine wrote this text, or had it written: files, and the journal if one of its lines has it.
    pub fn files_with(&self, text: &str) -> Result<Vec<PathBuf>> {
        // In a file: an argument would show in the list of processes.
        let pattern = self.folder.join("pattern");
        fs::write(&pattern, text).trying(|| format!("writing {}", pattern.display()))?;
        let mut grep = Command::new("grep");
        grep.args(["--recursive", "--files-with-matches", "--fixed-strings", "--text", "--devices=skip", "--file"]);
        grep.arg(&pattern).arg(self.upper()).arg(self.copy());
        let found = run(grep)?;
        // A machine that runs removes files while they are looked at; any other trouble could hide what is looked for.
        let gone = |line: &&str| line.ends_with("No such file or directory");
        if let Some(trouble) = found.stderr.lines().find(|line| !gone(line)) {
            return Err(Error::Unreadable { what: "a machine's disk".to_owned(), answer: trouble.to_owned() });
        }
        let mut files: Vec<PathBuf> = found.stdout.lines().map(PathBuf::from).collect();
        // Long entries are compressed.
        if self.journal()?.contains(text) {
            files.push(self.journal_folder());
        }
        Ok(files)
    }

    /// Every line in the journal; none if the machine was never on.
    pub fn journal(&self) -> Result<String> {
        let mut journalctl = Command::new("journalctl");
        journalctl.arg("--directory").arg(self.journal_folder()).args(["--quiet", "--all", "--no-pager"]);
        journalctl.arg("--output=short-precise");
        run(journalctl).map(|said| said.stdout)
    }

    /// How many bytes of the machine this one runs on it takes.
    pub fn used(&self) -> Result<u64> {
        let mut du = Command::new("du");
        du.args(["--summarize", "--block-size=1"]).arg(&self.folder);
        Ok(run(du)?.stdout.split_whitespace().next().and_then(|bytes| bytes.parse().ok()).unwrap_or_default())
    }

    pub(crate) fn base(&self) -> &Path {
        self.root.path()
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Not on the disk, but what the machine is given beside it.
    pub(crate) fn seed_folder(&self) -> PathBuf {
        self.folder.join("seed")
    }

    fn upper(&self) -> PathBuf {
        self.folder.join("upper")
    }

    /// Where the machine has its root; outside of the machine it is empty, unless the root had to be copied.
    fn copy(&self) -> PathBuf {
        self.folder.join("root")
    }

    fn journal_folder(&self) -> PathBuf {
        let [copy, upper] = [self.copy(), self.upper()].map(|part| part.join("var/log/journal"));
        if copy.exists() { copy } else { upper }
    }
}
