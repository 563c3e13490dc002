//! After a leak of the issuing key: which managers are still believed.
//!
//! Whoever had that key could write a voucher for any node, so none of them says anything any more. What this broker wrote
//! into its own log does: an operator adopted or promoted the node, or it joined by an invite that was made here. Those are vouched for
//! anew; of the others an operator must say that they belong here.
//! Must not take a node's labels, the ledger or a hand-over for a reason: who holds stolen keys can bring those about.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use protocol::{InviteId, KeyHash, NodeId, Role};
use serde::Deserialize;

use super::voucher::{LABEL, signer};
use super::{Voucher, is_vouched};
use crate::audit::{self, AuditError};
use crate::broker::Broker;
use crate::denial::Denial;
use crate::swarm::{EngineError, Node, NodeChange};

/// How often a node's update is tried that others keep overtaking.
const TRIES: usize = 8;

/// What a log says of managers: each with the identity key that joined it, if one did.
#[derive(Debug, Default)]
struct Explained {
    made: HashSet<InviteId>,
    managers: BTreeMap<NodeId, Option<KeyHash>>,
}

/// The fields that matter here; records of a newer release may have more.
#[derive(Deserialize)]
struct Fields {
    event: String,
    node: Option<NodeId>,
    role: Option<Role>,
    invite: Option<InviteId>,
    key: Option<KeyHash>,
}

impl Explained {
    fn read(log: &Path) -> Result<Self, AuditError> {
        let mut explained = Self::default();
        audit::each(log, u64::MAX, |line| {
            explained.take(serde_json::from_slice(line).map_err(|error| error.to_string())?);
            Ok(())
        })?;
        Ok(explained)
    }

    fn take(&mut self, fields: Fields) {
        let Fields { event, node, role, invite, key } = fields;
        match (event.as_str(), node, invite) {
            ("invite.made", _, Some(invite)) => drop(self.made.insert(invite)),
            ("node.joined", Some(node), Some(invite)) if role == Some(Role::Manager) && self.made.contains(&invite) => {
                self.managers.insert(node, key);
            }
            ("node.adopted", Some(node), _) if role == Some(Role::Manager) => drop(self.managers.insert(node, None)),
            ("node.role-changed", Some(node), _) if role == Some(Role::Manager) => {
                drop(self.managers.insert(node, key));
            }
            ("node.role-changed", Some(node), _) => drop(self.managers.remove(&node)),
            _ => {}
        }
    }
}

/// The managers besides this one that this broker's log does not explain: after a leak they must be adopted.
pub(crate) async fn unexplained_by_log(broker: &Broker) -> Result<Vec<Node>, Denial> {
    let explained = explained(broker).await?;
    Ok(managers(broker).await?.into_iter().filter(|node| !explained.managers.contains_key(&node.id)).collect())
}

/// Vouches anew for the managers that this broker's log explains, by the issuing key that is in use now. Gives those that
/// nobody vouches for now.
pub(crate) async fn vouch_anew(broker: &Broker) -> Result<Vec<Node>, Denial> {
    let explained = explained(broker).await?;
    let mut left = Vec::new();
    for node in managers(broker).await? {
        match explained.managers.get(&node.id) {
            Some(key) => vouch(broker, node, key.clone()).await?,
            // An operator was faster.
            None if is_vouched(broker, &node.id, &node.labels) => {}
            None => left.push(node),
        }
    }
    Ok(left)
}

async fn explained(broker: &Broker) -> Result<Explained, Denial> {
    let log = broker.keys.log();
    let read = tokio::task::spawn_blocking(move || Explained::read(&log)).await;
    let read = read.map_err(|_| Denial::Unavailable("the broker is stopping".into()))?;
    read.map_err(|error| Denial::Unavailable(error.to_string()))
}

/// The other managers.
async fn managers(broker: &Broker) -> Result<Vec<Node>, Denial> {
    let own = broker.membership().ok_or_else(|| Denial::Unavailable("the engine is not a manager".into()))?.node;
    let nodes = broker.engine.nodes().await?;
    Ok(nodes.into_iter().filter(|node| node.role == Role::Manager && node.id != own).collect())
}

async fn vouch(broker: &Broker, mut node: Node, key: Option<KeyHash>) -> Result<(), Denial> {
    let swarm = broker.membership().ok_or_else(|| Denial::Unavailable("the engine is not a manager".into()))?.swarm;
    let voucher = Voucher { key, ..Voucher::adopted(broker.cluster.clone(), node.id.clone(), swarm) };
    let label = signer(broker).sign(&voucher).map_err(|error| Denial::Unavailable(error.to_string()))?;
    for _ in 0..TRIES {
        let labels = BTreeMap::from([(LABEL.to_owned(), label.clone())]);
        match broker.engine.change_node(&node, NodeChange { labels, ..NodeChange::default() }).await {
            Err(EngineError::OutOfSequence) => node = broker.engine.node(&node.id).await?,
            // Or it was removed since.
            Ok(()) | Err(EngineError::NotFound) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
    Err(Denial::Unavailable("the node keeps being changed by others".into()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn only_what_an_operator_did_here_explains_a_manager() {
        let (made, forged) = (InviteId::random(), InviteId::random());
        let key = KeyHash::of_spki(b"key");
        let node = |last: char| format!("{}{last}", "a".repeat(24));
        let records = [
            json!({"event": "invite.made", "invite": made}),
            json!({"event": "node.joined", "node": node('a'), "role": "manager", "invite": made, "key": key}),
            // By an invite that a stolen key signed; a worker; and one that had itself vouched for by a stolen key.
            json!({"event": "node.joined", "node": node('b'), "role": "manager", "invite": forged, "key": key}),
            json!({"event": "node.joined", "node": node('c'), "role": "worker", "invite": made, "key": key}),
            json!({"event": "keys.handed-over", "node": node('d'), "role": "manager"}),
            json!({"event": "node.adopted", "node": node('e'), "role": "manager"}),
            json!({"event": "node.adopted", "node": node('f'), "role": "worker"}),
            // One that an operator made a manager here, and one that is none any more.
            json!({"event": "node.role-changed", "node": node('2'), "role": "manager", "key": key}),
            json!({"event": "node.adopted", "node": node('3'), "role": "manager"}),
            json!({"event": "node.role-changed", "node": node('3'), "role": "worker"}),
        ];
        let mut explained = Explained::default();
        for record in records {
            explained.take(serde_json::from_value(record).expect("reads"));
        }
        let found: Vec<(String, bool)> =
            explained.managers.iter().map(|(node, key)| (node.to_string(), key.is_some())).collect();
        assert_eq!(found, [(node('2'), true), (node('a'), true), (node('e'), false)]);
    }
}
