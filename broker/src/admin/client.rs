//! The client of the running broker: over its admin socket or, as an operator, over the network.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use protocol::{BrokerAddress, ClusterId, Pin, Problem, ProblemKind};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::exit::{Code, Failure};
use crate::operators::{self, Answered, Context};

const WAIT: Duration = Duration::from_mins(1);

/// The running broker.
pub(crate) struct Admin {
    way: Way,
    patience: Duration,
}

/// How it is reached.
enum Way {
    Socket(PathBuf),
    Brokers(Box<Context>),
    /// Not at all, for a reason that was found before anything was asked.
    Nowhere(Code, String),
}

impl Admin {
    pub(crate) fn at(socket: &Path) -> Self {
        Self { way: Way::Socket(socket.to_owned()), patience: WAIT }
    }

    /// Any broker of a context; what keeps it from being used is told when something is asked.
    pub(crate) fn by(context: Result<Context, Failure>) -> Self {
        let nowhere = |failure: Failure| Way::Nowhere(failure.code, failure.to_string());
        Self { way: context.map_or_else(nowhere, |context| Way::Brokers(Box::new(context))), patience: WAIT }
    }

    /// The same, with this long to answer.
    pub(crate) fn within(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The cluster that whoever answers must be of, and its root: over the network only.
    pub(crate) fn cluster(&self) -> Option<(&ClusterId, &Pin)> {
        match &self.way {
            Way::Brokers(context) => Some((&context.issued.cluster, &context.issued.pin)),
            Way::Socket(_) | Way::Nowhere(..) => None,
        }
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
        let body = Bytes::from(body);
        let (status, bytes) = match &self.way {
            Way::Socket(socket) => self.in_time(over_socket(socket, method, path, body))?,
            Way::Nowhere(code, words) => return Err(Failure::new(*code, words.clone())),
            Way::Brokers(context) if !operators::is_for_operators(&method, path) => return Err(only_there(context)),
            Way::Brokers(context) => {
                let Answered { status, body, from } = self.in_time(context.ask(&method, path, body))?;
                if status == StatusCode::FORBIDDEN {
                    return Err(refused(context, &from, &body));
                }
                (status, body)
            }
        };
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|error| broken(&error));
        }
        Err(serde_json::from_slice::<Problem>(&bytes).map_or_else(|error| broken(&error), told))
    }

    fn in_time<T>(&self, exchange: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|error| broken(&error))?;
        runtime
            .block_on(async { tokio::time::timeout(self.patience, exchange).await })
            .map_err(|_| broken(&format!("no answer within {} s", self.patience.as_secs())))?
    }
}

async fn over_socket(socket: &Path, method: Method, path: &str, body: Bytes) -> Result<(StatusCode, Bytes), Failure> {
    let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(socket, &error))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| broken(&error))?;
    tokio::spawn(connection);
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", "broker")
        .body(Full::new(body))
        .map_err(|error| broken(&error))?;
    let reply = sender.send_request(request).await.map_err(|error| broken(&error))?;
    let status = reply.status();
    let bytes = reply.into_body().collect().await.map_err(|error| broken(&error))?.to_bytes();
    Ok((status, bytes))
}

fn unreachable(socket: &Path, error: &std::io::Error) -> Failure {
    let socket = socket.display();
    match error.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => Failure::new(
            Code::Unavailable,
            format!("no broker is running behind {socket}. Start it (broker serve), or name its socket with --admin"),
        ),
        ErrorKind::PermissionDenied => {
            Failure::new(Code::NotAllowed, format!("{socket} may be opened by root only: run this as root (sudo)"))
        }
        _ => Failure::new(Code::Unavailable, format!("{socket}: {error}")),
    }
}

/// What no right is for.
fn only_there(context: &Context) -> Failure {
    let what = format!(
        "no operator may do this from elsewhere (context {}): run it as root on a manager, where '--context local' means the broker that runs there",
        context.name
    );
    Failure::new(Code::Usage, what)
}

/// A refusal looks the same whatever the reason; one that has words comes from behind the right.
fn refused(context: &Context, from: &BrokerAddress, body: &[u8]) -> Failure {
    let problem: Option<Problem> = serde_json::from_slice(body).ok();
    if let Some(words) = problem.as_ref().and_then(|problem| problem.detail.clone()) {
        return Failure::new(Code::NotAllowed, shown(&words));
    }
    let request = problem.and_then(|problem| problem.request).unwrap_or_else(|| "without an id".into());
    let request = plain(&request);
    let what = format!(
        "the broker at {from} refused this to operator {} (request {request}): it has not the right, was revoked, or its certificate is a former one. On a manager, 'broker operator list' shows its rights and 'broker audit list --event refused' the reason",
        context.issued.operator
    );
    Failure::new(Code::NotAllowed, what)
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
    Failure::new(code, shown(&problem.detail.unwrap_or(problem.title)))
}

/// Words from whoever answered: over the network, that need not be a broker of ours.
fn shown(words: &str) -> String {
    words.lines().map(plain).collect::<Vec<_>>().join("\n")
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
