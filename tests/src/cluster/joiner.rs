//! A joiner on a host.

use std::ffi::{OsStr, OsString};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::cluster::Run;
use crate::error::Result;
use crate::host::Host;
use crate::process::Process;
use crate::programs;

/// A joiner's place on a fresh machine.
#[derive(Debug)]
pub struct Joiner<'h> {
    host: &'h Host,
    invite: String,
    advertise: String,
    environment: Vec<String>,
    program: Option<Vec<OsString>>,
}

impl<'h> Joiner<'h> {
    /// For this machine, with this invite.
    pub fn new(host: &'h Host, invite: &str) -> Self {
        let advertise = host.reached_at().to_string();
        Self { host, invite: invite.to_owned(), advertise, environment: Vec::new(), program: None }
    }

    /// With this advertise address; empty for none.
    #[must_use]
    pub fn advertising(mut self, address: &str) -> Self {
        address.clone_into(&mut self.advertise);
        self
    }

    /// With one more variable in its environment.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// With this program in place of the built one; an emulator's words, say, may stand before it.
    #[must_use]
    pub fn by(mut self, words: &[impl AsRef<OsStr>]) -> Self {
        self.program = Some(words.iter().map(|word| word.as_ref().to_owned()).collect());
        self
    }

    fn program(&self) -> Result<Vec<OsString>> {
        self.program.clone().map_or_else(|| Ok(vec![programs::joiner()?.into()]), Ok)
    }

    /// Its state folder.
    #[must_use]
    pub fn state(&self) -> PathBuf {
        self.host.folder().join("joiner")
    }

    /// A joiner command on the host.
    #[must_use]
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.host.command("env");
        command
            .arg(format!("JOINER_STATE={}", self.state().display()))
            .arg(format!("JOINER_DOCKER={}", self.host.socket().display()))
            .arg(format!("JOINER_ADVERTISE_ADDR={}", self.advertise))
            .args(&self.environment)
            .args(self.program().unwrap_or_else(|_| vec!["joiner".into()]))
            .args(arguments);
        command
    }

    /// Starts `joiner join`; the invite is in a file, as cloud-init leaves it.
    pub fn start(&self) -> Result<Process> {
        self.program()?;
        let file = self.host.folder().join("invite");
        write_private(&file, &self.invite)?;
        let file = file.display().to_string();
        self.host.spawn("joiner", self.command(&["join", "--invite-file", &file]))
    }

    /// Runs `joiner join` to its end.
    pub fn join(&self) -> Result<Run> {
        finish(self.start()?)
    }

    /// Runs it to its end, which must be success.
    pub fn joins(&self) -> Result<Run> {
        let ended = self.join()?;
        assert_eq!(ended.code, 0, "joiner on {}: {}{}", self.host.name(), ended.stdout, ended.stderr);
        Ok(ended)
    }
}

/// Joins by all these joiners at once, and gives how each ended.
pub fn join_at_once(joiners: &[Joiner<'_>]) -> Result<Vec<Run>> {
    thread::scope(|scope| {
        let joins: Vec<_> = joiners.iter().map(|joiner| scope.spawn(|| joiner.join())).collect();
        joins.into_iter().map(|join| join.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// Waits for a joiner's end.
pub fn finish(mut process: Process) -> Result<Run> {
    let status = process.wait(Duration::from_mins(2))?;
    Ok(Run { code: status.code().unwrap_or(-1), stdout: process.stdout(), stderr: process.stderr() })
}

/// Writes a file that only its owner can read.
pub fn write_private(path: &PathBuf, text: &str) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    use crate::error::Trying as _;
    let written = std::fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.trying(|| format!("writing {}", path.display()))
}
