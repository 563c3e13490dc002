//! The model: what may have been answered, given all that was asked. A pure function of the history and the evidence.
//!
//! Promise: whatever it names is a broken promise of the design, by name. Must not: name anything that a fault explains.
//!
//! **A failure is**, for each invite and each key:
//! - more keys with an identity, with a token, or with a use in the ledger than the invite has uses (promise 1);
//! - a token for a grant of another key, by answer or by record (2);
//! - anything given to a request that began after a broker had said that the invite is revoked, or a new use of an
//!   invite that has ended (every step asks again);
//! - a token whose record was not in the broker's log when the token came, an answer that no record tells, a token
//!   without a claim in the ledger or without the record that announces the claim (4);
//! - a refusal of a client that has a use, or for which one was free, where nobody had begun to revoke the invite and it
//!   had not ended: a refusal is final (5);
//! - an answer to an honest request that is none of "given", "refused", "come back" and "ask again" (5);
//! - anything given while quorum was lost, by a request that began and ended in that time (5);
//! - an honest client, or a machine, that was neither let in nor refused within the time after the last fault; a broker
//!   that does not serve again after its fault (6, 8);
//! - a node that nothing explains (10);
//! - a log that does not verify, and an alarm for which nobody gave cause (11).
//!
//! **No failure is**: an answer "come back", however often, while a fault lasts or after it; no answer; an answer that
//! does not come in time; a use that was spent by a request whose answer never came; a refusal where more keys may have
//! asked in time than there are uses, whoever of them came first; a refusal or a use within [`SLACK`] of an invite's end;
//! a record of a token that nobody received; a token that was replaced before it was used, which costs a retry.

mod admission;
mod alarms;
mod records;
mod refusals;
#[cfg(test)]
mod tests;

use crate::evidence::Evidence;
use crate::history::{Exchange, History, Moment};

/// Clocks of managers differ by less than 5 s, as the design has it, and an invite's end is a whole second. In
/// microseconds.
const SLACK: Moment = 6_000_000;

/// A broken promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Which, in a word.
    pub(crate) promise: &'static str,
    /// What was seen.
    pub(crate) what: String,
    /// The client that saw it, by its place in the history, if one did.
    pub(crate) client: Option<usize>,
}

/// Every broken promise that this run shows.
pub(crate) fn violations(history: &History, evidence: &Evidence) -> Vec<Violation> {
    let mut found = Vec::new();
    admission::at_most_n(history, evidence, &mut found);
    admission::one_key(history, evidence, &mut found);
    admission::revoked_or_ended(history, evidence, &mut found);
    admission::without_quorum(history, &mut found);
    records::before_answers(history, evidence, &mut found);
    records::before_claims(evidence, &mut found);
    records::claims(history, evidence, &mut found);
    refusals::wrongful(history, &mut found);
    refusals::odd(history, &mut found);
    refusals::stranded(history, &mut found);
    alarms::logs(evidence, &mut found);
    alarms::causeless(history, evidence, &mut found);
    found
}

/// Every request, with the place of the client whose it is.
fn exchanges(history: &History) -> impl Iterator<Item = (usize, &Exchange)> {
    let clients = history.clients.iter().enumerate();
    clients.flat_map(|(number, client)| client.asked.iter().map(move |exchange| (number, exchange)))
}
