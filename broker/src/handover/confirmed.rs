//! By which key a node confirmed, as the logs say: the ledger forgets an invite a day after it ended.

use std::path::{Path, PathBuf};

use protocol::{KeyHash, NodeId};
use serde::Deserialize;

use crate::audit::{self, AuditError};
use crate::broker::Broker;
use crate::denial::Denial;

/// The fields that matter here; records of a newer release may have more.
#[derive(Deserialize)]
struct Fields {
    event: String,
    node: Option<NodeId>,
    grant: Option<String>,
    key: Option<KeyHash>,
}

/// The key that this node confirmed this grant with: by this broker's log, else by the copies of the others'.
pub(crate) async fn confirmed_key(broker: &Broker, node: &NodeId, grant: &str) -> Result<Option<KeyHash>, Denial> {
    let (own, copies) = (broker.keys.log(), broker.state.join(audit::COPIES));
    let (node, grant) = (node.clone(), grant.to_owned());
    let read = tokio::task::spawn_blocking(move || {
        for log in std::iter::once(own).chain(logs(&copies)) {
            match key_in(&log, &node, &grant) {
                Ok(None) => {}
                found => return found,
            }
        }
        Ok(None)
    });
    let read = read.await.map_err(|_| Denial::Unavailable("the broker is stopping".into()))?;
    read.map_err(|error| Denial::Unavailable(error.to_string()))
}

fn logs(copies: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    std::fs::read_dir(copies).into_iter().flatten().flatten().map(|copy| copy.path().join(audit::FILE))
}

fn key_in(log: &Path, node: &NodeId, grant: &str) -> Result<Option<KeyHash>, AuditError> {
    let mut key = None;
    audit::each(log, u64::MAX, |line| {
        let fields: Fields = serde_json::from_slice(line).map_err(|error| error.to_string())?;
        if fields.event == "node.joined" && fields.node.as_ref() == Some(node) && fields.grant.as_deref() == Some(grant)
        {
            key = fields.key;
        }
        Ok(())
    })?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use protocol::{GrantHash, GrantId};

    use super::*;
    use crate::audit::{Event, Record, record_once};

    #[test]
    fn a_key_is_of_this_node_and_this_grant() {
        let folder = tempfile::tempdir().expect("a folder");
        let log = folder.path().join(audit::FILE);
        let node = |last: char| -> NodeId { format!("{}{last}", "0".repeat(24)).parse().expect("an id") };
        let key = |of: &str| KeyHash::of_spki(of.as_bytes());
        let (one, two) = (GrantId::random().hash(), GrantId::random().hash());
        let joined = |node: NodeId, grant: &GrantHash, key: KeyHash| Record {
            node: Some(node),
            grant: Some(grant.clone()),
            key: Some(key),
            ..Record::new(Event::NodeJoined)
        };
        let records =
            [Record::new(Event::BrokerStarted), joined(node('a'), &one, key("a")), joined(node('b'), &two, key("b"))];
        for record in records {
            record_once(&log, "broker", record).expect("written");
        }
        assert_eq!(key_in(&log, &node('b'), two.as_str()).expect("reads"), Some(key("b")));
        for (of, grant) in [('a', &two), ('c', &one)] {
            assert_eq!(key_in(&log, &node(of), grant.as_str()).expect("reads"), None);
        }
        assert_eq!(key_in(&folder.path().join("none"), &node('a'), one.as_str()).expect("reads"), None);
    }
}
