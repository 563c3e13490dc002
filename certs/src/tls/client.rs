//! TLS as a joiner: the broker is known by its root's pin, whatever address was dialled and whatever the clock says.
//!
//! Keeps DESIGN §3 (names and clocks): validity is checked at the latest of the machine's clock, the invite's time
//! and the `notBefore`s shown under the pin. Must not accept a chain that does not end in the pinned root.

use std::sync::Arc;
use std::time::Duration;

use protocol::{ClusterId, Pin};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};

/// What a joiner knows about the brokers, from its invite.
#[derive(Clone, Debug)]
pub struct ServerPin {
    /// The cluster, from which the name in the certificate follows.
    pub cluster: ClusterId,
    /// The root certificate's hash.
    pub pin: Pin,
    /// The lowest generation of issuing CA to accept.
    pub generation: u32,
    /// When the invite was made: a clock that shows less is wrong.
    pub not_earlier_than: UnixTime,
}

/// Settings for connections to brokers.
pub struct PinnedClient {
    provider: Arc<CryptoProvider>,
    verifier: Arc<PinnedVerifier>,
}

impl PinnedClient {
    /// Settings for this pin.
    #[must_use]
    pub fn new(provider: Arc<CryptoProvider>, pin: ServerPin) -> Self {
        let verifier = Arc::new(PinnedVerifier { pin, provider: provider.clone() });
        Self { provider, verifier }
    }

    /// The name to give to the TLS client.
    pub fn server_name(&self) -> Result<ServerName<'static>, Error> {
        ServerName::try_from(crate::names::fixed(&self.verifier.pin.cluster))
            .map_err(|_| Error::General("the cluster's name is not a DNS name".into()))
    }

    /// Whether this pin accepts a server with this chain at `now`: for whoever is about to serve with it.
    pub fn accepts(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), Error> {
        let (leaf, rest) = chain.split_first().ok_or(Error::NoCertificatesPresented)?;
        self.verifier.verify_server_cert(leaf, rest, &self.server_name()?, &[], now).map(drop)
    }

    /// Without a certificate of our own, for the first request.
    pub fn anonymous(&self) -> Result<ClientConfig, Error> {
        let mut config = self.builder()?.with_no_client_auth();
        harden(&mut config);
        Ok(config)
    }

    /// With a certificate: the identity's, or the swarm node's.
    pub fn with_certificate(
        &self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<ClientConfig, Error> {
        let mut config = self.builder()?.with_client_auth_cert(chain, key)?;
        harden(&mut config);
        Ok(config)
    }

    fn builder(&self) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Error> {
        Ok(ClientConfig::builder_with_provider(self.provider.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier.clone()))
    }
}

fn harden(config: &mut ClientConfig) {
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
}

/// Checks a server's chain against the pin, at a time that cannot be before the invite was made.
#[derive(Debug)]
struct PinnedVerifier {
    pin: ServerPin,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for PinnedVerifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        chain: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let root = chain
            .iter()
            .find(|certificate| Pin::of_certificate(certificate) == self.pin.pin)
            .ok_or(Error::InvalidCertificate(CertificateError::UnknownIssuer))?;
        let mut roots = RootCertStore::empty();
        roots.add(root.clone().into_owned())?;
        let at_least = ServerName::try_from(crate::names::at_least(&self.pin.cluster, self.pin.generation))
            .map_err(|_| Error::General("the generation's name is not a DNS name".into()))?;
        let server = ParsedCertificate::try_from(leaf)?;

        let algorithms = self.provider.signature_verification_algorithms.all;
        at_latest_not_before(now.max(self.pin.not_earlier_than), chain.len(), |now| {
            verify_server_cert_signed_by_trust_anchor(&server, &roots, chain, now, algorithms)
        })?;
        verify_server_name(&server, name)?;
        verify_server_name(&server, &at_least)?;
        Ok(ServerCertVerified::assertion())
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
}

/// Verifies, and where a certificate of the chain begins later than `now`, verifies again at that time. A time is
/// believed only if the whole chain verifies at it, signatures included.
fn at_latest_not_before(
    mut now: UnixTime,
    certificates: usize,
    verify: impl Fn(UnixTime) -> Result<(), Error>,
) -> Result<(), Error> {
    for _ in 0..=certificates {
        match verify(now) {
            Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }))
                if not_before > now =>
            {
                now = UnixTime::since_unix_epoch(Duration::from_secs(not_before.as_secs()));
            }
            outcome => return outcome,
        }
    }
    verify(now)
}
