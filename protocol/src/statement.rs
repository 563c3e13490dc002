//! What the identity key signs besides its certificate request: that a node is the one its grant was for, and that a
//! broker on it asks for the cluster's keys. The latter is signed by that broker's grant key, too.
//!
//! Keeps promise 2 (one key per grant): the bytes bind each field, so a copy serves nobody else.
//! Must not be readable as anything else that a key of ours signs: each kind begins with a context of its own.

use crate::{ClusterId, GrantId, NodeId};

/// What such a key signs, with ECDSA P-256 and SHA-256.
pub trait Signable {
    /// The bytes to sign.
    fn bytes(&self) -> Vec<u8>;
}

/// The statement of a join: "this node is the one my grant was for".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The grant that was redeemed.
    pub grant: &'a GrantId,
    /// The node the machine became.
    pub node: &'a NodeId,
    /// The cluster it became part of.
    pub cluster: &'a ClusterId,
}

impl Signable for Statement<'_> {
    fn bytes(&self) -> Vec<u8> {
        fields(["swarm-broker join statement v1", self.grant.as_str(), self.node.as_str(), self.cluster.as_str()])
    }
}

/// The statement of a hand-over: "the broker with this key, on my node, asks for the cluster's keys".
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HandoverStatement<'a> {
    /// The id that the new broker gave itself: hex digits.
    pub broker: &'a str,
    /// The public key of its grants, in base64url.
    pub grant_key: &'a str,
    /// The node it runs on.
    pub node: &'a NodeId,
    /// The cluster whose keys it asks for.
    pub cluster: &'a ClusterId,
}

impl Signable for HandoverStatement<'_> {
    fn bytes(&self) -> Vec<u8> {
        fields([
            "swarm-broker handover statement v1",
            self.broker,
            self.grant_key,
            self.node.as_str(),
            self.cluster.as_str(),
        ])
    }
}

/// The context and each field, each closed by a zero byte, which none of them may contain.
fn fields<const N: usize>(fields: [&str; N]) -> Vec<u8> {
    fields.iter().flat_map(|field| field.bytes().chain([0])).collect()
}
