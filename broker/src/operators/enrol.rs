//! Making and revoking operators, on a manager.
//!
//! Keeps promise 4: who has a certificate is in the ledger and in the log before the certificate is out.
//! Must not see an operator's private key: what is signed is a request.

use std::collections::BTreeSet;

use certs::{Csr, OperatorName};
use clap::ValueEnum as _;
use protocol::{BrokerAddress, KeyHash};
use serde::{Deserialize, Serialize};

use super::context::Issued;
use super::gate::named;
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock::{self, Time};
use crate::denial::Denial;
use crate::ledger::{Operator, Right};

/// The longest life of an operator's certificate, in seconds.
const LONGEST: u64 = 366 * 24 * 60 * 60;
/// The shortest: clocks differ, and it is typed by hand.
const SHORTEST: u64 = 60;

/// What is asked for.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OperatorOrder {
    pub(crate) name: String,
    /// Rights, by their words.
    pub(crate) allow: BTreeSet<String>,
    /// In seconds.
    pub(crate) ttl: u64,
    /// A certificate signing request, PEM.
    pub(crate) csr: String,
}

/// An operator that was made.
#[derive(Serialize, Deserialize)]
pub(crate) struct Created {
    pub(crate) operator: OperatorShown,
    /// What the operator needs besides the key.
    pub(crate) context: Issued,
}

/// An operator as `broker operator list` shows it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OperatorShown {
    pub(crate) name: String,
    /// `live`, `revoked`, `ended`, or `void`: made before the ledger was recovered, so that a revocation may be lost.
    pub(crate) state: String,
    pub(crate) allow: BTreeSet<String>,
    pub(crate) key: KeyHash,
    pub(crate) since: Time,
    pub(crate) ends: Time,
    pub(crate) revoked: Option<Time>,
    pub(crate) by: String,
}

impl OperatorShown {
    fn of(name: &OperatorName, operator: Operator, recovered: u64, now: u64) -> Self {
        let state = match &operator {
            Operator { revoked: Some(_), .. } => "revoked",
            Operator { ends, .. } if now >= *ends => "ended",
            operator if !operator.is_live(recovered, now) => "void",
            _ => "live",
        };
        Self {
            name: name.to_string(),
            state: state.into(),
            allow: operator.allow,
            key: operator.key,
            since: Time(operator.since),
            ends: Time(operator.ends),
            revoked: operator.revoked.map(Time),
            by: operator.by,
        }
    }
}

/// All operators.
pub(crate) async fn list(broker: &Broker) -> Result<Vec<OperatorShown>, Denial> {
    let (recovered, now) = (broker.sentinel.recovered(), clock::now());
    let listed = broker.operators.list().await?.into_iter();
    Ok(listed.map(|(name, operator)| OperatorShown::of(&name, operator, recovered, now)).collect())
}

/// Makes an operator, in this order: the ledger, the log, the certificate's way out. Or says what is wrong with the order.
pub(crate) async fn create(
    broker: &Broker,
    order: OperatorOrder,
    by: String,
) -> Result<Created, Result<String, Denial>> {
    let name: OperatorName = order.name.parse().map_err(|error: certs::NotAName| Ok(error.to_string()))?;
    let csr = checked(&order).map_err(Ok)?;
    let (now, issuing) = (clock::now(), broker.keys.issuing.get());
    let generations = broker.keys.generations.get();
    if !generations.trusts(issuing.public().generation, now) {
        let what = "this broker has not got the current issuing CA yet: see 'broker status'";
        return Err(Err(Denial::Unavailable(what.into())));
    }
    let signed = issuing.operator(&csr, &name, order.ttl, clock::unix(now));
    let (certificate, signed) = signed.map_err(|error| Err(Denial::Unavailable(error.to_string())))?;

    let recovered = broker.sentinel.recovered();
    let since = now.max(recovered + 1);
    let operator = Operator {
        key: signed.key.clone(),
        allow: order.allow,
        since,
        ends: signed.ends,
        by: by.clone(),
        revoked: None,
        former: Vec::new(),
    };
    let over = |former: &Operator| !former.is_live(recovered, now);
    let made = broker.operators.make(&name, &operator, over).await;
    if !made.map_err(|error| Err(error.into()))? {
        let what = format!(
            "there is an operator '{name}' already. For another certificate or other rights, revoke that one first: broker operator revoke {name}"
        );
        return Err(Ok(what));
    }
    let rights: Vec<&str> = operator.allow.iter().map(String::as_str).collect();
    let record = Record {
        operator: Some(by),
        what: Some(named(&name)),
        key: Some(signed.key),
        serial: Some(signed.serial),
        thumbprint: Some(signed.thumbprint.to_string()),
        version: broker.operators.version(&name).await,
        detail: Some(format!("rights: {}; until {}", rights.join(", "), clock::shown(signed.ends))),
        ..Record::new(Event::OperatorCreated)
    };
    broker.audit.record(record).await.map_err(|error| Err(error.into()))?;
    let context = Issued {
        format: Issued::FORMAT,
        cluster_name: broker.name.clone(),
        cluster: broker.cluster.clone(),
        pin: broker.pin(),
        generation: generations.accepted(now),
        brokers: brokers(broker, now),
        operator: name.to_string(),
        certificate,
        key: None,
    };
    Ok(Created { operator: OperatorShown::of(&name, operator, recovered, since), context })
}

/// The request to sign, where all that is asked for can be.
fn checked(order: &OperatorOrder) -> Result<Csr, String> {
    let known: Vec<&str> = Right::value_variants().iter().map(|right| right.word()).collect();
    if order.allow.is_empty() || !order.allow.iter().all(|word| known.contains(&word.as_str())) {
        return Err(format!("--allow: there are the rights {}", known.join(", ")));
    }
    if !(SHORTEST..=LONGEST).contains(&order.ttl) {
        return Err("--ttl: an operator's certificate lives for 1m to 366d".into());
    }
    Csr::from_pem(&order.csr).map_err(|error| format!("{error}: make another one with 'broker operator request'"))
}

fn brokers(broker: &Broker, now: u64) -> Vec<BrokerAddress> {
    let mut brokers = broker.addresses.clone();
    let others = broker.directory.live(now).into_iter().filter(|peer| peer.id != broker.id);
    brokers.extend(others.flat_map(|peer| peer.addresses));
    brokers
}

/// What became of a revocation.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OperatorRevoked {
    pub(crate) name: String,
    /// False when it was revoked before.
    pub(crate) changed: bool,
}

/// Revokes an operator: from the commit on, no broker takes an order of it. None if there is none.
pub(crate) async fn revoke(
    broker: &Broker,
    name: &OperatorName,
    by: String,
) -> Result<Option<OperatorRevoked>, Denial> {
    let Some((operator, changed)) = broker.operators.revoke(name, clock::now()).await? else {
        return Ok(None);
    };
    // A repeat, too: it may be that the first one could not be written down.
    let record = Record {
        operator: Some(by),
        what: Some(named(name)),
        key: Some(operator.key),
        version: broker.operators.version(name).await,
        ..Record::new(Event::OperatorRevoked)
    };
    broker.audit.record(record).await?;
    Ok(Some(OperatorRevoked { name: name.to_string(), changed }))
}
