//! Getting the cluster's keys for this manager, from whichever broker gives them.
//!
//! Must not keep a key that does not belong to the cluster whose pin this machine was told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::SigningKey;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use protocol::{
    BrokerAddress, ClusterId, HANDOVERS, HandoverReply, HandoverRequest, HandoverStatement, NodeId, Pin, Problem, Proof,
};

use crate::audit::{self, Event, Record};
use crate::exit::{Code, Failure};
use crate::jwt::PublicKey;
use crate::peers::{Peers, body};
use crate::state::{Cluster, Waiting};
use crate::swarm::Engine;

/// How long to wait before all brokers are asked again.
const PAUSE: Duration = Duration::from_secs(1);
/// For one broker.
const ONE: Duration = Duration::from_secs(15);
/// How long a name may take to have addresses.
const LOOK_UP: Duration = Duration::from_secs(5);
/// A reply has some kilobytes.
const MOST: usize = 64 * 1024;

/// Which cluster, and who may give its keys.
#[derive(Clone, Debug)]
pub(crate) struct Giver {
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// Its root.
    pub(crate) pin: Pin,
    /// The lowest generation of issuing CA that is believed.
    pub(crate) generation: u32,
    /// Where its brokers are.
    pub(crate) brokers: Vec<BrokerAddress>,
}

/// Who asks.
pub(crate) struct Taker<'a> {
    /// The state directory, which has no cluster in it yet.
    pub(crate) state: &'a std::path::Path,
    /// Where the joiner that brought this machine in keeps its key.
    pub(crate) joiner: &'a std::path::Path,
    /// The local engine, a manager.
    pub(crate) engine: &'a Engine,
    /// The local node.
    pub(crate) node: &'a NodeId,
    /// Where the new broker will be reached.
    pub(crate) addresses: Vec<BrokerAddress>,
}

/// Asks until a broker gives the keys, a broker refuses, or time has run out.
pub(crate) async fn take(taker: Taker<'_>, giver: Giver, until: Instant) -> Result<(), Failure> {
    let waiting = Waiting::at(taker.state)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let peers = Peers::of(giver.cluster.clone(), giver.pin.clone(), giver.generation, provider);
    let mut told = String::new();
    loop {
        let mut last = "no address of a broker is known".to_owned();
        // Anew in each round: the key that confirms this node may have done so only now.
        let body = request(&taker, &giver, &waiting)?;
        for named in &giver.brokers {
            for address in &behind(named).await {
                match tokio::time::timeout(ONE, ask(&peers, &taker, address, body.clone())).await {
                    Ok(Ok(given)) => return keep(&taker, &giver, &waiting, &given, address).await,
                    Ok(Err(Trouble::Refused(request))) => return Err(refused(address, &request)),
                    Ok(Err(Trouble::Passing(why))) => last = format!("{address}: {why}"),
                    Err(_) => last = format!("{address}: no answer within {} s", ONE.as_secs()),
                }
                if told != last {
                    tracing::info!(last, "waiting for a broker that hands the cluster's keys over");
                    told.clone_from(&last);
                }
            }
        }
        if Instant::now() >= until {
            let what =
                format!("no broker handed the cluster's keys over in time ({last}). Is one serving? Run this again");
            return Err(Failure::new(Code::TryAgain, what));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Every address of a name. A name that has none now is asked as it is, and that says why.
async fn behind(named: &BrokerAddress) -> Vec<BrokerAddress> {
    let asked = tokio::time::timeout(LOOK_UP, tokio::net::lookup_host((named.host(), named.port()))).await;
    let found: Vec<BrokerAddress> =
        asked.ok().and_then(Result::ok).into_iter().flatten().map(BrokerAddress::from).collect();
    if found.is_empty() { vec![named.clone()] } else { found }
}

fn refused(address: &BrokerAddress, request: &str) -> Failure {
    let what = format!(
        "the broker at {address} refused to hand the cluster's keys over (request {request}): the audit log there says why. \
         They go to a manager that joined by a manager invite or was adopted ('broker adopt NODE --reason …')"
    );
    Failure::new(Code::NotAllowed, what)
}

/// The request, signed by the new broker's grant key, and by the key that brought this node in, where one did.
fn request(taker: &Taker<'_>, giver: &Giver, waiting: &Waiting) -> Result<Bytes, Failure> {
    let internal = |what: String| Failure::new(Code::Internal, what);
    let public = PublicKey::from_point(waiting.grant_key.public_point());
    let grant_key = public.map(|public| public.to_text()).ok_or_else(|| internal("no public key".into()))?;
    let statement =
        HandoverStatement { broker: &waiting.broker, grant_key: &grant_key, node: taker.node, cluster: &giver.cluster };
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let signed = |key: &SigningKey| {
        key.sign(&statement).map(|signature| encode(&signature)).map_err(|error| internal(error.to_string()))
    };
    let identity = joiner::identity_key(taker.joiner, taker.node)
        .map_err(|failure| Failure::new(Code::of(failure.code), failure.words))?;
    let proof = match identity {
        Some(key) => Some(Proof { key: encode(&key.spki()), signature: signed(&key)? }),
        None => None,
    };
    let request = HandoverRequest {
        broker: waiting.broker.clone(),
        grant_key: grant_key.clone(),
        addresses: taker.addresses.clone(),
        release: env!("CARGO_PKG_VERSION").into(),
        signature: signed(&waiting.grant_key)?,
        proof,
    };
    serde_json::to_vec(&request).map(Bytes::from).map_err(|error| internal(error.to_string()))
}

enum Trouble {
    /// Final, with the request's id.
    Refused(String),
    /// It may pass.
    Passing(String),
}

async fn ask(peers: &Peers, taker: &Taker<'_>, address: &BrokerAddress, sent: Bytes) -> Result<HandoverReply, Trouble> {
    // The engine renews these files while it runs: they are read anew for each try.
    let node = taker.engine.node_key().await.map_err(Trouble::Passing)?;
    let request = Request::post(HANDOVERS)
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(sent))
        .map_err(|error| Trouble::Passing(error.to_string()))?;
    let reply = peers.ask_as(node, address, request).await.map_err(Trouble::Passing)?;
    let status = reply.status();
    let bytes = body(reply, MOST).await.map_err(Trouble::Passing)?;
    if status == StatusCode::OK {
        return serde_json::from_slice(&bytes).map_err(|_| Trouble::Passing("its reply does not read".into()));
    }
    let problem: Option<Problem> = serde_json::from_slice(&bytes).ok();
    let request = problem.and_then(|problem| problem.request).unwrap_or_else(|| "without an id".into());
    match status {
        StatusCode::FORBIDDEN => Err(Trouble::Refused(request)),
        status => Err(Trouble::Passing(format!("it answered {} (request {request})", status.as_u16()))),
    }
}

async fn keep(
    taker: &Taker<'_>,
    giver: &Giver,
    waiting: &Waiting,
    given: &HandoverReply,
    from: &BrokerAddress,
) -> Result<(), Failure> {
    waiting.take(given, &giver.pin, giver.generation, Vec::new())?;
    let cluster = Cluster::open(taker.state)?;
    let record = Record {
        node: Some(taker.node.clone()),
        detail: Some(format!("from the broker at {from}")),
        ..Record::new(Event::KeysTaken)
    };
    audit::record_one(&cluster.folder().path(audit::FILE), cluster.broker(), record)
        .await
        .map_err(|error| Failure::new(Code::Io, error.to_string()))?;
    tracing::info!(%from, broker = waiting.broker, "has the cluster's keys");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn every_address_of_a_name_is_asked() {
        let of = async |text: &str| -> Vec<String> {
            let named = text.parse().expect("an address");
            behind(&named).await.iter().map(ToString::to_string).collect()
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
