//! A joiner as a reply: given out piece by piece, as fast as it is taken.
//!
//! Keeps promise 12: whoever downloads costs a seat, a place and two small buffers; the bytes are shared. It holds no
//! secret, so it needs neither a certificate nor a broker that can admit.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::{Either, Full};
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue};
use hyper::{Method, Response};
use protocol::{JoinerHash, Problem, ProblemKind};

use super::places::{Place, Places};
use super::reply::problem;
use super::seats::Held;
use crate::broker::{Broker, Call};
use crate::denial::Denial;
use crate::metrics::{Ending, Step};

/// What is given to the connection at a time, in bytes: one TLS record (RFC 8446 §5.1).
const PIECE: usize = 16 * 1024;

/// A reply, or a joiner.
pub(super) type Answer = Response<Either<Full<Bytes>, Download>>;

/// What is left of a joiner to give.
pub(super) struct Download {
    rest: Bytes,
    place: Place,
}

/// Answers a request for a joiner.
pub(super) async fn joiner(
    broker: &Broker,
    call: &Call,
    method: &Method,
    hash: &JoinerHash,
    held: &Held,
    places: &std::sync::Arc<Places>,
) -> Answer {
    let (ending, kind) = match broker.joiners.load(hash).await {
        Ok(Some(bytes)) if *method == Method::HEAD => {
            broker.metrics.count(Step::joiner, Ending::ok);
            let mut reply = Response::new(Either::Left(Full::default()));
            describe(reply.headers_mut(), hash, bytes.len());
            return reply;
        }
        Ok(Some(bytes)) => match places.take(held).await {
            Some(place) => {
                broker.metrics.count(Step::joiner, Ending::ok);
                let mut reply = Response::new(Either::Right(Download { rest: bytes.clone(), place }));
                describe(reply.headers_mut(), hash, bytes.len());
                // What is left of the connection's time was given to this one reply.
                reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                return reply;
            }
            None => (Ending::unavailable, ProblemKind::Unavailable),
        },
        Ok(None) => (Ending::not_found, ProblemKind::NotFound),
        Err(denial) => {
            if let Denial::Unavailable(why) = &denial {
                tracing::info!(request = call.id, why, "unavailable");
            }
            (Ending::unavailable, denial.kind())
        }
    };
    broker.metrics.count(Step::joiner, ending);
    problem(&Problem::new(kind).with_request(&call.id)).map(Either::Left)
}

fn describe(headers: &mut HeaderMap, hash: &JoinerHash, length: usize) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
    // What has this hash is the same for ever (RFC 8246).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=31536000, immutable"));
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{hash}\"")) {
        headers.insert(ETAG, tag);
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let length = self.rest.len().min(PIECE);
        let piece = self.rest.split_to(length);
        self.place.sent(length);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}
