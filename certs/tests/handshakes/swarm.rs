//! A swarm's CA as the engine makes it (DESIGN §5): P-256, O = swarm id, OU = role, CN = node id.

use protocol::{NodeId, SwarmId};
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyUsagePurpose, SanType};
use rustls::pki_types::CertificateDer;

use crate::cluster::Shown;
use crate::forgery::{ca, cross_signed, dns, leaf, self_made, signed_by};

pub(crate) struct Swarm {
    pub(crate) id: SwarmId,
    pub(crate) root: Shown,
}

impl Swarm {
    pub(crate) fn new(id: &str) -> Self {
        Self { id: id.parse().expect("a swarm id"), root: self_made(&root_params()) }
    }

    /// The same swarm after `docker swarm ca --rotate`: a new root of the same name.
    pub(crate) fn rotated(&self) -> Self {
        Self { id: self.id.clone(), root: self_made(&root_params()) }
    }

    /// This root as the older one signs it while a rotation is under way.
    pub(crate) fn cross_signed_by(&self, older: &Swarm) -> CertificateDer<'static> {
        cross_signed(&older.root, &root_params(), &self.root.key)
    }

    /// A node with its certificate: the leaf alone, since the root signs it.
    pub(crate) fn node(&self, role: &str, node: &NodeId) -> Shown {
        self.certificate(role, node.as_str(), &[dns(role), dns(node.as_str())])
    }

    /// A certificate of this CA with any names.
    pub(crate) fn certificate(&self, role: &str, node: &str, names: &[SanType]) -> Shown {
        let mut shown = signed_by(&self.root, &node_params(&self.id, role, node, names));
        shown.chain.truncate(1);
        shown
    }

    pub(crate) fn root_pem(&self) -> String {
        pem(&self.root.chain[0])
    }
}

/// What stands in a node certificate.
pub(crate) fn node_params(swarm: &SwarmId, role: &str, node: &str, names: &[SanType]) -> CertificateParams {
    let subject = [
        (DnType::OrganizationName, swarm.as_str()),
        (DnType::OrganizationalUnitName, role),
        (DnType::CommonName, node),
    ];
    let mut params = leaf(&subject, names);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn root_params() -> CertificateParams {
    ca(&[(DnType::CommonName, "swarm-ca")])
}

fn pem(certificate: &CertificateDer<'_>) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(certificate);
    let lines: Vec<_> = text.as_bytes().chunks(64).map(|line| String::from_utf8_lossy(line).into_owned()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
