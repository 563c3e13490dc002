//! Why a machine was refused: for the audit log, never for the caller.
//!
//! Keeps DESIGN §2 (a refusal looks the same whatever the reason). Must not carry text from outside.

use serde::{Deserialize, Serialize};

/// The reason of a refusal. The names in the log are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// The invite's or the grant's form, type, algorithm or signature is wrong.
    NotSigned,
    /// The invite is for another cluster.
    OtherCluster,
    /// The invite asks for what no invite may: a pin, an audience or numbers that are not ours.
    NotOurs,
    /// The invite has ended, or was made in the future.
    InviteEnded,
    /// The invite was revoked.
    InviteRevoked,
    /// The invite ended before the ledger's floor.
    BelowFloor,
    /// Every use is another key's.
    UsedUp,
    /// The caller's address is in none of the invite's networks.
    Network,
    /// The CSR is not valid.
    Csr,
    /// The use's window has ended.
    WindowEnded,
    /// This key has no use of the invite.
    NoUse,
    /// The grant's times are impossible: one that is merely late is asked for again.
    GrantEnded,
    /// The grant is bound to another key: an alarm.
    OtherKey,
    /// The key has confirmed a join already: nothing is given after that.
    Confirmed,
    /// The caller's certificate is not of the kind this route takes.
    WrongCertificate,
    /// The node certificate is another swarm's.
    OtherSwarm,
    /// The node is not in the swarm.
    NoNode,
    /// The node's role is not the granted one.
    WrongRole,
    /// The node carries another grant's label, or the grant is another node's: an alarm.
    OtherNode,
    /// The statement is not signed by the key that redeemed the grant.
    Statement,
    /// The grant was never redeemed by this key.
    NotRedeemed,
}

impl Reason {
    /// Whether the refusal is a sign of an attack rather than of bad luck.
    pub(crate) fn is_alarm(self) -> bool {
        match self {
            Self::OtherKey | Self::OtherNode | Self::Statement => true,
            Self::NotSigned
            | Self::OtherCluster
            | Self::NotOurs
            | Self::InviteEnded
            | Self::InviteRevoked
            | Self::BelowFloor
            | Self::UsedUp
            | Self::Network
            | Self::Csr
            | Self::WindowEnded
            | Self::NoUse
            | Self::GrantEnded
            | Self::Confirmed
            | Self::WrongCertificate
            | Self::OtherSwarm
            | Self::NoNode
            | Self::WrongRole
            | Self::NotRedeemed => false,
        }
    }
}
