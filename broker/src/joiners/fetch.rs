//! Getting a joiner from another broker, by the path that machines use.
//!
//! Keeps promise 8 (any broker will do) and promise 12: what comes is bounded in size and time, and is kept only if it
//! has the hash it was asked for by. Must not ask anybody but a broker of this cluster.

use std::time::Duration;

use certs::{PinnedClient, ServerPin};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::{Body as _, Bytes};
use hyper::{Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use protocol::{BrokerAddress, JOINER};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::program::{MOST_BYTES, Program};
use crate::broker::Broker;
use crate::clock;
use crate::ledger::Facts;

const CONNECT: Duration = Duration::from_secs(5);
/// For everything together: managers reach each other fast, or not at all.
const WHOLE: Duration = Duration::from_mins(1);

/// Asks the other live brokers, one after the other. Gives what came and from where, or why none gave it.
pub(super) async fn fetch(broker: &Broker, facts: &Facts) -> Result<(Program, BrokerAddress), String> {
    let client = client(broker);
    let peers = broker.directory.live(clock::now());
    let mut failures = Vec::new();
    for address in peers.into_iter().filter(|peer| peer.id != broker.id).flat_map(|peer| peer.addresses) {
        match tokio::time::timeout(WHOLE, ask(&client, &address, facts)).await {
            Ok(Ok(program)) => return Ok((program, address)),
            Ok(Err(why)) => failures.push(format!("{address}: {why}")),
            Err(_) => failures.push(format!("{address}: not here whole within {} s", WHOLE.as_secs())),
        }
    }
    Err(if failures.is_empty() { "there is no other live broker to get it from".into() } else { failures.join("; ") })
}

/// Whoever is dialled must be a broker of this cluster. Of any generation: the hash says what is right.
fn client(broker: &Broker) -> PinnedClient {
    let not_earlier_than = clock::unix(clock::now());
    let pin = ServerPin { cluster: broker.cluster.clone(), pin: broker.pin(), generation: 1, not_earlier_than };
    PinnedClient::new(broker.provider.clone(), pin)
}

async fn ask(client: &PinnedClient, address: &BrokerAddress, facts: &Facts) -> Result<Program, String> {
    let size = usize::try_from(facts.size).ok().filter(|size| *size <= MOST_BYTES);
    let size = size.ok_or_else(|| format!("it has {} bytes, which no joiner has", facts.size))?;
    let tls = client.anonymous().map_err(|error| error.to_string())?;
    let name = client.server_name().map_err(|error| error.to_string())?;
    let connecting = async {
        let stream = TcpStream::connect((address.host(), address.port())).await?;
        TlsConnector::from(std::sync::Arc::new(tls)).connect(name, stream).await
    };
    let stream = tokio::time::timeout(CONNECT, connecting).await.map_err(|_| "no connection in time")?;
    let stream = stream.map_err(|error| error.to_string())?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(|error| error.to_string())?;
    // It ends when the sender and the reply are dropped.
    tokio::spawn(connection);
    let request = Request::get(format!("{JOINER}{}", facts.sha256))
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|error| error.to_string())?;
    let reply = sender.send_request(request).await.map_err(|error| error.to_string())?;
    if reply.status() != StatusCode::OK {
        return Err(format!("it answered {}", reply.status().as_u16()));
    }
    if reply.body().size_hint().exact() != Some(facts.size) {
        return Err("what it has is of another size than the ledger lists".into());
    }
    let bytes = Limited::new(reply.into_body(), size).collect().await.map_err(|error| error.to_string())?.to_bytes();
    match Program::read(bytes) {
        Ok(program) if *program.hash() == facts.sha256 => Ok(program),
        Ok(_) | Err(_) => Err("it gave other bytes than those that were asked for: they were thrown away".into()),
    }
}
