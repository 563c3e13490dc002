//! The one strict verifier of signed statements, and their signer.
//!
//! Keeps promise 3 (verify, then spend) as RFC 8725 asks: one algorithm, one `typ` each, no header that picks a key.
//! Must not know what an invite or a grant means: it gives back claims whose signature holds, nothing more.

mod keys;
mod verify;

pub(crate) use keys::{KeyId, PublicKey, Signer};
pub(crate) use verify::{JwtError, named_key, verify};
