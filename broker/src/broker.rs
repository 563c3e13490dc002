//! What every request needs, made once at the start and passed down.
//!
//! Must not hold a decision or a listener: those know the broker, it does not know them.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use certs::ClientTrust;
use protocol::{BrokerAddress, ClusterId, NodeId, Pin};
use rustls::crypto::CryptoProvider;

use crate::audit::{Alarmed, Audit, AuditError, Head, Record, Refusals};
use crate::clock;
use crate::denial::Denial;
use crate::departure::Silence;
use crate::fleet::{Enforce, Look, Recent};
use crate::joiners::Joiners;
use crate::keys::Keys;
use crate::ledger::{
    Directory, Invites, IssuingCas, ListedLog, Listings, Operators, POLICY, Peer, Retire, Rotations, Sentinel,
};
use crate::metrics::Metrics;
use crate::operators::Orders;
use crate::rotation::Rotation;
use crate::state::KeySource;
use crate::swarm::{Engine, EngineError, Membership, Tasks};
use crate::witness::Witness;

/// The broker.
pub(crate) struct Broker {
    /// The cluster's id and name.
    pub(crate) cluster: ClusterId,
    pub(crate) name: String,
    /// This broker's id.
    pub(crate) id: String,
    /// Where this broker can be reached.
    pub(crate) addresses: Vec<BrokerAddress>,
    pub(crate) provider: Arc<CryptoProvider>,
    /// The state directory.
    pub(crate) state: PathBuf,
    /// Where the joiner keeps the key that brought this node in.
    pub(crate) joiner_state: PathBuf,
    /// Where the issuing CA's key came from.
    pub(crate) issuing_key: KeySource,
    pub(crate) trust: Arc<ClientTrust>,
    pub(crate) keys: Keys,
    /// How long a grant is good for.
    pub(crate) grant_lifetime: Duration,
    pub(crate) limits: Limits,
    /// What is done about a node that nothing explains.
    pub(crate) enforce: Enforce,
    pub(crate) engine: Engine,
    pub(crate) audit: Audit,
    pub(crate) refusals: Refusals,
    pub(crate) sentinel: Arc<Sentinel>,
    pub(crate) directory: Directory,
    pub(crate) invites: Arc<Invites>,
    pub(crate) listings: Listings,
    pub(crate) operators: Operators,
    pub(crate) issuing_cas: IssuingCas,
    pub(crate) joiners: Joiners,
    /// The copies of the other brokers' logs.
    pub(crate) witness: Witness,
    pub(crate) rotations: Rotations,
    pub(crate) rotation: Rotation,
    pub(crate) metrics: Metrics,
    /// The membership as it was seen last, and when.
    pub(crate) membership: RwLock<Option<(Membership, Instant)>>,
    /// Why the last look at the engine saw no membership; nothing where it did.
    pub(crate) unseen: RwLock<Option<EngineError>>,
    /// The nodes as they were seen last, for those who wait for one.
    pub(crate) looks: Recent<Look>,
    /// How many tasks each node has, as it was seen last, for nodes that leave.
    pub(crate) tasks: Recent<Tasks>,
    /// How many orders each operator has given lately.
    pub(crate) orders: Orders,
    /// For how long managers have not answered.
    pub(crate) silence: Silence,
    /// The nodes, the objects of the ledger and the copies of logs that an alarm was raised for.
    pub(crate) alarmed: Alarmed,
}

/// What no invite may exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    /// Uses.
    pub(crate) uses: u32,
    /// Lifetime.
    pub(crate) ttl: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { uses: 1000, ttl: Duration::from_hours(90 * 24) }
    }
}

/// One request: its id, where it came from, and when.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) id: String,
    pub(crate) source: IpAddr,
    pub(crate) started: Instant,
}

impl Call {
    /// A record that names this request.
    pub(crate) fn on(&self, record: Record) -> Record {
        let latency = u64::try_from(self.started.elapsed().as_micros()).ok();
        Record { request: Some(self.id.clone()), source: Some(self.source), latency_us: latency, ..record }
    }
}

impl Broker {
    /// The pin of the cluster's root.
    pub(crate) fn pin(&self) -> Pin {
        self.keys.issuing.get().pin()
    }

    /// This broker's entry in the ledger, as of now.
    pub(crate) fn entry(&self, node: NodeId) -> Peer {
        Peer {
            id: self.id.clone(),
            addresses: self.addresses.clone(),
            node,
            key: self.keys.grant.get().public().to_text(),
            generation: 1,
            since: 0,
            retired: Vec::new(),
            issuing: self.keys.issuing.get().public().generation,
            invite: Some(self.keys.invite.get().public().id()),
            grants: self.grant_lifetime.as_secs(),
            log: Some(self.log()),
            policy: POLICY,
            renewed: clock::now(),
            release: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// Its log's head, as the ledger lists it.
    fn log(&self) -> ListedLog {
        let Head { size, root } = self.audit.signed().head;
        ListedLog { key: self.audit.key().public().as_str().to_owned(), size, root: root.to_string() }
    }

    /// Writes this broker's entry anew. Whoever calls it holds the turn of the keys.
    pub(crate) async fn list_itself(&self) -> Result<(), Denial> {
        let membership = self.membership();
        let membership = membership.ok_or_else(|| Denial::Unavailable("the engine is not a manager".into()))?;
        self.directory.renew(self.entry(membership.node), Retire::AfterLast).await?;
        Ok(())
    }

    /// Writes a refusal down before it is told; a flood of one kind is counted.
    pub(crate) async fn record_refusal(&self, call: &Call, refusal: Record) -> Result<(), AuditError> {
        let alone = refusal.reason.is_none_or(|reason| self.refusals.count(call.source, reason, call.started));
        if alone { self.audit.record(call.on(refusal)).await.map(drop) } else { Ok(()) }
    }

    /// The membership as it was seen last, unless that is too long ago.
    pub(crate) fn membership(&self) -> Option<Membership> {
        let seen = self.membership.read().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().filter(|(_, at)| at.elapsed() < Duration::from_secs(15)).map(|(membership, _)| membership.clone())
    }
}
