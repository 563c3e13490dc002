//! Inside a machine that runs: commands and files.
//! Promise: a command sees what the machine's own programs see, and can do no more than they can.
//! Must not: wait for ever.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::cluster::{Run, run};
use crate::error::Result;
use crate::whole::{SHARED, WholeMachine};

/// After this, a command is taken for one that never ends.
const SECONDS: &str = "180";

impl WholeMachine<'_> {
    /// Runs a command in it as root, to its end.
    pub fn run(&self, words: &[&str]) -> Result<Run> {
        run(self.command(words)?)
    }

    /// Runs a command in it that must succeed, and gives its standard output without the last line's end.
    pub fn ok(&self, words: &[&str]) -> Result<String> {
        crate::run::run(&mut self.command(words)?)
    }

    /// Whether a file is there now, in the machine's own view.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.inside(path).is_some_and(|path| path.exists())
    }

    /// A file's text.
    #[must_use]
    pub fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.inside(path)?).ok()
    }

    fn command(&self, words: &[&str]) -> Result<Command> {
        let init = self.init().ok_or_else(|| self.off())?;
        let mut command = Command::new("timeout");
        // Root here could set the clock; root in the machine cannot, and neither can what is run in it.
        command.args(["--signal=KILL", SECONDS, "setpriv", SHARED]);
        command.args(["nsenter", "--all", "--target", &init.to_string(), "--"]);
        command.args(["env", "-i", "HOME=/root", "LANG=C.UTF-8"]);
        command.arg("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin").args(words);
        Ok(command)
    }

    fn inside(&self, path: &str) -> Option<PathBuf> {
        Some(Path::new("/proc").join(self.init()?.to_string()).join("root").join(path.trim_start_matches('/')))
    }

    /// The machine's init, by its process id here: nspawn's child that is number 1 where it lives.
    fn init(&self) -> Option<u32> {
        let nspawn = self.power.as_ref()?.pid();
        let children = fs::read_to_string(format!("/proc/{nspawn}/task/{nspawn}/children")).ok()?;
        children.split_whitespace().filter_map(|child| child.parse().ok()).find(|child| is_init(*child))
    }
}

/// proc(5): `NSpid` lists a process's ids, from the outermost namespace to its own.
fn is_init(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let ids = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    ids.split_whitespace().nth(1) == Some("1")
}
