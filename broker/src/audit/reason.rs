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
    /// The key that signed the invite is void.
    VoidKey,
    /// The invite accepts a server of an issuing CA that is void.
    VoidIssuing,
    /// The invite ended before the ledger's floor.
    BelowFloor,
    /// The invite was made before the ledger was recovered, and is not known to have uses left.
    BeforeRecovery,
    /// Every use is another key's.
    UsedUp,
    /// The caller's address is in none of the invite's networks.
    Network,
    /// The machine is not called as the invite wants it.
    Hostname,
    /// A person was asked about the machine, and said no.
    Denied,
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
    /// The node's role is not the granted one, or a manager asks to leave.
    WrongRole,
    /// The node carries another grant's label, or the grant is another node's, or another node is named than the
    /// certificate's: an alarm.
    OtherNode,
    /// The statement is not signed by the key that redeemed the grant.
    Statement,
    /// The grant was never redeemed by this key.
    NotRedeemed,
    /// The cluster's keys were asked for by a manager that no broker vouched for: an alarm.
    NoManager,
    /// An operator's certificate of which the ledger knows nothing, or of another key than it says: an alarm.
    NoOperator,
    /// The operator was revoked or has ended, or was made before the ledger was recovered.
    OperatorRevoked,
    /// The operator has no right to this, or nobody has from elsewhere.
    OperatorRight,
}

impl Reason {
    /// What it means and what to do, for an operator: docs/audit-log.md in short.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::NotSigned => "its invite is not whole, or no key of this cluster signed it: copy the line again",
            Self::OtherCluster => "its invite is for another cluster: give it the right one",
            Self::NotOurs => "its invite is beyond this broker's limits, or of a newer release: make a new one",
            Self::InviteEnded => "its invite had ended: make a new one, and compare the clocks",
            Self::InviteRevoked => "its invite was revoked: make a new one if it should come in",
            Self::VoidKey => "the key that signed its invite is void, after a leak: make a new one",
            Self::VoidIssuing => "its invite accepts an issuing CA that is void, after a leak: make a new one",
            Self::BelowFloor => "its invite ended long ago: make a new one",
            Self::BeforeRecovery => "its invite is older than the ledger's recovery: make a new one",
            Self::UsedUp => "every use of its invite is another machine's: make one with more uses",
            Self::Network => "it called from outside the invite's networks: NAT, or somebody else has the invite",
            Self::Hostname => "it is not called as its invite wants it (--hostname): rename it, or make another invite",
            Self::Denied => "a person was asked about it, and said no: 'broker approve' it if that was wrong",
            Self::Csr => "its request for a certificate is not valid: it is not a joiner of ours",
            Self::WindowEnded => "its hour is over: run 'joiner join' on it with a new invite",
            Self::NoUse => "its key has no use of the invite: it is not a joiner of ours",
            Self::GrantEnded => "its grant has impossible times: compare the managers' clocks",
            Self::OtherKey => "it showed a grant of another key: a grant was copied, revoke the invite",
            Self::Confirmed => "its key has joined before: is it a copy of another machine?",
            Self::WrongCertificate => "it showed another kind of certificate: it is not a joiner of ours",
            Self::OtherSwarm => "it is a node of another swarm",
            Self::NoNode => "its node is not in the swarm: it was removed",
            Self::WrongRole => {
                "it is a node in another role than the invite's, or a manager that is to be demoted before it leaves"
            }
            Self::OtherNode => {
                "it named another node than its own, or its grant is another node's: a grant or a state folder was copied"
            }
            Self::Statement => {
                "its confirm, or its request for keys, is not signed by its key: a grant or a state folder was copied"
            }
            Self::NotRedeemed => "it confirmed a grant that it never redeemed: it is not a joiner of ours",
            Self::NoManager => {
                "it asked for the cluster's keys, and nothing explains it as a manager: if it is one of yours, 'broker adopt' it; else remove it and rotate the manager token"
            }
            Self::NoOperator => {
                "it showed an operator's certificate that no broker listed: somebody has the issuing key, 'broker rotate ca --now'"
            }
            Self::OperatorRevoked => "its operator was revoked or has ended: 'broker operator create' makes one anew",
            Self::OperatorRight => "its operator has no right to this: 'broker operator list' shows which it has",
        }
    }

    /// Whether the refusal is a sign of an attack rather than of bad luck.
    pub(crate) fn is_alarm(self) -> bool {
        match self {
            Self::OtherKey | Self::OtherNode | Self::Statement | Self::NoManager | Self::NoOperator => true,
            Self::NotSigned
            | Self::OtherCluster
            | Self::NotOurs
            | Self::InviteEnded
            | Self::InviteRevoked
            | Self::VoidKey
            | Self::VoidIssuing
            | Self::BelowFloor
            | Self::BeforeRecovery
            | Self::UsedUp
            | Self::Network
            | Self::Hostname
            | Self::Denied
            | Self::Csr
            | Self::WindowEnded
            | Self::NoUse
            | Self::GrantEnded
            | Self::Confirmed
            | Self::WrongCertificate
            | Self::OtherSwarm
            | Self::NoNode
            | Self::WrongRole
            | Self::NotRedeemed
            | Self::OperatorRevoked
            | Self::OperatorRight => false,
        }
    }
}
