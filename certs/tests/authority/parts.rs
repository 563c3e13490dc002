//! An authority, and its certificates in the words of x509-parser.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use certs::{Csr, Issuing, Root, SigningKey};
use protocol::{ClusterId, InviteId, Role};
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, UnixTime};
use x509_parser::prelude::{FromDer as _, ParsedExtension, X509Certificate};

pub(crate) const HOUR: i64 = 60 * 60;
pub(crate) const DAY: i64 = 24 * HOUR;
/// When everything here happens: a day in 2027.
pub(crate) const NOW: i64 = 1_800_000_000;

pub(crate) fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()))
}

pub(crate) struct Authority {
    pub(crate) cluster: ClusterId,
    pub(crate) root: Root,
    pub(crate) issuing: Issuing,
}

impl Authority {
    pub(crate) fn new() -> Self {
        Self::of(&ClusterId::random())
    }

    /// An authority for this cluster id: made twice, two that look alike.
    pub(crate) fn of(cluster: &ClusterId) -> Self {
        let root = Root::create(cluster, "lab", now()).expect("a root");
        let issuing = root.issue(3, now()).expect("an issuing CA");
        Self { cluster: cluster.clone(), root, issuing }
    }

    /// The identity that a request gets.
    pub(crate) fn identity(&self, csr: &Csr, role: Role, invite: &InviteId) -> CertificateDer<'static> {
        let (pem, _) = self.issuing.identity(csr, role, invite, now()).expect("an identity");
        CertificateDer::from_pem_slice(pem.as_bytes()).expect("a certificate")
    }

    pub(crate) fn some_identity(&self) -> CertificateDer<'static> {
        let key = SigningKey::generate().expect("a key");
        let csr = Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
        self.identity(&csr, Role::Worker, &InviteId::random())
    }

    pub(crate) fn root_der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.root.certificate_pem().as_bytes()).expect("a certificate")
    }

    pub(crate) fn issuing_der(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_slice(self.issuing.certificate_pem().as_bytes()).expect("a certificate")
    }

    pub(crate) fn server_der(&self) -> CertificateDer<'static> {
        self.issuing.server(now()).expect("a server certificate").chain[0].clone()
    }
}

/// The certificate, with not a byte after it.
pub(crate) fn parse<'a>(der: &'a CertificateDer<'_>) -> X509Certificate<'a> {
    let (rest, certificate) = X509Certificate::from_der(der).expect("a certificate");
    assert!(rest.is_empty());
    certificate
}

/// The OIDs of its extensions, each with whether it is critical, sorted.
pub(crate) fn extensions(certificate: &X509Certificate<'_>) -> Vec<(String, bool)> {
    let mut all: Vec<_> = certificate.extensions().iter().map(|it| (it.oid.to_id_string(), it.critical)).collect();
    all.sort();
    all
}

/// The key identifiers: its own, and its issuer's.
pub(crate) fn key_identifiers(certificate: &X509Certificate<'_>) -> (Option<Vec<u8>>, Option<Vec<u8>>) {
    let find = |wanted: fn(&ParsedExtension<'_>) -> Option<Vec<u8>>| {
        certificate.extensions().iter().find_map(|extension| wanted(extension.parsed_extension()))
    };
    let own = find(|extension| match extension {
        ParsedExtension::SubjectKeyIdentifier(identifier) => Some(identifier.0.to_vec()),
        _ => None,
    });
    let issuer = find(|extension| match extension {
        ParsedExtension::AuthorityKeyIdentifier(identifier) => {
            identifier.key_identifier.as_ref().map(|it| it.0.to_vec())
        }
        _ => None,
    });
    (own, issuer)
}

/// The subject's parts as text, in order.
pub(crate) fn subject(certificate: &X509Certificate<'_>) -> String {
    certificate.subject().to_string()
}

pub(crate) fn pem(label: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The DER inside a PEM text.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    STANDARD.decode(body).expect("base64")
}

pub(crate) fn pair(key: &SigningKey) -> KeyPair {
    KeyPair::from_pem(&key.to_pem()).expect("a key pair")
}

/// Replaces the one place where `old` stands by `new`, of the same length.
pub(crate) fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    assert_eq!(old.len(), new.len());
    let places: Vec<_> = (0..=bytes.len() - old.len()).filter(|&place| bytes[place..].starts_with(old)).collect();
    assert_eq!(places.len(), 1, "it stands in one place");
    let mut changed = bytes.to_vec();
    changed[places[0]..places[0] + new.len()].copy_from_slice(new);
    changed
}
