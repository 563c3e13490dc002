//! Who was let in: promises 1 and 2, and that every step asks again.

use std::collections::{BTreeMap, BTreeSet};

use super::{SLACK, Violation, exchanges};
use crate::evidence::Evidence;
use crate::fault::FaultKind;
use crate::history::{Answer, History, Step};

/// An invite for N uses admits at most N keys: as clients saw it, as the logs say, as the ledger has it.
pub(super) fn at_most_n(history: &History, evidence: &Evidence, found: &mut Vec<Violation>) {
    for (number, invite) in history.invites.iter().enumerate() {
        let clients = || history.clients.iter().filter(move |client| client.invite == number);
        let records = || evidence.logs.iter().flat_map(|log| &log.records);
        let of_it = || records().filter(|record| record.invite.as_deref() == Some(&invite.id));
        let keys = |events: &[&str]| -> BTreeSet<&str> {
            of_it().filter(|record| events.contains(&record.event.as_str())).filter_map(|r| r.key.as_deref()).collect()
        };
        let seen = [
            ("keys were given an identity", clients().filter(|client| client.was_given(Step::Identity)).count()),
            ("keys were given the token", clients().filter(|client| client.has_token()).count()),
            ("keys have an identity in the logs", keys(&["identity.issued"]).len()),
            ("keys were given the token in the logs", keys(&["grant.redeemed", "grant.replayed"]).len()),
            ("keys have a use in the ledger", evidence.ledger.get(&invite.id).map_or(0, |object| object.uses.len())),
        ];
        for (what, count) in seen.into_iter().filter(|(_, count)| *count > invite.uses) {
            let what = format!("invite {} is for {}, and {count} {what}", invite.id, invite.uses);
            found.push(Violation { promise: "at-most-n", what, client: None });
        }
    }
}

/// A grant is redeemed by the key it is bound to.
pub(super) fn one_key(history: &History, evidence: &Evidence, found: &mut Vec<Violation>) {
    let stolen = exchanges(history).filter(|(_, asked)| asked.step == Step::Steal && asked.answer == Answer::Given);
    for (client, exchange) in stolen {
        let what = format!("another key was given the token for grant {}", exchange.grant.as_deref().unwrap_or("?"));
        found.push(Violation { promise: "one-key", what, client: Some(client) });
    }
    let mut keys: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for record in evidence.logs.iter().flat_map(|log| &log.records).filter(|record| record.gives_token()) {
        if let (Some(grant), Some(key)) = (&record.grant, &record.key) {
            keys.entry(grant).or_default().insert(key);
        }
    }
    for (grant, keys) in keys.into_iter().filter(|(_, keys)| keys.len() > 1) {
        let what = format!("the logs have grant {grant} redeemed by {} keys: {keys:?}", keys.len());
        found.push(Violation { promise: "one-key", what, client: None });
    }
}

/// Nothing is given to whoever asks after the revocation, and no new use after the end.
pub(super) fn revoked_or_ended(history: &History, evidence: &Evidence, found: &mut Vec<Violation>) {
    for (number, exchange) in exchanges(history).filter(|(_, asked)| asked.answer == Answer::Given) {
        let client = &history.clients[number];
        let invite = &history.invites[client.invite];
        // A machine that was given the token before may confirm that it has joined, whatever became of its invite since.
        let begun =
            client.steps(exchange.step).next().filter(|first| first.step == Step::Join).unwrap_or(exchange).begun;
        if invite.revoked.is_some_and(|revoked| begun > revoked) {
            let what = format!("{:?} was given after invite {} had been revoked", exchange.step, invite.id);
            found.push(Violation { promise: "revoked", what, client: Some(number) });
        }
        let first = client.asked.iter().find(|asked| asked.claims());
        if first.is_some_and(|first| first.begun > invite.ends + SLACK) {
            let what = format!("a new key was given {:?} after invite {} had ended", exchange.step, invite.id);
            found.push(Violation { promise: "ended", what, client: Some(number) });
        }
    }
    for invite in history.invites.iter().filter(|invite| invite.revoked.is_some()) {
        if evidence.ledger.get(&invite.id).is_some_and(|object| !object.revoked) {
            let what = format!("a broker said that invite {} is revoked, and the ledger does not", invite.id);
            found.push(Violation { promise: "revoked", what, client: None });
        }
    }
}

/// Without quorum nothing can be claimed, so nothing is given.
pub(super) fn without_quorum(history: &History, found: &mut Vec<Violation>) {
    for hurt in history.hurts.iter().filter(|hurt| hurt.kind == FaultKind::QuorumLost) {
        let within = exchanges(history).filter(|(_, asked)| asked.begun >= hurt.from && asked.ended <= hurt.until);
        for (client, exchange) in within.filter(|(_, asked)| asked.answer == Answer::Given) {
            let what = format!("{:?} was given while quorum was lost", exchange.step);
            found.push(Violation { promise: "quorum", what, client: Some(client) });
        }
    }
}
