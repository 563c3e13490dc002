//! A cosignature: another broker has seen a head, and that it continues the one before (C2SP tlog-cosignature, v1).
//!
//! Keeps promise 11: a log that was put back or forked has two heads, and both cannot be cosigned. Must not be made before
//! the log was held against what is known of it.

use ed25519_dalek::{SIGNATURE_LENGTH, Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use signed_note::{Note, Signer, Verifier, VerifierList, key_id};

/// The algorithm's number in what a cosignature's key id is derived from.
const COSIGNATURE: u8 = 4;
/// The bytes of a time.
const TIME: usize = 8;

/// Cosigns a note, at this time.
pub(super) struct Cosigner<'a> {
    pub(super) name: &'a str,
    pub(super) key: &'a SigningKey,
    /// In seconds since 1970.
    pub(super) now: u64,
}

/// Verifies a cosignature.
struct Cosigned {
    name: String,
    key: VerifyingKey,
}

fn id(name: &str, key: &VerifyingKey) -> u32 {
    key_id(name, &[&[COSIGNATURE], key.as_bytes().as_slice()].concat())
}

/// What is signed.
fn message(time: u64, note: &[u8]) -> Vec<u8> {
    [format!("cosignature/v1\ntime {time}\n").as_bytes(), note].concat()
}

impl Signer for Cosigner<'_> {
    fn name(&self) -> &str {
        self.name
    }

    fn key_id(&self) -> u32 {
        id(self.name, &self.key.verifying_key())
    }

    fn sign(&self, note: &[u8]) -> Result<Vec<u8>, ed25519_dalek::SignatureError> {
        let signature = self.key.try_sign(&message(self.now, note))?;
        Ok([self.now.to_be_bytes().as_slice(), &signature.to_bytes()].concat())
    }
}

impl Verifier for Cosigned {
    fn name(&self) -> &str {
        &self.name
    }

    fn key_id(&self) -> u32 {
        id(&self.name, &self.key)
    }

    fn verify(&self, note: &[u8], signature: &[u8]) -> bool {
        let Some((time, signature)) = signature.split_first_chunk::<TIME>() else { return false };
        let Ok(signature) = <&[u8; SIGNATURE_LENGTH]>::try_from(signature) else { return false };
        let message = message(u64::from_be_bytes(*time), note);
        self.key.verify(&message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// Whether this key has cosigned a note.
pub(super) fn is_cosigned(note: &Note, name: &str, key: VerifyingKey) -> bool {
    let known = VerifierList::new(vec![Box::new(Cosigned { name: name.to_owned(), key })]);
    note.verify(&known).is_ok()
}
