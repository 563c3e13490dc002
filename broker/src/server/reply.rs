//! Replies: JSON, or a problem document. And the one way a request's body is read.

use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Body, Bytes};
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use protocol::{MAX_BODY, PROBLEM_JSON, Problem, ProblemKind};
use serde::Serialize;

/// How long a body may take.
const BODY: Duration = Duration::from_secs(10);

/// A reply of ours.
pub(crate) type Reply = Response<Full<Bytes>>;

/// A JSON reply.
pub(crate) fn json(value: &impl Serialize) -> Reply {
    match serde_json::to_vec(value) {
        Ok(bytes) => with_type(StatusCode::OK, "application/json", bytes),
        Err(_) => problem(&Problem::new(ProblemKind::Unavailable)),
    }
}

/// A problem document.
pub(crate) fn problem(problem: &Problem) -> Reply {
    let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = with_type(status, PROBLEM_JSON, serde_json::to_vec(problem).unwrap_or_default());
    match problem.kind() {
        Some(ProblemKind::Unavailable) => {
            reply.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Some(ProblemKind::WrongMethod) => {
            reply.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, POST"));
        }
        _ => {}
    }
    reply
}

pub(super) fn with_type(status: StatusCode, kind: &'static str, bytes: Vec<u8>) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(bytes)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// Reads a body within the bounds of what machines may send.
pub(crate) async fn body_of<B>(body: B) -> Result<Bytes, Problem>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    bounded_body_of(body, MAX_BODY, BODY).await
}

/// Reads a body within these bounds of size, in bytes, and time.
pub(crate) async fn bounded_body_of<B>(body: B, most: usize, within: Duration) -> Result<Bytes, Problem>
where
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match tokio::time::timeout(within, Limited::new(body, most).collect()).await {
        Ok(Ok(collected)) => Ok(collected.to_bytes()),
        Ok(Err(error)) if error.is::<http_body_util::LengthLimitError>() => {
            Err(Problem::new(ProblemKind::TooLarge).with_detail(format!("a body has at most {most} bytes")))
        }
        Ok(Err(_)) => Err(Problem::new(ProblemKind::Malformed).with_detail("the body did not arrive whole")),
        Err(_) => Err(Problem::new(ProblemKind::Malformed).with_detail("the body took too long")),
    }
}
