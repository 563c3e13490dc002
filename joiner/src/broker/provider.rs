//! The crypto of the wire: what P-256 keys and TLS 1.3 need of ring, and nothing else.
//!
//! Keeps the joiner small: the rest of ring, RSA, Ed25519, X25519 and ChaCha20 among it, is 70 kB that no broker asks for.
//! Keeps promise 13 (versions mix): suite and curve are the ones that RFC 8446 §9.1 makes every TLS 1.3 peer speak.

use std::sync::Arc;

use rustls::crypto::ring::{cipher_suite, kx_group, sign};
use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms};
use rustls::sign::SigningKey;
use rustls::{Error, SignatureScheme};
use rustls_pki_types::{PrivateKeyDer, SignatureVerificationAlgorithm};

/// All keys on this wire are P-256: the CA's and the brokers', the machine's, and those of Docker's nodes.
const ECDSA: &[&dyn SignatureVerificationAlgorithm] = &[webpki::ring::ECDSA_P256_SHA256];

/// AES-128-GCM with SHA-256, keys exchanged and signatures made on P-256.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        cipher_suites: vec![cipher_suite::TLS13_AES_128_GCM_SHA256],
        kx_groups: vec![kx_group::SECP256R1],
        signature_verification_algorithms: WebPkiSupportedAlgorithms {
            all: ECDSA,
            mapping: &[(SignatureScheme::ECDSA_NISTP256_SHA256, ECDSA)],
        },
        secure_random: &Ring,
        key_provider: &Ring,
    }
}

#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, bytes: &mut [u8]) -> Result<(), GetRandomFailed> {
        use ring::rand::SecureRandom as _;
        ring::rand::SystemRandom::new().fill(bytes).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        sign::any_ecdsa_type(&key)
    }
}
