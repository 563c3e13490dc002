//! The CA, one type per certificate role, and every TLS setting.
//!
//! Keeps promise 2 (one key per grant): who calls is read from a verified certificate, and only here.
//! Must not know HTTP or Docker, and never picks a crypto provider: the caller passes one.

#[cfg(feature = "authority")]
mod authority;
mod key;
mod names;
mod node;
mod tls;

#[cfg(feature = "authority")]
pub use authority::{
    AuthorityError, BrokerServer, Caller, Csr, Identity, IdentityKey, Issuing, IssuingCertificate, MachineIdentity,
    ManagerIdentity, NodeCertificate, NotAName, OperatorCertificate, OperatorName, RecordSigner, Root, Thumbprint,
    WorkerIdentity, has_signed, record_key,
};
pub use key::{KeyError, SigningKey};
pub use node::{NodeKeyError, NodeKeyPair};
#[cfg(feature = "authority")]
pub use tls::{ClientTrust, ServerTls};
pub use tls::{PinnedClient, ServerPin};
