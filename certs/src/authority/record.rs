//! The key that signs cluster records: certified by an issuing CA, and known by the pin alone.
//!
//! Keeps DESIGN §3b: whoever knows nothing but the pin can tell a cluster's record from a forged one.
//! Must not take a server's or an identity's certificate for a record's: its use is one of its own.

use protocol::{ClusterId, Pin};
use rustls::crypto::CryptoProvider;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::AuthorityError;
use crate::SigningKey;

/// DER of id-kp-documentSigning, 1.3.6.1.5.5.7.3.36 (RFC 9336).
const DOCUMENT_SIGNING: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x24];

/// A key that signs cluster records.
pub struct RecordSigner {
    /// The leaf, the issuing CA, and the root that the pin names.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key, made with the certificate and kept in memory only.
    pub key: SigningKey,
}

/// The public key (65 bytes, SEC 1 §2.3.3) of a chain that may sign this cluster's records at `at`, from this generation of
/// issuing CA or a later one.
pub fn record_key(
    chain: &[CertificateDer<'_>],
    cluster: &ClusterId,
    pin: &Pin,
    generation: u32,
    at: UnixTime,
    provider: &CryptoProvider,
) -> Result<Vec<u8>, AuthorityError> {
    let wrong = || AuthorityError::Certificate("a record key of this cluster");
    let (leaf, rest) = chain.split_first().ok_or_else(wrong)?;
    let root = rest.iter().find(|certificate| Pin::of_certificate(certificate) == *pin).ok_or_else(wrong)?;
    let anchor = anchor_from_trusted_cert(root).map_err(|_| wrong())?;
    let certificate = EndEntityCert::try_from(leaf).map_err(|_| wrong())?;
    let algorithms = provider.signature_verification_algorithms.all;
    // A CA has no such extension: that the leaf has it is looked at below.
    let usage = KeyUsage::required_if_present(&DOCUMENT_SIGNING);
    certificate.verify_for_usage(algorithms, &[anchor], rest, at, usage, None, None).map_err(|_| wrong())?;
    for name in [crate::names::fixed(cluster), crate::names::at_least(cluster, generation)] {
        let name = ServerName::try_from(name).map_err(|_| wrong())?;
        certificate.verify_is_valid_for_subject_name(&name).map_err(|_| wrong())?;
    }
    let (_, parsed) = X509Certificate::from_der(leaf).map_err(|_| wrong())?;
    let usage = parsed.extended_key_usage().ok().flatten().ok_or_else(wrong)?;
    if !usage.value.other.iter().any(|purpose| purpose.as_bytes() == DOCUMENT_SIGNING) {
        return Err(wrong());
    }
    Ok(parsed.public_key().subject_public_key.data.to_vec())
}
