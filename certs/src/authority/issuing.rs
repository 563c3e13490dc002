//! The issuing CA: signs server certificates and identities, for a year, in numbered generations.
//!
//! Keeps promise 3 (verify, then spend): a CSR is a `Csr` only once its own signature was checked.
//! Must not sign another CA: its path length is zero, and its names are constrained by the root.

use protocol::{ClusterId, InviteId, KeyHash, Pin, Role};
use rcgen::{CertificateSigningRequestParams, Issuer, PublicKey, PublicKeyData as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, GeneralName, ParsedExtension, X509Certificate};

use super::{
    AuthorityError, MachineIdentity, OperatorCertificate, OperatorName, RecordSigner, caller::identity_uri,
    operator::operator_uri, parameters,
};
use crate::SigningKey;

/// A certificate signing request whose signature was checked; only its public key is kept.
pub struct Csr(PublicKey);

impl Csr {
    /// Reads and checks a CSR in PEM form, which cannot be longer than a request's body.
    pub fn from_pem(pem: &str) -> Result<Self, AuthorityError> {
        if pem.len() > protocol::MAX_BODY {
            return Err(AuthorityError::Csr);
        }
        let request = CertificateSigningRequestParams::from_pem(pem).map_err(|_| AuthorityError::Csr)?;
        if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256
            || request.public_key.der_bytes().len() != 65
        {
            return Err(AuthorityError::Csr);
        }
        Ok(Self(request.public_key))
    }

    /// The key.
    pub(super) fn public(&self) -> &PublicKey {
        &self.0
    }

    /// How the ledger will know this key.
    #[must_use]
    pub fn key(&self) -> KeyHash {
        KeyHash::of_spki(&self.0.subject_public_key_info())
    }
}

/// What is public about an issuing CA: its certificate, under which root.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssuingCertificate {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The root's certificate.
    pub root: CertificateDer<'static>,
    /// Its generation.
    pub generation: u32,
    /// The cluster it belongs to.
    pub cluster: ClusterId,
    /// When it ends, in seconds since 1970.
    pub ends: u64,
    /// When the root ends.
    pub root_ends: u64,
}

impl IssuingCertificate {
    /// Reads an issuing CA's certificate and the root's, for whoever needs no key.
    pub fn from_pem(certificate: &str, root: &str) -> Result<Self, AuthorityError> {
        let der = CertificateDer::from_pem_slice(certificate.as_bytes())
            .map_err(|_| AuthorityError::Certificate("an issuing certificate in PEM form"))?;
        let root_der = CertificateDer::from_pem_slice(root.as_bytes())
            .map_err(|_| AuthorityError::Certificate("a root certificate in PEM form"))?;
        let cluster = cluster_of(&der, ISSUING)?;
        let (generation, ends) = check_issuing(&der, &root_der, &cluster)?;
        let root_ends = end_of(&root_der)?;
        Ok(Self { certificate: der, root: root_der, generation, cluster, ends, root_ends })
    }

    /// The public key as an uncompressed point (65 bytes, SEC 1 §2.3.3); empty if it were none.
    #[must_use]
    pub fn public_point(&self) -> Vec<u8> {
        X509Certificate::from_der(&self.certificate)
            .map_or_else(|_| Vec::new(), |(_, parsed)| parsed.public_key().subject_public_key.data.to_vec())
    }

    /// Whether this is the key that the certificate names.
    #[must_use]
    pub fn is_of(&self, key: &SigningKey) -> bool {
        check_key(&self.certificate, key, ISSUING).is_ok()
    }

    /// The root's pin.
    #[must_use]
    pub fn pin(&self) -> Pin {
        Pin::of_certificate(&self.root)
    }
}

const ISSUING: &str = "the issuing CA";

/// An issuing CA with its key.
pub struct Issuing {
    key: SigningKey,
    public: IssuingCertificate,
    pem: String,
    root_pem: String,
}

/// A broker's server certificate with its key and chain, ready for TLS.
pub struct BrokerServer {
    /// The leaf, the issuing CA, and the root that user-data pins.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key, made with the certificate and kept in memory only.
    pub key: SigningKey,
    /// When it should be replaced.
    pub renew_at: UnixTime,
}

impl Issuing {
    /// Reads an issuing CA from its files and the root's certificate.
    pub fn from_pem(certificate: &str, key: &str, root: &str) -> Result<Self, AuthorityError> {
        let key = SigningKey::from_pem(key)?;
        let public = IssuingCertificate::from_pem(certificate, root)?;
        check_key(&public.certificate, &key, ISSUING)?;
        Ok(Self { key, public, pem: certificate.to_owned(), root_pem: root.to_owned() })
    }

    /// What is public about it.
    #[must_use]
    pub fn public(&self) -> &IssuingCertificate {
        &self.public
    }

    /// The root's pin.
    #[must_use]
    pub fn pin(&self) -> Pin {
        self.public.pin()
    }

    /// The certificate for its file.
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.pem
    }

    /// The root's certificate for its file.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The key, for its file.
    #[must_use]
    pub fn key(&self) -> &SigningKey {
        &self.key
    }

    /// Makes a server certificate, with a new key.
    pub fn server(&self, now: UnixTime) -> Result<BrokerServer, AuthorityError> {
        let key = SigningKey::generate()?;
        let params = parameters::server(&self.public.cluster, self.public.generation, now)?;
        let leaf = params.signed_by(&key, &self.issuer()?).map_err(AuthorityError::Signing)?;
        let chain = vec![leaf.into(), self.public.certificate.clone(), self.public.root.clone()];
        Ok(BrokerServer { chain, key, renew_at: parameters::server_renewal(now) })
    }

    /// Makes a key that signs cluster records, with its certificate.
    pub fn record_signer(&self, now: UnixTime) -> Result<RecordSigner, AuthorityError> {
        let key = SigningKey::generate()?;
        let params = parameters::record(&self.public.cluster, self.public.generation, now)?;
        let leaf = params.signed_by(&key, &self.issuer()?).map_err(AuthorityError::Signing)?;
        Ok(RecordSigner { chain: vec![leaf.into(), self.public.certificate.clone(), self.public.root.clone()], key })
    }

    /// Makes an identity for a key: PEM of the leaf and of the issuing CA.
    pub fn identity(
        &self,
        csr: &Csr,
        role: Role,
        invite: &InviteId,
        now: UnixTime,
    ) -> Result<(String, MachineIdentity), AuthorityError> {
        let uri = identity_uri(&self.public.cluster, role, invite);
        let params = parameters::identity(&self.public.cluster, &uri, now)?;
        let leaf = params.signed_by(&csr.0, &self.issuer()?).map_err(AuthorityError::Signing)?;
        let identity = MachineIdentity::from_verified(leaf.der())?;
        Ok((format!("{}{}", leaf.pem(), self.pem), identity))
    }

    /// Makes an operator's certificate for a key, PEM: for so many seconds, but not for longer than this CA lives.
    pub fn operator(
        &self,
        csr: &Csr,
        name: &OperatorName,
        lifetime: u64,
        now: UnixTime,
    ) -> Result<(String, OperatorCertificate), AuthorityError> {
        let uri = operator_uri(&self.public.cluster, name);
        let lifetime = lifetime.min(self.public.ends.saturating_sub(now.as_secs()));
        let params = parameters::operator(&self.public.cluster, &uri, lifetime, now)?;
        let leaf = params.signed_by(&csr.0, &self.issuer()?).map_err(AuthorityError::Signing)?;
        let operator = OperatorCertificate::from_verified(leaf.der())?;
        Ok((leaf.pem(), operator))
    }

    fn issuer(&self) -> Result<Issuer<'_, &SigningKey>, AuthorityError> {
        Issuer::from_ca_cert_der(&self.public.certificate, &self.key).map_err(AuthorityError::Signing)
    }
}

/// Whether the key is the one that a CA certificate of ours names.
pub(super) fn check_key(
    certificate: &CertificateDer<'_>,
    key: &SigningKey,
    what: &'static str,
) -> Result<(), AuthorityError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| AuthorityError::Certificate(what))?;
    if parsed.public_key().raw == key.spki() { Ok(()) } else { Err(AuthorityError::OtherKey(what)) }
}

/// The cluster a CA certificate of ours names.
pub(super) fn cluster_of(certificate: &CertificateDer<'_>, what: &'static str) -> Result<ClusterId, AuthorityError> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| AuthorityError::Certificate(what))?;
    let organization = parsed.subject().iter_organization().next().and_then(|value| value.as_str().ok());
    organization.and_then(|text| text.parse().ok()).ok_or(AuthorityError::Certificate(what))
}

/// Generation and end of an issuing CA, after checking that this root signed it. Joiners check the chain by themselves;
/// for identities the issuing CA is the anchor, so nothing later asks.
fn check_issuing(
    certificate: &CertificateDer<'_>,
    root: &CertificateDer<'_>,
    cluster: &ClusterId,
) -> Result<(u32, u64), AuthorityError> {
    let wrong = || AuthorityError::Certificate("an issuing CA of this root");
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| wrong())?;
    let (_, root) = X509Certificate::from_der(root).map_err(|_| wrong())?;
    if parsed.issuer().as_raw() != root.subject().as_raw()
        || parsed.verify_signature(Some(root.public_key())).is_err()
        || !parsed.is_ca()
    {
        return Err(wrong());
    }
    let constraints = parsed.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::NameConstraints(constraints) => constraints.permitted_subtrees.as_ref(),
        _ => None,
    });
    let permitted = constraints.ok_or_else(wrong)?;
    let generation = u32::try_from(permitted.len()).ok().and_then(|count| count.checked_sub(1)).ok_or_else(wrong)?;
    let newest = crate::names::at_least(cluster, generation);
    if generation == 0
        || !permitted.iter().any(|subtree| matches!(&subtree.base, GeneralName::DNSName(name) if *name == newest))
    {
        return Err(wrong());
    }
    Ok((generation, end_of(certificate)?))
}

/// When a certificate ends, in seconds since 1970.
fn end_of(certificate: &CertificateDer<'_>) -> Result<u64, AuthorityError> {
    let wrong = || AuthorityError::Certificate("a certificate with an end");
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| wrong())?;
    u64::try_from(parsed.validity().not_after.timestamp()).map_err(|_| wrong())
}
