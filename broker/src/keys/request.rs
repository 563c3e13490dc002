//! The request for the next issuing CA's certificate: it is carried to where the root is, and carries no secret.
//!
//! Keeps DESIGN §3b: the issuing key is made where it is used, and the root's key stays where it is.

use certs::{Csr, Root};
use protocol::{ClusterId, Pin};
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::format::{self, Unread};

const FORMAT: u32 = 1;

/// A request, as its file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CaRequest {
    format: u32,
    pub(crate) cluster: ClusterId,
    /// What people call the cluster.
    pub(crate) name: String,
    /// The root that shall sign it.
    pub(crate) pin: Pin,
    pub(crate) generation: u32,
    /// The public key, and that whoever asks has the private one (PKCS#10, PEM).
    csr: String,
}

impl CaRequest {
    /// A request by who made this CSR.
    pub(super) fn new(cluster: ClusterId, name: String, pin: Pin, generation: u32, csr: String) -> Self {
        Self { format: FORMAT, cluster, name, pin, generation, csr }
    }

    /// Reads a request. The words say what is wrong with it.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        format::read(text.as_bytes(), FORMAT).map_err(|unread| match unread {
            Unread::Newer(found) => {
                format!("it is of a newer release (format {found}): use that release's 'broker ca issue'")
            }
            Unread::Damaged { words, .. } => format!("it is not a request of 'broker rotate ca': {words}"),
        })
    }

    /// The certificate that it asks for (PEM), by this root, at `now`.
    pub(crate) fn certify(&self, root: &Root, now: u64) -> Result<String, String> {
        if *root.cluster() != self.cluster || root.pin() != self.pin {
            return Err(format!(
                "it asks for the root with the pin {}, of cluster {}; this one has the pin {}",
                self.pin,
                self.cluster,
                root.pin()
            ));
        }
        let csr = Csr::from_pem(&self.csr).map_err(|error| error.to_string())?;
        root.certify(&csr, self.generation, clock::unix(now)).map_err(|error| error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use certs::{IssuingCertificate, SigningKey};

    use super::*;

    const NOW: u64 = 1_800_000_000;

    #[test]
    fn a_root_certifies_what_is_asked_of_it_and_nothing_that_is_asked_of_another() {
        let cluster = ClusterId::random();
        let root = Root::create(&cluster, "test", clock::unix(NOW)).expect("a root");
        let key = SigningKey::generate().expect("a key");
        let csr = key.csr().expect("a request");
        let request = CaRequest::new(cluster.clone(), "test".into(), root.pin(), 2, csr.clone());
        let text = serde_json::to_string(&request).expect("writes");
        assert!(!text.contains("PRIVATE"));
        let read = CaRequest::read(&text).expect("reads");
        assert_eq!(read, request);
        let certificate = read.certify(&root, NOW).expect("certified");
        let issuing = IssuingCertificate::from_pem(&certificate, root.certificate_pem()).expect("of this root");
        assert!(issuing.generation == 2 && issuing.is_of(&key));

        let other = Root::create(&cluster, "test", clock::unix(NOW)).expect("another root");
        assert!(request.certify(&other, NOW).expect_err("another root").contains("pin"));
        let torn = CaRequest { csr: csr[..csr.len() / 2].to_owned(), ..request.clone() };
        assert!(torn.certify(&root, NOW).is_err());
        assert!(CaRequest::read(&text.replace("\"format\":1", "\"format\":2")).expect_err("newer").contains("newer"));
        assert!(CaRequest::read("-----BEGIN CERTIFICATE REQUEST-----").expect_err("no request").contains("rotate ca"));
    }
}
