//! Asking a broker for the cluster's keys, as the manager that this machine is.
//!
//! Must not ask without the key that brought this node in, where one did: a node certificate alone is refused.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::SigningKey;
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Request, StatusCode, header};
use protocol::{
    BrokerAddress, ClusterId, HANDOVERS, HandoverReply, HandoverRequest, HandoverStatement, NodeId, Problem, Proof,
    SharedKey,
};

use crate::exit::{Code, Failure};
use crate::jwt::PublicKey;
use crate::peers::{Peers, body};
use crate::swarm::Engine;

/// For one broker.
pub(super) const ONE: Duration = Duration::from_secs(15);
/// A reply has some kilobytes.
const MOST: usize = 64 * 1024;

/// The broker that asks.
pub(super) struct Asker<'a> {
    /// Where the joiner that brought this machine in keeps its key.
    pub(super) joiner: &'a Path,
    /// The local node.
    pub(super) node: &'a NodeId,
    pub(super) cluster: &'a ClusterId,
    /// Its id.
    pub(super) broker: &'a str,
    /// The key of its grants, as the ledger lists it.
    pub(super) grant_key: &'a SigningKey,
    /// Where it is reached.
    pub(super) addresses: &'a [BrokerAddress],
}

impl Asker<'_> {
    /// The key that brought this node in, if one did and is still here.
    pub(super) fn identity(&self) -> Result<Option<SigningKey>, Failure> {
        joiner::identity_key(self.joiner, self.node)
            .map_err(|failure| Failure::new(Code::of(failure.code), failure.words))
    }

    /// The request, signed by the broker's grant key, and by the key that brought this node in, where one did.
    pub(super) fn request(&self, follows: Option<SharedKey>) -> Result<Bytes, Failure> {
        let internal = |what: String| Failure::new(Code::Internal, what);
        let public = PublicKey::from_point(self.grant_key.public_point());
        let grant_key = public.map(|public| public.to_text()).ok_or_else(|| internal("no public key".into()))?;
        let statement =
            HandoverStatement { broker: self.broker, grant_key: &grant_key, node: self.node, cluster: self.cluster };
        let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        let signed = |key: &SigningKey| {
            key.sign(&statement).map(|signature| encode(&signature)).map_err(|error| internal(error.to_string()))
        };
        let proof = match self.identity()? {
            Some(key) => Some(Proof { key: encode(&key.spki()), signature: signed(&key)? }),
            None => None,
        };
        let request = HandoverRequest {
            broker: self.broker.to_owned(),
            grant_key: grant_key.clone(),
            addresses: self.addresses.to_vec(),
            release: env!("CARGO_PKG_VERSION").into(),
            signature: signed(self.grant_key)?,
            proof,
            follows,
        };
        serde_json::to_vec(&request).map(Bytes::from).map_err(|error| internal(error.to_string()))
    }
}

/// Why a broker did not give them.
pub(super) enum Trouble {
    /// Final, with the request's id.
    Refused(String),
    /// It may pass.
    Passing(String),
}

/// Asks one broker.
pub(super) async fn ask(
    peers: &Peers,
    engine: &Engine,
    address: &BrokerAddress,
    sent: Bytes,
) -> Result<HandoverReply, Trouble> {
    // The engine renews these files while it runs: they are read anew for each try.
    let node = engine.node_key().await.map_err(Trouble::Passing)?;
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
