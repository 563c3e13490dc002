//! Who calls, read from a certificate that was verified: a machine with an identity, a node of the swarm, or an operator.
//!
//! Keeps promise 2: key and thumbprint come from the very certificate of the connection.
//! Must not be built from a certificate that no verifier has accepted.

use std::fmt;
use std::ops::Deref;

use protocol::{ClusterId, InviteId, KeyHash, NodeId, Role, SwarmId};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{AuthorityError, OperatorCertificate};

/// SHA-256 of a certificate's DER in base64url: `x5t#S256` (RFC 8705 §3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Thumbprint(String);

impl Thumbprint {
    /// The thumbprint of a certificate.
    #[must_use]
    pub fn of(certificate: &CertificateDer<'_>) -> Self {
        // A pin is the same hash in the same alphabet, of another certificate.
        Self(protocol::Pin::of_certificate(certificate).to_string())
    }

    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Thumbprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A caller whose certificate was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// A machine that is booting.
    Identity(MachineIdentity),
    /// A node of the swarm.
    Node(NodeCertificate),
    /// A person or a program that gives orders.
    Operator(OperatorCertificate),
}

impl Caller {
    /// Reads who it is from a certificate that the issuing CAs' verifier has accepted.
    pub(crate) fn of_ours(certificate: &CertificateDer<'_>) -> Result<Self, AuthorityError> {
        // No certificate passes for both: each has one name, and its second part says which.
        match OperatorCertificate::from_verified(certificate) {
            Ok(operator) => Ok(Self::Operator(operator)),
            Err(_) => MachineIdentity::from_verified(certificate).map(Self::Identity),
        }
    }
}

/// A machine that is booting, by what it may become. The two are different types: what is only a manager's to have
/// asks for a [`ManagerIdentity`], and no worker's certificate can be passed there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MachineIdentity {
    /// It may become a worker.
    Worker(WorkerIdentity),
    /// It may become a manager.
    Manager(ManagerIdentity),
}

/// The identity of a machine that may become a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkerIdentity(Identity);

/// The identity of a machine that may become a manager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManagerIdentity(Identity);

impl Deref for MachineIdentity {
    type Target = Identity;

    fn deref(&self) -> &Identity {
        match self {
            Self::Worker(WorkerIdentity(identity)) | Self::Manager(ManagerIdentity(identity)) => identity,
        }
    }
}

impl MachineIdentity {
    /// Reads an identity from a certificate that the identity CA's verifier has accepted.
    pub(crate) fn from_verified(certificate: &CertificateDer<'_>) -> Result<Self, AuthorityError> {
        let identity = Identity::read(certificate)?;
        Ok(match identity.role {
            Role::Worker => Self::Worker(WorkerIdentity(identity)),
            Role::Manager => Self::Manager(ManagerIdentity(identity)),
        })
    }
}

/// What both kinds of identity say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster that issued it.
    pub cluster: ClusterId,
    /// The role its invite admits to.
    pub role: Role,
    /// The invite one of whose uses is this key's.
    pub invite: InviteId,
    /// The key.
    pub key: KeyHash,
    /// This certificate.
    pub thumbprint: Thumbprint,
    /// Its serial number in hex.
    pub serial: String,
}

/// A node of the swarm, by its node certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeCertificate {
    /// The swarm, from O.
    pub swarm: SwarmId,
    /// The node, from CN.
    pub node: NodeId,
    /// The role, from OU. Demotion does not revoke it: the node must be looked up.
    pub role: Role,
    /// This certificate.
    pub thumbprint: Thumbprint,
    /// Its serial number in hex.
    pub serial: String,
    /// This certificate and what was shown with it.
    pub(crate) chain: Vec<CertificateDer<'static>>,
}

pub(super) fn identity_uri(cluster: &ClusterId, role: Role, invite: &InviteId) -> String {
    format!("swarm-broker://{cluster}/{role}/{invite}")
}

impl Identity {
    fn read(certificate: &CertificateDer<'_>) -> Result<Self, AuthorityError> {
        let wrong = || AuthorityError::Certificate("an identity certificate");
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| wrong())?;
        let names = parsed.subject_alternative_name().map_err(|_| wrong())?.ok_or_else(wrong)?;
        let [GeneralName::URI(uri)] = names.value.general_names[..] else { return Err(wrong()) };
        let path = uri.strip_prefix("swarm-broker://").ok_or_else(wrong)?;
        let parts: Vec<&str> = path.split('/').collect();
        let [cluster, role, invite] = parts[..] else { return Err(wrong()) };
        Ok(Self {
            cluster: cluster.parse().map_err(|_| wrong())?,
            role: role.parse().map_err(|_| wrong())?,
            invite: invite.parse().map_err(|_| wrong())?,
            key: KeyHash::of_spki(parsed.public_key().raw),
            thumbprint: Thumbprint::of(certificate),
            serial: parsed.raw_serial_as_string().replace(':', ""),
        })
    }
}

impl NodeCertificate {
    /// Reads a node from a certificate that the swarm root's verifier has accepted.
    pub(crate) fn from_verified(
        certificate: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
    ) -> Result<Self, AuthorityError> {
        let wrong = || AuthorityError::Certificate("a swarm node certificate");
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| wrong())?;
        let subject = parsed.subject();
        let text = |value: Option<&x509_parser::x509::AttributeTypeAndValue<'_>>| {
            value.and_then(|value| value.as_str().ok()).map(str::to_owned).ok_or_else(wrong)
        };
        let role = match text(subject.iter_organizational_unit().next())?.as_str() {
            "swarm-worker" => Role::Worker,
            "swarm-manager" => Role::Manager,
            _ => return Err(wrong()),
        };
        Ok(Self {
            swarm: text(subject.iter_organization().next())?.parse().map_err(|_| wrong())?,
            node: text(subject.iter_common_name().next())?.parse().map_err(|_| wrong())?,
            role,
            thumbprint: Thumbprint::of(certificate),
            serial: parsed.raw_serial_as_string().replace(':', ""),
            chain: std::iter::once(certificate).chain(rest).map(|shown| shown.clone().into_owned()).collect(),
        })
    }
}
