//! Ids, parsed at the edge: a `NodeId` that exists is well-formed.
//!
//! Keeps promise 2 (one key per grant): keys are known by the hash of their public key, in full length.
//! Must not carry anything that is not an id; none of these is a secret.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Text that is not the id it should be.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("'{text}' is not {what}")]
pub struct IdError {
    what: &'static str,
    text: String,
}

impl IdError {
    fn new(what: &'static str, text: &str) -> Self {
        // Enough to recognise it, never enough to flood a log.
        let text = text.chars().take(40).flat_map(char::escape_debug).collect();
        Self { what, text }
    }
}

/// Defines an id that is text of a fixed alphabet and length.
macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $length:expr, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.len() == $length && text.bytes().all(allowed) {
                    Ok(Self(text.to_owned()))
                } else {
                    Err(IdError::new($what, text))
                }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

fn lower_hex(byte: u8) -> bool {
    byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte)
}

fn lower_alphanumeric(byte: u8) -> bool {
    byte.is_ascii_digit() || byte.is_ascii_lowercase()
}

fn base64url(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_'
}

/// 128 random bits as 32 lower-case hex digits: config names in Swarm are compared in lower case.
fn random_hex() -> String {
    hex(&crate::random::<16>())
}

fn hex(bytes: &[u8]) -> String {
    use fmt::Write as _;
    bytes.iter().fold(String::with_capacity(2 * bytes.len()), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

text_id! {
    /// The cluster's own id, made by `broker init`; it outlives the swarm.
    ClusterId, "a cluster id (32 lower-case hex digits)", 32, lower_hex
}

text_id! {
    /// The id of an invite.
    InviteId, "an invite id (32 lower-case hex digits)", 32, lower_hex
}

text_id! {
    /// A swarm node's id as Docker makes it; also the CN of its node certificate.
    NodeId, "a swarm node id (25 lower-case letters and digits)", 25, lower_alphanumeric
}

text_id! {
    /// Docker's id of a swarm; also the O of its node certificates.
    SwarmId, "a swarm id (25 lower-case letters and digits)", 25, lower_alphanumeric
}

text_id! {
    /// SHA-256 of a public key (the DER of its SubjectPublicKeyInfo) in base64url: how the ledger knows a key.
    KeyHash, "a key hash (43 characters of base64url)", 43, base64url
}

text_id! {
    /// SHA-256 of the root certificate's DER in base64url: what user-data pins.
    Pin, "a pin (43 characters of base64url)", 43, base64url
}

text_id! {
    /// A grant's `jti`: 128 random bits in hex.
    GrantId, "a grant id (32 lower-case hex digits)", 32, lower_hex
}

text_id! {
    /// SHA-256 of a grant's `jti` in base64url: how ledger, node label and audit log name the grant.
    GrantHash, "a grant hash (43 characters of base64url)", 43, base64url
}

text_id! {
    /// SHA-256 of a joiner program in lower-case hex: how user-data and brokers name the program.
    JoinerHash, "the SHA-256 of a joiner (64 lower-case hex digits)", 64, lower_hex
}

impl ClusterId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(random_hex())
    }
}

impl InviteId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(random_hex())
    }
}

impl GrantId {
    /// A new random id.
    #[must_use]
    pub fn random() -> Self {
        Self(random_hex())
    }

    /// What others may know of this id.
    #[must_use]
    pub fn hash(&self) -> GrantHash {
        GrantHash(sha256_base64url(self.0.as_bytes()))
    }
}

impl KeyHash {
    /// The hash of a public key, given the DER of its SubjectPublicKeyInfo.
    #[must_use]
    pub fn of_spki(der: &[u8]) -> Self {
        Self(sha256_base64url(der))
    }
}

impl Pin {
    /// The pin of a root certificate, given its DER.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(sha256_base64url(der))
    }
}

impl JoinerHash {
    /// The hash of a whole program.
    #[must_use]
    pub fn of(program: &[u8]) -> Self {
        Self(hex(&Sha256::digest(program)))
    }
}

fn sha256_base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(bytes))
}

/// What a machine joins as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Runs tasks.
    Worker,
    /// Runs tasks and is a member of raft.
    Manager,
}

impl Role {
    /// The role as text, as Docker writes it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Worker => "worker",
            Self::Manager => "manager",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = IdError;

    fn from_str(text: &str) -> Result<Self, IdError> {
        match text {
            "worker" => Ok(Self::Worker),
            "manager" => Ok(Self::Manager),
            _ => Err(IdError::new("a role (worker or manager)", text)),
        }
    }
}

/// The processor that a joiner is built for, named as `uname -m` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// AMD and Intel, 64 bits.
    #[serde(rename = "x86_64")]
    X86_64,
    /// ARM, 64 bits.
    Aarch64,
}

impl Architecture {
    /// The architecture as text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_is_not_well_formed_is_refused() {
        assert!("0123456789abcdef0123456789abcdef".parse::<ClusterId>().is_ok());
        assert!("0123456789ABCDEF0123456789abcdef".parse::<ClusterId>().is_err());
        assert!("0123456789abcdef".parse::<ClusterId>().is_err());
        assert!("../../../../etc/passwd0000".parse::<NodeId>().is_err());
        assert!("k9vqn1p0r3a8j2m4x6t5b7c1d".parse::<NodeId>().is_ok());
    }

    #[test]
    fn an_error_shows_hostile_text_bounded_and_on_one_line() {
        let error = "a\nb\u{1b}[31m".repeat(100).parse::<NodeId>().expect_err("not an id");
        let text = error.to_string();
        assert!(!text.contains('\n') && !text.contains('\u{1b}'), "{text}");
        assert!(text.len() < 300, "{text}");
    }

    #[test]
    fn the_hash_of_a_grant_does_not_show_the_grant() {
        let id = GrantId::random();
        assert!(!id.hash().as_str().contains(id.as_str()));
        assert_eq!(id.hash(), id.hash());
        assert_ne!(id.hash(), GrantId::random().hash());
    }

    #[test]
    fn a_joiner_is_named_as_sha256sum_names_it() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(JoinerHash::of(b"").as_str(), empty);
        assert!(empty.to_uppercase().parse::<JoinerHash>().is_err() && empty[1..].parse::<JoinerHash>().is_err());
    }

    #[test]
    fn an_architecture_is_one_word_everywhere() {
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            let written = serde_json::to_string(&architecture).expect("serialises");
            assert_eq!(written, format!("\"{architecture}\""));
        }
    }
}
