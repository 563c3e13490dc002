//! Speaking to other brokers of this cluster, as any machine does: TLS by the pin, HTTP/1.1, bounded in time.
//!
//! Keeps promise 8 (any broker will do). Must not ask anybody who does not show the cluster's root.

use std::sync::Arc;
use std::time::Duration;

use certs::{NodeKeyPair, PinnedClient, ServerPin};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::TokioIo;
use protocol::{BrokerAddress, ClusterId, Pin, READYZ};
use rustls::ClientConfig;
use rustls::crypto::CryptoProvider;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::broker::Broker;
use crate::clock;

/// Managers reach each other fast, or not at all.
const CONNECT: Duration = Duration::from_secs(5);
/// How long another broker may take to say whether it is ready.
const READY: Duration = Duration::from_secs(2);

/// How long a name may take to have addresses.
const LOOK_UP: Duration = Duration::from_secs(5);

/// Asks brokers of one cluster.
pub(crate) struct Peers {
    client: PinnedClient,
}

impl Peers {
    /// Those that show the root with this pin, and an issuing CA of this generation or a later one: who has the key of one
    /// that leaked can show the root, too.
    pub(crate) fn of(cluster: ClusterId, pin: Pin, generation: u32, provider: Arc<CryptoProvider>) -> Self {
        let not_earlier_than = clock::unix(clock::now());
        let pin = ServerPin { cluster, pin, generation, not_earlier_than };
        Self { client: PinnedClient::new(provider, pin) }
    }

    /// The other brokers of the running broker's cluster.
    pub(crate) fn beside(broker: &Broker) -> Self {
        let lowest = broker.keys.generations.get().lowest;
        Self::of(broker.cluster.clone(), broker.pin(), lowest, broker.provider.clone())
    }

    /// Makes one request, as nobody in particular. Gives the reply as soon as it begins.
    pub(crate) async fn ask(
        &self,
        address: &BrokerAddress,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        let tls = self.client.anonymous().map_err(|error| error.to_string())?;
        self.ask_by(tls, address, request).await
    }

    /// Makes one request, as the swarm node that has this certificate.
    pub(crate) async fn ask_as(
        &self,
        node: NodeKeyPair,
        address: &BrokerAddress,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        let tls = self.client.with_certificate(node.chain, node.key).map_err(|error| error.to_string())?;
        self.ask_by(tls, address, request).await
    }

    /// Whether the broker at this address says that machines can be admitted there.
    pub(crate) async fn is_ready(&self, address: &BrokerAddress) -> bool {
        let Ok(request) = Request::get(READYZ).body(Full::default()) else { return false };
        let asked = tokio::time::timeout(READY, self.ask(address, request)).await;
        matches!(asked, Ok(Ok(reply)) if reply.status() == StatusCode::OK)
    }

    /// A connection as whoever has this certificate, for one who makes the request.
    pub(crate) async fn connect_as(
        &self,
        shown: NodeKeyPair,
        address: &BrokerAddress,
    ) -> Result<TlsStream<TcpStream>, String> {
        let tls = self.client.with_certificate(shown.chain, shown.key).map_err(|error| error.to_string())?;
        self.connect(tls, address).await
    }

    async fn connect(&self, tls: ClientConfig, address: &BrokerAddress) -> Result<TlsStream<TcpStream>, String> {
        let name = self.client.server_name().map_err(|error| error.to_string())?;
        let connecting = async {
            let stream = TcpStream::connect((address.host(), address.port())).await?;
            TlsConnector::from(Arc::new(tls)).connect(name, stream).await
        };
        let stream = tokio::time::timeout(CONNECT, connecting).await.map_err(|_| "no connection in time")?;
        stream.map_err(|error| error.to_string())
    }

    async fn ask_by(
        &self,
        tls: ClientConfig,
        address: &BrokerAddress,
        mut request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, String> {
        let stream = self.connect(tls, address).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
        // It ends when the sender and the reply are dropped.
        tokio::spawn(connection);
        let host = address.to_string().parse().map_err(|_| "its address does not fit into a header")?;
        request.headers_mut().insert(header::HOST, host);
        sender.send_request(request).await.map_err(|error| error.to_string())
    }
}

/// A reply's body, of at most so many bytes.
pub(crate) async fn body(reply: Response<Incoming>, most: usize) -> Result<Bytes, String> {
    let body = Limited::new(reply.into_body(), most).collect().await;
    body.map(http_body_util::Collected::to_bytes).map_err(|error| error.to_string())
}

/// Every address of a name. A name that has none now is asked as it is, and that says why.
pub(crate) async fn each_of(named: &BrokerAddress) -> Vec<BrokerAddress> {
    let asked = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((named.host(), named.port()))).await;
    let found: Vec<BrokerAddress> =
        asked.ok().and_then(Result::ok).into_iter().flatten().map(BrokerAddress::from).collect();
    if found.is_empty() { vec![named.clone()] } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_of_a_name_is_asked() {
        let of = async |text: &str| -> Vec<String> {
            let named = text.parse().expect("an address");
            each_of(&named).await.iter().map(ToString::to_string).collect()
        };
        let known: Vec<String> = std::net::ToSocketAddrs::to_socket_addrs(&("localhost", 9))
            .expect("a name that each machine has")
            .map(|address| address.to_string())
            .collect();
        assert_eq!(of("localhost:9").await, known);
        assert_eq!(of("[fd00::1]:9").await, ["[fd00::1]:9"]);
        assert_eq!(of("nobody.invalid:9").await, ["nobody.invalid:9"]);
    }
}
