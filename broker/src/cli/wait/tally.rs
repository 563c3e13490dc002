//! What has been heard so far: who joined, who is on the way, who was refused. A pure function of the answers.
//!
//! Must not forget what it heard when the broker is another process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use protocol::{BrokerAddress, InviteId, KeyHash, NodeId};

use crate::admin::{Arrivals, InviteShown};
use crate::audit::Sighting;
use crate::fleet::{Booting, NodeLine, NodeState};

/// So many refused machines are told apart: whoever reaches the port can make up hostnames.
const REFUSED: usize = 1000;

/// A machine, as far as the log tells one from another.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Machine {
    pub(super) source: Option<IpAddr>,
    pub(super) hostname: Option<String>,
}

/// Something to tell at once.
#[derive(Debug)]
pub(super) enum News {
    /// So many were there when the wait began.
    There(usize),
    Joined(Box<NodeLine>),
    Refused(Machine, Box<Sighting>),
}

/// All that was heard.
pub(super) struct Tally {
    pub(super) count: usize,
    pub(super) invite: Option<InviteId>,
    /// When the wait began, in seconds since 1970.
    began: u64,
    latest: Option<Arrivals>,
    refused: BTreeMap<Machine, Sighting>,
    /// Who has which key: the ledger knows keys only.
    keys: HashMap<KeyHash, Machine>,
    told: BTreeSet<NodeId>,
}

impl Tally {
    pub(super) fn new(count: usize, invite: Option<InviteId>, began: u64) -> Self {
        let (refused, keys, told) = (BTreeMap::new(), HashMap::new(), BTreeSet::new());
        Self { count, invite, began, latest: None, refused, keys, told }
    }

    /// Whether nothing was heard yet.
    pub(super) fn is_new(&self) -> bool {
        self.latest.is_none()
    }

    /// Where to go on in the log.
    pub(super) fn position(&self) -> Option<u64> {
        self.latest.as_ref().map(|latest| latest.position)
    }

    /// Takes an answer in. Gives what is new in it, in its order.
    pub(super) fn take(&mut self, arrivals: Arrivals) -> Vec<News> {
        let first = self.is_new();
        let mut news: Vec<News> = Vec::new();
        for seen in &arrivals.sightings {
            news.extend(self.see(seen));
        }
        self.latest = Some(arrivals);
        let new: Vec<NodeLine> = self.joined().filter(|node| !self.told.contains(&node.id)).cloned().collect();
        self.told.extend(new.iter().map(|node| node.id.clone()));
        if first && !new.is_empty() {
            news.insert(0, News::There(new.len()));
        } else {
            news.extend(new.into_iter().map(|node| News::Joined(Box::new(node))));
        }
        news
    }

    fn see(&mut self, seen: &Sighting) -> Option<News> {
        let mut machine = Machine { source: seen.source, hostname: seen.hostname.clone() };
        let known = seen.key.as_ref().and_then(|key| self.keys.get(key));
        if let (None, Some(known)) = (&machine.hostname, known) {
            machine.hostname.clone_from(&known.hostname);
        }
        if seen.refused.is_none() {
            // It got further than when it was refused: from here on the ledger tells of it.
            self.refused.remove(&machine);
            if let Some(key) = &seen.key {
                self.keys.insert(key.clone(), machine);
            }
            return None;
        }
        let during = seen.at >= self.began;
        let ours = self.invite.is_some() && seen.invite == self.invite;
        let room = self.refused.len() < REFUSED || self.refused.contains_key(&machine);
        if !(during || ours) || !room {
            return None;
        }
        let again = self.refused.insert(machine.clone(), seen.clone());
        let same = again.is_some_and(|before| before.refused == seen.refused && before.invite == seen.invite);
        (during && !same).then(|| News::Refused(machine, Box::new(seen.clone())))
    }

    /// Those that have joined and are Ready.
    pub(super) fn joined(&self) -> impl Iterator<Item = &NodeLine> {
        self.nodes().filter(|node| node.state == NodeState::Joined)
    }

    /// Those that have joined and are not Ready now.
    pub(super) fn down(&self) -> impl Iterator<Item = &NodeLine> {
        self.nodes().filter(|node| node.state == NodeState::Down)
    }

    fn nodes(&self) -> impl Iterator<Item = &NodeLine> {
        self.latest.iter().flat_map(|latest| &latest.nodes)
    }

    /// Whether there are enough.
    pub(super) fn is_done(&self) -> bool {
        self.joined().count() >= self.count
    }

    /// The machines that were refused, and did not come all the same.
    pub(super) fn refused(&self) -> impl Iterator<Item = (&Machine, &Sighting)> {
        self.refused.iter().filter(|(machine, _)| !self.came(machine))
    }

    /// The machines with a use that did not confirm. Of one invite all of them are meant, else those that still may.
    pub(super) fn stuck(&self) -> impl Iterator<Item = (Machine, &Booting)> {
        let booting = self.latest.iter().flat_map(|latest| &latest.booting);
        booting
            .filter(|boot| boot.open || self.invite.is_some())
            .map(|boot| (self.keys.get(&boot.key).cloned().unwrap_or_default(), boot))
            .filter(|(machine, boot)| !self.came(machine) && !self.was_refused(&boot.key))
    }

    fn was_refused(&self, key: &KeyHash) -> bool {
        self.refused.values().any(|seen| seen.key.as_ref() == Some(key))
    }

    /// Whether the machine has joined, with another key or another invite. Names and addresses can be shared: both must
    /// be the same.
    fn came(&self, machine: &Machine) -> bool {
        let Machine { source: Some(source), hostname: Some(hostname) } = machine else { return false };
        self.joined().any(|node| node.hostname == *hostname && node.address.parse() == Ok(*source))
    }

    /// Where machines reach the brokers.
    pub(super) fn brokers(&self) -> &[BrokerAddress] {
        self.latest.as_ref().map_or(&[], |latest| &latest.brokers)
    }

    /// The invite that is waited for, as the ledger has it.
    pub(super) fn shown(&self) -> Option<&InviteShown> {
        self.latest.as_ref().and_then(|latest| latest.invite.as_ref())
    }
}
