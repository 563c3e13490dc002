//! The record of a boot: which invite and key, and the steps that are done.
//!
//! Keeps promise 2: what must survive a crash before the next step is written down before that step.
//! Must not hold a secret: no token, no grant, no key.

use protocol::{BrokerAddress, ClusterId, GrantId, Invite, InviteId, KeyHash, NodeId, Pin, Role, SwarmId};
use serde::{Deserialize, Serialize};

/// The version of the record that this release writes. It reads no later one.
const VERSION: u32 = 1;

/// How far a boot has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Record {
    version: u32,
    /// The invite whose use is this boot's.
    pub(crate) invite: InviteId,
    /// The cluster it admits to.
    pub(crate) cluster: ClusterId,
    /// What the machine joins as.
    pub(crate) role: Role,
    /// The machine this boot is of: an image that was taken of it is another machine.
    #[serde(default, skip_serializing_if = "Machine::is_unknown")]
    pub(crate) machine: Machine,
    /// The key, once it may be used.
    #[serde(default)]
    pub(crate) key: Option<KeyHash>,
    /// The last grant, written before it is redeemed.
    #[serde(default)]
    pub(crate) grant: Option<GrantId>,
    /// What tells a broker of the cluster from any other server: for when the invite is long gone. None in the record of an
    /// older release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pinned: Option<Pinned>,
    /// Whether the invite says that its machines come and go.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) ephemeral: bool,
    /// The swarm that Docker was told to join with that grant, written before it was told.
    #[serde(default)]
    pub(crate) swarm: Option<SwarmId>,
    /// The brokers that were live then; before that, those that the invite names.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) brokers: Vec<BrokerAddress>,
    /// The node this machine became, once Docker said so.
    #[serde(default)]
    pub(crate) node: Option<NodeId>,
    /// Whether a broker has confirmed it: the end of the boot.
    #[serde(default)]
    pub(crate) confirmed: bool,
    /// The node of which a broker knows that it leaves: from then on Docker does, whatever a broker says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) leaving: Option<NodeId>,
}

/// What an invite says of the brokers' certificates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Pinned {
    /// The hash of the root's certificate.
    pub(crate) pin: Pin,
    /// The lowest generation of issuing CA.
    pub(crate) generation: u32,
    /// When the invite was made, in seconds since 1970: it is no earlier than that.
    pub(crate) made: u64,
}

impl From<&Invite> for Pinned {
    fn from(invite: &Invite) -> Self {
        Self { pin: invite.pin.clone(), generation: invite.generation, made: invite.iat }
    }
}

impl Record {
    /// A boot at its beginning.
    pub(crate) fn new(invite: &Invite, machine: Machine) -> Self {
        Self {
            version: VERSION,
            invite: invite.jti.clone(),
            cluster: invite.iss.clone(),
            role: invite.role,
            machine,
            key: None,
            grant: None,
            pinned: Some(invite.into()),
            ephemeral: invite.ephemeral.is_some(),
            swarm: None,
            brokers: invite.brokers.clone(),
            node: None,
            confirmed: false,
            leaving: None,
        }
    }

    /// Reads a record; the error says what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        if text.trim().is_empty() {
            return Err("it is empty".to_owned());
        }
        let Version { version } = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if version > VERSION {
            return Err(format!("a later release of joiner wrote it, in version {version}; this one reads {VERSION}"));
        }
        serde_json::from_str(text).map_err(|error| error.to_string())
    }
}

/// What tells this machine from one that was made from its image: `/etc/machine-id`, where there is one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Machine(Option<String>);

impl Machine {
    /// This machine.
    pub(crate) fn this() -> Self {
        Self::of(&std::fs::read_to_string("/etc/machine-id").unwrap_or_default())
    }

    fn of(text: &str) -> Self {
        // Before the first boot has finished, the file may be empty or say "uninitialized" (machine-id(5)).
        let id = text.trim();
        let is_id = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
        Self(is_id.then(|| id.to_owned()))
    }

    /// A machine without an id.
    #[cfg(test)]
    pub(crate) fn unknown() -> Self {
        Self(None)
    }

    /// A machine with this id.
    #[cfg(test)]
    pub(crate) fn named(id: &str) -> Self {
        Self(Some(id.to_owned()))
    }

    fn is_unknown(&self) -> bool {
        self.0.is_none()
    }

    /// Whether these are certainly two machines.
    pub(crate) fn differs_from(&self, other: &Self) -> bool {
        matches!((&self.0, &other.0), (Some(one), Some(another)) if one != another)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_told_from_another_by_a_whole_id_only() {
        let (one, other) = (Machine::of("0123456789abcdef0123456789abcdef\n"), Machine::of(&"f".repeat(32)));
        assert!(one.differs_from(&other) && !one.differs_from(&one.clone()));
        for text in ["", "uninitialized\n", "0123456789abcdef", "g123456789abcdef0123456789abcdef"] {
            assert!(Machine::of(text).is_unknown() && !one.differs_from(&Machine::of(text)), "{text}");
        }
    }
}
