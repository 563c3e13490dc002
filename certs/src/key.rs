//! P-256 keys: made here, kept as PKCS#8 PEM, shown to nobody.
//!
//! Keeps promise 2: a machine's key is made on the machine, and is known elsewhere by its hash only.
//! Must not print or copy the private part, except as the PEM for a file of mode 0600.

use pem::{EncodeConfig, LineEnding, Pem};
use protocol::{KeyHash, Signable};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING as P256, EcdsaKeyPair, KeyPair as _};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

/// A private P-256 key.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    pkcs8: Zeroizing<Vec<u8>>,
}

/// A key could not be made, read or used. It never shows the key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Making or using the key failed.
    #[error("the key could not be made or used: {0}")]
    Crypto(rcgen::Error),
    /// The text is no such key.
    #[error("this is not a P-256 private key in PKCS#8 PEM form")]
    NotAKey,
}

impl SigningKey {
    /// Makes a new key.
    pub fn generate() -> Result<Self, KeyError> {
        let made = EcdsaKeyPair::generate_pkcs8(&P256, &SystemRandom::new());
        Self::from_pkcs8(made.map_err(|_| KeyError::Crypto(rcgen::Error::RingUnspecified))?.as_ref())
    }

    /// Reads a key back from what [`SigningKey::to_pem`] wrote.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyError::NotAKey)?;
        Self::from_pkcs8(der.secret_pkcs8_der())
    }

    fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = EcdsaKeyPair::from_pkcs8(&P256, der, &SystemRandom::new()).map_err(|_| KeyError::NotAKey)?;
        Ok(Self { pair, pkcs8: Zeroizing::new(der.to_vec()) })
    }

    /// The key for its file.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let lines = EncodeConfig::new().set_line_ending(LineEnding::LF);
        Zeroizing::new(pem::encode_config(&Pem::new("PRIVATE KEY", self.pkcs8.as_slice()), lines))
    }

    /// The private key as PKCS#8 DER, for a signer.
    #[must_use]
    pub fn to_pkcs8(&self) -> Zeroizing<Vec<u8>> {
        self.pkcs8.clone()
    }

    /// The private key as TLS takes it.
    #[must_use]
    pub fn to_tls(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.pkcs8.to_vec()))
    }

    /// The public key: DER of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        rcgen::PublicKeyData::subject_public_key_info(self)
    }

    /// The public key as an uncompressed point (65 bytes, SEC 1 §2.3.3).
    #[must_use]
    pub fn public_point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// How the ledger knows this key.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of_spki(&self.spki())
    }

    /// A certificate signing request as PEM. It asks for nothing: what goes into the certificate, the broker decides.
    pub fn csr(&self) -> Result<String, KeyError> {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.serialize_request(self).and_then(|csr| csr.pem()).map_err(KeyError::Crypto)
    }

    /// Signs a statement (ECDSA with SHA-256, ASN.1 DER).
    pub fn sign(&self, statement: &impl Signable) -> Result<Vec<u8>, KeyError> {
        rcgen::SigningKey::sign(self, &statement.bytes()).map_err(KeyError::Crypto)
    }
}

impl rcgen::PublicKeyData for SigningKey {
    fn der_bytes(&self) -> &[u8] {
        self.public_point()
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl rcgen::SigningKey for SigningKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signed = self.pair.sign(&SystemRandom::new(), message);
        signed.map(|signature| signature.as_ref().to_vec()).map_err(|_| rcgen::Error::RingUnspecified)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.hash())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_reads_back_and_is_not_shown() {
        let key = SigningKey::generate().expect("made");
        let pem = key.to_pem();
        let read = SigningKey::from_pem(&pem).expect("reads back");
        assert_eq!(read.hash(), key.hash());
        let shown = format!("{key:?}");
        assert!(!pem.lines().any(|line| line.len() > 20 && shown.contains(line)), "{shown}");
    }

    #[test]
    fn what_is_no_key_is_refused_without_showing_it() {
        let error = SigningKey::from_pem("-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n");
        assert!(!error.expect_err("not a key").to_string().contains("c2Vjcm"));
    }
}
