//! `cluster.json`: what a manager knows of the cluster, and must not forget.
//!
//! Keeps promise 5: a file of a newer broker, or one that does not read, stops the broker. Must not hold a secret.

use protocol::{BrokerAddress, ClusterId, SwarmId};
use serde::{Deserialize, Serialize};

use super::{Folder, StateError};
use crate::format::{self, Unread};

pub(super) const CLUSTER: &str = "cluster.json";
pub(super) const FORMAT: u32 = 1;

/// `cluster.json`: what is not secret. It is written last, so that its presence means: init was finished.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each came when it was needed, and a file of before has none of them"
)]
pub(super) struct ClusterFile {
    pub(super) format: u32,
    pub(super) id: ClusterId,
    pub(super) name: String,
    pub(super) made: u64,
    pub(super) broker: String,
    #[serde(default)]
    pub(super) advertise: Vec<BrokerAddress>,
    /// Until when the cluster's swarm may be made, in seconds since 1970.
    #[serde(default)]
    pub(super) form_until: u64,
    /// The ledger was made in this swarm: when it is gone, it was lost.
    #[serde(default)]
    pub(super) ledger: bool,
    /// The keys came from another broker: so there is a ledger, also before this broker has seen it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) taken: bool,
    /// This machine set about to make a swarm, and did not know yet whether it would be the cluster's.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) forming: bool,
    /// The operator brought the keys, to other machines as well: any of them may have made the swarm.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) brought: bool,
    /// The swarm that this machine has published as the cluster's, or that the operator named it the founder of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) founds: Option<SwarmId>,
}

impl ClusterFile {
    /// Reads it from a state directory.
    pub(super) fn read(folder: &Folder) -> Result<Self, StateError> {
        let path = folder.path(CLUSTER);
        format::read(folder.read(CLUSTER)?.as_bytes(), FORMAT).map_err(|unread| match unread {
            Unread::Newer(found) => StateError::Newer { path, found, known: FORMAT },
            Unread::Damaged { words, .. } => StateError::Corrupt { path, what: words },
        })
    }

    /// Writes it, in place of the one that is there: last of all files.
    pub(super) fn write(&self, folder: &Folder) -> Result<(), StateError> {
        let text = serde_json::to_string_pretty(self)
            .map_err(|error| StateError::Corrupt { path: folder.path(CLUSTER), what: error.to_string() })?;
        folder.write(CLUSTER, &text)
    }
}

/// A backup's `cluster.json` for another broker. That there was a ledger and a swarm is taken for granted: the backup may
/// be older than they are.
pub(super) fn as_broker(text: &str, cluster: &ClusterId, broker: String) -> Result<String, StateError> {
    let wrong = |what: String| StateError::Backup { what };
    let file: ClusterFile = format::read(text.as_bytes(), FORMAT).map_err(|unread| match unread {
        Unread::Newer(_) => wrong(format!("{CLUSTER} in it is of a newer broker: install that release")),
        Unread::Damaged { words, .. } => wrong(format!("{CLUSTER} in it does not read: {words}")),
    })?;
    if file.id != *cluster {
        return Err(wrong(format!("{CLUSTER} in it is of another cluster")));
    }
    let file = ClusterFile { broker, advertise: Vec::new(), form_until: 0, ledger: true, ..file };
    serde_json::to_string_pretty(&file).map_err(|error| wrong(error.to_string()))
}
