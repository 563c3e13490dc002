//! A program that runs on a host until it ends or is ended.
//! Promise: what it prints can be read while it runs, and it does not outlive its [`Process`].
//! Must not: signal anything but the one process it started.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::error::{Error, Result, Trying};
use crate::until::until;
use crate::usage::{Usage, all_stopped};

/// A running program; killed when dropped.
#[derive(Debug)]
pub struct Process {
    label: String,
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    end: Option<ExitStatus>,
    usage: Usage,
}

impl Process {
    /// Starts it, with its output in two new files of the folder.
    pub(crate) fn start(label: &str, mut command: Command, logs: &Path) -> Result<Self> {
        let (stdout, out) = new_log(logs, label, "out")?;
        let (stderr, err) = new_log(logs, label, "err")?;
        // Its own process group: a Ctrl-C is for the test run, which then takes the lab down.
        let child = command
            .stdin(Stdio::null())
            .stdout(out)
            .stderr(err)
            .process_group(0)
            .spawn()
            .trying(|| format!("starting {label}"))?;
        let label = label.to_owned();
        Ok(Self { label, child, stdout, stderr, end: None, usage: Usage::default() })
    }

    /// The program's process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has written to standard output so far.
    #[must_use]
    pub fn stdout(&self) -> String {
        text(&self.stdout)
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn stderr(&self) -> String {
        text(&self.stderr)
    }

    /// How it ended, or none while it runs.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        self.look();
        if self.end.is_none() {
            self.end = self.child.try_wait().trying(|| format!("asking how {} is", self.label))?;
        }
        Ok(self.end)
    }

    /// Waits for its end.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.ended()? {
                return Ok(status);
            }
            if start.elapsed() >= within {
                return Err(Error::Late { what: format!("{} to end", self.label), after: within });
            }
            sleep(Duration::from_millis(5));
        }
    }

    /// Kills it (SIGKILL) and waits until it is gone.
    pub fn kill(&mut self) -> Result<()> {
        self.look();
        self.child.kill().trying(|| format!("killing {}", self.label))?;
        let end = self.child.wait().trying(|| format!("waiting for {}", self.label))?;
        self.end = Some(end);
        Ok(())
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Interrupts it (SIGINT).
    pub fn interrupt(&mut self) -> Result<()> {
        self.signal(Signal::INT)
    }

    /// Stops it where it is (SIGSTOP) until [`resume`](Self::resume). When this is back, none of its
    /// threads runs any more: the signal alone gives a thread on another processor time to answer.
    pub fn pause(&mut self) -> Result<()> {
        self.signal(Signal::STOP)?;
        let what = format!("{} to stop", self.label);
        until(Duration::from_secs(10), &what, || all_stopped(self.child.id()).then_some(()))
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&mut self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// The processor time it has used, in user and kernel; after its end, as last seen.
    pub fn cpu_time(&mut self) -> Duration {
        self.look();
        self.usage.cpu
    }

    /// The most memory it was seen to hold, in bytes. The kernel forgets this at a process's end,
    /// so what it took after the last look is not counted.
    pub fn peak_memory(&mut self) -> u64 {
        self.look();
        self.usage.peak
    }

    /// Reads what it has used, while its id is still its own: until its end was waited for.
    fn look(&mut self) {
        if self.end.is_none() {
            self.usage.look(self.child.id());
        }
    }

    fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended()? {
            let what = format!("signalling {}, which ended ({status})", self.label);
            return Err(Error::Io { what, source: io::ErrorKind::NotFound.into() });
        }
        // Its end was not waited for, as was just seen: its id is still its own.
        kill_process(Pid::from_child(&self.child), signal).trying(|| format!("signalling {}", self.label))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both refuse only if it has ended and been waited for.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The first free of `label.out`, `label-2.out`, … .
fn new_log(folder: &Path, label: &str, kind: &str) -> Result<(PathBuf, File)> {
    let mut path = folder.join(format!("{label}.{kind}"));
    let mut count = 1;
    loop {
        match File::create_new(&path) {
            Err(refusal) if refusal.kind() == io::ErrorKind::AlreadyExists => {
                count += 1;
                path = folder.join(format!("{label}-{count}.{kind}"));
            }
            other => {
                return other.trying(|| format!("making {}", path.display())).map(|file| (path, file));
            }
        }
    }
}

fn text(log: &Path) -> String {
    fs::read(log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}
