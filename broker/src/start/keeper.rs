//! What a running broker does by itself: renews its entry, follows the swarm's root, watches nodes and
//! tokens, sees to it that those that have gone are removed, sweeps.

use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::departure;
use crate::fleet::Look;
use crate::handover;
use crate::keys::renew_server_certificate;
use crate::ledger::{Health, InviteState, KEPT, LedgerError, Retire, WINDOW};
use crate::swarm::EngineError;

/// How often the engine is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often this broker's entry is renewed and the directory read.
const RENEW: Duration = Duration::from_secs(10);
/// How often ended invites are swept.
const SWEEP: Duration = Duration::from_mins(10);
/// How long a sweep may take; what is left is swept the next time. All else that the keeper does is bounded by what a
/// call to the engine may take, so systemd hears of it every minute at the latest.
const SWEEPING: Duration = Duration::from_secs(10);
/// How often a server certificate is tried to be renewed that could not be.
const AGAIN: Duration = Duration::from_mins(1);

/// So many looks in a row must find that this machine is no manager, or that the ledger lacks something, before that is
/// believed: an engine that starts again says many things.
const BELIEVED: u32 = 3;

/// Keeps the broker until it stops. Says so when this machine is no manager any more.
pub(super) async fn keep(broker: Arc<Broker>, demoted: oneshot::Sender<EngineError>) {
    let (mut demoted, mut no_manager) = (Some(demoted), 0);
    let (mut renewed, mut swept, mut tried) = (Instant::now(), Instant::now(), Instant::now());
    let mut lost = matches!(broker.sentinel.health(), Health::Lost(_));
    let mut going_on = GoingOn::default();
    loop {
        tokio::time::sleep(LOOK).await;
        match look(&broker).await {
            Err(why @ (EngineError::Worker | EngineError::NotManager)) => {
                no_manager += 1;
                if no_manager >= BELIEVED
                    && let Some(demoted) = demoted.take()
                {
                    let _ = demoted.send(why);
                }
            }
            Ok(()) | Err(_) => no_manager = 0,
        }
        if renewed.elapsed() >= RENEW {
            renew(&broker).await;
            renewed = Instant::now();
        }
        if broker.sentinel.check().is_ok() {
            lost = false;
            if let Err(error) = crate::recover::note(&broker.audit, &broker.sentinel).await {
                tracing::warn!(%error, "that the ledger was recovered cannot be written down; it is tried again");
            }
        }
        if !lost && let Health::Lost(why) = broker.sentinel.health() {
            lost = broker.audit.record(Record::alarm(Event::LedgerLost, why)).await.is_ok();
        }
        crate::keys::warn(&broker).await;
        for summary in broker.refusals.summaries(Instant::now()) {
            let _ = broker.audit.record(summary).await;
        }
        if broker.membership().is_some() {
            watch(&broker, &mut going_on).await;
        }
        if broker.keys.server.is_due(clock::now()) && tried.elapsed() >= AGAIN {
            tried = Instant::now();
            if let Err(error) = renew_server_certificate(&broker) {
                tracing::error!(?error, "the server certificate could not be renewed");
            }
        }
        if swept.elapsed() >= SWEEP {
            let _ = tokio::time::timeout(SWEEPING, sweep(&broker)).await;
            swept = Instant::now();
        }
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}

/// Reads the membership, and trusts the swarm's root as it is now.
async fn look(broker: &Broker) -> Result<(), EngineError> {
    match broker.engine.membership().await {
        Ok(membership) => {
            let known = broker.membership().is_some_and(|known| known.roots == membership.roots);
            if !known && let Err(error) = broker.trust.trust_nodes(&membership.roots) {
                tracing::warn!(%error, "the swarm's root certificate does not read");
            }
            let seen = Some((membership, Instant::now()));
            *broker.membership.write().unwrap_or_else(PoisonError::into_inner) = seen;
            *broker.unseen.write().unwrap_or_else(PoisonError::into_inner) = None;
            Ok(())
        }
        Err(error) => {
            tracing::warn!(%error, "the engine does not answer as a manager");
            *broker.unseen.write().unwrap_or_else(PoisonError::into_inner) = Some(error.clone());
            if matches!(error, EngineError::Locked) {
                // That is no moment's silence: nothing is known of the swarm before somebody has typed the key.
                *broker.membership.write().unwrap_or_else(PoisonError::into_inner) = None;
            }
            Err(error)
        }
    }
}

/// What goes on from one look to the next.
#[derive(Default)]
struct GoingOn {
    /// What is done about the tokens.
    tokens: Option<JoinHandle<()>>,
    /// What is done about nodes that have gone.
    departing: Option<JoinHandle<()>>,
    /// Since when which nodes are down.
    down: departure::Watch,
    /// Which places of invites have lost their node.
    places: departure::Places,
    /// How many looks in a row have found that the ledger lacks something.
    lacking: u32,
}

/// Looks at the nodes and at the tokens, by one reading of the invites. What is done about the tokens is a task of its
/// own, one at a time: a rotation waits for machines, and nothing else of the keeper's waits for a rotation. So is what is
/// done about nodes that have gone.
async fn watch(broker: &Arc<Broker>, going_on: &mut GoingOn) {
    let Ok(Look { report, invites, departing, silent, unread }) = crate::fleet::look(broker).await else { return };
    broker.silence.look(&silent, Instant::now());
    compare(broker, &invites, &mut going_on.lacking).await;
    let stale = handover::to_renew(broker, &report.nodes);
    let due = going_on.down.look(departing, clock::now(), Instant::now());
    let freed = going_on.places.look(report.nodes.iter().map(|node| &node.id), &invites);
    let sound = broker.sentinel.check().is_ok();
    if sound && (!due.is_empty() || !freed.is_empty()) && is_free(going_on.departing.as_ref()) {
        going_on.departing = Some(tokio::spawn(departure::settle(broker.clone(), due, freed)));
    }
    crate::fleet::watch(broker, report, unread).await;
    if sound && is_free(going_on.tokens.as_ref()) {
        let broker = broker.clone();
        going_on.tokens = Some(tokio::spawn(async move {
            if let Err(error) = crate::keys::refuse_void(&broker, &invites, "broker").await {
                tracing::warn!(?error, "invites of a void key are not revoked yet");
            }
            for node in stale {
                if let Err(error) = handover::renew(&broker, &node).await {
                    tracing::warn!(?error, %node, "a manager's voucher is not signed anew yet");
                }
            }
            crate::rotation::look(&broker, &invites).await;
        }));
    }
}

fn is_free(task: Option<&JoinHandle<()>>) -> bool {
    task.is_none_or(JoinHandle::is_finished)
}

/// Holds the invites against what was claimed and revoked. An engine that has a new leader may not show it all yet, so
/// that something is missing is believed when it is missing again and again.
async fn compare(broker: &Broker, invites: &[InviteState], lacking: &mut u32) {
    let missing = match broker.sentinel.suspect(invites) {
        Some(invite) => broker.sentinel.missing(&broker.engine, &invite).await,
        None => Ok(None),
    };
    match missing {
        Ok(Some(why)) => {
            *lacking += 1;
            if *lacking >= BELIEVED && broker.sentinel.check().is_ok() {
                let _ = broker.sentinel.lose(&why);
            }
        }
        Ok(None) => *lacking = 0,
        // Not known, this time.
        Err(_) => {}
    }
}

async fn renew(broker: &Broker) {
    let Some(membership) = broker.membership() else { return };
    let renewed = async {
        broker.sentinel.look(&broker.engine).await?;
        // What was lost is evidence: nothing of ours is written into it.
        broker.sentinel.check()?;
        // Who replaces a key writes the entry, too.
        if let Ok(_turn) = broker.keys.turn.try_lock() {
            broker.directory.renew(broker.entry(membership.node), Retire::AfterLast).await?;
            if let Err(error) = crate::keys::follow(broker).await {
                tracing::warn!(?error, "the list of issuing CAs cannot be read");
            }
        }
        broker.directory.refresh().await
    };
    if let Err(error) = renewed.await {
        tracing::warn!(%error, "the ledger cannot be kept");
    }
}

async fn sweep(broker: &Broker) {
    let now = clock::now();
    let floor = now.saturating_sub(WINDOW + KEPT);
    // Whoever raises the floor sweeps, and it is raised in steps: one broker at a time, and another one the next time.
    let floor = floor - floor % SWEEP.as_secs();
    let swept = async {
        match broker.sentinel.raise_floor(&broker.engine, floor).await? {
            Some(raised) => {
                broker.directory.sweep(&broker.engine.nodes().await?, now).await?;
                Ok::<_, LedgerError>((broker.invites.sweep(raised, now).await?, broker.listings.sweep(raised).await?))
            }
            None => Ok((0, 0)),
        }
    };
    match swept.await {
        Ok((0, 0)) => {}
        Ok((invites, joiners)) => tracing::info!(invites, joiners, "swept what ended long ago"),
        Err(error) => tracing::info!(%error, "nothing was swept"),
    }
}
