//! HTTP for the fakes: a thread with a runtime, and one handler for all requests.

use std::future::Future;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// A status and a body.
pub(super) type Answer = (u16, Vec<u8>);
/// What a handler answers; `None` means never.
pub(super) type Reply = Option<Answer>;

/// Runs a server on a thread of its own, until the process ends.
pub(super) fn on_a_thread<F: Future<Output = ()> + 'static>(server: impl FnOnce() -> F + Send + 'static) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio::task::LocalSet::new().block_on(&runtime, server());
    });
}

/// Serves one connection.
pub(super) async fn serve<S>(stream: S, handle: impl Fn(String, Vec<u8>) -> Reply + Clone + 'static)
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + 'static,
{
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let handle = handle.clone();
        async move {
            let called = format!("{} {}", request.method(), request.uri().path());
            let body = request.into_body().collect().await?.to_bytes().to_vec();
            let Some((status, body)) = handle(called, body) else { return std::future::pending().await };
            let mut response = Response::new(Full::new(Bytes::from(body)));
            *response.status_mut() = status.try_into().expect("a status");
            Ok::<_, hyper::Error>(response)
        }
    });
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}
