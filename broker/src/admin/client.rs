//! The admin socket's client.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use protocol::{Problem, ProblemKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::exit::{Code, Failure};

const WAIT: Duration = Duration::from_mins(1);

/// The running broker.
pub(crate) struct Admin {
    socket: PathBuf,
    patience: Duration,
}

impl Admin {
    pub(crate) fn at(socket: &Path) -> Self {
        Self { socket: socket.to_owned(), patience: WAIT }
    }

    /// The same, with this long to answer.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Asks for something.
    pub(crate) fn get<A: DeserializeOwned>(&self, path: &str) -> Result<A, Failure> {
        self.ask(Method::GET, path, Vec::new())
    }

    /// Orders something.
    pub(crate) fn post<Q: Serialize, A: DeserializeOwned>(&self, path: &str, order: &Q) -> Result<A, Failure> {
        self.ask(Method::POST, path, serde_json::to_vec(order).map_err(|error| broken(&error))?)
    }

    /// Sends something as it is.
    pub(super) fn send<A: DeserializeOwned>(&self, path: &str, body: Vec<u8>) -> Result<A, Failure> {
        self.ask(Method::POST, path, body)
    }

    fn ask<A: DeserializeOwned>(&self, method: Method, path: &str, body: Vec<u8>) -> Result<A, Failure> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| broken(&error))?;
        let exchange = async {
            let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.unreachable(&error))?;
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
            tokio::spawn(connection);
            let request = Request::builder()
                .method(method)
                .uri(path)
                .header("host", "broker")
                .body(Full::new(Bytes::from(body)))
                .map_err(|error| broken(&error))?;
            let reply = sender.send_request(request).await.map_err(|error| broken(&error))?;
            let status = reply.status();
            let bytes = reply.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
            Ok::<_, Failure>((status, bytes))
        };
        let (status, bytes) = runtime
            .block_on(async { tokio::time::timeout(self.patience, exchange).await })
            .map_err(|_| broken(&format!("no answer within {} s", self.patience.as_secs())))??;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| broken(&error));
        }
        Err(serde_json::from_slice::<Problem>(&bytes).map_or_else(|error| broken(&error), told))
    }

    fn unreachable(&self, error: &std::io::Error) -> Failure {
        let socket = self.socket.display();
        match error.kind() {
            ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::new(
                Code::Unavailable,
                format!(
                    "no broker is running behind {socket}. Start it (broker serve), or name its socket with --admin"
                ),
            ),
            ErrorKind::PermissionDenied => {
                Failure::new(Code::NotAllowed, format!("{socket} may be opened by root only: run this as root (sudo)"))
            }
            _ => Failure::new(Code::Unavailable, format!("{socket}: {error}")),
        }
    }
}

fn broken(what: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Unavailable, format!("the running broker does not answer as it should: {what}"))
}

fn told(problem: Problem) -> Failure {
    let code = match problem.kind() {
        Some(ProblemKind::Malformed | ProblemKind::TooLarge | ProblemKind::NotFound | ProblemKind::WrongMethod) => {
            Code::Usage
        }
        Some(ProblemKind::Refused) => Code::NotAllowed,
        Some(ProblemKind::Unavailable | ProblemKind::AskAgain) => Code::TryAgain,
        None => Code::Unavailable,
    };
    Failure::new(code, problem.detail.unwrap_or(problem.title))
}

/// Rows as aligned columns for a terminal, the first row as the head: a line each, whatever is in them.
pub(crate) fn lines(rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns)
        .map(|column| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let cells: Vec<String> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A text from outside as one line that a terminal does not act on: control characters, and those that turn the direction
/// of what follows, as Rust writes them.
pub(crate) fn plain(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => shown.push(c),
            c => shown.extend(c.escape_debug()),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stands_in_a_table_is_nothing_that_a_terminal_acts_on() {
        let rows = [
            vec!["A".to_owned(), "B".to_owned()],
            vec!["\u{1b}[2J\n".to_owned(), "tr\u{202e}ap \"é\"\u{9b}".to_owned()],
        ];
        let head = format!("{:11}  B\n", "A");
        assert_eq!(lines(&rows), head + "\\u{1b}[2J\\n  tr\\u{202e}ap \"é\"\\u{9b}\n");
    }
}
