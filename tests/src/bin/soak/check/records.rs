//! What was written down, and when: promises 3 and 4.

use std::collections::{BTreeMap, BTreeSet};

use super::{Violation, exchanges};
use crate::evidence::Evidence;
use crate::history::{Answer, History, Step};

/// How long the ledger has an invite's object after its end, at least; in microseconds.
const KEPT: u64 = 3_600_000_000;

/// Each answer has its record, and a token's was there before the token was.
pub(super) fn before_answers(history: &History, evidence: &Evidence, found: &mut Vec<Violation>) {
    // By broker, event, key and grant: who was given it, and how often.
    let mut given = BTreeMap::<_, (usize, usize)>::new();
    for (client, exchange) in exchanges(history).filter(|(_, asked)| asked.answer == Answer::Given) {
        if exchange.recorded == Some(false) {
            let what = "a token came, and its record was not in the broker's log".to_owned();
            found.push(Violation { promise: "write-then-answer", what, client: Some(client) });
        }
        let event = match exchange.step {
            Step::Identity => "identity.issued",
            Step::Grant => "grant.issued",
            Step::Redeem | Step::Steal => "token",
            // A joiner has asked whoever answered.
            Step::Join => continue,
        };
        let Some(broker) = exchange.broker else { continue };
        let of = (broker, event, history.clients[client].key.as_str(), exchange.grant.as_deref());
        given.entry(of).or_insert((client, 0)).1 += 1;
    }
    for ((broker, event, key, grant), (client, answers)) in given {
        let tells = |record: &&crate::evidence::Record| {
            record.is_about(key, grant) && if event == "token" { record.gives_token() } else { record.event == event }
        };
        let records = evidence.logs.get(broker).map_or(0, |log| log.records.iter().filter(tells).count());
        if records < answers {
            let what = format!("broker {broker} gave {event} {answers} times, and its log has {records} records of it");
            found.push(Violation { promise: "write-then-answer", what, client: Some(client) });
        }
    }
}

/// A claim is announced in the log before it is made, so each redemption has that record before it.
pub(super) fn before_claims(evidence: &Evidence, found: &mut Vec<Violation>) {
    for (broker, log) in evidence.logs.iter().enumerate() {
        let mut announced = BTreeSet::new();
        for record in &log.records {
            let of = (record.key.as_deref(), record.grant.as_deref());
            if record.event == "grant.redeeming" {
                announced.insert(of);
            } else if record.gives_token() && !announced.contains(&of) {
                let what = format!("broker {broker} redeemed a grant that its log does not announce: {record:?}");
                found.push(Violation { promise: "write-then-answer", what, client: None });
            }
        }
    }
}

/// The ledger knows every use and redemption that was answered, and none that nobody asked for.
pub(super) fn claims(history: &History, evidence: &Evidence, found: &mut Vec<Violation>) {
    let end = exchanges(history).map(|(_, exchange)| exchange.ended).max().unwrap_or(0);
    let mut say = |what, client| found.push(Violation { promise: "ledger", what, client });
    for (number, client) in history.clients.iter().enumerate() {
        let invite = &history.invites[client.invite];
        let (used, redeemed) = match evidence.ledger.get(&invite.id) {
            Some(object) => {
                (object.uses.contains_key(&client.key), object.uses.get(&client.key).is_some_and(Option::is_some))
            }
            // Its sweeping is the brokers' right.
            None if invite.ends + KEPT < end => continue,
            None => (false, false),
        };
        if !used && client.was_given(Step::Identity) {
            say(
                format!("a key was given an identity, and has no use of invite {} in the ledger", invite.id),
                Some(number),
            );
        }
        if !redeemed && client.has_token() {
            say(format!("a key was given the token, and the ledger has no redemption: {}", invite.id), Some(number));
        }
    }
    let asked: BTreeSet<(&str, &str)> = history
        .clients
        .iter()
        .filter(|client| client.asked.iter().any(crate::history::Exchange::claims))
        .map(|client| (history.invites[client.invite].id.as_str(), client.key.as_str()))
        .collect();
    let ours: BTreeSet<&str> = history.invites.iter().map(|invite| invite.id.as_str()).collect();
    let objects = evidence.ledger.iter().filter(|(id, _)| ours.contains(id.as_str()));
    for (id, key, redeemed) in objects.flat_map(|(id, object)| object.uses.iter().map(move |(key, r)| (id, key, r))) {
        if !asked.contains(&(id.as_str(), key.as_str())) {
            say(format!("the ledger has a use of invite {id} by key {key}, which nobody asked for"), None);
        }
        let Some(redeemed) = redeemed else { continue };
        let announces = |record: &&crate::evidence::Record| {
            record.event == "grant.redeeming" && record.is_about(key, Some(&redeemed.grant))
        };
        // Once for however many commits: a request that a token's replacement comes in the way of claims again.
        if !evidence.logs.iter().flat_map(|log| &log.records).any(|record| announces(&record)) {
            say(format!("key {key} redeemed grant {} in the ledger, and no log announces it", redeemed.grant), None);
        }
    }
}
