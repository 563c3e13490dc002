//! The signed word on a manager's node that the broker on it may have the cluster's keys.
//!
//! It is signed by the issuing key, which all brokers have and nobody else, and good for as long as that CA is trusted: a manager that came in raw can write into
//! the swarm's store whatever it likes, but not this.

use std::collections::BTreeMap;

use protocol::{ClusterId, KeyHash, NodeId, SwarmId};
use serde::{Deserialize, Serialize};

use crate::audit::Reason;
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::jwt::{self, PublicKey, Signer};

/// The node label that holds it.
pub(crate) const LABEL: &str = "swarm-broker.manager";
/// The `typ` of its JWS header: it never passes for an invite, nor an invite for it.
pub(super) const TYP: &str = "swarm-voucher+jwt";
/// The longest one that is looked at, in bytes.
const LONGEST: usize = 1024;

/// What it says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Voucher {
    /// The cluster whose keys may be asked for.
    pub(crate) iss: ClusterId,
    /// The node that is explained as a manager.
    pub(crate) sub: NodeId,
    /// The swarm that it is a node of.
    pub(crate) swarm: SwarmId,
    /// When it was explained.
    pub(crate) iat: u64,
    /// The identity key that confirmed it, which must ask; none where an operator adopted the node.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<KeyHash>,
}

/// The label for a node that is explained as a manager now: by a grant, whose key is named, or by adoption.
pub(crate) fn vouch(broker: &Broker, node: &NodeId, key: Option<KeyHash>) -> Result<String, Denial> {
    let swarm = broker.membership().map(|membership| membership.swarm);
    let swarm = swarm.ok_or_else(|| Denial::Unavailable("the engine is not a manager".into()))?;
    let voucher = Voucher { iss: broker.cluster.clone(), sub: node.clone(), swarm, iat: clock::now(), key };
    signer(broker).sign(&voucher).map_err(|error| Denial::Unavailable(error.to_string()))
}

/// Whether a node with these labels is explained as a manager.
pub(crate) fn is_vouched(broker: &Broker, node: &NodeId, labels: &BTreeMap<String, String>) -> bool {
    let swarm = broker.membership().map(|membership| membership.swarm);
    let (Some(swarm), Some(label)) = (swarm, labels.get(LABEL)) else { return false };
    Voucher::read(label, &trusted(broker), &broker.cluster, &swarm, node).is_ok()
}

/// The public keys of the issuing CAs that are trusted.
pub(super) fn trusted(broker: &Broker) -> Vec<PublicKey> {
    let trusted = broker.keys.trusted.get();
    trusted.iter().filter_map(|issuing| PublicKey::from_point(&issuing.public_point())).collect()
}

/// Signs vouchers by the issuing key that is in use.
pub(super) fn signer(broker: &Broker) -> Signer {
    Signer::new(TYP, broker.keys.issuing.get().key())
}

impl Voucher {
    /// One that an operator's word is behind, as of now.
    pub(super) fn adopted(cluster: ClusterId, node: NodeId, swarm: SwarmId) -> Self {
        Self { iss: cluster, sub: node, swarm, iat: clock::now(), key: None }
    }

    /// Reads a label that one of these keys signed, and whether it is about this node of this swarm and cluster.
    pub(crate) fn read(
        label: &str,
        keys: &[PublicKey],
        cluster: &ClusterId,
        swarm: &SwarmId,
        node: &NodeId,
    ) -> Result<Self, Reason> {
        let ours = |id: &jwt::KeyId| keys.iter().find(|key| key.id() == *id).cloned();
        let (voucher, _) = jwt::verify::<Self>(label, TYP, LONGEST, ours).map_err(|_| Reason::NoManager)?;
        let fits = voucher.iss == *cluster && voucher.sub == *node && voucher.swarm == *swarm;
        if fits { Ok(voucher) } else { Err(Reason::NoManager) }
    }
}
