//! One record: fields with stable names, none of which can hold a secret.
//!
//! Keeps promise 7. Must not have a field for free text from outside without a bound.

use std::collections::BTreeMap;
use std::net::IpAddr;

use protocol::{GrantHash, Invite, InviteId, KeyHash, NodeId, Role};
use serde::{Deserialize, Serialize};

use super::Reason;

/// What happened. The names in the log are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Event {
    /// `broker init` made the cluster's identity.
    #[serde(rename = "cluster.made")]
    ClusterMade,
    /// `broker up --form` made the swarm.
    #[serde(rename = "swarm.formed")]
    SwarmFormed,
    /// The ledger's sentinel was written.
    #[serde(rename = "ledger.made")]
    LedgerMade,
    /// The broker started to serve.
    #[serde(rename = "broker.started")]
    BrokerStarted,
    /// The broker stopped in good order.
    #[serde(rename = "broker.stopped")]
    BrokerStopped,
    /// A torn last line was cut off at the start.
    #[serde(rename = "log.recovered")]
    LogRecovered,
    /// The entry of a broker whose node is no manager any more was removed from the ledger.
    #[serde(rename = "broker.removed")]
    BrokerRemoved,
    /// From here on the log is signed, with the key that the detail names.
    #[serde(rename = "log.signed")]
    LogSigned,
    /// For a while no record could be written. Told when that began, written when it ended.
    #[serde(rename = "log.unwritable")]
    LogUnwritable,
    /// A log was put back or replaced: another broker's, or this one's own.
    #[serde(rename = "log.forked")]
    LogForked,
    /// The copy of another broker's log is not what was signed.
    #[serde(rename = "log.damaged")]
    LogDamaged,
    /// An invite was made.
    #[serde(rename = "invite.made")]
    InviteMade,
    /// Something in the ledger passes for an invite, and does not read.
    #[serde(rename = "invite.unread")]
    InviteUnread,
    /// An invite was revoked.
    #[serde(rename = "invite.revoked")]
    InviteRevoked,
    /// A use was claimed and an identity issued, or issued again to the same key.
    #[serde(rename = "identity.issued")]
    IdentityIssued,
    /// A manager that asks to come in is kept out: those that are there have no quorum, or would lose it.
    #[serde(rename = "manager.kept-out")]
    ManagerKeptOut,
    /// A machine waits for a person's answer: its invite says so.
    #[serde(rename = "machine.waiting")]
    MachineWaiting,
    /// A person said that it may join.
    #[serde(rename = "machine.approved")]
    MachineApproved,
    /// A person said that it may not.
    #[serde(rename = "machine.denied")]
    MachineDenied,
    /// A place of an invite came free: its node was removed.
    #[serde(rename = "place.freed")]
    PlaceFreed,
    /// A grant was issued.
    #[serde(rename = "grant.issued")]
    GrantIssued,
    /// All checks of a redemption passed; the claim is about to be made.
    #[serde(rename = "grant.redeeming")]
    GrantRedeeming,
    /// The claim is committed; the token is about to be sent.
    #[serde(rename = "grant.redeemed")]
    GrantRedeemed,
    /// The same, for a key that had redeemed this grant before.
    #[serde(rename = "grant.replayed")]
    GrantReplayed,
    /// A node confirmed.
    #[serde(rename = "node.joined")]
    NodeJoined,
    /// The node got its labels and is active.
    #[serde(rename = "node.labelled")]
    NodeLabelled,
    /// A node was adopted.
    #[serde(rename = "node.adopted")]
    NodeAdopted,
    /// A node is about to leave: it is drained.
    #[serde(rename = "node.leaving")]
    NodeLeaving,
    /// A node that had said that it leaves was set active again.
    #[serde(rename = "node.kept")]
    NodeKept,
    /// The row of a node that is down is about to be removed from the swarm.
    #[serde(rename = "node.removing")]
    NodeRemoving,
    /// It was removed, or was to be and was not.
    #[serde(rename = "node.removed")]
    NodeRemoved,
    /// All checks of a hand-over passed; the commit is about to be made.
    #[serde(rename = "keys.handing-over")]
    KeysHandingOver,
    /// The cluster's keys are about to be sent to another manager's broker.
    #[serde(rename = "keys.handed-over")]
    KeysHandedOver,
    /// This broker has its keys from another one.
    #[serde(rename = "keys.taken")]
    KeysTaken,
    /// A node was found that nothing explains.
    #[serde(rename = "node.unexplained")]
    NodeUnexplained,
    /// An operator makes a node a manager or a worker.
    #[serde(rename = "node.role-changing")]
    NodeRoleChanging,
    /// It is that.
    #[serde(rename = "node.role-changed")]
    NodeRoleChanged,
    /// All that brokers put into the swarm is about to be taken out of it.
    #[serde(rename = "broker.uninstalling")]
    BrokerUninstalling,
    /// It was.
    #[serde(rename = "broker.uninstalled")]
    BrokerUninstalled,
    /// A node that nothing explains is about to be drained.
    #[serde(rename = "node.draining")]
    NodeDraining,
    /// It was.
    #[serde(rename = "node.drained")]
    NodeDrained,
    /// A joiner program is handed to new machines from now on.
    #[serde(rename = "joiner.listed")]
    JoinerListed,
    /// A token was found live that this log does not know yet.
    #[serde(rename = "token.found")]
    TokenFound,
    /// A token is about to be replaced.
    #[serde(rename = "token.rotating")]
    TokenRotating,
    /// A token was replaced.
    #[serde(rename = "token.rotated")]
    TokenRotated,
    /// A rotation was undone: the token is the one it was.
    #[serde(rename = "token.kept")]
    TokenKept,
    /// A rotation failed: what came of it is in a later record.
    #[serde(rename = "token.rotation-failed")]
    TokenRotationFailed,
    /// Somebody else than a broker replaced a token.
    #[serde(rename = "token.changed")]
    TokenChanged,
    /// Somebody replaced the swarm's root certificate.
    #[serde(rename = "swarm.root-changed")]
    RootChanged,
    /// A key of ours is about to be replaced.
    #[serde(rename = "key.rotating")]
    KeyRotating,
    /// A key of ours was replaced.
    #[serde(rename = "key.rotated")]
    KeyRotated,
    /// A key of ours was to be replaced, and that failed.
    #[serde(rename = "key.rotation-failed")]
    KeyRotationFailed,
    /// A key that another broker replaced is in use here, too.
    #[serde(rename = "key.followed")]
    KeyFollowed,
    /// The issuing CA or the root ends soon.
    #[serde(rename = "key.ending")]
    KeyEnding,
    /// An operator's certificate was made, with these rights.
    #[serde(rename = "operator.created")]
    OperatorCreated,
    /// An operator may do nothing from elsewhere any more.
    #[serde(rename = "operator.revoked")]
    OperatorRevoked,
    /// A request was refused.
    #[serde(rename = "refused")]
    Refused,
    /// The ledger is not what it was: nobody is admitted.
    #[serde(rename = "ledger.lost")]
    LedgerLost,
    /// The state directory was restored from a backup: what was written after the backup is not in this log.
    #[serde(rename = "state.restored")]
    StateRestored,
    /// An operator has the ledger put right: what is about to be done.
    #[serde(rename = "ledger.recovering")]
    LedgerRecovering,
    /// The ledger was put right, by this broker or, where no operator is named, by another one.
    #[serde(rename = "ledger.recovered")]
    LedgerRecovered,
}

/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Outcome {
    /// Done.
    Ok,
    /// Refused, as it may happen any day.
    Refused,
    /// Not done, for a reason of the swarm's or the machine's.
    Failed,
    /// A sign of an attack, of damage, or of a node without explanation.
    Alarm,
}

/// One record. Number, time and broker are set by the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Record {
    pub(crate) event: Event,
    pub(crate) outcome: Outcome,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) reason: Option<Reason>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) request: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) source: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) invite: Option<InviteId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<KeyHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<GrantHash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) thumbprint: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) serial: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) node: Option<NodeId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) hostname: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operator: Option<String>,
    /// Which key of ours, or which operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) what: Option<String>,
    /// The generation of a role's join token, or of a key of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) generation: Option<u64>,
    /// When the invite ends, in seconds since 1970: after that its claims may be swept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ends: Option<u64>,
    /// The whole of an invite that was made: with it the ledger can be put right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) policy: Option<Box<Invite>>,
    /// The other broker that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) peer: Option<String>,
    /// Invites that were made until then, in seconds since 1970, are good only where the ledger has them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) until: Option<u64>,
    /// The raft store's version index that the claim was read at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) version: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latency_us: Option<u64>,
    /// Words of our own, never text from outside.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) detail: Option<String>,
}

impl Record {
    /// A record of this event, all else empty.
    pub(crate) fn new(event: Event) -> Self {
        Self {
            event,
            outcome: Outcome::Ok,
            reason: None,
            request: None,
            source: None,
            invite: None,
            key: None,
            grant: None,
            thumbprint: None,
            serial: None,
            role: None,
            node: None,
            hostname: None,
            labels: BTreeMap::new(),
            operator: None,
            what: None,
            generation: None,
            ends: None,
            policy: None,
            peer: None,
            until: None,
            version: None,
            latency_us: None,
            detail: None,
        }
    }

    /// A refusal for this reason.
    pub(crate) fn refusal(reason: Reason) -> Self {
        let outcome = if reason.is_alarm() { Outcome::Alarm } else { Outcome::Refused };
        Self { outcome, reason: Some(reason), ..Self::new(Event::Refused) }
    }

    /// The same record, as a refusal for this reason.
    pub(crate) fn refused(self, reason: Reason) -> Self {
        let Self { event, outcome, reason, .. } = Self::refusal(reason);
        Self { event, outcome, reason, ..self }
    }

    /// An alarm with words of our own.
    pub(crate) fn alarm(event: Event, detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Alarm, detail: Some(detail.into()), ..Self::new(event) }
    }
}
