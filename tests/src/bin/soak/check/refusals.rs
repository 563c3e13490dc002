//! Who was kept out: promises 5, 6 and 8.

use super::{SLACK, Violation, exchanges};
use crate::history::{Answer, Client, Exchange, History, Step};
use crate::plan::Kind;

/// A refusal is final, so it is for those only who cannot be let in.
pub(super) fn wrongful(history: &History, found: &mut Vec<Violation>) {
    let refused = exchanges(history).filter(|(_, asked)| asked.answer == Answer::Refused && asked.step != Step::Steal);
    for (number, exchange) in refused {
        let client = &history.clients[number];
        let invite = &history.invites[client.invite];
        let has_use =
            client.steps(Step::Identity).any(|asked| asked.answer == Answer::Given && asked.ended <= exchange.begun);
        let why = if has_use {
            "has a use"
        } else if exchange.ended + SLACK >= invite.ends || keys_before(history, number, exchange) >= invite.uses {
            continue;
        } else {
            "came while there was a use for it"
        };
        if invite.revoking.is_some_and(|revoking| revoking <= exchange.ended) {
            continue;
        }
        let what = format!("{:?} was refused to a key that {why}, of invite {}", exchange.step, invite.id);
        found.push(Violation { promise: "refused", what, client: Some(number) });
    }
}

/// Whoever asks as it should is let in, refused, or told to come back, and nothing else.
pub(super) fn odd(history: &History, found: &mut Vec<Violation>) {
    for (number, exchange) in exchanges(history).filter(|(_, asked)| asked.answer == Answer::Odd) {
        let what = format!("{:?} was answered in a way that no honest request is: {}", exchange.step, exchange.words);
        found.push(Violation { promise: "odd", what, client: Some(number) });
    }
}

/// How many other keys may have taken a use before this refusal was answered: those that had asked by then, and were not
/// refused each time.
fn keys_before(history: &History, own: usize, refusal: &Exchange) -> usize {
    let may = |client: &Client| {
        let claims = client.asked.iter().filter(|asked| asked.claims() && asked.begun < refusal.ended);
        claims.into_iter().any(|asked| asked.answer != Answer::Refused)
    };
    let invite = history.clients[own].invite;
    let others =
        history.clients.iter().enumerate().filter(|(number, client)| *number != own && client.invite == invite);
    others.filter(|(_, client)| may(client)).count()
}

/// After the last fault, everybody comes through, and every broker serves.
pub(super) fn stranded(history: &History, found: &mut Vec<Violation>) {
    for (number, client) in history.clients.iter().enumerate() {
        if client.kind == Kind::Honest && !client.done {
            let last = client.asked.last().map_or_else(|| "nothing".into(), |last| format!("{last:?}"));
            let what = format!("a client was neither let in nor refused; the last it saw: {last}");
            found.push(Violation { promise: "stranded", what, client: Some(number) });
        }
    }
    for what in &history.silent {
        found.push(Violation { promise: "stranded", what: what.clone(), client: None });
    }
}
