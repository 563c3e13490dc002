//! Reading what there is, and carrying out the plan: first the log, then the invites, the sentinel last, so that a
//! recovery that is cut off anywhere leaves a ledger that is lost, and is run again.

use std::collections::BTreeSet;
use std::sync::Arc;

use protocol::{GrantHash, Role};

use super::plan::{Action, Former, Given, Plan, Step, plan};
use super::{History, InviteRecovered, RecoverOrder, Recovery};
use crate::admission::{ADOPTED_LABEL, GRANT_LABEL, SKEW};
use crate::audit::{Audit, AuditError, Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::fleet;
use crate::keys;
use crate::ledger::{Health, InviteState, KEPT, Retire, Sentinel, WINDOW};
use crate::rotation;
use crate::swarm::Node;

/// One recovery at a time.
static TURN: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Why a recovery was not begun, for the operator.
pub(crate) type Complaint = String;

/// Recovers the ledger, or says what that would be.
pub(crate) async fn recover(
    broker: &Arc<Broker>,
    order: RecoverOrder,
    operator: &str,
) -> Result<Recovery, Result<Complaint, Denial>> {
    let _turn = TURN.lock().await;
    let failed = |error: Denial| Err(error);
    let nodes = broker.engine.nodes().await.map_err(|error| failed(error.into()))?;
    let lost = match broker.sentinel.health() {
        Health::Lost(why) => Some(why),
        Health::Unknown | Health::Sound => None,
    };
    // A run before this one may have ended between the ledger and the nodes: then the nodes are what is left to do.
    let ended = order.new_swarm && lost.is_none() && broker.sentinel.recovered() > 0;
    if let Some(wrong) = other_swarm(&nodes, &order, lost.is_some(), ended) {
        return Err(Ok(wrong));
    }
    let now = clock::now();
    let floor = broker.sentinel.floor().max(now.saturating_sub(WINDOW + KEPT));
    let (present, unread) = broker.invites.list_each().await.map_err(|error| failed(error.into()))?;
    let planned = planned(broker, &order, &nodes, &present, floor, now).await.map_err(failed)?;
    // What an object has that does not read, nobody can tell: it is no reason to recover a ledger that is not lost.
    let lacks = |step: &Step| step.lacks && !unread.iter().any(|name| name.ends_with(step.policy.id().as_str()));
    let sound = lost.is_none() && !planned.invites.iter().any(lacks);
    let other_keys = if let Former::VoidHere(other) = &planned.invite_keys { Some(other) } else { None };
    for (what, other) in [("invite key", other_keys), ("issuing CA", planned.lowest_ca.as_ref().err())] {
        if !sound && let Some(other) = other {
            return Err(Ok(format!(
                "the {what} of this broker was declared void on broker {other}: run 'broker recover' there, and give it this broker's log"
            )));
        }
    }
    let mut recovery = told(&planned, &order, lost, sound, unread);
    if order.dry_run || (sound && !ended) {
        return Ok(recovery);
    }
    if !sound {
        let until = carry_out(broker, &planned, &order, operator, floor, now).await.map_err(failed)?;
        recovery.until = Some(clock::shown(until));
        (_, recovery.unread) = broker.invites.list_each().await.map_err(|error| failed(error.into()))?;
    }
    if order.new_swarm {
        let reason = format!("{IN_NEW_SWARM}: {}", order.reason.trim());
        let nodes = nodes.into_iter().filter(|node| !is_explained(node)).collect();
        recovery.adopted = fleet::adopt(broker, nodes, &reason, operator).await.map_err(failed)?.len();
    }
    Ok(recovery)
}

/// Why a node is here that was adopted by a recovery.
const IN_NEW_SWARM: &str = "was in the new swarm when the ledger was recovered";

fn is_explained(node: &Node) -> bool {
    node.labels.contains_key(GRANT_LABEL) || node.labels.contains_key(ADOPTED_LABEL)
}

/// Whether the swarm is the one that the operator means: nodes that a broker explained tell an old one. If a run before
/// this one `ended` early, those that it has adopted do not.
fn other_swarm(nodes: &[Node], order: &RecoverOrder, lost: bool, ended: bool) -> Option<Complaint> {
    let by_that = |node: &Node| node.labels.get(ADOPTED_LABEL).is_some_and(|why| why.contains(IN_NEW_SWARM));
    let explained =
        |node: &&Node| is_explained(node) && (node.labels.contains_key(GRANT_LABEL) || !(ended && by_that(node)));
    match (order.new_swarm, nodes.iter().find(explained)) {
        (true, Some(node)) => Some(format!(
            "this is no new swarm: a broker has explained node {} here. Leave --new-swarm away",
            node.id
        )),
        (true, None) if nodes.iter().filter(|node| node.role == Role::Manager).count() > 1 => {
            Some("a new swarm has one manager: this one has several, and nothing explains them. Adopt them first with 'broker adopt'".into())
        }
        (false, None) if lost => {
            Some("nothing explains any node of this swarm: it is another one than the ledger was in. If you made it in place of the one that was lost, add --new-swarm".into())
        }
        (true | false, _) => None,
    }
}

async fn planned(
    broker: &Broker,
    order: &RecoverOrder,
    nodes: &[Node],
    present: &[InviteState],
    floor: u64,
    now: u64,
) -> Result<Plan, Denial> {
    broker.directory.refresh().await?;
    let listed = broker.directory.all().into_iter().map(|peer| peer.id).collect();
    let carried: BTreeSet<GrantHash> =
        nodes.iter().filter_map(|node| node.labels.get(GRANT_LABEL)?.parse().ok()).collect();
    let (path, length) = broker.audit.written();
    let own = tokio::task::spawn_blocking(move || History::read(&path, length))
        .await
        .map_err(|_| Denial::Unavailable("the broker is stopping".into()))??;
    let logs: Vec<History> = std::iter::once(own).chain(order.logs.iter().cloned()).collect();
    Ok(plan(&Given {
        cluster: &broker.cluster,
        logs: &logs,
        present,
        listed: &listed,
        carried: &carried,
        trusted: order.trust_logs,
        floor,
        generation: broker.keys.issuing.get().public().generation,
        now,
    }))
}

async fn carry_out(
    broker: &Broker,
    plan: &Plan,
    order: &RecoverOrder,
    operator: &str,
    floor: u64,
    now: u64,
) -> Result<u64, Denial> {
    let _turn = broker.keys.turn.lock().await;
    let operator = Some(operator.to_owned());
    let mut words = order.reason.trim().to_owned();
    if order.trust_logs && !plan.gaps.is_empty() {
        words.push_str("; the operator says that the logs are whole, though ");
        words.push_str(&plan.gaps.join("; "));
    }
    let record = Record { operator: operator.clone(), detail: Some(words), ..Record::new(Event::LedgerRecovering) };
    broker.audit.record(record.clone()).await?;
    for step in plan.invites.iter().filter(|step| step.action == Action::Revoke) {
        let invite = step.policy.invite();
        let revoked = Record {
            invite: Some(step.policy.id().clone()),
            ends: Some(invite.map_or(now.saturating_add(crate::ledger::LONGEST), |invite| invite.exp)),
            operator: operator.clone(),
            detail: Some("the ledger was recovered, and more of its uses may be spent than is known".into()),
            ..Record::new(Event::InviteRevoked)
        };
        broker.audit.record(revoked).await?;
    }
    for step in plan.invites.iter().filter(|step| step.action != Action::Keep) {
        broker.invites.put_back(&step.policy, &step.claims).await?;
    }
    broker.rotations.forget().await?;
    broker.directory.put_back_invite_key(broker.keys.invite.get().public(), now).await?;
    if plan.invite_keys == Former::VoidOthers {
        broker.directory.void_other_invite_keys(&broker.keys.invite.get().public().id(), now).await?;
    }
    keys::put_back_cas(broker, plan.lowest_ca.as_ref().map_or(1, |lowest| *lowest)).await?;
    // An invite may bear a time that is ahead by a clock's error, and have been used by a broker that was ahead as well.
    let until = now.saturating_add(2 * SKEW);
    let (until, version) = broker.sentinel.recover(&broker.engine, broker.pin(), floor, until).await?;
    let record = Record { event: Event::LedgerRecovered, version: Some(version), until: Some(until), ..record };
    broker.audit.record(record).await?;
    broker.sentinel.noted(until);
    tracing::info!("the ledger was recovered");
    if let Some(membership) = broker.membership() {
        broker.directory.renew(broker.entry(membership.node), Retire::AfterLast).await?;
    }
    broker.directory.refresh().await?;
    rotation::start(broker).await?;
    Ok(until)
}

/// Writes down a recovery that another broker carried out, or this one when it was cut off.
pub(crate) async fn note(audit: &Audit, sentinel: &Sentinel) -> Result<(), AuditError> {
    let Some(until) = sentinel.unnoted() else { return Ok(()) };
    let record = Record {
        until: Some(until),
        version: Some(sentinel.version()),
        detail: Some("found in the ledger: a broker has recovered it".into()),
        ..Record::new(Event::LedgerRecovered)
    };
    audit.record(record).await?;
    sentinel.noted(until);
    Ok(())
}

fn told(plan: &Plan, order: &RecoverOrder, lost: Option<String>, sound: bool, unread: Vec<String>) -> Recovery {
    let invites = plan.invites.iter().map(|step| InviteRecovered {
        id: step.policy.id().clone(),
        action: match step.action {
            Action::Keep => "kept",
            Action::PutBack => "put-back",
            Action::Revoke => "revoked",
        }
        .into(),
        revoked: step.claims.revoked.is_some(),
        spent: step.claims.uses.len(),
        uses: step.policy.invite().map(|invite| invite.uses),
        missing: step.missing,
    });
    Recovery {
        dry_run: order.dry_run,
        lost,
        sound,
        gaps: plan.gaps.clone(),
        trusted: order.trust_logs,
        invites: invites.collect(),
        unread,
        until: None,
        adopted: 0,
    }
}
