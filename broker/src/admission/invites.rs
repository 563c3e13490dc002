//! Making and revoking invites.
//!
//! Keeps promise 9 and DESIGN §9 (a careless operator): managers need to be asked for, uses and lifetime are capped.
//! Must not store the line it made: it is a bearer text, for the operator alone.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use ipnet::IpNet;
use protocol::{BrokerAddress, INVITE_AUDIENCE, Invite, InviteId, InviteLine, Role};
use serde::{Deserialize, Serialize};

use super::RESERVED;
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::ledger::{Operation, Outcome};

/// A manager's invite is for few machines and a short time.
const MANAGER_USES: u32 = 7;
const MANAGER_TTL: Duration = Duration::from_hours(24);

/// What an operator asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct InviteOrder {
    pub(crate) role: Role,
    pub(crate) uses: u32,
    /// In seconds.
    pub(crate) ttl: u64,
    pub(crate) from: Vec<IpNet>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// Why an order is not filled, with the fix. For the operator.
pub(crate) type Complaint = String;

/// Signs an invite, records it and puts it into the ledger.
pub(crate) async fn make_invite(
    broker: &Broker,
    order: InviteOrder,
    operator: String,
) -> Result<(InviteLine, Invite), Result<Complaint, Denial>> {
    check(&order, broker).map_err(Ok)?;
    broker.sentinel.check().map_err(|error| Err(error.into()))?;
    let now = clock::now();
    let mut brokers: Vec<BrokerAddress> = broker.addresses.clone();
    let peers = broker.directory.live(now);
    brokers.extend(peers.into_iter().filter(|peer| peer.id != broker.id).flat_map(|peer| peer.addresses));
    brokers.dedup();
    let invite = Invite {
        aud: INVITE_AUDIENCE.into(),
        jti: InviteId::random(),
        iat: now,
        exp: now.saturating_add(order.ttl),
        iss: broker.cluster.clone(),
        pin: broker.pin(),
        generation: broker.issuing.public().generation,
        role: order.role,
        uses: order.uses,
        from: order.from,
        labels: order.labels,
        brokers,
        newer: BTreeMap::new(),
    };
    let unavailable = |error: String| Err(Denial::Unavailable(error));
    let jws = broker.invite_signer.sign(&invite).map_err(|error| unavailable(error.to_string()))?;
    let line = InviteLine::from_jws(&jws).map_err(|error| unavailable(error.to_string()))?;
    let record = Record {
        invite: Some(invite.jti.clone()),
        role: Some(invite.role),
        labels: invite.labels.clone(),
        operator: Some(operator),
        detail: Some(format!("for {} until {}", uses(invite.uses), clock::shown(invite.exp))),
        ..Record::new(Event::InviteMade)
    };
    broker.audit.record(record).await.map_err(|error| Err(error.into()))?;
    broker.invites.announce(&invite).await.map_err(|error| Err(error.into()))?;
    Ok((line, invite))
}

/// What a revocation found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Revocation {
    /// False if it was revoked already.
    pub(crate) changed: bool,
    /// False if no broker has seen the invite: it was made offline and not used yet, or the id is wrong.
    pub(crate) seen: bool,
}

/// Revokes an invite by its id, whether the ledger has seen it or not.
pub(crate) async fn revoke_invite(broker: &Broker, id: &InviteId, operator: String) -> Result<Revocation, Denial> {
    let seen = broker.invites.read(id).await?.is_some_and(|state| state.policy.invite().is_some());
    let (outcome, version) = broker.invites.submit(id, None, Operation::Revoke).await?;
    let record = Record {
        invite: Some(id.clone()),
        operator: Some(operator),
        version: Some(version),
        ..Record::new(Event::InviteRevoked)
    };
    let changed = outcome == Outcome::Yours;
    if changed {
        broker.audit.record(record).await?;
    }
    Ok(Revocation { changed, seen })
}

/// Whether the invite's networks contain the address.
pub(crate) fn admits_from(invite: &Invite, source: IpAddr) -> bool {
    let source = source.to_canonical();
    invite.from.is_empty() || invite.from.iter().any(|network| network.contains(&source))
}

fn check(order: &InviteOrder, broker: &Broker) -> Result<(), Complaint> {
    let (uses, ttl) = match order.role {
        Role::Worker => (broker.limits.uses, broker.limits.ttl),
        Role::Manager => (MANAGER_USES.min(broker.limits.uses), MANAGER_TTL.min(broker.limits.ttl)),
    };
    let role = order.role;
    if order.uses == 0 || order.uses > uses {
        return Err(format!("--uses {} is not possible: a {role} invite is for 1 to {uses} machines", order.uses));
    }
    if order.ttl == 0 || order.ttl > ttl.as_secs() {
        let longest = clock::length(ttl);
        return Err(format!("--ttl is out of range: a {role} invite lives at least 1s and at most {longest}"));
    }
    for (key, value) in &order.labels {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
        if key.is_empty() || key.len() > 128 || !key.chars().all(plain) {
            return Err(format!("--label {}: a label's name has letters, digits and . _ - / only", key.escape_debug()));
        }
        if key.starts_with(RESERVED) || key.starts_with("com.docker.") || key.starts_with("io.docker.") {
            return Err(format!(
                "--label {key}: names that begin with {RESERVED}, com.docker. or io.docker. are reserved"
            ));
        }
        if value.len() > 256 || value.chars().any(char::is_control) {
            return Err(format!("--label {key}: its value is longer than 256 bytes or has control characters"));
        }
    }
    if order.labels.len() > 32 {
        return Err("more than 32 labels in one invite".into());
    }
    Ok(())
}

fn uses(count: u32) -> String {
    if count == 1 { "1 machine".into() } else { format!("{count} machines") }
}
