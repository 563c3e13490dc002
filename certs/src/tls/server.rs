//! TLS as a broker: who may connect at all, and with which certificates.
//!
//! Keeps promise 12 (nothing leaks by waiting) by refusing unknown certificates in the handshake, and promise 2 by
//! being the only place that says who a caller is. Must not accept one CA's certificate in another's place.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::CryptoProvider;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{DigitallySignedStruct, DistinguishedName, Error, RootCertStore, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::{AuthorityError, BrokerServer, Caller, IssuingCertificate, NodeCertificate};

type Verifier = Option<Arc<dyn ClientCertVerifier>>;

/// Which client certificates are accepted: identities and operators of our issuing CAs, and nodes of the swarm. Both can
/// change while connections are open.
pub struct ClientTrust {
    provider: Arc<CryptoProvider>,
    identities: RwLock<Verifier>,
    nodes: RwLock<Verifier>,
}

impl ClientTrust {
    /// Trusts identities of these issuing CAs, and no node yet.
    pub fn new(provider: Arc<CryptoProvider>, issuing: &[IssuingCertificate]) -> Result<Arc<Self>, AuthorityError> {
        let trust = Self { provider, identities: RwLock::new(None), nodes: RwLock::new(None) };
        trust.trust_identities(issuing)?;
        Ok(Arc::new(trust))
    }

    /// Trusts identities of these issuing CAs, from now on.
    pub fn trust_identities(&self, issuing: &[IssuingCertificate]) -> Result<(), AuthorityError> {
        let verifier = self.verifier(issuing.iter().map(|issuing| issuing.certificate.clone()).collect())?;
        *self.identities.write().unwrap_or_else(PoisonError::into_inner) = verifier;
        Ok(())
    }

    /// Trusts nodes of the swarm with these root certificates (PEM, one or more), from now on.
    pub fn trust_nodes(&self, roots: &str) -> Result<(), AuthorityError> {
        let roots = CertificateDer::pem_slice_iter(roots.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| AuthorityError::Certificate("the swarm's root certificate in PEM form"))?;
        let verifier = self.verifier(roots)?;
        *self.nodes.write().unwrap_or_else(PoisonError::into_inner) = verifier;
        Ok(())
    }

    /// Who the holder of this chain is, verified at `now`.
    pub fn caller(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<Caller, Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        let wrong = |error: AuthorityError| Error::General(error.to_string());
        // Issuing CAs are the anchors here, and webpki knows no path length of an anchor: what came with the leaf is
        // left out, so that a CA below an issuing CA issues nothing.
        match verify(&self.identities, leaf, &[], now) {
            Ok(_) => Caller::of_ours(leaf).map_err(wrong),
            Err(error) => match verify(&self.nodes, leaf, rest, now) {
                Ok(_) => NodeCertificate::from_verified(leaf, rest).map(Caller::Node).map_err(wrong),
                Err(_) => Err(error),
            },
        }
    }

    /// Whether a node's certificate would be accepted at `now`: the swarm's root may be another one than when it called.
    pub fn still_trusts(&self, node: &NodeCertificate, now: UnixTime) -> bool {
        node.chain.split_first().is_some_and(|(leaf, rest)| verify(&self.nodes, leaf, rest, now).is_ok())
    }

    fn verifier(&self, roots: Vec<CertificateDer<'static>>) -> Result<Verifier, AuthorityError> {
        if roots.is_empty() {
            return Ok(None);
        }
        let mut store = RootCertStore::empty();
        for root in roots {
            store.add(root).map_err(|_| AuthorityError::Certificate("a CA certificate"))?;
        }
        WebPkiClientVerifier::builder_with_provider(Arc::new(store), self.provider.clone())
            .build()
            .map(Some)
            .map_err(|_| AuthorityError::Certificate("a CA certificate"))
    }
}

fn verify(
    verifier: &RwLock<Verifier>,
    leaf: &CertificateDer<'_>,
    chain: &[CertificateDer<'_>],
    now: UnixTime,
) -> Result<ClientCertVerified, Error> {
    let verifier = verifier.read().unwrap_or_else(PoisonError::into_inner).clone();
    verifier
        .ok_or(Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer))?
        .verify_client_cert(leaf, chain, now)
}

impl std::fmt::Debug for ClientTrust {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ClientTrust")
    }
}

impl ClientCertVerifier for ClientTrust {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let whole: Vec<_> = std::iter::once(leaf).chain(chain).cloned().collect();
        self.caller(&whole, now).map(|_| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.2 is not spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }

    fn offer_client_auth(&self) -> bool {
        true
    }

    fn client_auth_mandatory(&self) -> bool {
        false
    }
}

/// The server's side of every connection. Its certificate can be replaced while it serves.
#[derive(Debug)]
pub struct ServerTls {
    certificate: RwLock<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
}

impl ServerTls {
    /// Serves with this certificate.
    pub fn new(provider: Arc<CryptoProvider>, certificate: BrokerServer) -> Result<Arc<Self>, Error> {
        let certified = CertifiedKey::from_der(certificate.chain, certificate.key.to_tls(), &provider)?;
        Ok(Arc::new(Self { certificate: RwLock::new(Arc::new(certified)), provider }))
    }

    /// Serves with this certificate from now on.
    pub fn replace(&self, certificate: BrokerServer) -> Result<(), Error> {
        let certified = CertifiedKey::from_der(certificate.chain, certificate.key.to_tls(), &self.provider)?;
        *self.certificate.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        Ok(())
    }

    /// The configuration for accepting connections.
    pub fn config(self: &Arc<Self>, trust: Arc<ClientTrust>) -> Result<ServerConfig, Error> {
        let mut config = ServerConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(trust)
            .with_cert_resolver(self.clone());
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ResolvesServerCert for ServerTls {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.certificate.read().unwrap_or_else(PoisonError::into_inner).clone())
    }
}
