//! What the identity key signs at the confirm: "this node is the one my grant was for".
//!
//! Keeps promise 2 (one key per grant): the bytes bind grant, node and cluster, so a copy serves nobody else.
//! Must not be readable as anything else that a key of ours signs: it begins with a context of its own.

use crate::{ClusterId, GrantId, NodeId};

const CONTEXT: &[u8] = b"swarm-broker join statement v1";

/// The statement of a join, signed with ECDSA P-256 and SHA-256 by the identity key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement<'a> {
    /// The grant that was redeemed.
    pub grant: &'a GrantId,
    /// The node the machine became.
    pub node: &'a NodeId,
    /// The cluster it became part of.
    pub cluster: &'a ClusterId,
}

impl Statement<'_> {
    /// The bytes to sign: the context and each field, each closed by a zero byte, which none of them can contain.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let fields =
            [CONTEXT, self.grant.as_str().as_bytes(), self.node.as_str().as_bytes(), self.cluster.as_str().as_bytes()];
        fields.iter().flat_map(|field| field.iter().copied().chain([0])).collect()
    }
}
