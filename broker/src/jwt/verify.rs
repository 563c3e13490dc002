//! Verifying a JWS: length, form, header, key, signature, claims, in this order.
//!
//! Keeps RFC 8725 §3.1, §3.11 and §3.12. Must not parse anything of a text that is too long, nor any claim before
//! the signature holds.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{KeyId, PublicKey};

/// Why a text is not a statement of the kind that was asked for. It never shows the text.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum JwtError {
    #[error("longer than it can be")]
    TooLong,
    #[error("not three parts of base64url")]
    Form,
    #[error("its header is not exactly alg, typ and kid as they should be")]
    Header,
    #[error("signed by a key that is not known")]
    UnknownKey,
    #[error("its signature does not hold")]
    Signature,
    #[error("its claims are not exactly those it should have")]
    Claims,
    #[error("it could not be signed")]
    Signing,
}

/// The only header there is. `jku`, `x5u`, `jwk`, `crit`, `zip` and whatever else are unknown fields.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    typ: String,
    kid: KeyId,
}

/// The id of the key that a JWS says it was signed with, so that the key can be looked up before it is verified.
pub(crate) fn named_key(jws: &str, longest: usize) -> Result<KeyId, JwtError> {
    if jws.len() > longest {
        return Err(JwtError::TooLong);
    }
    let (header, _) = jws.split_once('.').ok_or(JwtError::Form)?;
    let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| JwtError::Form)?;
    let header: Header = serde_json::from_slice(&header).map_err(|_| JwtError::Header)?;
    Ok(header.kid)
}

/// Verifies a compact JWS of this `typ`, at most `longest` bytes long, and gives its claims and its key's id.
pub(crate) fn verify<T: DeserializeOwned>(
    jws: &str,
    typ: &str,
    longest: usize,
    key: impl FnOnce(&KeyId) -> Option<PublicKey>,
) -> Result<(T, KeyId), JwtError> {
    if jws.len() > longest {
        return Err(JwtError::TooLong);
    }
    let (message, signature) = jws.rsplit_once('.').ok_or(JwtError::Form)?;
    let (header, claims) = message.split_once('.').ok_or(JwtError::Form)?;
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Form);
    let (header, claims, signature_bytes) = (decode(header)?, decode(claims)?, decode(signature)?);

    let header: Header = serde_json::from_slice(&header).map_err(|_| JwtError::Header)?;
    if header.alg != "ES256" || header.typ != typ {
        return Err(JwtError::Header);
    }
    let public = key(&header.kid).filter(|public| public.id() == header.kid).ok_or(JwtError::UnknownKey)?;
    // RFC 7518 §3.4: exactly R and S, 32 bytes each, and never zero.
    let halves = signature_bytes.split_at_checked(32).filter(|(_, s)| s.len() == 32);
    if !halves.is_some_and(|(r, s)| r.iter().any(|byte| *byte != 0) && s.iter().any(|byte| *byte != 0)) {
        return Err(JwtError::Signature);
    }
    match jsonwebtoken::crypto::verify(signature, message.as_bytes(), &public.decoding(), Algorithm::ES256) {
        Ok(true) => {}
        Ok(false) | Err(_) => return Err(JwtError::Signature),
    }
    let claims = serde_json::from_slice(&claims).map_err(|_| JwtError::Claims)?;
    Ok((claims, header.kid))
}

#[cfg(test)]
mod tests {
    use certs::SigningKey;
    use serde::Serialize;
    use serde_json::{Value, json};

    use super::*;
    use crate::jwt::Signer;

    const TYP: &str = "test+jwt";

    #[derive(Debug, Serialize, Deserialize, PartialEq)]
    #[serde(deny_unknown_fields)]
    struct Claims {
        exp: u64,
    }

    struct Forge {
        key: SigningKey,
        signer: Signer,
    }

    impl Forge {
        fn new() -> Self {
            let key = SigningKey::generate().expect("made");
            let signer = Signer::new(TYP, &key);
            Self { key, signer }
        }

        fn kid(&self) -> String {
            self.signer.public().id().to_string()
        }

        /// Signs whatever header and claims, with the right key.
        fn sign(&self, header: &Value, claims: &str) -> String {
            let encode = |text: String| URL_SAFE_NO_PAD.encode(text);
            let message = format!("{}.{}", encode(header.to_string()), encode(claims.to_owned()));
            let key = jsonwebtoken::EncodingKey::from_ec_der(&self.key.to_pkcs8());
            let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::ES256).expect("signs");
            format!("{message}.{signature}")
        }

        fn verify(&self, jws: &str) -> Result<Claims, JwtError> {
            verify(jws, TYP, 1024, |kid| (*kid == self.signer.public().id()).then(|| self.signer.public().clone()))
                .map(|(claims, _)| claims)
        }
    }

    #[test]
    fn what_was_signed_is_verified() {
        let forge = Forge::new();
        let jws = forge.signer.sign(&Claims { exp: 5 }).expect("signs");
        assert_eq!(forge.verify(&jws), Ok(Claims { exp: 5 }));
    }

    #[test]
    fn every_header_but_the_one_is_refused() {
        let forge = Forge::new();
        let kid = forge.kid();
        let good = json!({"alg": "ES256", "typ": TYP, "kid": kid});
        assert!(forge.verify(&forge.sign(&good, r#"{"exp":5}"#)).is_ok());
        for bad in [
            json!({"alg": "none", "typ": TYP, "kid": kid}),
            json!({"alg": "HS256", "typ": TYP, "kid": kid}),
            json!({"alg": "es256", "typ": TYP, "kid": kid}),
            json!({"alg": "ES256", "typ": "JWT", "kid": kid}),
            json!({"alg": "ES256", "kid": kid}),
            json!({"alg": "ES256", "typ": TYP}),
            json!({"alg": "ES256", "typ": TYP, "kid": ""}),
            json!({"alg": "ES256", "typ": TYP, "kid": "../../etc/passwd"}),
            json!({"alg": "ES256", "typ": TYP, "kid": kid, "jku": "https://127.0.0.1/keys"}),
            json!({"alg": "ES256", "typ": TYP, "kid": kid, "jwk": {}}),
            json!({"alg": "ES256", "typ": TYP, "kid": kid, "x5u": "https://127.0.0.1/c"}),
            json!({"alg": "ES256", "typ": TYP, "kid": kid, "crit": ["exp"]}),
            json!({"alg": "ES256", "typ": TYP, "kid": kid, "b64": false}),
            json!([]),
        ] {
            assert_eq!(forge.verify(&forge.sign(&bad, r#"{"exp":5}"#)), Err(JwtError::Header), "{bad}");
        }
    }

    #[test]
    fn every_claim_set_but_the_right_one_is_refused() {
        let forge = Forge::new();
        let header = json!({"alg": "ES256", "typ": TYP, "kid": forge.kid()});
        for bad in [
            "{}",
            r#"{"exp":"5"}"#,
            r#"{"exp":5.0}"#,
            r#"{"exp":-5}"#,
            r#"{"exp":1e3}"#,
            r#"{"exp":null}"#,
            r#"{"exp":5,"exp":9}"#,
            r#"{"exp":5,"more":1}"#,
            r#"{"exp":99999999999999999999999}"#,
            "[]",
            "",
        ] {
            assert_eq!(forge.verify(&forge.sign(&header, bad)), Err(JwtError::Claims), "{bad}");
        }
    }

    #[test]
    fn signatures_that_say_nothing_are_refused() {
        let forge = Forge::new();
        let jws = forge.signer.sign(&Claims { exp: 5 }).expect("signs");
        let (message, signature) = jws.rsplit_once('.').expect("three parts");
        let bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
        let mut flipped = bytes.clone();
        flipped[40] ^= 1;
        // CVE-2022-21449: a signature of zeros.
        let zeros = vec![0; 64];
        let half = [vec![0; 32], bytes[32..].to_vec()].concat();
        let order = [vec![0xff; 32], vec![0xff; 32]].concat();
        for bad in [flipped, zeros, half, order, bytes[..63].to_vec(), [bytes, vec![0]].concat(), vec![]] {
            let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(&bad));
            assert_eq!(forge.verify(&forged), Err(JwtError::Signature), "{bad:?}");
        }
    }

    #[test]
    fn other_keys_other_texts_and_long_texts_are_refused() {
        let forge = Forge::new();
        let jws = forge.signer.sign(&Claims { exp: 5 }).expect("signs");
        let other = Forge::new();
        assert_eq!(other.verify(&jws), Err(JwtError::UnknownKey));
        assert_eq!(forge.verify(&"a.b.c".repeat(1000)), Err(JwtError::TooLong));
        for text in
            ["", ".", "..", "a", &format!("{jws}="), &format!("{jws}."), &format!(".{jws}"), &jws.replace('.', "..")]
        {
            assert!(
                matches!(forge.verify(text), Err(JwtError::Form | JwtError::Header | JwtError::Signature)),
                "{text}"
            );
        }
    }

    #[test]
    fn a_key_under_another_ones_id_is_not_known() {
        let (forge, other) = (Forge::new(), Forge::new());
        let header = json!({"alg": "ES256", "typ": TYP, "kid": other.kid()});
        let jws = forge.sign(&header, r#"{"exp":5}"#);
        let verified = verify::<Claims>(&jws, TYP, 1024, |_| Some(forge.signer.public().clone()));
        assert_eq!(verified.err(), Some(JwtError::UnknownKey));
    }
}
