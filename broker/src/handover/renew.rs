//! Vouchers follow the issuing CA: what the former one signed is signed anew while it is trusted.
//!
//! Must not sign anew what a void CA signed: whoever has its key may have written it. Those managers are adopted anew.

use std::collections::BTreeMap;

use protocol::{NodeId, Role};

use super::voucher::{LABEL, Voucher, signer, trusted};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::fleet::NodeLine;
use crate::jwt::PublicKey;
use crate::swarm::NodeChange;

/// The managers whose vouchers this broker should sign anew. Only who has the newest issuing CA does.
pub(crate) fn to_renew(broker: &Broker, nodes: &[NodeLine]) -> Vec<NodeId> {
    if !has_newest(broker) {
        return Vec::new();
    }
    let managers = nodes.iter().filter(|node| node.role == Role::Manager);
    managers.filter(|node| renewed(broker, &node.id, &node.labels).is_some()).map(|node| node.id.clone()).collect()
}

fn has_newest(broker: &Broker) -> bool {
    broker.keys.issuing.get().public().generation >= broker.keys.generations.get().newest()
}

/// Signs a manager's voucher anew.
pub(crate) async fn renew(broker: &Broker, node: &NodeId) -> Result<(), Denial> {
    // In this order: where the list of CAs moves on after it was read, whoever moved it changes the node after us.
    let node = broker.engine.node(node).await?;
    crate::keys::follow(broker).await?;
    if !has_newest(broker) {
        return Ok(());
    }
    let Some(voucher) = renewed(broker, &node.id, &node.labels).filter(|_| node.role == Role::Manager) else {
        return Ok(());
    };
    let label = signer(broker).sign(&voucher).map_err(|error| Denial::Unavailable(error.to_string()))?;
    let labels = BTreeMap::from([(LABEL.to_owned(), label)]);
    broker.engine.change_node(&node, NodeChange { labels, ..NodeChange::default() }).await?;
    Ok(())
}

/// The voucher for a node whose label another CA than the newest signed: one that is trusted. This broker's own node has
/// its keys already.
fn renewed(broker: &Broker, node: &NodeId, labels: &BTreeMap<String, String>) -> Option<Voucher> {
    let membership = broker.membership()?;
    let (label, current) = (labels.get(LABEL)?, signer(broker).public().clone());
    let read = |keys: &[PublicKey]| Voucher::read(label, keys, &broker.cluster, &membership.swarm, node).ok();
    if read(std::slice::from_ref(&current)).is_some() {
        return None;
    }
    let own = || Voucher::adopted(broker.cluster.clone(), node.clone(), membership.swarm.clone());
    read(&trusted(broker)).or_else(|| (*node == membership.node).then(own))
}
