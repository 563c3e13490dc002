//! What audit logs say became of each invite, and whether they can be all the logs there are.
//!
//! Keeps promise 5 after a loss: what is put back into the ledger is what was written down before it was answered.
//! Must not believe that a log is whole because it reads well.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use protocol::{ClusterId, GrantHash, Invite, InviteId, KeyHash, NodeId};
use serde::{Deserialize, Serialize};

use crate::audit::{self, AuditError, Event};
use crate::clock;
use crate::keys::{AFTER_A_LEAK, What};
use crate::ledger::{Answer, Claims, Join, Redemption, Use};
use crate::state::{FROM_KEYS_FILE, INTO_KEYS_FILE};

/// One log.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about the log")]
pub(crate) struct History {
    /// The broker that writes it.
    pub(crate) brokers: BTreeSet<String>,
    /// The brokers whose log it was before it was restored. They may have gone on with their own.
    pub(crate) before: BTreeSet<String>,
    /// Whether the cluster was made by its first broker.
    pub(crate) founded: bool,
    /// Whether the cluster's keys were in a file, written or taken by this broker: nobody counts who takes them.
    #[serde(default)]
    pub(crate) by_file: bool,
    /// Whether a broker has ever started with it. An operator's own log, where the cluster was made, admits nobody.
    #[serde(default)]
    pub(crate) started: bool,
    /// The brokers that were given the cluster's keys.
    pub(crate) handed: BTreeSet<String>,
    /// When it was restored from a backup, in seconds since 1970: what was written after the backup is not in it. None
    /// if the ledger was recovered since.
    pub(crate) restored: Option<u64>,
    /// Whether its broker may go on with it.
    pub(crate) course: Course,
    /// When its broker replaced a shared key last and declared the former ones void, in seconds since 1970.
    pub(crate) voided: BTreeMap<String, u64>,
    /// Below it the log says that every issuing CA is void.
    pub(crate) lowest_ca: u32,
    /// Whether the issuing CA was about to be replaced after a leak, and the log does not say which one came of it.
    pub(crate) replacing_ca: bool,
    /// All grants that were given.
    pub(crate) grants: BTreeSet<GrantHash>,
    /// What became of each invite.
    pub(crate) invites: BTreeMap<InviteId, Told>,
}

/// Whether a log may go on after its last record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Course {
    /// It may: its broker may admit more.
    #[default]
    GoesOn,
    /// Its broker has stopped in good order.
    Stopped,
    /// Its broker has lost the ledger, and does not know of a recovery: it admits nobody, started again or not.
    Lost,
}

/// What became of one invite.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Told {
    /// The invite, if the log has it whole.
    pub(crate) policy: Option<Invite>,
    /// Since when it is revoked, in seconds since 1970.
    pub(crate) revoked: Option<u64>,
    /// Its uses.
    pub(crate) uses: BTreeMap<KeyHash, Use>,
}

impl Told {
    /// The same as claims.
    pub(super) fn claims(&self) -> Claims {
        let mut claims = Claims::default();
        claims.revoked = self.revoked;
        claims.uses.clone_from(&self.uses);
        claims
    }
}

/// The fields that matter here; records of a newer release may have more, and other events.
#[derive(Deserialize)]
struct Fields {
    time: String,
    broker: String,
    event: Known,
    invite: Option<InviteId>,
    key: Option<KeyHash>,
    grant: Option<GrantHash>,
    node: Option<NodeId>,
    generation: Option<u64>,
    what: Option<String>,
    detail: Option<String>,
    policy: Option<Invite>,
    peer: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Known {
    Event(Event),
    Other(serde::de::IgnoredAny),
}

impl History {
    /// Reads the first `length` bytes of a log.
    pub(crate) fn read(path: &Path, length: u64) -> Result<Self, AuditError> {
        let mut history = Self::default();
        audit::each(path, length, |line| {
            let fields = serde_json::from_slice(line).map_err(|error| error.to_string())?;
            history.take(fields);
            Ok(())
        })?;
        Ok(history)
    }

    /// Whether it tells all that its broker did: that one does not go on with it.
    pub(super) fn is_at_rest(&self) -> bool {
        self.course != Course::GoesOn
    }

    /// Whether it can be a log of this cluster.
    pub(super) fn is_of(&self, cluster: &ClusterId) -> bool {
        self.invites.values().filter_map(|told| told.policy.as_ref()).all(|invite| invite.iss == *cluster)
    }

    fn take(&mut self, fields: Fields) {
        let now = clock::read(&fields.time).unwrap_or(0);
        let Known::Event(event) = fields.event else { return };
        self.brokers.insert(fields.broker.clone());
        self.started |= event == Event::BrokerStarted;
        match event {
            Event::ClusterMade => {
                self.founded = true;
                self.by_file |= begins(&fields, INTO_KEYS_FILE);
            }
            Event::KeysTaken => self.by_file |= begins(&fields, FROM_KEYS_FILE),
            Event::KeysHandingOver => self.handed.extend(fields.peer),
            Event::LedgerLost => self.course = Course::Lost,
            Event::BrokerStopped if self.course == Course::GoesOn => self.course = Course::Stopped,
            // It may admit from here on, and be gone before it has told so.
            Event::BrokerStarted if self.course == Course::Stopped => self.course = Course::GoesOn,
            Event::LedgerRecovered => (self.course, self.restored) = (Course::GoesOn, None),
            // Before it is done: if it was cut off, the key may be in use.
            Event::KeyRotating if after_a_leak(&fields) => {
                self.replacing_ca |= is_ca(&fields);
                self.voided.extend(fields.what.map(|what| (what, now)));
            }
            Event::KeyRotated if after_a_leak(&fields) && is_ca(&fields) => {
                if let Some(generation) = fields.generation.and_then(|number| u32::try_from(number).ok()) {
                    self.lowest_ca = self.lowest_ca.max(generation);
                    self.replacing_ca = false;
                }
            }
            Event::StateRestored => {
                self.restored = Some(now);
                self.brokers.remove(&fields.broker);
                self.before.append(&mut self.brokers);
                self.brokers.insert(fields.broker);
            }
            _ => self.take_invite(event, fields, now),
        }
    }

    fn take_invite(&mut self, event: Event, fields: Fields, now: u64) {
        let Some(id) = fields.invite else { return };
        match (event, fields.key, fields.grant) {
            (Event::InviteMade, ..) => self.told(id).policy = fields.policy,
            (Event::InviteRevoked, ..) => {
                self.told(id).revoked.get_or_insert(now);
            }
            (Event::IdentityIssued, Some(key), _) => {
                self.course = Course::GoesOn;
                self.told(id).of(key, now);
            }
            (Event::GrantIssued, Some(key), Some(grant)) => {
                self.grants.insert(grant.clone());
                self.told(id).of(key, now).grant = Some(grant);
            }
            (Event::GrantRedeemed | Event::GrantReplayed, Some(key), Some(grant)) => {
                let generation = fields.generation.unwrap_or(0);
                let taken = self.told(id).of(key, now);
                let before = taken.redeemed.as_ref().filter(|before| before.grant == grant);
                let times = before.map_or(0, |before| before.times).saturating_add(1);
                taken.redeemed = Some(Redemption { grant, last: now, times, generation, held: false });
            }
            (Event::NodeJoined, Some(key), Some(grant)) => {
                if let Some(node) = fields.node {
                    self.told(id).of(key, now).joined.get_or_insert(Join { node, grant, at: now });
                }
            }
            (Event::MachineApproved, Some(key), _) => self.told(id).answered(key, Answer::Approved, now),
            (Event::MachineDenied, Some(key), _) => self.told(id).answered(key, Answer::Denied, now),
            (Event::PlaceFreed, Some(key), _) => {
                let taken = self.told(id).of(key, now);
                *taken = taken.freed(now);
            }
            _ => {}
        }
    }
}

/// Whether a key is replaced because the former one leaked.
fn after_a_leak(fields: &Fields) -> bool {
    begins(fields, AFTER_A_LEAK)
}

fn begins(fields: &Fields, how: &str) -> bool {
    fields.detail.as_deref().is_some_and(|detail| detail.starts_with(how))
}

fn is_ca(fields: &Fields) -> bool {
    fields.what == Some(What::Ca.to_string())
}

impl History {
    fn told(&mut self, id: InviteId) -> &mut Told {
        self.invites.entry(id).or_default()
    }
}

impl Told {
    /// A key's use. The step before may be in another broker's log.
    fn of(&mut self, key: KeyHash, now: u64) -> &mut Use {
        self.uses.entry(key).or_insert(Use::claimed(now))
    }

    fn answered(&mut self, key: KeyHash, answer: Answer, now: u64) {
        self.of(key, now).answered(answer, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Audit, Record};
    use crate::ledger::tests::invite;

    #[test]
    fn a_boot_is_read_back_as_it_was_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let (audit, _) = Audit::open(&path, "one").expect("opens");
        let write = |record: Record| assert!(audit.record_blocking(record).is_ok());
        let (invite, key) = (invite(3), KeyHash::of_spki(b"key"));
        let grant = protocol::GrantId::random().hash();
        let about = |event| Record { invite: Some(invite.jti.clone()), key: Some(key.clone()), ..Record::new(event) };
        let granted = |event| Record { grant: Some(grant.clone()), generation: Some(4), ..about(event) };
        write(Record::new(Event::ClusterMade));
        write(Record { policy: Some(Box::new(invite.clone())), ..about(Event::InviteMade) });
        write(about(Event::IdentityIssued));
        write(granted(Event::GrantIssued));
        write(granted(Event::GrantRedeeming));
        let read = || History::read(&path, u64::MAX).expect("reads");
        assert_eq!(read().invites[&invite.jti].uses[&key].redeemed, None, "a token that was not handed out");
        write(granted(Event::GrantRedeemed));
        write(granted(Event::GrantReplayed));
        write(Record { peer: Some("two".into()), ..Record::new(Event::KeysHandingOver) });
        assert!(!read().is_at_rest(), "it may have admitted more since");
        write(Record::new(Event::BrokerStopped));
        let history = read();
        let taken = &history.invites[&invite.jti].uses[&key];
        assert_eq!(taken.redeemed.as_ref().map(|redeemed| (redeemed.times, redeemed.generation)), Some((2, 4)));
        assert_eq!((taken.grant.as_ref(), &taken.joined), (Some(&grant), &None));
        assert_eq!(history.invites[&invite.jti].policy.as_ref(), Some(&invite));
        assert!(history.founded && history.is_at_rest() && history.handed.contains("two"));
        assert!(history.is_of(&invite.iss) && !history.is_of(&ClusterId::random()));
        let sent = serde_json::to_vec(&history).expect("writes");
        let come: History = serde_json::from_slice(&sent).expect("reads");
        assert_eq!(come.invites[&invite.jti].uses[&key], *taken, "as it goes over the admin socket");
    }

    #[test]
    fn a_log_is_at_rest_until_its_broker_may_admit_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let after = |event| {
            audit::record_once(&path, "one", Record::new(event)).expect("written");
            History::read(&path, u64::MAX).expect("reads").is_at_rest()
        };
        assert!(!after(Event::BrokerStarted) && after(Event::BrokerStopped));
        assert!(!after(Event::BrokerStarted), "it was upgraded, say, and goes on");
        assert!(after(Event::LedgerLost) && after(Event::BrokerStopped) && after(Event::BrokerStarted));
        assert!(!after(Event::LedgerRecovered), "it admits again");
        assert!(after(Event::BrokerStopped) && !after(Event::BrokerStarted));
    }

    #[test]
    fn the_lowest_issuing_ca_is_the_one_that_came_of_the_last_leak() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        let write = |event, detail: &str, generation| {
            let record = Record { what: Some("ca".into()), detail: Some(detail.into()), ..Record::new(event) };
            audit::record_once(&path, "one", Record { generation, ..record }).expect("written");
            let history = History::read(&path, u64::MAX).expect("reads");
            (history.lowest_ca, history.replacing_ca)
        };
        assert_eq!(write(Event::KeyRotating, "manual: due", None), (0, false));
        assert_eq!(write(Event::KeyRotated, "manual: due; kid", Some(2)), (0, false), "nothing leaked");
        assert_eq!(write(Event::KeyRotating, "manual, --now: a leak", None), (0, true));
        assert_eq!(write(Event::KeyRotationFailed, "manual, --now: a leak; full disk", None), (0, true));
        assert_eq!(write(Event::KeyRotated, "manual, --now: a leak; kid", Some(3)), (3, false));
        assert_eq!(write(Event::KeyRotated, "manual: due; kid", Some(4)), (3, false));
    }

    #[test]
    fn what_was_restored_is_not_whole_until_the_ledger_was_recovered() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("audit.jsonl");
        audit::record_once(&path, "one", Record::new(Event::ClusterMade)).expect("written");
        audit::record_once(&path, "two", Record::new(Event::StateRestored)).expect("written");
        assert!(History::read(&path, u64::MAX).expect("reads").restored.is_some());
        audit::record_once(&path, "two", Record::new(Event::LedgerRecovered)).expect("written");
        let history = History::read(&path, u64::MAX).expect("reads");
        assert_eq!(history.restored, None);
        let (was, is) = (BTreeSet::from(["one".to_owned()]), BTreeSet::from(["two".to_owned()]));
        assert_eq!((history.before, history.brokers), (was, is), "the one before may have its own log still");
    }
}
