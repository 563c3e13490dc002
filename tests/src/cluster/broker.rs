//! A broker on a host.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::error::{Error, Result, Trying};
use crate::host::Host;
use crate::process::Process;
use crate::programs;
use crate::until::{LONG, until};

/// How a command ended.
#[derive(Debug, Clone)]
pub struct Run {
    /// The exit code; -1 for a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// Runs a command to its end.
pub fn run(mut command: Command) -> Result<Run> {
    let output = command.output().trying(|| format!("running {command:?}"))?;
    Ok(Run {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    })
}

/// A broker: its state on its host, and its process while it runs.
#[derive(Debug)]
pub struct Broker<'h> {
    host: &'h Host,
    program: PathBuf,
    state: PathBuf,
    arguments: Vec<String>,
    environment: Vec<String>,
    process: Option<Process>,
}

impl<'h> Broker<'h> {
    /// `broker init` and `broker serve` on a manager, ready.
    pub fn start(host: &'h Host) -> Result<Self> {
        Self::start_with(host, &[])
    }

    /// The same with more arguments for `serve`.
    pub fn start_with(host: &'h Host, arguments: &[&str]) -> Result<Self> {
        let mut broker = Self::init(host)?;
        broker.serve_with(arguments)?;
        Ok(broker)
    }

    /// `broker init`, not started yet.
    pub fn init(host: &'h Host) -> Result<Self> {
        Self::init_in(host, host.folder().join("broker"))
    }

    /// The same with the state in this folder.
    pub fn init_in(host: &'h Host, state: PathBuf) -> Result<Self> {
        Self::init_by(host, state, programs::broker()?)
    }

    /// The same by another program than the built one.
    pub fn init_by(host: &'h Host, state: PathBuf, program: PathBuf) -> Result<Self> {
        let broker = Self::at(host, state, program);
        broker.ok(&["init", "--cluster", "lab"])?;
        Ok(broker)
    }

    /// A place for a broker on this host, without any state: for `broker up`.
    pub fn nowhere(host: &'h Host) -> Result<Self> {
        Self::nowhere_in(host, host.folder().join("broker"))
    }

    /// The same, with the state in this folder once there is one.
    pub fn nowhere_in(host: &'h Host, state: PathBuf) -> Result<Self> {
        Ok(Self::at(host, state, programs::broker()?))
    }

    fn at(host: &'h Host, state: PathBuf, program: PathBuf) -> Self {
        Self { host, program, state, arguments: vec!["serve".into()], environment: Vec::new(), process: None }
    }

    /// With one more variable in its environment.
    pub fn with(&mut self, name: &str, value: &str) {
        self.environment.push(format!("{name}={value}"));
    }

    /// Without what it was given by [`with`](Self::with), from its next start on.
    pub fn with_nothing(&mut self) {
        self.environment.clear();
    }

    /// `broker serve`, until it is ready.
    pub fn serve_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.will_serve_with(arguments);
        self.serve()
    }

    /// What it serves with from now on.
    pub(super) fn will_serve_with(&mut self, arguments: &[&str]) {
        self.arguments = [&["serve"], arguments].concat().iter().map(ToString::to_string).collect();
    }

    /// `broker up` with this host's address in the swarm, until it is ready.
    pub fn up_with(&mut self, arguments: &[&str]) -> Result<()> {
        self.arguments = self.up_words(arguments);
        self.serve()
    }

    /// `broker up` with this host's address in the swarm, started.
    pub fn spawn_up(&self, arguments: &[&str]) -> Result<Process> {
        let mut command = self.command();
        command.args(self.up_words(arguments));
        self.host.spawn("broker", command)
    }

    fn up_words(&self, arguments: &[&str]) -> Vec<String> {
        let address = self.host.reached_at().to_string();
        let words = [&["up", "--swarm-advertise-addr", &address], arguments].concat();
        words.iter().map(ToString::to_string).collect()
    }

    /// `broker serve` or `broker up` as the last time, until it is ready.
    pub fn serve(&mut self) -> Result<()> {
        let mut process = self.spawn()?;
        let mut ended = None;
        let ready = until(LONG, "the broker to be ready", || {
            ended = process.ended().ok().flatten();
            (ended.is_some() || process.stderr().contains("serving")).then_some(())
        });
        if ended.is_some() {
            return Err(Error::Unmet(format!("the broker ended: {}", process.stderr())));
        }
        ready?;
        self.process = Some(process);
        Ok(())
    }

    /// The same, started.
    pub(super) fn spawn(&self) -> Result<Process> {
        let mut command = self.command();
        command.args(&self.arguments);
        self.host.spawn("broker", command)
    }

    /// A broker command on the host, with the environment that names this broker's places.
    #[must_use]
    pub fn command(&self) -> Command {
        let mut command = self.places();
        command.arg(&self.program);
        command
    }

    /// A line for the shell, as a page has it, in the host's folder: with this broker, and this host's Docker.
    pub fn typed(&self, line: &str) -> Result<Run> {
        run(self.typed_command(line))
    }

    /// The same, not run yet.
    #[must_use]
    pub fn typed_command(&self, line: &str) -> Command {
        let mut command = self.places();
        let programs = self.program.parent().map(|folder| folder.display().to_string()).unwrap_or_default();
        command
            .arg(format!("PATH={programs}:{}", std::env::var("PATH").unwrap_or_default()))
            .arg(format!("DOCKER_HOST=unix://{}", self.host.socket().display()))
            .args(["sh", "-c", line])
            .current_dir(self.host.folder());
        command
    }

    fn places(&self) -> Command {
        let mut command = self.host.command("env");
        command
            // Not that of a broker that is installed on this machine.
            .arg("BROKER_CONFIG=/dev/null")
            .arg(format!("BROKER_STATE={}", self.state.display()))
            .arg(format!("BROKER_DOCKER={}", self.host.socket().display()))
            .arg(format!("BROKER_ADMIN={}", self.host.folder().join("admin.sock").display()))
            .arg(format!("BROKER_JOINERS={}", self.joiners().display()))
            .arg(format!("JOINER_STATE={}", self.host.folder().join("joiner").display()))
            .args(&self.environment);
        command
    }

    /// Runs a broker command to its end.
    pub fn run(&self, arguments: &[&str]) -> Result<Run> {
        let mut command = self.command();
        command.args(arguments);
        run(command)
    }

    /// Runs a broker command that must succeed, and gives its standard output.
    pub fn ok(&self, arguments: &[&str]) -> Result<String> {
        let ended = self.run(arguments)?;
        if ended.code == 0 {
            return Ok(ended.stdout);
        }
        let command = format!("broker {}", arguments.join(" "));
        Err(Error::Refused { command, status: ended.code.to_string(), stderr: ended.stderr })
    }

    /// The same for a command that prints JSON.
    pub fn json(&self, arguments: &[&str]) -> Result<Value> {
        let text = self.ok(arguments)?;
        serde_json::from_str(&text)
            .map_err(|_| Error::Unreadable { what: format!("broker {}", arguments.join(" ")), answer: text })
    }

    /// A new invite line.
    pub fn invite(&self, arguments: &[&str]) -> Result<String> {
        let line = self.ok(&[&["invite", "create"], arguments].concat())?;
        Ok(line.trim().to_owned())
    }

    /// Every record of the audit log. One that the broker is writing just now is not there yet.
    pub fn records(&self) -> Result<Vec<Value>> {
        let text = std::fs::read_to_string(self.log()).trying(|| "reading the audit log".to_owned())?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| {
                serde_json::from_str(line)
                    .map_err(|_| Error::Unreadable { what: "the log".into(), answer: line.into() })
            })
            .collect()
    }

    /// How many records have this event, and this reason if one is given.
    pub fn count(&self, event: &str, reason: Option<&str>) -> Result<usize> {
        let records = self.records()?;
        let counted = records.iter().filter(|record| record["event"] == event);
        Ok(counted.filter(|record| reason.is_none_or(|reason| record["reason"] == reason)).count())
    }

    /// The audit log's file.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.state.join("audit.jsonl")
    }

    /// The state directory.
    #[must_use]
    pub fn state(&self) -> &PathBuf {
        &self.state
    }

    /// The folder that an installed package would bring joiners in. It is not there until a test makes it.
    #[must_use]
    pub fn joiners(&self) -> PathBuf {
        self.host.folder().join("joiners")
    }

    /// Puts the static joiner where an installed package would bring it.
    pub fn bring_joiner(&self) -> Result<()> {
        let (from, folder) = (programs::static_joiner()?, self.joiners());
        std::fs::create_dir_all(&folder)
            .and_then(|()| std::fs::copy(&from, folder.join("joiner")))
            .trying(|| format!("copying {}", from.display()))
            .map(drop)
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(self.host.reached_at(), 7443)
    }

    /// The host it runs on.
    #[must_use]
    pub fn host(&self) -> &'h Host {
        self.host
    }

    /// The running process.
    pub fn process(&mut self) -> Result<&mut Process> {
        self.process.as_mut().ok_or_else(|| Error::Unmet("the broker was not started".to_owned()))
    }

    /// `kill -9`.
    pub fn kill(&mut self) -> Result<()> {
        self.process()?.kill()
    }

    /// SIGTERM, and waits for its end.
    pub fn stop(&mut self) -> Result<Run> {
        let process = self.process()?;
        process.terminate()?;
        let status = process.wait(Duration::from_secs(20))?;
        Ok(Run { code: status.code().unwrap_or(-1), stdout: process.stdout(), stderr: process.stderr() })
    }
}
