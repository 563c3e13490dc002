//! What everybody saw, in the order of time: requests, when they began and ended, and what was answered.
//! Must not: judge. `check` does.

use serde::Serialize;

use crate::fault::FaultKind;
use crate::plan::Kind;

/// Microseconds since the run began.
pub(crate) type Moment = u64;

/// All that was seen in a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct History {
    pub(crate) invites: Vec<Invite>,
    pub(crate) clients: Vec<Client>,
    pub(crate) hurts: Vec<Hurt>,
    /// What an operator ordered, and how that ended.
    pub(crate) orders: Vec<String>,
    /// Brokers that did not serve again in time after a fault was over.
    pub(crate) silent: Vec<String>,
}

/// An invite, as its maker knows it.
#[derive(Debug, Serialize)]
pub(crate) struct Invite {
    pub(crate) id: String,
    pub(crate) uses: usize,
    /// When it ends.
    pub(crate) ends: Moment,
    pub(crate) revoking: Option<Moment>,
    /// When a broker had said that it is revoked.
    pub(crate) revoked: Option<Moment>,
}

/// One client: one key, and all that it asked.
#[derive(Debug, Serialize)]
pub(crate) struct Client {
    /// Which invite, by its place in the list.
    pub(crate) invite: usize,
    pub(crate) kind: Kind,
    pub(crate) key: String,
    pub(crate) asked: Vec<Exchange>,
    /// Whether it is through: it has what it wanted, was refused, or wants nothing more.
    pub(crate) done: bool,
}

/// One request.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Exchange {
    pub(crate) step: Step,
    /// Which broker; none for a joiner, which asks them all.
    pub(crate) broker: Option<usize>,
    pub(crate) begun: Moment,
    pub(crate) ended: Moment,
    pub(crate) answer: Answer,
    /// The grant that it was about, by its hash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) grant: Option<String>,
    /// Of a token that was given: whether its record was in the broker's log at that moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) recorded: Option<bool>,
    /// What there is to say of it.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) words: String,
}

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Step {
    /// A use, and the certificate for it.
    Identity,
    Grant,
    /// The token, for the client's own grant.
    Redeem,
    /// The token, for another client's grant.
    Steal,
    /// A whole boot, by a joiner on a machine with an engine.
    Join,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Answer {
    Given,
    /// Final.
    Refused,
    /// Come back at once, for another grant.
    AskAgain,
    /// Come back.
    Unavailable,
    /// There was none, or none that reads: nobody knows what became of the request.
    Unknown,
    /// One that nobody gets who asks as he should.
    Odd,
}

/// A fault that happened.
#[derive(Debug, Serialize)]
pub(crate) struct Hurt {
    pub(crate) kind: FaultKind,
    pub(crate) victims: Vec<usize>,
    /// From when on it was wholly there.
    pub(crate) from: Moment,
    /// When it began to be undone.
    pub(crate) until: Moment,
    /// When its victims served again.
    pub(crate) over: Moment,
}

impl Client {
    /// Its requests of this kind.
    pub(crate) fn steps(&self, step: Step) -> impl Iterator<Item = &Exchange> {
        self.asked.iter().filter(move |exchange| exchange.step == step)
    }

    /// Whether it was given this.
    pub(crate) fn was_given(&self, step: Step) -> bool {
        self.steps(step).any(|exchange| exchange.answer == Answer::Given)
    }

    /// Whether it was given the token, by whatever way.
    pub(crate) fn has_token(&self) -> bool {
        [Step::Redeem, Step::Steal, Step::Join].iter().any(|step| self.was_given(*step))
    }
}

impl Exchange {
    /// Whether it may take a use.
    pub(crate) fn claims(&self) -> bool {
        matches!(self.step, Step::Identity | Step::Join)
    }
}
