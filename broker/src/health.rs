//! Whether machines can be admitted, and what is missing where they cannot.
//!
//! Ready means: the engine answers, is a manager, has quorum, the CA is loaded, the ledger is sound, the log can be
//! written. Must not ask the engine: it tells what the keeper saw last.

use std::sync::PoisonError;

use crate::broker::Broker;
use crate::clock;
use crate::keys;
use crate::ledger::Health;

/// What is missing, in words; empty when the broker is ready.
pub(crate) fn missing(broker: &Broker) -> Vec<String> {
    let mut missing = Vec::new();
    if broker.membership().is_none() {
        let unseen = broker.unseen.read().unwrap_or_else(PoisonError::into_inner);
        // A look that has not come back for so long says nothing.
        let silent = || "the engine does not answer as a manager with quorum".to_owned();
        missing.push(unseen.as_ref().map_or_else(silent, ToString::to_string));
    }
    match broker.sentinel.health() {
        Health::Sound => {}
        Health::Unknown => missing.push("the ledger was not read yet".to_owned()),
        Health::Lost(why) => missing.push(why),
    }
    if !broker.audit.is_writable() {
        missing.push("the audit log cannot be written".to_owned());
    }
    let issuing = broker.keys.issuing.get();
    let generation = issuing.public().generation;
    if !keys::is_believed(&broker.keys.generations.get(), &issuing, clock::now()) {
        missing.push(format!(
            "the issuing CA of this broker (generation {generation}) was replaced on another one, and is not trusted any more. This one asks for the new one by itself: 'broker status' says how far it has come"
        ));
    }
    if clock::now() >= issuing.public().ends {
        missing.push("the issuing CA has ended".to_owned());
    }
    missing
}

/// Brings the figures up to date that are looked up rather than counted.
pub(crate) fn refresh_metrics(broker: &Broker) {
    broker.metrics.ready.set(i64::from(missing(broker).is_empty()));
    broker.metrics.alarms.set(broker.audit.alarms());
    let left = broker.keys.issuing.get().public().ends.saturating_sub(clock::now());
    broker.metrics.issuing_ends.set(i64::try_from(left).unwrap_or(i64::MAX));
    let left = broker.keys.issuing.get().public().root_ends.saturating_sub(clock::now());
    broker.metrics.root_ends.set(i64::try_from(left).unwrap_or(i64::MAX));
    let joiners = broker.joiners.shown();
    let count = |served| i64::try_from(joiners.iter().filter(|joiner| joiner.served == served).count()).unwrap_or(0);
    broker.metrics.joiners.set(count(true));
    broker.metrics.joiners_missing.set(count(false));
}
