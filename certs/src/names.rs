//! The DNS names in server certificates, which carry the generation of the issuing CA.
//!
//! Keeps DESIGN §3b (the pin outlives everything): a joiner asks for "generation K or later" by a name, and the
//! root allows an issuing CA of generation N the names of 1 to N only, as name constraints that webpki enforces.
//! Must not be derived from an address: managers need none in their certificates.

use protocol::ClusterId;

/// The name that every server certificate of the cluster carries.
pub(crate) fn fixed(cluster: &ClusterId) -> String {
    protocol::server_name(cluster)
}

/// The name that says: issued by generation `generation` or a later one.
pub(crate) fn at_least(cluster: &ClusterId, generation: u32) -> String {
    format!("{cluster}.g{generation}.swarm-broker.internal")
}

/// All names of a server certificate from generation `generation`.
#[cfg(feature = "authority")]
pub(crate) fn all(cluster: &ClusterId, generation: u32) -> Vec<String> {
    std::iter::once(fixed(cluster)).chain((1..=generation).map(|earlier| at_least(cluster, earlier))).collect()
}
