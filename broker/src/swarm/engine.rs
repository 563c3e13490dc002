//! The connection to the local engine, and what its errors mean.
//!
//! Keeps promise 5: an answer that is not understood is an unknown outcome, never a success or a refusal.
//! Must not log a request or a reply.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as DockerError;
use bollard::models::Swarm;

use super::together::Together;
use super::tokens::Tokens;
use super::{Node, Stored};

/// The engines this release was tried with, for `broker doctor`.
pub(crate) const TRIED_WITH: &str = "20.10 to 28.5 (API 1.41 to 1.51)";

/// An engine call that takes longer has an unknown outcome. A manager that was cut off never answers a commit.
pub(super) const CALL: Duration = Duration::from_secs(5);

/// Why the engine did not do what it was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum EngineError {
    #[error("there is no Docker socket at {0}: start Docker, or name the socket with --docker")]
    NoSocket(PathBuf),
    #[error("the Docker socket {0} may not be opened by this user: run the broker as root")]
    SocketDenied(PathBuf),
    #[error("the engine does not answer: {0}. Start Docker, or name its socket with --docker")]
    Unreachable(String),
    #[error("the engine did not answer within {} s", CALL.as_secs())]
    TimedOut,
    #[error("this machine is not a manager of a swarm: the broker runs on managers (see 'docker swarm init')")]
    NotManager,
    #[error(
        "this machine is a worker of its swarm, not a manager: the broker runs on managers. To make it one, run 'broker promote' with its id on a manager"
    )]
    Worker,
    #[error("the engine has not come into its swarm yet: see the end of 'docker info'")]
    NotYet,
    #[error(
        "the engine's swarm is locked: type 'docker swarm unlock' on this machine, with the key that 'docker swarm unlock-key' shows on another manager"
    )]
    Locked,
    #[error("the swarm has no quorum: most managers do not answer. See 'docker node ls' on the others")]
    NoQuorum,
    #[error(
        "this machine's swarm is not the cluster's, and has services: it was left alone. Move them, then run 'docker swarm leave --force' here"
    )]
    InUse,
    #[error("there is none of that name")]
    NotFound,
    #[error("that name is taken")]
    Exists,
    #[error("it was changed in between")]
    OutOfSequence,
    #[error("the engine answered {status}: {message}")]
    Other { status: u16, message: String },
    #[error("the engine's answer lacks {0}")]
    Incomplete(&'static str),
}

/// The local engine. A new connection is made for each call, so a restarted engine is found again.
#[derive(Clone)]
pub(crate) struct Engine {
    socket: PathBuf,
    client: Arc<RwLock<Option<Docker>>>,
    asked: Arc<Asked>,
}

/// What many ask at the same time.
#[derive(Default)]
pub(super) struct Asked {
    /// Configs, by their names.
    pub(super) configs: Together<Result<Option<Arc<Stored>>, EngineError>>,
    pub(super) nodes: Together<Result<Vec<Node>, EngineError>>,
    pub(super) swarm: Together<Result<Arc<(Swarm, Tokens)>, EngineError>>,
}

impl Engine {
    /// An engine behind this socket. Nothing is asked yet.
    pub(crate) fn new(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), client: Arc::new(RwLock::new(None)), asked: Arc::default() }
    }

    /// The version of the engine, and its API's lowest and highest.
    pub(crate) async fn version(&self) -> Result<(String, String, String), EngineError> {
        let version = self.call(|docker| async move { docker.version().await }).await?;
        Ok((
            version.version.unwrap_or_default(),
            version.min_api_version.unwrap_or_default(),
            version.api_version.unwrap_or_default(),
        ))
    }

    /// Who asks it the same at the same time.
    pub(super) fn asked(&self) -> &Asked {
        &self.asked
    }

    /// The socket it is behind.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Makes one call, bounded in time.
    pub(super) async fn call<T, F>(&self, call: impl FnOnce(Docker) -> F) -> Result<T, EngineError>
    where
        F: Future<Output = Result<T, DockerError>>,
    {
        let docker = self.client().await?;
        let result = match tokio::time::timeout(CALL, call(docker)).await {
            Ok(result) => result.map_err(|error| self.meaning(error)),
            Err(_) => Err(EngineError::TimedOut),
        };
        if let Err(EngineError::Unreachable(_) | EngineError::TimedOut | EngineError::Other { status: 400, .. }) =
            &result
        {
            // The engine may come back as another version: ask again.
            *self.client.write().unwrap_or_else(PoisonError::into_inner) = None;
        }
        result
    }

    async fn client(&self) -> Result<Docker, EngineError> {
        if let Some(docker) = self.client.read().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(docker);
        }
        let path = self.socket.to_string_lossy();
        let docker = Docker::connect_with_unix(&path, CALL.as_secs(), bollard::API_DEFAULT_VERSION)
            .map_err(|error| self.meaning(error))?;
        let docker = match tokio::time::timeout(CALL, docker.negotiate_version()).await {
            Ok(result) => result.map_err(|error| self.meaning(error))?,
            Err(_) => return Err(EngineError::TimedOut),
        };
        *self.client.write().unwrap_or_else(PoisonError::into_inner) = Some(docker.clone());
        Ok(docker)
    }

    fn meaning(&self, error: DockerError) -> EngineError {
        match error {
            DockerError::DockerResponseServerError { status_code, message } => answered(status_code, &message),
            DockerError::SocketNotFoundError(_) => EngineError::NoSocket(self.socket.clone()),
            DockerError::RequestTimeoutError => EngineError::TimedOut,
            error => match std::fs::metadata(&self.socket) {
                Err(missing) if missing.kind() == std::io::ErrorKind::NotFound => {
                    EngineError::NoSocket(self.socket.clone())
                }
                _ if denied(&error) => EngineError::SocketDenied(self.socket.clone()),
                _ => EngineError::Unreachable(one_line(&cause(&error))),
            },
        }
    }
}

/// What an error status with this message means. Messages differ between releases: what is not known stays `Other`.
pub(super) fn answered(status: u16, message: &str) -> EngineError {
    let lower = message.to_ascii_lowercase();
    let says = |part: &str| lower.contains(part);
    if says("out of sequence") {
        EngineError::OutOfSequence
    } else if says("swarm is encrypted") {
        EngineError::Locked
    } else if says("not a swarm manager") || says("not part of a swarm") {
        EngineError::NotManager
    } else if says("does not have a leader") || says("no leader") || says("context deadline exceeded") || says("quorum")
    {
        EngineError::NoQuorum
    } else if status == 409 || says("alreadyexists") {
        EngineError::Exists
    } else if status == 404 {
        EngineError::NotFound
    } else {
        EngineError::Other { status, message: one_line(message) }
    }
}

fn denied(error: &DockerError) -> bool {
    let mut source: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = source {
        if error.downcast_ref::<std::io::Error>().is_some_and(|io| io.kind() == std::io::ErrorKind::PermissionDenied) {
            return true;
        }
        source = error.source();
    }
    false
}

/// The last error in the chain: those before it speak of the client, not of the engine.
fn cause(error: &DockerError) -> String {
    let mut last: &dyn std::error::Error = error;
    while let Some(source) = last.source() {
        last = source;
    }
    last.to_string()
}

fn one_line(text: &str) -> String {
    text.chars().take(200).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engines_words_are_understood() {
        let sequence = "rpc error: code = Unknown desc = update out of sequence";
        assert!(matches!(answered(500, sequence), EngineError::OutOfSequence));
        let taken = "rpc error: code = AlreadyExists desc = config x already exists";
        assert!(matches!(answered(409, taken), EngineError::Exists));
        let worker = "This node is not a swarm manager. Worker nodes can't be used to view or modify cluster state.";
        assert!(matches!(answered(503, worker), EngineError::NotManager));
        let locked = "Swarm is encrypted and needs to be unlocked before it can be used.";
        assert!(matches!(answered(503, locked), EngineError::Locked));
        let leaderless =
            "rpc error: code = Unknown desc = The swarm does not have a leader. It's possible that too few";
        assert!(matches!(answered(500, leaderless), EngineError::NoQuorum));
        assert!(matches!(answered(500, "something new"), EngineError::Other { status: 500, .. }));
    }
}
