//! The metrics' own listener: plain HTTP, for a scraper on this machine or a private network.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::{Problem, ProblemKind};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::reply::{problem, with_type};
use crate::broker::Broker;
use crate::health;

/// Most scrapers at a time.
const SCRAPERS: usize = 16;
const LIFE: Duration = Duration::from_secs(10);

/// Serves `/metrics` for ever.
pub(crate) async fn serve_metrics(broker: Arc<Broker>, listener: TcpListener) {
    let places = Arc::new(Semaphore::new(SCRAPERS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let Ok(place) = places.clone().try_acquire_owned() else { continue };
        let broker = broker.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request: hyper::Request<hyper::body::Incoming>| {
                let reply = if (request.method(), request.uri().path()) == (&Method::GET, "/metrics") {
                    health::refresh_metrics(&broker);
                    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
                    with_type(StatusCode::OK, kind, broker.metrics.text().into_bytes())
                } else {
                    problem(&Problem::new(ProblemKind::NotFound))
                };
                async move { Ok::<_, Infallible>(reply) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(LIFE)
                .serve_connection(TokioIo::new(stream), service);
            let _ = tokio::time::timeout(LIFE, connection).await;
            drop(place);
        });
    }
}
