//! Randomness, from the kernel.
//!
//! Must not fall back to anything weaker: ids, serial numbers and keys hang on it.

/// Random bytes.
#[allow(clippy::missing_panics_doc, reason = "it cannot: see below")]
pub fn random<const N: usize>() -> [u8; N] {
    const { assert!(N <= 256, "more than the kernel gives at once") };
    let mut bytes = [0; N];
    // Cannot fail: for up to 256 bytes getrandom(2) waits until the kernel's pool is ready, and then neither fails nor
    // is interrupted; on kernels before 3.17, which Docker does not run on, there was no such call.
    getrandom::getrandom(&mut bytes).expect("the kernel gives random bytes");
    bytes
}
