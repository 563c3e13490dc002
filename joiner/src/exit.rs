//! How a run can end: every error there is, its words and its exit code (sysexits).
//!
//! Keeps promise 5 (fail closed): an outcome that is not known is never exit code 0 and never a refusal.
//! Must not carry a secret; foreign text in it went through [`narrate::foreign`].

use std::process::ExitCode;

use protocol::{ClusterId, InviteError, NodeId};

use crate::arguments::UsageError;
use crate::docker::DockerError;
use crate::narrate;
use crate::state::StateError;

/// Why a run did not end well. What the operator reads: what happened, to what, and what to do.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The command line is wrong.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// There is nothing to join with.
    #[error("an invite is needed: give --invite-file FILE, or - for stdin")]
    NoInvite,
    /// The invite is no invite.
    #[error(transparent)]
    Invite(#[from] InviteError),
    /// The invite's file does not read.
    #[error("the invite cannot be read from {file}: {error}")]
    InviteFile { file: String, error: String },
    /// Nothing that belongs to the invite's cluster answered.
    #[error("no broker answered in time. Last seen:{}\nIs a broker running there, and does this machine reach it? Run the same command again", listed(.last))]
    NoBroker { last: Vec<String> },
    /// Something answered, but never a broker of the invite's cluster.
    #[error("what answers at the invite's addresses does not belong to the invite's cluster {cluster}: its certificate does not end in the root that the invite pins. Last seen:{}\nIs this the right invite for these managers?", listed(.last))]
    OtherCluster { cluster: ClusterId, last: Vec<String> },
    /// A bug, or a machine that lacks something basic.
    #[error("internal error: {0}")]
    Internal(String),
    /// The broker does not understand this joiner.
    #[error(
        "the broker at {broker} does not understand this joiner ({detail}): their versions may be too far apart. Use the joiner of the broker's release"
    )]
    NotUnderstood { broker: String, detail: String },
    /// Docker cannot be spoken to.
    #[error(transparent)]
    Docker(#[from] DockerError),
    /// The files of the swarm node cannot be read.
    #[error(
        "this machine is in the swarm as node {node}, but its certificate cannot be used: {error}. It stays drained until that is mended and joiner join runs again, on the host and as root"
    )]
    NodeFiles { node: NodeId, error: String },
    /// The state folder is not as it must be.
    #[error(transparent)]
    State(#[from] StateError),
    /// Another run has the state folder.
    #[error("another joiner join is still running here. Let it finish")]
    AnotherRun,
    /// Time ran out after a broker had answered.
    #[error("ran out of time: {during}.{}\nRun the same command again: it goes on where this one stopped", listed(.last))]
    OutOfTime { during: String, last: Vec<String> },
    /// Docker's join would fail by this clock.
    #[error(
        "this machine's clock says {machine}, the broker's {broker}: Docker's join would fail. Set the clock (NTP), then run the same command again"
    )]
    Clock { machine: String, broker: String },
    /// The broker refused.
    #[error("refused by the broker at {broker}. This is final for this invite on this machine; the reason is in the broker's audit log{}, where an operator finds it, and can make another invite{}", request_named(.request.as_deref()), listed(.reasons))]
    Refused { broker: String, request: Option<String>, reasons: Vec<String> },
    /// The node is in, but the broker does not take its confirm.
    #[error("this machine has joined as node {node}, but the broker at {broker} refused to confirm it{}: the node stays drained and unexplained. An operator can look at the audit log, and run 'broker adopt {node} --reason …' or remove the node", request_named(.request.as_deref()))]
    Unexplained { node: NodeId, broker: String, request: Option<String> },
    /// This machine is in a swarm that is not the invite's.
    #[error(
        "this machine is in another swarm, as node {node}: {how}. It was left alone. To move it, run 'docker swarm leave' there first"
    )]
    OtherSwarm { node: NodeId, how: String },
    /// The local manager is locked.
    #[error(
        "Docker's swarm is locked on this machine (autolock): run 'docker swarm unlock', then the same command again. Nothing was changed"
    )]
    SwarmLocked,
    /// The node joined, but it cannot prove which node it is.
    #[error(
        "this machine has joined as node {node}, but the swarm has autolock on, so its key is encrypted and it cannot prove to the broker which node it is: it stays drained until an operator runs 'broker adopt {node} --reason …'"
    )]
    NodeKeyLocked { node: NodeId },
    /// The node is in a swarm, and cannot ask whether it is the invite's.
    #[error(
        "this machine is in a swarm already, as node {node}, and that swarm has autolock on: the node's key is encrypted, so joiner cannot ask whether it is the invite's swarm. It was left alone"
    )]
    Unprovable { node: NodeId },
    /// Docker's swarm is in a state that this boot did not cause.
    #[error("Docker's swarm is in state '{state}' on this machine{}, and this boot did not cause it. It was left alone: look at 'docker info', mend it or run 'docker swarm leave', then run the same command again", because(.error))]
    EngineState { state: String, error: String },
    /// Docker cannot be a swarm node here.
    #[error("this Docker cannot be a node of a swarm: {0}. Run joiner where the ordinary engine runs")]
    NoNode(&'static str),
}

/// The exit codes and what they say, for the help.
const CODES: [(u8, &str); 11] = [
    (0, "joined and confirmed, or in already"),
    (64, "usage: the command line is wrong, or no invite is given"),
    (65, "the invite is garbled, or no invite at all"),
    (66, "the invite's file cannot be read"),
    (69, "no broker of the invite's cluster answered within the timeout"),
    (70, "internal error, or broker and joiner do not understand each other"),
    (72, "Docker's socket, or the swarm node's certificate, is missing or not accessible"),
    (73, "the state folder cannot be made, is damaged, or others can read the key in it"),
    (75, "ran out of time, or the clock is wrong: the same command may be run again"),
    (77, "refused by the broker: final for this invite here (an invite that has ended, too)"),
    (78, "this machine is in another swarm, or Docker's swarm is locked or broken here"),
];

/// The list of exit codes.
pub(crate) fn codes() -> String {
    let lines: Vec<String> = CODES.iter().map(|(code, meaning)| format!("  {code:<4} {meaning}")).collect();
    lines.join("\n")
}

impl Error {
    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::NoInvite => 64,
            Self::Invite(_) => 65,
            Self::InviteFile { .. } => 66,
            Self::NoBroker { .. } | Self::OtherCluster { .. } => 69,
            Self::Internal(_) | Self::NotUnderstood { .. } => 70,
            Self::Docker(DockerError::Absent { .. } | DockerError::Denied { .. }) | Self::NodeFiles { .. } => 72,
            Self::State(_) => 73,
            // Docker is there, but does not answer as it should now.
            Self::Docker(DockerError::Answer { .. })
            | Self::AnotherRun
            | Self::OutOfTime { .. }
            | Self::Clock { .. } => 75,
            Self::Refused { .. } | Self::Unexplained { .. } => 77,
            Self::OtherSwarm { .. }
            | Self::SwarmLocked
            | Self::NodeKeyLocked { .. }
            | Self::Unprovable { .. }
            | Self::EngineState { .. }
            | Self::NoNode(_) => 78,
        }
    }
}

/// Ends a run: tells what went wrong, and gives the exit code.
pub(crate) fn report(outcome: Result<(), Error>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            narrate::error(&error.to_string());
            ExitCode::from(error.code())
        }
    }
}

fn listed(lines: &[String]) -> String {
    lines.iter().flat_map(|line| ["\n  - ", line]).collect()
}

fn request_named(request: Option<&str>) -> String {
    request.map_or_else(String::new, |request| format!(" (request {request})"))
}

fn because(error: &str) -> String {
    if error.is_empty() { String::new() } else { format!(" ({error})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_code_that_the_help_lists() {
        let node: NodeId = "k9vqn1p0r3a8j2m4x6t5b7c1d".parse().expect("a node id");
        for error in [
            Error::NoInvite,
            Error::Invite(InviteError::Empty),
            Error::InviteFile { file: "f".into(), error: "e".into() },
            Error::NoBroker { last: vec![] },
            Error::Internal("x".into()),
            Error::AnotherRun,
            Error::Refused { broker: "b".into(), request: Some("r1".into()), reasons: vec!["the invite ended".into()] },
            Error::SwarmLocked,
            Error::NodeKeyLocked { node },
        ] {
            assert!(CODES.iter().any(|(code, _)| *code == error.code()), "{error}");
        }
    }
}
