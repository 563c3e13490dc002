//! An operator, by the certificate of a key that was made where the operator types.
//!
//! Keeps DESIGN §6: who orders something from elsewhere has a name. The certificate says who it is, never what that one may
//! do: rights can be taken away, certificates cannot.

use std::fmt;
use std::str::FromStr;

use protocol::{ClusterId, KeyHash};
use rustls_pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, GeneralName, X509Certificate};

use super::{AuthorityError, Thumbprint};

/// Swarm's names have 64 characters; this one stands in them, and in the log.
const LONGEST: usize = 32;

/// An operator's name: lower-case letters, digits, and `.`, `_` or `-` between them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OperatorName(String);

impl OperatorName {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Text that is no operator's name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "an operator's name has 1 to {LONGEST} lower-case letters and digits, and '.', '_' or '-' between them: jane, jane.doe, ci-1"
)]
pub struct NotAName;

impl FromStr for OperatorName {
    type Err = NotAName;

    fn from_str(text: &str) -> Result<Self, NotAName> {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let allowed = |byte: u8| plain(byte) || b"._-".contains(&byte);
        let ends = |byte: Option<&u8>| byte.is_some_and(|byte| plain(*byte));
        let bytes = text.as_bytes();
        let whole = bytes.len() <= LONGEST && bytes.iter().all(|byte| allowed(*byte));
        if whole && ends(bytes.first()) && ends(bytes.last()) { Ok(Self(text.to_owned())) } else { Err(NotAName) }
    }
}

impl fmt::Display for OperatorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operator's certificate that was verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorCertificate {
    /// The cluster that issued it.
    pub cluster: ClusterId,
    /// Who it is.
    pub name: OperatorName,
    /// The key.
    pub key: KeyHash,
    /// When it ends, in seconds since 1970.
    pub ends: u64,
    /// This certificate.
    pub thumbprint: Thumbprint,
    /// Its serial number in hex.
    pub serial: String,
}

/// The path of its one name tells it from an identity, whose second part is a role.
pub(super) fn operator_uri(cluster: &ClusterId, name: &OperatorName) -> String {
    format!("swarm-broker://{cluster}/operator/{name}")
}

impl OperatorCertificate {
    /// Reads an operator from a certificate that a verifier of the issuing CAs has accepted, or from one of one's own.
    pub fn from_verified(certificate: &CertificateDer<'_>) -> Result<Self, AuthorityError> {
        let wrong = || AuthorityError::Certificate("an operator's certificate");
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| wrong())?;
        let names = parsed.subject_alternative_name().map_err(|_| wrong())?.ok_or_else(wrong)?;
        let [GeneralName::URI(uri)] = names.value.general_names[..] else { return Err(wrong()) };
        let path = uri.strip_prefix("swarm-broker://").ok_or_else(wrong)?;
        let parts: Vec<&str> = path.split('/').collect();
        let [cluster, "operator", name] = parts[..] else { return Err(wrong()) };
        Ok(Self {
            cluster: cluster.parse().map_err(|_| wrong())?,
            name: name.parse().map_err(|_| wrong())?,
            key: KeyHash::of_spki(parsed.public_key().raw),
            ends: u64::try_from(parsed.validity().not_after.timestamp()).map_err(|_| wrong())?,
            thumbprint: Thumbprint::of(certificate),
            serial: parsed.raw_serial_as_string().replace(':', ""),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_that_swarm_and_a_url_take_as_they_are() {
        for name in ["jane", "j", "7", "jane.doe", "ci-1", "a_b", &"a".repeat(LONGEST)] {
            assert_eq!(name.parse::<OperatorName>().expect("a name").as_str(), name);
        }
        for text in ["", "Jane", "-a", "a-", ".", "a/b", "a b", "é", "a\n", &"a".repeat(LONGEST + 1)] {
            assert_eq!(text.parse::<OperatorName>(), Err(NotAName), "{text:?}");
        }
    }
}
