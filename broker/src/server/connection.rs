//! One connection: handshake, who calls, requests, all within bounds of time and size.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use certs::Caller;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::GrantId;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::routes;
use super::seats::Seat;
use crate::broker::{Broker, Call};
use crate::clock;

/// Seats are what limits idle connections: a herd of honest machines on a busy broker needs the time.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// From the end of the handshake, or of the last answer, to the end of the next request's headers.
const HEADERS: Duration = Duration::from_secs(10);
/// The whole life of a connection.
const LIFE: Duration = Duration::from_mins(1);

/// Serves one connection to its end.
pub(super) async fn serve(
    broker: Arc<Broker>,
    tls: TlsAcceptor,
    stream: TcpStream,
    source: IpAddr,
    seat: Seat,
    stop: watch::Receiver<bool>,
) {
    tokio::select! {
        () = seat.evicted() => tracing::debug!(%source, "closed an idle connection to make room"),
        () = tokio::time::sleep(LIFE) => tracing::debug!(%source, "closed a connection at the end of its time"),
        () = speak(broker, tls, stream, source, &seat, stop) => {}
    }
}

async fn speak(
    broker: Arc<Broker>,
    tls: TlsAcceptor,
    stream: TcpStream,
    source: IpAddr,
    seat: &Seat,
    mut stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%source, %error, "a handshake failed"),
        Err(_) => return tracing::debug!(%source, "a handshake took too long"),
    };
    let Ok(caller) = caller(&broker, stream.get_ref().1.peer_certificates()) else { return };
    let caller = Arc::new(caller);
    let busy = seat.busy();
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let call = Call { id: request_id(), source, started: Instant::now() };
        let (broker, caller, busy) = (broker.clone(), caller.clone(), busy.clone());
        async move {
            let reply = routes::answer(&broker, &call, caller.as_ref().as_ref(), request, &busy).await;
            busy.store(false, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(reply)
        }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS)
        .max_headers(64)
        .max_buf_size(32 * 1024)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%source, %error, "a connection ended early");
    }
}

/// Who calls, by the certificate that the handshake verified.
fn caller(
    broker: &Broker,
    chain: Option<&[rustls_pki_types::CertificateDer<'static>]>,
) -> Result<Option<Caller>, rustls::Error> {
    match chain {
        None | Some([]) => Ok(None),
        Some(chain) => broker.trust.caller(chain, clock::unix(clock::now())).map(Some),
    }
}

fn request_id() -> String {
    GrantId::random().as_str()[..16].to_owned()
}
