//! A machine that speaks the wire by itself, step by step: for attacks, and for many at once without engines.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::{NodeKeyPair, PinnedClient, ServerPin, SigningKey};
use hyper::body::Bytes;
use hyper::{Method, Response};
use protocol::{
    GRANTS, GrantId, GrantReply, IDENTITIES, IdentityReply, IdentityRequest, InviteLine, JOINS, JoinReply, JoinRequest,
    NodeId, Problem, ProblemKind, REDEEM, RedeemReply, Statement,
};
use rustls::ClientConfig;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// What a broker told instead of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A problem document of this kind.
    Problem(ProblemKind),
    /// No answer, or not one of ours.
    Broken(String),
}

/// Final, whatever the reason.
pub const REFUSED: Told = Told::Problem(ProblemKind::Refused);

/// Come back later.
pub const UNAVAILABLE: Told = Told::Problem(ProblemKind::Unavailable);

/// Come back at once, and ask for a new grant.
pub const ASK_AGAIN: Told = Told::Problem(ProblemKind::AskAgain);

/// A reply, or what came instead.
pub type Answer<T> = Result<T, Told>;

/// One way to reach a broker: an address and TLS settings.
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
}

/// A machine: a key, an invite, and, once it was issued, an identity.
pub struct Machine {
    key: Arc<SigningKey>,
    invite: InviteLine,
    address: SocketAddr,
    identity: Option<String>,
}

impl Machine {
    /// A machine with a new key.
    #[must_use]
    pub fn new(invite: &str, address: SocketAddr) -> Self {
        let key = SigningKey::generate().expect("a key");
        Self { key: Arc::new(key), invite: InviteLine::parse(invite).expect("an invite"), address, identity: None }
    }

    /// A machine with a key that was made elsewhere.
    #[must_use]
    pub fn with_key(invite: &str, address: SocketAddr, pem: &str) -> Self {
        let key = SigningKey::from_pem(pem).expect("a key");
        Self { key: Arc::new(key), invite: InviteLine::parse(invite).expect("an invite"), address, identity: None }
    }

    /// The same machine: its key, without an identity.
    #[must_use]
    pub fn again(&self) -> Self {
        Self { key: self.key.clone(), invite: self.invite.clone(), address: self.address, identity: None }
    }

    /// The same machine as it is, at another broker.
    #[must_use]
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, identity: self.identity.clone(), ..self.again() }
    }

    /// A machine in the middle of its boot: it has an identity, and this grant.
    pub async fn with_grant(invite: &str, address: SocketAddr) -> (Self, String) {
        let mut machine = Self::new(invite, address);
        machine.identity().await.expect("an identity");
        let grant = machine.grant().await.expect("a grant").grant;
        (machine, grant)
    }

    /// With an identity that was made elsewhere.
    #[must_use]
    pub fn with_identity(self, certificate: String) -> Self {
        Self { identity: Some(certificate), ..self }
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Asks for an identity.
    pub async fn identity(&mut self) -> Answer<()> {
        let csr = self.key.csr().expect("a CSR");
        let request = IdentityRequest { csr, invite: self.invite.expose(), hostname: Some("machine".into()) };
        let reply: IdentityReply = self.anonymous().post(IDENTITIES, &json!(request)).await?;
        self.identity = Some(reply.certificate);
        Ok(())
    }

    /// Asks for a grant.
    pub async fn grant(&self) -> Answer<GrantReply> {
        self.wire().post(GRANTS, &json!({})).await
    }

    /// Redeems a grant.
    pub async fn redeem(&self, grant: &str) -> Answer<RedeemReply> {
        self.wire().post(REDEEM, &json!({ "grant": grant })).await
    }

    /// All steps up to the token.
    pub async fn admitted(&mut self) -> Answer<(GrantReply, RedeemReply)> {
        self.identity().await?;
        let grant = self.grant().await?;
        let token = self.redeem(&grant.grant).await?;
        Ok((grant, token))
    }

    /// The same as a joiner does it, over two connections: one without a certificate, one with the identity.
    pub async fn admitted_over_two(&mut self) -> Answer<(GrantReply, RedeemReply)> {
        self.identity().await?;
        let mut kept = self.wire().keep().await.map_err(|error| Told::Broken(error.to_string()))?;
        let grant: GrantReply = kept.post(GRANTS, &json!({})).await?;
        let token = kept.post(REDEEM, &json!({ "grant": grant.grant })).await?;
        Ok((grant, token))
    }

    /// What this machine would send to confirm that it became this node with this grant.
    #[must_use]
    pub fn statement(&self, grant: &GrantId, node: &NodeId) -> JoinRequest {
        let invite = self.invite.unverified();
        let statement = Statement { grant, node, cluster: &invite.iss };
        JoinRequest {
            invite: invite.jti.clone(),
            grant: grant.clone(),
            node: node.clone(),
            key: URL_SAFE_NO_PAD.encode(self.key.spki()),
            signature: URL_SAFE_NO_PAD.encode(self.key.sign(&statement).expect("signs")),
        }
    }

    /// Confirms with a node's certificate.
    pub async fn confirm(&self, node: NodeKeyPair, request: &JoinRequest) -> Answer<JoinReply> {
        self.with_node(node).post(JOINS, &json!(request)).await
    }

    /// The wire without a certificate.
    #[must_use]
    pub fn anonymous(&self) -> Wire {
        let client = self.client();
        self.through(&client, client.anonymous().expect("TLS settings"))
    }

    /// The wire with this machine's identity.
    #[must_use]
    pub fn wire(&self) -> Wire {
        let pem = self.identity.as_deref().expect("an identity was issued");
        let chain = CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>().expect("PEM");
        let client = self.client();
        self.through(&client, client.with_certificate(chain, self.key.to_tls()).expect("TLS settings"))
    }

    /// The wire with a swarm node's certificate.
    #[must_use]
    pub fn with_node(&self, node: NodeKeyPair) -> Wire {
        let client = self.client();
        self.through(&client, client.with_certificate(node.chain, node.key).expect("TLS settings"))
    }

    fn client(&self) -> PinnedClient {
        let invite = self.invite.unverified();
        let pin = ServerPin {
            cluster: invite.iss.clone(),
            pin: invite.pin.clone(),
            generation: invite.generation,
            not_earlier_than: UnixTime::since_unix_epoch(Duration::from_secs(invite.iat)),
        };
        PinnedClient::new(Arc::new(rustls::crypto::aws_lc_rs::default_provider()), pin)
    }

    fn through(&self, client: &PinnedClient, tls: ClientConfig) -> Wire {
        Wire { address: self.address, name: client.server_name().expect("a name"), tls: Arc::new(tls) }
    }
}

impl Wire {
    /// Posts a request and reads the reply.
    pub async fn post<T: serde::de::DeserializeOwned>(&self, path: &str, body: &Value) -> Answer<T> {
        let (status, bytes) = self.send(Method::POST, path, body.to_string().into()).await.map_err(Told::Broken)?;
        read(status, &bytes)
    }

    /// Connects and finishes the TLS handshake, and says nothing yet.
    pub async fn connect(&self) -> std::io::Result<TlsStream<TcpStream>> {
        self.greet(TcpStream::connect(self.address).await?).await
    }

    /// The same over a connection that was made elsewhere.
    pub async fn greet(&self, stream: TcpStream) -> std::io::Result<TlsStream<TcpStream>> {
        TlsConnector::from(self.tls.clone()).connect(self.name.clone(), stream).await
    }

    /// Sends any request: the status and the body.
    pub async fn send(&self, method: Method, path: &str, body: Bytes) -> Result<(u16, Bytes), String> {
        let reply = self.ask(method, path, body).await?;
        Ok((reply.status().as_u16(), reply.into_body()))
    }

    /// Sends any request: the whole reply.
    pub async fn ask(&self, method: Method, path: &str, body: Bytes) -> Result<Response<Bytes>, String> {
        let exchange = async { self.keep().await.map_err(|error| error.to_string())?.ask(method, path, body).await };
        tokio::time::timeout(Duration::from_mins(1), exchange).await.map_err(|_| "no answer".to_owned())?
    }
}

/// What a broker's answer means.
pub(super) fn read<T: serde::de::DeserializeOwned>(status: u16, bytes: &Bytes) -> Answer<T> {
    if status == 200 {
        return serde_json::from_slice(bytes).map_err(|error| Told::Broken(error.to_string()));
    }
    let problem: Option<Problem> = serde_json::from_slice(bytes).ok();
    let kind = problem.filter(|problem| problem.status == status).and_then(|problem| problem.kind());
    Err(kind.map_or_else(|| Told::Broken(format!("status {status}")), Told::Problem))
}
