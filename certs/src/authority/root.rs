//! The root: what user-data pins. It signs issuing CAs and nothing else.
//!
//! Keeps DESIGN §3b: the pin outlives every key that a manager holds.
//! Must not be loaded by a running broker.

use protocol::{ClusterId, Pin};
use rcgen::{Issuer, PublicKeyData};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::issuing::{Csr, Issuing, check_key, cluster_of};
use super::{AuthorityError, parameters};
use crate::SigningKey;

/// Each generation is one more name in every server certificate, and they are sent with each connection.
const MOST_GENERATIONS: u32 = 200;

/// The root certificate and its key.
pub struct Root {
    key: SigningKey,
    certificate: CertificateDer<'static>,
    pem: String,
    name: String,
    cluster: ClusterId,
}

impl Root {
    /// Makes the root of a new cluster.
    pub fn create(cluster: &ClusterId, name: &str, now: UnixTime) -> Result<Self, AuthorityError> {
        let key = SigningKey::generate()?;
        let params = parameters::root(cluster, name, now)?;
        let certificate = params.self_signed(&key).map_err(AuthorityError::Signing)?;
        Ok(Self {
            key,
            pem: certificate.pem(),
            certificate: certificate.into(),
            name: name.to_owned(),
            cluster: cluster.clone(),
        })
    }

    /// Reads a root back from its files.
    pub fn from_pem(certificate: &str, key: &str, name: &str) -> Result<Self, AuthorityError> {
        let key = SigningKey::from_pem(key)?;
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| AuthorityError::Certificate("a root certificate in PEM form"))?;
        check_key(&der, &key, "the root")?;
        let cluster = cluster_of(&der, "the root")?;
        if !is_root(&der) {
            return Err(AuthorityError::Certificate("a root certificate: another CA signed it, or it is no CA"));
        }
        Ok(Self { key, certificate: der, pem: certificate.to_owned(), name: name.to_owned(), cluster })
    }

    /// Makes an issuing CA of this generation, with a new key.
    pub fn issue(&self, generation: u32, now: UnixTime) -> Result<Issuing, AuthorityError> {
        let key = SigningKey::generate()?;
        let certificate = self.signed(&key, generation, now)?;
        Issuing::from_pem(&certificate, &key.to_pem(), &self.pem)
    }

    /// Makes the certificate (PEM) of an issuing CA whose key was made elsewhere, and stays there.
    pub fn certify(&self, request: &Csr, generation: u32, now: UnixTime) -> Result<String, AuthorityError> {
        self.signed(request.public(), generation, now)
    }

    fn signed(&self, key: &impl PublicKeyData, generation: u32, now: UnixTime) -> Result<String, AuthorityError> {
        if !(1..=MOST_GENERATIONS).contains(&generation) {
            return Err(AuthorityError::Generation(MOST_GENERATIONS));
        }
        let params = parameters::issuing(&self.cluster, &self.name, generation, now)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate, &self.key).map_err(AuthorityError::Signing)?;
        Ok(params.signed_by(key, &issuer).map_err(AuthorityError::Signing)?.pem())
    }

    /// The cluster.
    #[must_use]
    pub fn cluster(&self) -> &ClusterId {
        &self.cluster
    }

    /// What user-data pins.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of_certificate(&self.certificate)
    }

    /// The certificate for its file.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The key, for its file.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }
}

/// Whether it is a CA of its own making. The pin of anything else would be lost with a key that a manager holds.
fn is_root(certificate: &CertificateDer<'_>) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.is_ca() && parsed.verify_signature(None).is_ok())
}
