//! What an operator asks for when making an invite, and the invite that it makes.
//!
//! Keeps DESIGN §9 (a careless operator): managers need to be asked for, uses and lifetime are capped, and labels of
//! ours cannot be given. Must not sign: a pure function of its arguments.

use std::collections::BTreeMap;
use std::time::Duration;

use ipnet::IpNet;
use protocol::{BrokerAddress, ClusterId, Conditions, INVITE_AUDIENCE, Invite, InviteId, Role};
use serde::{Deserialize, Serialize};

use super::RESERVED;
use crate::audit::{Event, Record};
use crate::broker::Limits;
use crate::clock;
use crate::departure::{MANAGER_GONE, MANAGER_GONE_MOST};

/// A manager's invite is for few machines and a short time.
const MANAGER_USES: u32 = 7;
const MANAGER_TTL: Duration = Duration::from_hours(24);
/// The longest time that a rate is for.
const MOST_PER: Duration = Duration::from_hours(24);
/// The longest that a node of an ephemeral machine may be kept while it is down.
const LONGEST_GONE: Duration = Duration::from_hours(30 * 24);

/// For how long, in seconds, an ephemeral machine's node may be down where nobody says otherwise.
pub(crate) fn gone_after(role: Role) -> u64 {
    match role {
        Role::Worker => 600,
        Role::Manager => 120,
    }
}

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
    /// Its nodes are removed once they were down for so many seconds; none: never. Not written where it is none, so that a
    /// broker of an older release takes every order that it can fill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ephemeral: Option<u64>,
    #[serde(default, skip_serializing_if = "Conditions::is_none")]
    pub(crate) conditions: Conditions,
}

/// Why an order is not filled, with the fix. For the operator.
pub(crate) type Complaint = String;

/// For which cluster an invite is made.
pub(crate) struct Maker<'a> {
    pub(crate) cluster: &'a ClusterId,
    pub(crate) pin: protocol::Pin,
    /// The lowest generation of issuing CA that a broker may serve with.
    pub(crate) generation: u32,
    pub(crate) limits: Limits,
    /// Where the brokers are.
    pub(crate) brokers: Vec<BrokerAddress>,
}

impl InviteOrder {
    /// The invite that fills this order, made at `now`.
    pub(crate) fn fill(self, maker: Maker<'_>, now: u64) -> Result<Invite, Complaint> {
        check(&self, maker.limits)?;
        Ok(Invite {
            aud: INVITE_AUDIENCE.into(),
            jti: InviteId::random(),
            iat: now,
            exp: now.saturating_add(self.ttl),
            iss: maker.cluster.clone(),
            pin: maker.pin,
            generation: maker.generation,
            role: self.role,
            uses: self.uses,
            from: self.from,
            labels: self.labels,
            brokers: maker.brokers,
            ephemeral: self.ephemeral,
            conditions: self.conditions,
            newer: BTreeMap::new(),
        })
    }
}

/// The record of an invite that was made.
pub(crate) fn made(invite: &Invite, operator: String) -> Record {
    Record {
        invite: Some(invite.jti.clone()),
        role: Some(invite.role),
        labels: invite.labels.clone(),
        operator: Some(operator),
        ends: Some(invite.exp),
        policy: Some(Box::new(invite.clone())),
        detail: Some(format!("for {} until {}", machines(invite), clock::shown(invite.exp))),
        ..Record::new(Event::InviteMade)
    }
}

fn check(order: &InviteOrder, limits: Limits) -> Result<(), Complaint> {
    let (uses, ttl) = match order.role {
        Role::Worker => (limits.uses, limits.ttl),
        Role::Manager => (MANAGER_USES.min(limits.uses), MANAGER_TTL.min(limits.ttl)),
    };
    let role = order.role;
    if order.uses == 0 || order.uses > uses {
        return Err(format!("--uses {} is not possible: a {role} invite is for 1 to {uses} machines", order.uses));
    }
    if order.ttl == 0 || order.ttl > ttl.as_secs() {
        let longest = clock::length(ttl);
        return Err(format!("--ttl is out of range: a {role} invite lives at least 1s and at most {longest}"));
    }
    if let Some(after) = order.ephemeral {
        // A new manager waits for the one that is gone, and has an hour for its boot.
        let (least, most) = match order.role {
            Role::Worker => (1, LONGEST_GONE),
            Role::Manager => (MANAGER_GONE, Duration::from_secs(MANAGER_GONE_MOST)),
        };
        if after < least || after > most.as_secs() {
            let most = clock::length(most);
            return Err(format!("--gone-after is out of range: for a {role}, at least {least}s and at most {most}"));
        }
    }
    if order.conditions.live {
        if order.role == Role::Manager {
            return Err("--live is for workers: make a manager's invite for so many machines, with --uses".into());
        }
        if order.from.is_empty() || order.conditions.rate.is_none() {
            return Err("--live must be bounded otherwise: name its networks with --from, and its rate with --each-rate, such as 5/min".into());
        }
    }
    if order.conditions.replaces && order.role == Role::Manager {
        return Err("--replaces is for workers: no manager is ever removed because it is down".into());
    }
    if let Some(rate) = order.conditions.rate
        && (rate.most == 0 || rate.per == 0 || rate.per > MOST_PER.as_secs())
    {
        return Err(format!("--each-rate is out of range: at least 1 machine, in 1s to {}", clock::length(MOST_PER)));
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
        if value.contains("SWMTKN-") || key.contains("SWMTKN-") {
            return Err(
                "--label: a swarm join token stands in a label, where everybody on the machine can read it".into()
            );
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

fn machines(invite: &Invite) -> String {
    let at_a_time = if invite.conditions.live { " at a time" } else { "" };
    match invite.uses {
        1 => format!("1 machine{at_a_time}"),
        count => format!("{count} machines{at_a_time}"),
    }
}
