//! A context: one cluster, where its brokers are, and who an operator is there.
//!
//! Keeps promise 7: the key is in a file that nobody else can read, and is shown nowhere. Must not trust an address: whoever
//! answers must show the root that the context pins.

use certs::{OperatorCertificate, SigningKey};
use protocol::{BrokerAddress, ClusterId, KeyText, Pin};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::exit::{Code, Failure};
use crate::format::{self, Unread};

/// What a broker issues to an operator. With the key it is what the file of a context holds.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Issued {
    pub(crate) format: u32,
    pub(crate) cluster_name: String,
    pub(crate) cluster: ClusterId,
    /// The root's.
    pub(crate) pin: Pin,
    /// The lowest generation of issuing CA that a broker may serve with.
    pub(crate) generation: u32,
    pub(crate) brokers: Vec<BrokerAddress>,
    pub(crate) operator: String,
    /// PEM.
    pub(crate) certificate: String,
    /// Made where the operator types. Not in what a broker issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<KeyText>,
}

impl Issued {
    /// The newest format that is known here.
    pub(crate) const FORMAT: u32 = 1;

    /// Reads a file's text. What is wrong is told without what stands there: it may be the key.
    pub(crate) fn read(text: &[u8], place: &str) -> Result<Self, Failure> {
        format::read(text, Self::FORMAT).map_err(|unread| {
            let what = match unread {
                Unread::Newer(format) => {
                    format!("{place}: a newer release wrote it (format {format}): use that release's broker")
                }
                Unread::Damaged { line, column, .. } => {
                    format!("{place} is no context: it does not read at line {line}, column {column}")
                }
            };
            Failure::new(Code::Data, what)
        })
    }

    /// Its certificate, as one of one's own.
    pub(crate) fn certificate(&self, place: &str) -> Result<(CertificateDer<'static>, OperatorCertificate), Failure> {
        let wrong = || Failure::new(Code::Data, format!("{place}: its certificate is no operator's"));
        let der = CertificateDer::from_pem_slice(self.certificate.as_bytes()).map_err(|_| wrong())?;
        let read = OperatorCertificate::from_verified(&der).map_err(|_| wrong())?;
        Ok((der, read))
    }
}

/// A context that can be used.
pub(crate) struct Context {
    /// What it is called here.
    pub(crate) name: String,
    pub(crate) issued: Issued,
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(crate) certificate: OperatorCertificate,
    pub(super) key: SigningKey,
}

impl Context {
    /// The context of this name and content.
    pub(crate) fn of(name: &str, issued: Issued, place: &str) -> Result<Self, Failure> {
        let (der, certificate) = issued.certificate(place)?;
        let key = issued.key.as_ref().and_then(|key| SigningKey::from_pem(key.expose()).ok());
        let key = key.filter(|key| key.hash() == certificate.key);
        let wrong = || Failure::new(Code::Data, format!("{place} has no key, or not the one of its certificate"));
        Ok(Self { name: name.to_owned(), chain: vec![der], certificate, key: key.ok_or_else(wrong)?, issued })
    }

    /// That its certificate has not ended by this machine's clock: told here, since a broker only ends the connection.
    pub(super) fn assert_not_ended(&self, now: u64) -> Result<(), Failure> {
        if now < self.certificate.ends {
            return Ok(());
        }
        let (name, ends) = (&self.name, clock::shown(self.certificate.ends));
        let what = format!(
            "the certificate of context {name} ended at {ends}: have operator {} made anew on a manager (broker operator create)",
            self.issued.operator
        );
        Err(Failure::new(Code::NotAllowed, what))
    }
}
