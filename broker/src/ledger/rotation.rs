//! What the brokers agree on about the join tokens: which generation is live, and whether one is being replaced.
//!
//! Keeps promise 6 across brokers: one object, changed by version, so there is one rotation at a time, and each broker
//! sees it at its next read. Must not hold a token: of each, a mark that tells it from the next one.

use std::collections::BTreeMap;
use std::sync::Arc;

use protocol::Role;
use serde::{Deserialize, Serialize};

use super::{LedgerError, Sentinel, names};
use crate::swarm::{Engine, EngineError, Live, Mark, Object, Stored};

/// The rotation's object in the ledger.
pub(crate) struct Rotations {
    engine: Engine,
    sentinel: Arc<Sentinel>,
}

/// The tokens as the brokers know them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TokenState {
    pub(crate) worker: Generation,
    pub(crate) manager: Generation,
    /// The swarm's root.
    pub(crate) root: Mark,
    /// The rotation that is under way.
    pub(crate) rotating: Option<Rotating>,
    /// Whether the swarm had other nodes than the founder before it had a broker: then somebody may hold its tokens.
    pub(crate) inherited: bool,
    /// Labels of a newer release, kept as they are.
    other: BTreeMap<String, String>,
}

/// One role's token. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Generation {
    /// Ours, from 1; one more with each token.
    pub(crate) number: u64,
    /// Since when, as far as a broker knows.
    pub(crate) since: u64,
    /// What tells this token from others.
    pub(crate) mark: Mark,
    /// The broker that replaced the one before, or saw that it was replaced.
    pub(crate) by: String,
}

/// A rotation that was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rotating {
    /// The broker that does it.
    pub(crate) by: String,
    /// When it was begun, in seconds since 1970.
    pub(crate) since: u64,
    pub(crate) roles: Vec<Role>,
    /// How long it waits at most, in milliseconds.
    pub(crate) wait: u64,
}

#[derive(Serialize, Deserialize)]
struct Data {
    inherited: bool,
}

/// A state, and what a change of it must name.
#[derive(Clone, Debug)]
pub(crate) struct ReadState {
    pub(crate) state: TokenState,
    stored: Stored,
}

impl ReadState {
    /// The version of the object.
    pub(crate) fn version(&self) -> u64 {
        self.stored.version
    }
}

impl TokenState {
    /// The tokens that are live, as generations of these numbers.
    pub(crate) fn first(live: &Live, numbers: impl Fn(Role) -> u64, inherited: bool, by: &str, now: u64) -> Self {
        let first = |role| Generation {
            number: numbers(role).max(1),
            since: now,
            mark: live.mark(role).clone(),
            by: by.to_owned(),
        };
        Self {
            worker: first(Role::Worker),
            manager: first(Role::Manager),
            root: live.root.clone(),
            rotating: None,
            inherited,
            other: BTreeMap::new(),
        }
    }

    /// A role's token.
    pub(crate) fn of(&self, role: Role) -> &Generation {
        match role {
            Role::Worker => &self.worker,
            Role::Manager => &self.manager,
        }
    }

    /// Whether a role's token is being replaced.
    pub(crate) fn rotates(&self, role: Role) -> bool {
        self.rotating.as_ref().is_some_and(|rotating| rotating.roles.contains(&role))
    }

    /// The state with this rotation under way.
    pub(crate) fn with(&self, rotating: Rotating) -> Self {
        Self { rotating: Some(rotating), ..self.clone() }
    }

    /// The number of the managers' unlock key: ours, from 1, and one more each time that a broker replaced it.
    pub(crate) fn unlock_key(&self) -> u64 {
        self.other.get(names::GENERATION_OF_UNLOCK_KEY).and_then(|text| text.parse().ok()).unwrap_or(1)
    }

    /// The state with the next one.
    pub(crate) fn with_next_unlock_key(&self) -> Self {
        let mut next = self.clone();
        let number = self.unlock_key().saturating_add(1);
        next.other.insert(names::GENERATION_OF_UNLOCK_KEY.into(), number.to_string());
        next
    }

    /// The roles whose live token is not the one known here.
    pub(crate) fn replaced(&self, live: &Live) -> Vec<Role> {
        [Role::Worker, Role::Manager].into_iter().filter(|role| self.of(*role).mark != *live.mark(*role)).collect()
    }

    /// The state with what is live now: a token that is another one is the next generation. No rotation is under way.
    pub(crate) fn settled(&self, live: &Live, by: &str, now: u64) -> Self {
        let mut settled = Self { rotating: None, root: live.root.clone(), ..self.clone() };
        for role in self.replaced(live) {
            let generation = match role {
                Role::Worker => &mut settled.worker,
                Role::Manager => &mut settled.manager,
            };
            generation.number += 1;
            generation.since = now;
            generation.mark = live.mark(role).clone();
            by.clone_into(&mut generation.by);
        }
        settled
    }

    fn from_stored(stored: &Stored) -> Result<Self, LedgerError> {
        let damaged = |what: &str| {
            LedgerError::Unavailable(format!("the ledger's object '{}' does not read: {what}", names::rotation()))
        };
        let data: Data = serde_json::from_slice(&stored.object.data).map_err(|_| damaged("data"))?;
        let mut other = stored.object.labels.clone();
        let mut take = |label: &str| other.remove(label);
        let generation = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
        let worker = generation(take(names::GENERATION_OF_WORKER)).ok_or_else(|| damaged("the worker token"))?;
        let manager = generation(take(names::GENERATION_OF_MANAGER)).ok_or_else(|| damaged("the manager token"))?;
        let root = take(names::ROOT).and_then(|text| serde_json::from_str(&text).ok());
        let rotating = match take(names::ROTATING) {
            Some(text) => Some(serde_json::from_str(&text).map_err(|_| damaged("the rotation under way"))?),
            None => None,
        };
        let root = root.ok_or_else(|| damaged("the root"))?;
        Ok(Self { worker, manager, root, rotating, inherited: data.inherited, other })
    }

    fn to_labels(&self) -> Result<BTreeMap<String, String>, LedgerError> {
        let broken = |error: serde_json::Error| LedgerError::Unavailable(error.to_string());
        let mut labels = self.other.clone();
        labels.insert(names::KIND.into(), names::ROTATION.into());
        let told = [
            (names::GENERATION_OF_WORKER, serde_json::to_string(&self.worker)),
            (names::GENERATION_OF_MANAGER, serde_json::to_string(&self.manager)),
            (names::ROOT, serde_json::to_string(&self.root)),
        ];
        for (label, text) in told {
            labels.insert(label.into(), text.map_err(broken)?);
        }
        if let Some(rotating) = &self.rotating {
            labels.insert(names::ROTATING.into(), serde_json::to_string(rotating).map_err(broken)?);
        }
        Ok(labels)
    }
}

impl Rotations {
    pub(crate) fn new(engine: Engine, sentinel: Arc<Sentinel>) -> Self {
        Self { engine, sentinel }
    }

    /// Reads the state; None before the first broker with this release made it.
    pub(crate) async fn find(&self) -> Result<Option<ReadState>, LedgerError> {
        self.sentinel.check()?;
        let Some(stored) = self.engine.read(&names::rotation()).await? else { return Ok(None) };
        self.sentinel.saw(stored.version);
        Ok(Some(ReadState { state: TokenState::from_stored(&stored)?, stored }))
    }

    /// Reads the state, which must be there.
    pub(crate) async fn read(&self) -> Result<ReadState, LedgerError> {
        let gone = || LedgerError::Unavailable(format!("the ledger's object '{}' is not there", names::rotation()));
        self.find().await?.ok_or_else(gone)
    }

    /// Makes the object. False if another broker was faster.
    pub(crate) async fn make(&self, state: &TokenState) -> Result<bool, LedgerError> {
        self.sentinel.check()?;
        let data = serde_json::to_vec(&Data { inherited: state.inherited })
            .map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let object = Object { name: names::rotation(), data, labels: state.to_labels()? };
        match self.engine.create(&object).await {
            Ok(()) => Ok(true),
            Err(EngineError::Exists) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes the state with what an older raft store knew of the tokens: who looks next makes it anew.
    pub(crate) async fn forget(&self) -> Result<(), LedgerError> {
        match self.engine.read(&names::rotation()).await? {
            Some(stored) => Ok(self.engine.remove(&stored).await?),
            None => Ok(()),
        }
    }

    /// Changes the state, if it is still as it was read. False if another broker was faster.
    pub(crate) async fn change(&self, read: &ReadState, state: &TokenState) -> Result<bool, LedgerError> {
        match self.engine.relabel(&read.stored, state.to_labels()?).await {
            Ok(()) => Ok(true),
            Err(EngineError::OutOfSequence | EngineError::NotFound) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// What is live when these texts are the tokens and the root.
    pub(crate) fn live(worker: &str, manager: &str, root: &str) -> Live {
        let (worker, manager, root) = (Mark::of(worker), Mark::of(manager), Mark::of(root));
        Live { swarm: "s".repeat(25).parse().expect("a swarm id"), worker, manager, root }
    }

    #[test]
    fn a_state_reads_as_it_was_written_and_labels_of_a_newer_release_stay() {
        let mut state = TokenState::first(&live("w", "m", "r"), |_| 0, true, "broker", 7);
        let roles = vec![Role::Worker, Role::Manager];
        state.rotating = Some(Rotating { by: "broker".into(), since: 8, roles, wait: 2000 });
        state.other.insert("swarm-broker.newer".into(), "kept".into());
        let data = serde_json::to_vec(&Data { inherited: true }).expect("writes");
        let labels = state.to_labels().expect("writes");
        let mut object = Object { name: names::rotation(), data, labels };
        let stored = |object: &Object| Stored::example(object.clone(), 1);
        // The kind is one of the labels that stay.
        state.other.insert(names::KIND.into(), names::ROTATION.into());
        assert_eq!(TokenState::from_stored(&stored(&object)).expect("reads"), state);
        object.labels.insert(names::ROTATING.into(), "{".into());
        assert!(TokenState::from_stored(&stored(&object)).is_err(), "a rotation that does not read is not none");
    }

    #[test]
    fn the_unlock_keys_number_stays_when_a_token_is_replaced() {
        let state = TokenState::first(&live("w", "m", "r"), |_| 0, true, "broker", 7);
        assert_eq!(state.unlock_key(), 1);
        let next = state.with_next_unlock_key();
        assert_eq!((next.unlock_key(), next.worker.number), (2, 1));
        assert_eq!(next.settled(&live("w2", "m", "r"), "two", 9).unlock_key(), 2);
        let object = Object {
            name: names::rotation(),
            data: serde_json::to_vec(&Data { inherited: true }).expect("writes"),
            labels: next.to_labels().expect("writes"),
        };
        assert_eq!(TokenState::from_stored(&Stored::example(object, 1)).expect("reads").unlock_key(), 2);
    }

    #[test]
    fn what_was_replaced_is_the_next_generation_and_nothing_else_is() {
        let state = TokenState::first(&live("w", "m", "r"), |_| 3, false, "one", 7);
        let settled = state.settled(&live("w2", "m", "r"), "two", 9);
        assert_eq!((settled.worker.number, settled.worker.since, settled.worker.by.as_str()), (4, 9, "two"));
        assert_eq!(settled.manager, state.manager);
        assert_eq!(settled.settled(&live("w2", "m", "r"), "three", 10), settled, "and settling again changes nothing");
    }
}
