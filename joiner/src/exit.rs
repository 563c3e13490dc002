//! How a run can end: every error there is, its words and its exit code (sysexits).
//!
//! Keeps promise 5 (fail closed): an outcome that is not known is never exit code 0 and never a refusal.
//! Must not carry a secret; foreign text in it went through [`narrate::foreign`].

use std::path::PathBuf;
use std::process::ExitCode;

use ipnet::IpNet;
use protocol::{ClusterId, InviteError, NodeId};

use crate::arguments::UsageError;
use crate::docker::DockerError;
use crate::narrate;
use crate::state::StateError;

/// Why a run did not end well. What the operator reads: what happened, to what, and what to do, in one line, since a
/// console and a log show the last line.
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
    #[error("no broker answered in time{}. Is a broker running there, and does this machine reach it? Run the same command again", last_seen(.last))]
    NoBroker { last: Vec<String> },
    /// Something answered, but never a broker of the invite's cluster.
    #[error("what answers at the invite's addresses does not belong to the invite's cluster {cluster}: its certificate does not end in the root that the invite pins{}. Is this the right invite for these managers?", last_seen(.last))]
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
    #[error("another joiner is still running here. Let it finish")]
    AnotherRun,
    /// Time ran out after a broker had answered.
    #[error("ran out of time: {during}{}. Run the same command again: it goes on where this one stopped", last_seen(.last))]
    OutOfTime { during: String, last: Vec<String> },
    /// Docker's join would fail by this clock.
    #[error(
        "this machine's clock says {machine}, the broker's {broker}: Docker's join would fail. Set the clock (NTP), then run the same command again"
    )]
    Clock { machine: String, broker: String },
    /// The broker refused.
    #[error("refused by the broker at {broker}{}. This is final for this invite on this machine: an operator finds the reason in the audit log{}, and can make another invite", because_of(.reasons), request_named(.request.as_deref()))]
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
    /// The address that was asked for is not there, or not yet.
    #[error(
        "this machine has no address in {network}, which {flag} asks for: it has {there}. Bring that interface up, or give another network"
    )]
    NoOwnAddress { flag: &'static str, network: IpNet, there: String },
    /// Which address was asked for cannot be told.
    #[error(
        "this machine has several addresses in {network}, which {flag} asks for: {there}. Give a network that holds one of them, or that address"
    )]
    SeveralOwnAddresses { flag: &'static str, network: IpNet, there: String },
    /// A manager is asked to leave.
    #[error(
        "this machine is a manager of its swarm, as node {node}: managers do not leave this way, since each one that goes takes a vote along. Run 'broker demote {node}' on another manager, then the same command again. Nothing was changed"
    )]
    Manager { node: NodeId },
    /// It is not the node that a boot here brought in.
    #[error(
        "this machine is node {node} of a swarm, and joiner did not bring it in as that node: it joined by hand since, or its state folder is another machine's. It was left alone: run 'docker swarm leave' here, and 'docker node rm {node}' on a manager"
    )]
    OtherNode { node: NodeId },
    /// No boot was begun here.
    #[error(
        "there is no boot in {state}: joiner did not bring this machine into a swarm. Run 'docker swarm leave' here, and 'docker node rm' on a manager"
    )]
    NoBoot { state: PathBuf },
    /// The broker does not let the node go.
    #[error("the broker at {broker} refused to let node {node} leave{}: it is a manager, or no node of that swarm any more. Nothing was changed here: look at the broker's audit log, and run 'docker swarm leave' here if the node was removed", request_named(.request.as_deref()))]
    LeaveRefused { node: NodeId, broker: String, request: Option<String> },
    /// Docker has left, and nobody knows.
    #[error("this machine has left the swarm, but no broker was told: {why}. Its row stays in 'docker node ls', as Down: {}", row(node, *.ephemeral))]
    Untold { node: NodeId, why: String, ephemeral: bool },
    /// Nobody knows, and Docker has not left.
    #[error(
        "no broker was told that this machine leaves: {why}. Docker has not left: {but}. Run the same command again"
    )]
    NotLeft { why: String, but: String },
    /// Docker cannot be a swarm node here.
    #[error("this Docker cannot be a node of a swarm: {0}. Run joiner where the ordinary engine runs")]
    NoNode(&'static str),
}

/// The exit codes and what they say, for the help.
const CODES: [(u8, &str); 11] = [
    (0, "joined and confirmed, or in already; left, or in no swarm"),
    (64, "usage: the command line is wrong, or no invite is given"),
    (65, "the invite is garbled, or no invite at all"),
    (66, "the invite's file cannot be read"),
    (69, "no broker of the invite's cluster answered within the timeout; leave: and Docker has left"),
    (70, "internal error, or broker and joiner do not understand each other"),
    (72, "Docker's socket, or the swarm node's certificate, is missing or not accessible"),
    (73, "the state folder cannot be made, is damaged, or others can read the key in it"),
    (75, "ran out of time, or the clock or an address is not right yet: run the same command again"),
    (77, "refused by the broker: final for this invite here (an invite that has ended, too)"),
    (78, "this machine is in another swarm, or a manager that is to leave, or Docker's swarm is locked or broken"),
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
            Self::NoBroker { .. } | Self::OtherCluster { .. } | Self::Untold { .. } => 69,
            Self::Internal(_) | Self::NotUnderstood { .. } => 70,
            Self::Docker(DockerError::Absent { .. } | DockerError::Denied { .. }) | Self::NodeFiles { .. } => 72,
            Self::State(_) => 73,
            // Docker is there, but does not answer as it should now.
            Self::Docker(DockerError::Answer { .. })
            | Self::AnotherRun
            | Self::OutOfTime { .. }
            | Self::NotLeft { .. }
            | Self::Clock { .. }
            | Self::NoOwnAddress { .. } => 75,
            Self::Refused { .. } | Self::Unexplained { .. } | Self::LeaveRefused { .. } => 77,
            Self::Manager { .. }
            | Self::OtherNode { .. }
            | Self::NoBoot { .. }
            | Self::OtherSwarm { .. }
            | Self::SwarmLocked
            | Self::NodeKeyLocked { .. }
            | Self::Unprovable { .. }
            | Self::EngineState { .. }
            | Self::SeveralOwnAddresses { .. }
            | Self::NoNode(_) => 78,
        }
    }

    /// Whether the same command would end in the same way, however often it is run: the codes of the unit's
    /// `RestartPreventExitStatus`.
    pub(crate) fn is_final(&self) -> bool {
        is_final(self.code())
    }

    /// What else was seen, a line each; the error's own line has the first.
    fn details(&self) -> &[String] {
        match self {
            Self::NoBroker { last } | Self::OtherCluster { last, .. } | Self::OutOfTime { last, .. }
                if last.len() > 1 =>
            {
                last
            }
            _ => &[],
        }
    }
}

/// Whether a run that ended with this code would do so again.
pub(crate) fn is_final(code: u8) -> bool {
    matches!(code, 64 | 65 | 66 | 73 | 77 | 78)
}

/// Tells why a run did not end well, the reason in the last line; gives the exit code.
pub(crate) fn tell(error: &Error) -> ExitCode {
    for line in error.details() {
        narrate::error(&format!("last seen: {line}"));
    }
    narrate::error(&error.to_string());
    ExitCode::from(error.code())
}

pub(crate) fn last_seen(lines: &[String]) -> String {
    match lines {
        [] => String::new(),
        [line] => format!(" ({line})"),
        [line, more @ ..] => format!(" ({line}; and {} more)", more.len()),
    }
}

fn because_of(reasons: &[String]) -> String {
    if reasons.is_empty() { String::new() } else { format!(": {}", reasons.join("; ")) }
}

fn request_named(request: Option<&str>) -> String {
    request.map_or_else(String::new, |request| format!(" (request {request})"))
}

fn row(node: &NodeId, ephemeral: bool) -> String {
    if ephemeral {
        format!(
            "the brokers remove it after the time that its invite gives, if it has the label swarm-broker.ephemeral; else run 'docker node rm {node}' on a manager"
        )
    } else {
        format!("run 'docker node rm {node}' on a manager")
    }
}

fn because(error: &str) -> String {
    if error.is_empty() { String::new() } else { format!(" ({error})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_has_a_code_that_the_help_lists() {
        for error in errors() {
            assert!(CODES.iter().any(|(code, _)| *code == error.code()), "{error}");
            assert_eq!(error.to_string().lines().count(), 1, "a console shows one line: {error}");
        }
    }

    fn errors() -> Vec<Error> {
        let node: NodeId = "k9vqn1p0r3a8j2m4x6t5b7c1d".parse().expect("a node id");
        let lines = || vec!["10.0.0.1:7443: refused".to_owned(), "10.0.0.2:7443: refused".to_owned()];
        let network: IpNet = "10.0.0.0/8".parse().expect("a network");
        vec![
            Error::NoInvite,
            Error::Invite(InviteError::Empty),
            Error::InviteFile { file: "f".into(), error: "e".into() },
            Error::NoBroker { last: lines() },
            Error::OtherCluster { cluster: ClusterId::random(), last: lines() },
            Error::OutOfTime { during: "x".into(), last: lines() },
            Error::Internal("x".into()),
            Error::AnotherRun,
            Error::Refused { broker: "b".into(), request: Some("r1".into()), reasons: lines() },
            Error::NoOwnAddress { flag: "--listen-addr", network, there: "no address".into() },
            Error::SeveralOwnAddresses { flag: "--listen-addr", network, there: "eth0 10.0.0.1".into() },
            Error::SwarmLocked,
            Error::NodeKeyLocked { node: node.clone() },
            Error::Manager { node: node.clone() },
            Error::OtherNode { node: node.clone() },
            Error::NoBoot { state: "/s".into() },
            Error::NotLeft { why: "x".into(), but: "y".into() },
            Error::LeaveRefused { node: node.clone(), broker: "b".into(), request: None },
            Error::Untold { node, why: "x".into(), ephemeral: true },
        ]
    }

    #[test]
    fn the_unit_tries_nothing_again_that_is_final() {
        let unit = include_str!("../../cloud-init/units/joiner.service");
        let kept = unit.lines().find_map(|line| line.strip_prefix("RestartPreventExitStatus=")).expect("is there");
        for error in errors() {
            let prevents = kept.split(' ').any(|code| code == error.code().to_string());
            assert_eq!(prevents, error.is_final(), "{error}");
        }
    }
}
