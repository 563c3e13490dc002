//! Keys of signed statements: P-256 for ES256, known by an id that follows from the key.
//!
//! Must not accept a key id that does not belong to its key.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::SigningKey;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::JwtError;

/// A key's id: the first half of the SHA-256 of its public point, as 32 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct KeyId(String);

impl FromStr for KeyId {
    type Err = JwtError;

    fn from_str(text: &str) -> Result<Self, JwtError> {
        let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        if text.len() == 32 && text.bytes().all(hex) { Ok(Self(text.to_owned())) } else { Err(JwtError::Header) }
    }
}

impl TryFrom<String> for KeyId {
    type Error = JwtError;

    fn try_from(text: String) -> Result<Self, JwtError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(id: KeyId) -> String {
        id.0
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A public P-256 key: an uncompressed point of 65 bytes (SEC 1 §2.3.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey(Vec<u8>);

impl PublicKey {
    /// Reads what [`PublicKey::to_text`] wrote.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        Self::from_point(&URL_SAFE_NO_PAD.decode(text).ok()?)
    }

    /// Takes a point by its bytes; whether it is on the curve is checked at each use.
    pub(crate) fn from_point(bytes: &[u8]) -> Option<Self> {
        (bytes.len() == 65 && bytes[0] == 4).then(|| Self(bytes.to_vec()))
    }

    /// The point in base64url, for the ledger.
    pub(crate) fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(&self.0)
    }

    /// The point.
    pub(crate) fn point(&self) -> &[u8] {
        &self.0
    }

    /// The key's id.
    pub(crate) fn id(&self) -> KeyId {
        use fmt::Write as _;
        KeyId(Sha256::digest(&self.0).iter().take(16).fold(String::with_capacity(32), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }))
    }

    pub(super) fn decoding(&self) -> DecodingKey {
        DecodingKey::from_ec_der(&self.0)
    }
}

/// Signs statements of one `typ` with one key.
pub(crate) struct Signer {
    key: EncodingKey,
    header: Header,
    public: PublicKey,
}

impl Signer {
    /// Signs as `typ` with this key.
    pub(crate) fn new(typ: &str, key: &SigningKey) -> Self {
        let public = PublicKey(key.public_point().to_vec());
        let mut header = Header::new(Algorithm::ES256);
        header.typ = Some(typ.to_owned());
        header.kid = Some(public.id().to_string());
        Self { key: EncodingKey::from_ec_der(&key.to_pkcs8()), header, public }
    }

    /// The public key that verifies.
    pub(crate) fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs claims: a JWS in compact form.
    pub(crate) fn sign<T: Serialize>(&self, claims: &T) -> Result<String, JwtError> {
        jsonwebtoken::encode(&self.header, claims, &self.key).map_err(|_| JwtError::Signing)
    }
}
