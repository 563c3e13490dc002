//! `--on-failure`: what an operator wants done when this machine will not join, such as telling a scaling group so.
//!
//! Keeps promise 7 and the invite: the command is given neither, by argument or environment.
//! Must not run on a machine whose Docker is in a swarm, must not run for ever, and changes no exit code.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::arguments::JoinOptions;
use crate::clock::Deadline;
use crate::docker::{Docker, LocalState};
use crate::exit::Error;
use crate::narrate;

/// How long it may take.
const LIMIT: Duration = Duration::from_mins(2);
/// How often to look whether it has ended.
const POLL: Duration = Duration::from_millis(50);
/// Docker answers at once, or not now.
const DOCKER_TIMEOUT: Duration = Duration::from_secs(3);
/// Whoever has it may join in this machine's place.
const INVITE_VARIABLES: &str = "JOINER_INVITE";

/// Whether the command is to be run: there is one, the run ended for good, and this machine is in no swarm.
pub(crate) async fn is_wanted(options: &JoinOptions, error: &Error) -> bool {
    if options.on_failure.is_none() || !error.is_final() {
        return false;
    }
    // Docker without an answer is in no swarm that anybody needs.
    let docker = Docker::at(&options.docker).info(Deadline::after(DOCKER_TIMEOUT)).await;
    let in_a_swarm = docker.is_ok_and(|info| info.swarm.state != LocalState::Inactive);
    if in_a_swarm {
        narrate::step("on-failure: not run: Docker on this machine is in a swarm");
    }
    !in_a_swarm
}

/// Runs the command, and tells what became of it.
pub(crate) fn run(options: &JoinOptions, error: &Error) {
    let Some(command) = &options.on_failure else { return };
    narrate::step("on-failure: running the command");
    match run_for(LIMIT, command, error) {
        Ok(Some(status)) if status.success() => narrate::step("on-failure: done"),
        Ok(Some(status)) => narrate::warn(&format!("on-failure: the command failed: {}", in_words(status))),
        Ok(None) => narrate::warn(&format!("on-failure: the command was ended after {} s", LIMIT.as_secs())),
        Err(error) => narrate::warn(&format!("on-failure: the command could not be run: {error}")),
    }
}

/// Runs it to its end; `None`: it was killed at the limit, with all that it started in its process group.
fn run_for(limit: Duration, command: &OsStr, error: &Error) -> io::Result<Option<ExitStatus>> {
    let mut child = start(command, error)?;
    let deadline = Instant::now() + limit;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                kill_process_group(group, Signal::KILL)?;
            }
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

fn start(command: &OsStr, error: &Error) -> io::Result<Child> {
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(command).process_group(0).stdin(Stdio::null());
    // What it prints is no answer of ours.
    shell.stdout(io::stderr().as_fd().try_clone_to_owned()?);
    for (name, _) in std::env::vars_os() {
        if name.as_encoded_bytes().starts_with(INVITE_VARIABLES.as_bytes()) {
            shell.env_remove(name);
        }
    }
    shell.env_remove("JOINER_ON_FAILURE");
    shell.env("JOINER_EXIT_CODE", error.code().to_string()).env("JOINER_REASON", error.to_string());
    shell.spawn()
}

fn in_words(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => "for no reason that it gave".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_hangs_is_killed_with_what_it_started() {
        let place = tempfile::tempdir().expect("a place");
        let file = place.path().join("pid");
        let command = format!("sleep 600 & echo $! > {}; wait", file.display());
        let ended = run_for(Duration::from_millis(500), command.as_ref(), &Error::SwarmLocked).expect("runs");
        assert_eq!(ended, None);
        let pid = std::fs::read_to_string(file).expect("was written");
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let status = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            if status.is_empty() || status.contains(") Z ") {
                return;
            }
            assert!(Instant::now() < deadline, "it still runs: {status}");
            std::thread::sleep(POLL);
        }
    }

    #[test]
    fn its_end_is_told_in_words() {
        let end = |command: &str| run_for(LIMIT, command.as_ref(), &Error::SwarmLocked).expect("runs").expect("ends");
        assert_eq!(in_words(end("exit 3")), "exit code 3");
        assert_eq!(in_words(end("kill -9 $$")), "signal 9");
        assert!(end("test \"$JOINER_EXIT_CODE\" = 78 && test -n \"$JOINER_REASON\"").success());
    }
}
