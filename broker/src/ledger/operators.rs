//! The operators: whose key may give which orders from elsewhere, and since when one may no more.
//!
//! Keeps DESIGN §6: a right that is taken away is gone at every broker at once, since each order reads it here. Bound to the
//! key and not to the name: a certificate for another key has no rights, whoever signed it. Must not hold a private key.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use certs::OperatorName;
use protocol::KeyHash;
use serde::{Deserialize, Serialize};

use super::listed::ENTRY;
use super::{LedgerError, Sentinel, names};
use crate::swarm::{Engine, EngineError, Object, Stored};

/// How often a change is tried that others keep overtaking.
const TRIES: usize = 8;
/// Each is an object that all managers have in memory.
const MOST_OPERATORS: usize = 200;
const MOST_FORMER: usize = 32;

/// The operators in the ledger.
pub(crate) struct Operators {
    engine: Engine,
    sentinel: Arc<Sentinel>,
}

/// What an operator may do. The words are stable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Right {
    /// See nodes, and wait for them
    Nodes,
    /// Make, list and revoke invites for workers
    Invite,
    /// Make invites for managers, too: a manager gets the cluster's keys, so this is all there is
    InviteManager,
    /// See the machines that wait for a person, and let them in or send them away
    Approve,
    /// Replace the join tokens and the brokers' keys
    Rotate,
    /// Read the audit logs
    Audit,
}

impl Right {
    /// As it is typed, shown and kept.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Nodes => "nodes",
            Self::Invite => "invite",
            Self::InviteManager => "invite-manager",
            Self::Approve => "approve",
            Self::Rotate => "rotate",
            Self::Audit => "audit",
        }
    }
}

/// An operator. Times are in seconds since 1970.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Operator {
    /// The key of the one certificate that is good.
    pub(crate) key: KeyHash,
    /// The keys of those of this name before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) former: Vec<KeyHash>,
    /// Its rights by their words: those of a newer release stay, and mean nothing here.
    pub(crate) allow: BTreeSet<String>,
    pub(crate) since: u64,
    /// When the certificate ends.
    pub(crate) ends: u64,
    /// Who made it one.
    pub(crate) by: String,
    /// Since when it may do nothing any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) revoked: Option<u64>,
}

impl Operator {
    /// The keys that are former ones beside this new one: the latest, as many as anybody makes anew while a certificate lives.
    fn formers(&self, new: &KeyHash) -> Vec<KeyHash> {
        let all = self.former.iter().chain([&self.key]).filter(|key| *key != new);
        let mut all: Vec<KeyHash> = all.cloned().collect();
        all.drain(..all.len().saturating_sub(MOST_FORMER));
        all
    }

    /// Whether it may do this, as far as its entry says.
    pub(crate) fn may(&self, right: Right) -> bool {
        // Who may make managers may make workers.
        let implied = right == Right::Invite && self.allow.contains(Right::InviteManager.word());
        implied || self.allow.contains(right.word())
    }

    /// Whether it is one at `now`, in a ledger that was recovered last at `recovered`: a revocation of before may be lost.
    pub(crate) fn is_live(&self, recovered: u64, now: u64) -> bool {
        self.revoked.is_none() && now < self.ends && self.since > recovered
    }
}

/// What was read, and what a change of it must name.
#[derive(Debug)]
pub(crate) struct ReadOperator {
    pub(crate) operator: Operator,
    stored: Stored,
}

impl Operators {
    pub(crate) fn new(engine: Engine, sentinel: Arc<Sentinel>) -> Self {
        Self { engine, sentinel }
    }

    /// An operator as the ledger has it now, which must be there, and is asked when it was recovered last.
    pub(crate) async fn read(&self, name: &OperatorName) -> Result<Option<ReadOperator>, LedgerError> {
        self.sentinel.confirm_present(&self.engine).await?;
        let Some(stored) = self.engine.read(&names::operator(name)).await? else { return Ok(None) };
        self.sentinel.saw(stored.version);
        let operator = entry(&stored).ok_or_else(|| {
            let object = &stored.object.name;
            LedgerError::Unavailable(format!(
                "the ledger's object '{object}' does not read. 'docker config rm {object}' removes it"
            ))
        })?;
        Ok(Some(ReadOperator { operator, stored }))
    }

    /// All that can be read, by name.
    pub(crate) async fn list(&self) -> Result<BTreeMap<OperatorName, Operator>, LedgerError> {
        self.sentinel.check()?;
        let stored = self.engine.list(names::KIND, names::OPERATOR).await?;
        let named = |stored: &Stored| Some((names::operator_of(&stored.object.name)?, entry(stored)?));
        Ok(stored.iter().filter_map(named).collect())
    }

    /// Commits to an operator's entry as it was read: false if it is not that any more. Only an engine that can commit gets
    /// past this, so a leader that was cut off, and still shows an operator that was revoked since, does not.
    pub(crate) async fn is_still(&self, read: &ReadOperator) -> Result<bool, LedgerError> {
        self.write(Some(read), &read.operator, None).await
    }

    /// Commits to the ledger as it is: it must be there, and this engine have a quorum.
    pub(crate) async fn commit(&self) -> Result<(), LedgerError> {
        self.sentinel.commit(&self.engine).await
    }

    /// Makes one, or makes anew one that `may_replace` says can be. False if there is one that stays.
    pub(crate) async fn make(
        &self,
        name: &OperatorName,
        operator: &Operator,
        may_replace: impl Fn(&Operator) -> bool,
    ) -> Result<bool, LedgerError> {
        for _ in 0..TRIES {
            let read = self.read(name).await?;
            let mut operator = operator.clone();
            match &read {
                Some(read) if !may_replace(&read.operator) => return Ok(false),
                Some(read) => operator.former = read.operator.formers(&operator.key),
                None => self.is_room().await?,
            }
            if self.write(read.as_ref(), &operator, Some(name)).await? {
                return Ok(true);
            }
        }
        Err(LedgerError::Unavailable("others keep changing this operator: try again".into()))
    }

    /// Revokes one. None if there is none of this name; false where it was revoked before.
    pub(crate) async fn revoke(&self, name: &OperatorName, now: u64) -> Result<Option<(Operator, bool)>, LedgerError> {
        for _ in 0..TRIES {
            let Some(read) = self.read(name).await? else { return Ok(None) };
            let changed = read.operator.revoked.is_none();
            let operator = Operator { revoked: read.operator.revoked.or(Some(now)), ..read.operator.clone() };
            if self.write(Some(&read), &operator, None).await? {
                return Ok(Some((operator, changed)));
            }
        }
        Err(LedgerError::Unavailable("others keep changing this operator: try again".into()))
    }

    /// The version of an entry that was written just now: a raft store that does not know it any more went back. None if it
    /// cannot be read now.
    pub(crate) async fn version(&self, name: &OperatorName) -> Option<u64> {
        self.read(name).await.ok().flatten().map(|read| read.stored.version)
    }

    async fn is_room(&self) -> Result<(), LedgerError> {
        let listed = self.engine.list(names::KIND, names::OPERATOR).await?.len();
        if listed < MOST_OPERATORS {
            return Ok(());
        }
        Err(LedgerError::Unavailable(format!(
            "there are {listed} operators, and can be {MOST_OPERATORS}. 'docker config rm {}' takes away one whose certificate has ended",
            names::operator_named("NAME")
        )))
    }

    /// Makes the object, or changes it if it is still as it was read. False if another broker was faster.
    async fn write(
        &self,
        read: Option<&ReadOperator>,
        operator: &Operator,
        name: Option<&OperatorName>,
    ) -> Result<bool, LedgerError> {
        let text = serde_json::to_string(operator).map_err(|error| LedgerError::Unavailable(error.to_string()))?;
        let labels = BTreeMap::from([(names::KIND.to_owned(), names::OPERATOR.to_owned()), (ENTRY.to_owned(), text)]);
        let written = match (read, name) {
            (Some(read), _) => self.engine.relabel(&read.stored, labels).await,
            (None, Some(name)) => {
                let data = name.as_str().as_bytes().to_vec();
                self.engine.create(&Object { name: names::operator(name), data, labels }).await
            }
            (None, None) => Err(EngineError::NotFound),
        };
        match written {
            Ok(()) => Ok(true),
            Err(EngineError::OutOfSequence | EngineError::NotFound | EngineError::Exists) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}

fn entry(stored: &Stored) -> Option<Operator> {
    serde_json::from_str(stored.object.labels.get(ENTRY)?).ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// An operator whose key is this one, from 100 to 200.
    pub(crate) fn operator(key: &KeyHash, allow: &[&str]) -> Operator {
        let allow = allow.iter().map(ToString::to_string).collect();
        Operator {
            key: key.clone(),
            allow,
            since: 100,
            ends: 200,
            by: "uid 0".into(),
            revoked: None,
            former: Vec::new(),
        }
    }

    #[test]
    fn an_operator_has_the_rights_that_are_written_and_no_other() {
        let key = KeyHash::of_spki(b"key");
        let some = operator(&key, &["nodes", "of-a-newer-release"]);
        assert!(some.may(Right::Nodes));
        for right in [Right::Invite, Right::InviteManager, Right::Approve, Right::Rotate, Right::Audit] {
            assert!(!some.may(right), "{right:?}");
        }
        let invites = operator(&key, &["invite"]);
        assert!(invites.may(Right::Invite) && !invites.may(Right::InviteManager));
        assert!(operator(&key, &["invite-manager"]).may(Right::Invite));
    }

    #[test]
    fn one_that_was_revoked_or_has_ended_or_is_of_before_a_recovery_is_none() {
        let live = operator(&KeyHash::of_spki(b"key"), &[]);
        assert!(live.is_live(0, 199) && live.is_live(99, 100));
        assert!(!live.is_live(0, 200), "it has ended");
        assert!(!live.is_live(100, 150), "its revocation may be lost");
        assert!(!Operator { revoked: Some(120), ..live }.is_live(0, 150));
    }

    #[test]
    fn an_entry_reads_as_it_was_written_and_the_name_is_one_that_swarm_takes() {
        let name: OperatorName = "a".repeat(32).parse().expect("a name");
        let object = names::operator(&name);
        assert!(object.len() <= 64, "{object}");
        assert_eq!(names::operator_of(&object), Some(name));
        let written = operator(&KeyHash::of_spki(b"key"), &["nodes"]);
        let labels = BTreeMap::from([(ENTRY.to_owned(), serde_json::to_string(&written).expect("writes"))]);
        assert_eq!(entry(&Stored::example(Object { name: object, data: Vec::new(), labels }, 1)), Some(written));
    }
}
