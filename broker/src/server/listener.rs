//! Accepting connections until told to stop, then waiting a bounded time for those that are open.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::connection::{self, Guest};
use super::places::Places;
use super::seats::Seats;
use crate::broker::Broker;
use crate::exit::{Code, Failure};

/// Most connections at a time. Each costs at most about 50 kB, and what the kernel holds for it.
const CONNECTIONS: usize = 1024;
/// How much of a reply waits in the kernel for one caller, in bytes. Left to itself it grows to megabytes each, and who
/// reads slowly would not be seen to.
const SENDING: u32 = 128 * 1024;
/// How long open connections may take to finish when the broker stops.
const STOPPING: Duration = Duration::from_secs(10);

/// A bound listener.
pub(crate) struct Listener {
    socket: TcpListener,
    tls: TlsAcceptor,
    broker: Arc<Broker>,
}

/// Binds an address, or says who else may have it.
pub(crate) fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    let bound = (|| {
        let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() }?;
        socket.set_reuseaddr(true)?;
        // Connections have it from their listener.
        socket.set_send_buffer_size(SENDING)?;
        socket.bind(address)?;
        socket.listen(1024)
    })();
    bound.map_err(|error| {
        let code = match error.kind() {
            std::io::ErrorKind::AddrInUse => Code::Unavailable,
            std::io::ErrorKind::PermissionDenied => Code::NotAllowed,
            _ => Code::System,
        };
        let fix = "give another address with --listen, or stop what uses it (ss -ltnp shows it)";
        Failure::new(code, format!("cannot listen on {address}: {error}. Fix: {fix}"))
    })
}

/// As many connections as there are files for: a service starts with 1,024 and may ask for more. Each connection takes
/// one, and each request others, to ask the engine.
fn most_connections() -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let files = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    let files = files.map_or(usize::MAX, |files| usize::try_from(files).unwrap_or(usize::MAX));
    let most = CONNECTIONS.min(files / 2);
    if most < CONNECTIONS {
        tracing::warn!(connections = most, files, "few connections at a time: give the broker a higher LimitNOFILE");
    }
    most
}

impl Listener {
    pub(crate) fn new(socket: TcpListener, tls: rustls::ServerConfig, broker: Arc<Broker>) -> Self {
        Self { socket, tls: TlsAcceptor::from(Arc::new(tls)), broker }
    }

    /// Serves until `stop` changes.
    pub(crate) async fn run(self, mut stop: watch::Receiver<bool>) {
        let most = most_connections();
        let (seats, places) = (Seats::new(most), Places::of(most));
        let mut open = JoinSet::new();
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                Some(_) = open.join_next() => {}
                accepted = self.socket.accept() => match accepted {
                    Ok((stream, peer)) => {
                        let source = peer.ip().to_canonical();
                        let (seat, evicted) = seats.take(source);
                        if evicted {
                            self.broker.metrics.evicted.inc();
                        }
                        if let Some(seat) = seat {
                            let guest = Guest { source, seat, places: places.clone() };
                            let tls = self.tls.clone();
                            open.spawn(connection::serve(self.broker.clone(), tls, stream, guest, stop.clone()));
                        }
                    }
                    Err(error) => {
                        // Out of file descriptors, most likely: connections that end free some.
                        tracing::warn!(%error, "cannot accept a connection");
                        tokio::time::sleep(Duration::from_millis(50)).await;
                    }
                },
            }
            self.broker.metrics.connections.set(i64::try_from(open.len()).unwrap_or(i64::MAX));
        }
        drop(self.socket);
        if tokio::time::timeout(STOPPING, async { while open.join_next().await.is_some() {} }).await.is_err() {
            tracing::warn!(connections = open.len(), "closing connections that did not finish in time");
            open.shutdown().await;
        }
    }
}
