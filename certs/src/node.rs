//! The swarm node's own certificate and key, as the engine keeps them on disk.
//!
//! Keeps the confirm honest: the joiner shows this certificate, which only a node of the swarm has.
//! Must not write these files, and holds the key only for one connection.

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

/// A node certificate, with chain, and its key.
pub struct NodeKeyPair {
    /// The certificate and what follows it in the file.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: PrivateKeyDer<'static>,
}

/// The node's certificate or key cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum NodeKeyError {
    /// The certificate file does not read.
    #[error("the swarm node certificate does not read as PEM")]
    Certificate,
    /// The key file does not read.
    #[error("the swarm node key does not read as PEM")]
    Key,
    /// The swarm is locked (autolock), so the engine keeps the key encrypted.
    #[error(
        "the swarm node key is encrypted: this swarm has autolock on, so this machine cannot prove to the broker which node it is"
    )]
    Locked,
}

impl NodeKeyPair {
    /// Reads `swarm-node.crt` and `swarm-node.key`. The engine writes the key with PEM header lines
    /// (`kek-version: 0`, RFC 1421 §4.6), which strict readers refuse: they are taken out.
    pub fn from_pem(certificate: &str, key: &str) -> Result<Self, NodeKeyError> {
        let chain: Vec<_> = CertificateDer::pem_slice_iter(certificate.as_bytes())
            .collect::<Result<_, _>>()
            .map_err(|_| NodeKeyError::Certificate)?;
        if chain.is_empty() {
            return Err(NodeKeyError::Certificate);
        }
        if key.contains("ENCRYPTED PRIVATE KEY") {
            return Err(NodeKeyError::Locked);
        }
        let plain = without_header_lines(key);
        let key = PrivateKeyDer::from_pem_slice(plain.as_bytes()).map_err(|_| NodeKeyError::Key)?;
        Ok(Self { chain, key })
    }
}

fn without_header_lines(pem: &str) -> Zeroizing<String> {
    let mut plain = Zeroizing::new(String::with_capacity(pem.len()));
    for line in pem.lines() {
        // Neither base64 nor a boundary contains a colon; every header line does.
        if !line.is_empty() && !line.contains(':') {
            plain.push_str(line);
            plain.push('\n');
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_headers(pem: &str) -> String {
        pem.replacen("KEY-----\n", "KEY-----\nkek-version: 0\nraft-dek: EiDVbC+/w==\n\n", 1)
    }

    #[test]
    fn a_key_with_header_lines_is_read() {
        let key = crate::SigningKey::generate().expect("made");
        let certificate = rcgen::CertificateParams::new(vec!["swarm-worker".to_owned()])
            .and_then(|params| params.self_signed(&rcgen::KeyPair::from_pem(&key.to_pem())?))
            .expect("a certificate");
        let read = NodeKeyPair::from_pem(&certificate.pem(), &with_headers(&key.to_pem())).expect("reads");
        assert_eq!(read.key.secret_der(), key.to_tls().secret_der());
    }

    #[test]
    fn a_locked_key_is_told_apart_from_a_broken_one() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let locked =
            "-----BEGIN ENCRYPTED PRIVATE KEY-----\nkek-version: 9\n\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        assert_eq!(NodeKeyPair::from_pem(certificate, locked).err(), Some(NodeKeyError::Locked));
        assert_eq!(NodeKeyPair::from_pem(certificate, "rubbish").err(), Some(NodeKeyError::Key));
        assert_eq!(NodeKeyPair::from_pem("", locked).err(), Some(NodeKeyError::Certificate));
    }
}
