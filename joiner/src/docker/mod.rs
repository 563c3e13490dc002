//! The local Docker engine, over its socket: what state it is in, join, leave.
//!
//! Keeps promise 7 (the token never shows): the one request that carries it is built in memory that is wiped.
//! Must not decide what a state means for the boot: that is the plan's work.

mod info;
mod join;

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::{Method, Request, header};
use protocol::NodeId;
use serde::Deserialize;
use tokio::net::UnixStream;
use zeroize::Zeroizing;

use crate::clock::Deadline;
use crate::http;
use crate::narrate;

pub(crate) use info::{Info, LocalNode, LocalState};
pub(crate) use join::{JoinAnswer, JoinCall};

/// An engine that is starting takes the connection and answers later.
const INFO_TIMEOUT: Duration = Duration::from_secs(30);
/// Also when time is nearly out: what Docker was doing then belongs into the last words.
const LEAST_TIMEOUT: Duration = Duration::from_secs(1);
/// No answer we ask for is larger, in bytes. `/info` of an engine with many plugins is some 10 kB.
const MOST: usize = 4 * 1024 * 1024;

/// Docker's engine on this machine.
pub(crate) struct Docker {
    socket: PathBuf,
}

/// The engine cannot be spoken to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DockerError {
    /// Nothing listens there.
    #[error(
        "Docker does not answer at {socket}: {error}. Is it installed and running? Give --docker SOCKET if it listens elsewhere"
    )]
    Absent { socket: PathBuf, error: String },
    /// This user may not.
    #[error("no permission to speak to Docker at {socket}: run joiner as root")]
    Denied { socket: PathBuf },
    /// It answered something else than Docker does.
    #[error("Docker at {socket} answered unexpectedly: {what}")]
    Answer { socket: PathBuf, what: String },
}

impl DockerError {
    /// Whether waiting may help: at boot, the engine may come later than joiner.
    pub(crate) fn may_pass(&self) -> bool {
        !matches!(self, Self::Denied { .. })
    }
}

impl Docker {
    /// The engine at this socket.
    pub(crate) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned() }
    }

    /// Asks for the engine's state.
    pub(crate) async fn info(&self, deadline: Deadline) -> Result<Info, DockerError> {
        let within = deadline.remaining().clamp(LEAST_TIMEOUT, INFO_TIMEOUT);
        let (status, body) = self.ask(Method::GET, "/info", Bytes::new(), Deadline::after(within)).await?;
        if status != 200 {
            return Err(self.unexpected(&format!("{status} to GET /info: {}", message(&body))));
        }
        serde_json::from_slice(&body).map_err(|error| self.unexpected(&format!("GET /info does not read: {error}")))
    }

    /// Tells the engine to join.
    pub(crate) async fn join(&self, call: &JoinCall<'_>, deadline: Deadline) -> Result<JoinAnswer, DockerError> {
        // Large enough that it never grows: a buffer that grows leaves its old self behind.
        let managers: usize = call.remote_addrs.iter().map(String::len).sum();
        let mut body = Zeroizing::new(Vec::with_capacity(8 * 1024 + 2 * managers));
        serde_json::to_writer(&mut *body, call).map_err(|error| self.unexpected(&error.to_string()))?;
        let body = Bytes::from_owner(body);
        let (status, body) = self.ask(Method::POST, "/swarm/join", body, deadline).await?;
        Ok(JoinAnswer::read(status, &message(&body)))
    }

    /// Tells the engine to leave, or to give up a join. Without force: an engine that is an active manager after all keeps its place.
    pub(crate) async fn leave(&self, deadline: Deadline) -> Result<(), DockerError> {
        let (status, body) = self.ask(Method::POST, "/swarm/leave", Bytes::new(), deadline).await?;
        let text = message(&body);
        if status == 200 || text.to_lowercase().contains("not part of a swarm") {
            return Ok(());
        }
        Err(self.unexpected(&format!("{status} to POST /swarm/leave: {}", narrate::foreign(&text))))
    }

    /// Kills what runs here of this node's tasks: an engine that is to leave does not, while one goes on.
    pub(crate) async fn kill_tasks(&self, node: &NodeId, deadline: Deadline) -> Result<(), DockerError> {
        #[derive(Deserialize)]
        struct Container {
            #[serde(rename = "Id")]
            id: String,
        }
        // {"label":["com.docker.swarm.node.id=NODE"]}, as it stands in a URL.
        let path = format!(
            "/containers/json?filters=%7B%22label%22%3A%5B%22com.docker.swarm.node.id%3D{}%22%5D%7D",
            node.as_str()
        );
        let (status, body) = self.ask(Method::GET, &path, Bytes::new(), deadline).await?;
        let containers: Vec<Container> = serde_json::from_slice(&body)
            .map_err(|_| self.unexpected(&format!("{status} to GET /containers/json: {}", message(&body))))?;
        for Container { id } in containers {
            // One that has ended meanwhile is an error to Docker, and all right here.
            self.ask(Method::POST, &format!("/containers/{id}/kill"), Bytes::new(), deadline).await?;
        }
        Ok(())
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
        deadline: Deadline,
    ) -> Result<(u16, Vec<u8>), DockerError> {
        let exchange = self.exchange(method, path, body);
        let Ok(outcome) = tokio::time::timeout(deadline.remaining(), exchange).await else {
            return Err(self.unexpected(&format!("no answer to {path} in time")));
        };
        outcome
    }

    async fn exchange(&self, method: Method, path: &str, body: Bytes) -> Result<(u16, Vec<u8>), DockerError> {
        let wrong = |what: String| self.unexpected(&format!("{what} ({path})"));
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
        let mut http = http::on(stream).await.map_err(|error| wrong(error.to_string()))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| wrong(error.to_string()))?;
        let response = http.sender.send_request(request).await.map_err(|error| wrong(error.to_string()))?;
        let status = response.status().as_u16();
        let body =
            Limited::new(response.into_body(), MOST).collect().await.map_err(|error| wrong(error.to_string()))?;
        Ok((status, body.to_bytes().to_vec()))
    }

    fn unreachable(&self, error: &io::Error) -> DockerError {
        let socket = self.socket.clone();
        if error.kind() == io::ErrorKind::PermissionDenied {
            DockerError::Denied { socket }
        } else {
            DockerError::Absent { socket, error: error.to_string() }
        }
    }

    fn unexpected(&self, what: &str) -> DockerError {
        DockerError::Answer { socket: self.socket.clone(), what: narrate::foreign(what) }
    }
}

/// The engine's words for an error: `{"message": …}`.
fn message(body: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    serde_json::from_slice::<Message>(body)
        .map_or_else(|_| String::from_utf8_lossy(body).into_owned(), |body| body.message)
}
