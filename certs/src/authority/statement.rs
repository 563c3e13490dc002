//! Verifying what an identity key signed, and what a grant key did.

use protocol::{KeyHash, Signable};
use rcgen::{PublicKeyData as _, SubjectPublicKeyInfo};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::SubjectPublicKeyInfoDer;

use super::AuthorityError;

/// An identity's public key, as the confirm carries it.
pub struct IdentityKey {
    point: Vec<u8>,
    hash: KeyHash,
}

impl IdentityKey {
    /// Reads the DER of a SubjectPublicKeyInfo; it must be a P-256 key in the one form our own keys have.
    pub fn from_spki(der: &[u8]) -> Result<Self, AuthorityError> {
        let wrong = || AuthorityError::Certificate("a P-256 public key");
        let spki = SubjectPublicKeyInfo::from_der(der).map_err(|_| wrong())?;
        let canonical = SubjectPublicKeyInfoDer::from(spki.subject_public_key_info());
        if spki.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256
            || canonical.as_ref() != der
            || spki.der_bytes().len() != 65
        {
            return Err(wrong());
        }
        Ok(Self { point: spki.der_bytes().to_vec(), hash: KeyHash::of_spki(der) })
    }

    /// How the ledger knows this key.
    #[must_use]
    pub fn hash(&self) -> &KeyHash {
        &self.hash
    }

    /// Whether this key signed the statement (ECDSA with SHA-256, ASN.1 DER).
    #[must_use]
    pub fn has_signed(&self, statement: &impl Signable, signature: &[u8], provider: &CryptoProvider) -> bool {
        has_signed(&self.point, statement, signature, provider)
    }
}

/// The same of a P-256 key that is known by its point (65 bytes, SEC 1 §2.3.3). What is no point has signed nothing.
#[must_use]
pub fn has_signed(point: &[u8], statement: &impl Signable, signature: &[u8], provider: &CryptoProvider) -> bool {
    let algorithms = provider.signature_verification_algorithms.mapping.iter();
    let wanted = algorithms
        .filter(|(scheme, _)| *scheme == rustls::SignatureScheme::ECDSA_NISTP256_SHA256)
        .flat_map(|(_, algorithms)| algorithms.iter());
    let p256 = rustls_pki_types::alg_id::ECDSA_P256;
    wanted
        .filter(|algorithm| algorithm.public_key_alg_id() == p256)
        .any(|algorithm| algorithm.verify_signature(point, &statement.bytes(), signature).is_ok())
}
