//! One connection: handshake, who calls, requests, all within bounds of time and size.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use certs::Caller;
use http_body_util::Either;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use protocol::GrantId;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::places::Places;
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
/// The same from the moment that a joiner is given out: 1.2 MB over 32 kbit/s.
const DOWNLOAD: Duration = Duration::from_mins(5);

/// How much of a reply waits in encrypted form, in bytes.
const RECORDS: usize = 32 * 1024;

/// What a caller holds: its seat, and where it finds a place for a download.
pub(super) struct Guest {
    pub(super) source: IpAddr,
    pub(super) seat: Seat,
    pub(super) places: Arc<Places>,
}

/// Serves one connection to its end.
pub(super) async fn serve(
    broker: Arc<Broker>,
    tls: TlsAcceptor,
    stream: TcpStream,
    guest: Guest,
    stop: watch::Receiver<bool>,
) {
    let source = guest.source;
    let life = watch::Sender::new(Instant::now() + LIFE);
    tokio::select! {
        () = guest.seat.evicted() => tracing::debug!(%source, "closed a connection to make room"),
        () = over(life.subscribe()) => tracing::debug!(%source, "closed a connection at the end of its time"),
        () = speak(broker, tls, stream, &guest, &life, stop) => {}
    }
}

/// Waits for the end of a life that may be prolonged.
async fn over(mut life: watch::Receiver<Instant>) {
    loop {
        let end = *life.borrow_and_update();
        tokio::select! {
            () = tokio::time::sleep_until(end.into()) => return,
            Ok(()) = life.changed() => {}
        }
    }
}

async fn speak(
    broker: Arc<Broker>,
    tls: TlsAcceptor,
    stream: TcpStream,
    guest: &Guest,
    life: &watch::Sender<Instant>,
    mut stop: watch::Receiver<bool>,
) {
    let source = guest.source;
    let _ = stream.set_nodelay(true);
    let mut stream = match tokio::time::timeout(HANDSHAKE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return tracing::debug!(%source, %error, "a handshake failed"),
        Err(_) => return tracing::debug!(%source, "a handshake took too long"),
    };
    // A caller that reads slowly finds two records waiting here, not four.
    stream.get_mut().1.set_buffer_limit(Some(RECORDS));
    let Ok(caller) = caller(&broker, stream.get_ref().1.peer_certificates()) else { return };
    let caller = Arc::new(caller);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let call = Call { id: request_id(), source, started: Instant::now() };
        let (broker, caller) = (broker.clone(), caller.clone());
        async move {
            let reply = routes::answer(&broker, &call, caller.as_ref().as_ref(), request, guest).await;
            if let Either::Right(_) = reply.body() {
                // Its place says when it is over.
                life.send_replace(Instant::now() + DOWNLOAD);
            } else {
                guest.seat.held().set_busy(false);
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_life_that_is_prolonged_ends_later_and_ends() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
        runtime.block_on(async {
            let began = Instant::now();
            let life = watch::Sender::new(began + Duration::from_millis(50));
            let over = tokio::spawn(over(life.subscribe()));
            life.send_replace(began + Duration::from_millis(200));
            over.await.expect("no panic");
            let lasted = began.elapsed();
            assert!((Duration::from_millis(200)..Duration::from_secs(5)).contains(&lasted), "{lasted:?}");
        });
    }
}
