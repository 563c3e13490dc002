//! Making certificates and reading verified ones: the broker's side.
//!
//! Keeps DESIGN §3b (two keys): a `Root` signs nothing but `Issuing`, an `Issuing` signs nothing but leaves.
//! Must not take a name, a lifetime or an extension from a CSR.

mod caller;
mod issuing;
mod operator;
mod parameters;
mod record;
mod root;
mod statement;

pub use caller::{Caller, Identity, MachineIdentity, ManagerIdentity, NodeCertificate, Thumbprint, WorkerIdentity};
pub use issuing::{BrokerServer, Csr, Issuing, IssuingCertificate};
pub use operator::{NotAName, OperatorCertificate, OperatorName};
pub use record::{RecordSigner, record_key};
pub use root::Root;
pub use statement::{IdentityKey, has_signed};

/// A certificate could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The CSR is not one, is not signed by its own key, or its key is not P-256.
    #[error("the certificate signing request is not valid")]
    Csr,
    /// A certificate does not read, or is not what it should be.
    #[error("this is not {0}")]
    Certificate(&'static str),
    /// The certificate and the key do not belong together.
    #[error("the key is not the one of the certificate ({0})")]
    OtherKey(&'static str),
    /// No generation has this number.
    #[error("a generation is a number from 1 to {0}")]
    Generation(u32),
    /// Signing failed.
    #[error("the certificate could not be signed: {0}")]
    Signing(rcgen::Error),
    /// The key failed.
    #[error(transparent)]
    Key(#[from] crate::KeyError),
}
