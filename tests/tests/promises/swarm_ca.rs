//! The swarm's own CA in the hands of somebody who was a manager: Docker keeps its key in raft, where every manager reads it.

use std::fs;

use certs::{NodeKeyPair, SigningKey};
use lab::cluster::write_private;
use lab::{Failed, Host};
use protocol::NodeId;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};

/// A CA and its key.
pub(crate) struct SwarmCa {
    certificate: String,
    key: KeyPair,
}

impl SwarmCa {
    /// Makes one, and gives it to the swarm: then its key is known here, as it is to who has read it from raft.
    pub(crate) fn given_to(manager: &Host) -> Result<Self, Failed> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "swarm-ca");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate()?;
        let certificate = params.self_signed(&key)?.pem();
        let (certificate_file, key_file) =
            (manager.folder().join("swarm-ca.crt"), manager.folder().join("swarm-ca.key"));
        fs::write(&certificate_file, &certificate)?;
        write_private(&key_file, &key.serialize_pem())?;
        let option = |name: &str, file: &std::path::Path| format!("--ca-{name}={}", file.display());
        let (with, by) = (option("cert", &certificate_file), option("key", &key_file));
        manager.docker(&["swarm", "ca", "--rotate", "--quiet", &with, &by])?;
        Ok(Self { certificate, key })
    }

    /// A manager's certificate for this node of the host's swarm, as its engine has one.
    pub(crate) fn manager(&self, host: &Host, node: &NodeId) -> Result<NodeKeyPair, Failed> {
        let swarm = host.docker(&["info", "--format", "{{.Swarm.Cluster.ID}}"])?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::OrganizationName, swarm.trim());
        params.distinguished_name.push(DnType::OrganizationalUnitName, "swarm-manager");
        params.distinguished_name.push(DnType::CommonName, node.as_str());
        let key = SigningKey::generate()?.to_pem();
        let issuer = Issuer::from_ca_cert_pem(&self.certificate, &self.key)?;
        let certificate = params.signed_by(&KeyPair::from_pem(&key)?, &issuer)?;
        Ok(NodeKeyPair::from_pem(&certificate.pem(), &key)?)
    }
}
