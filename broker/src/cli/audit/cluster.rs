//! What the logs say, held against the ledger and the swarm.
//!
//! Keeps promise 10: whoever writes into the swarm or the ledger what no broker did is named. Pure, but for the questions.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use crate::admin::{Admin, ClaimsShown};
use crate::clock;
use crate::exit::Failure;
use crate::fleet::{NodeState, Report};

/// A record comes within moments of what it is about, in seconds; a boot that was handed the token ends within an hour.
const MOMENT: u64 = 60;

/// What does not match.
#[derive(Debug, Serialize)]
pub(super) struct Reconciled {
    pub(super) ok: bool,
    nodes: usize,
    claims: usize,
    pub(super) mismatches: Vec<Mismatch>,
    /// Machines that were handed the token and never came: no mismatch, but somebody may want to know.
    never_joined: Vec<NeverJoined>,
}

/// Something that no log, or only a log, knows of.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Mismatch {
    what: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    invite: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<String>,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct NeverJoined {
    invite: String,
    key: String,
    redeemed: String,
}

/// What the cluster says now.
pub(super) struct Cluster {
    claims: ClaimsShown,
    report: Report,
    /// When that was asked for, in seconds since 1970.
    at: u64,
}

impl Cluster {
    /// Asks the running broker. To be asked before the logs are brought up: then they know of all that is in it.
    pub(super) fn ask(admin: &Admin) -> Result<Self, Failure> {
        let at = clock::now();
        Ok(Self { claims: admin.get("/v1/ledger/claims")?, report: admin.get("/v1/nodes")?, at })
    }

    /// Holds it against the records.
    pub(super) fn reconcile(
        &self,
        records: impl Iterator<Item = Result<Value, Failure>>,
    ) -> Result<Reconciled, Failure> {
        let mut told = Told::default();
        for record in records {
            told.take(&record?);
        }
        let mut mismatches = self.nodes(&told);
        mismatches.extend(self.unrecorded(&told));
        mismatches.extend(self.unclaimed(&told));
        mismatches.extend(self.unread());
        Ok(Reconciled {
            ok: mismatches.is_empty(),
            nodes: self.report.nodes.len(),
            claims: self.claims.invites.iter().map(|invite| invite.uses.len()).sum(),
            mismatches,
            never_joined: self.never_joined(),
        })
    }

    fn nodes(&self, told: &Told) -> Vec<Mismatch> {
        let of = |what, node: &crate::fleet::NodeLine| Mismatch {
            what,
            node: Some(format!("{} ({})", node.hostname, node.id)),
            invite: node.invite.as_ref().map(ToString::to_string),
            key: None,
            object: None,
        };
        let unmatched = self.report.nodes.iter().filter_map(|node| {
            let id = node.id.as_str();
            match (node.state, node.adopted.is_some(), node.explained) {
                (NodeState::Unexplained, ..) => Some(of("nothing explains this node", node)),
                (_, true, true) if !told.adopted.contains(id) => {
                    Some(of("this node is labelled as adopted, and no log says that anybody adopted it", node))
                }
                (_, false, true) if !told.joined.contains(id) => {
                    Some(of("this node is labelled as joined, and no log says that it confirmed", node))
                }
                _ => None,
            }
        });
        unmatched.collect()
    }

    /// Claims that no log knows of.
    fn unrecorded(&self, told: &Told) -> Vec<Mismatch> {
        let uses =
            self.claims.invites.iter().flat_map(|invite| invite.uses.iter().map(move |taken| (&invite.id, taken)));
        let unrecorded = uses.filter(|(_, taken)| taken.admitted).filter(|(invite, taken)| {
            taken.claimed + MOMENT < self.at && !told.claimed.contains_key(&(invite.to_string(), taken.key.to_string()))
        });
        unrecorded
            .map(|(invite, taken)| Mismatch {
                what: "the ledger has a claim of this key, and no log says that it was made",
                node: None,
                invite: Some(invite.to_string()),
                key: Some(taken.key.to_string()),
                object: None,
            })
            .collect()
    }

    /// Claims that the ledger does not know any more, of invites that have not ended.
    fn unclaimed(&self, told: &Told) -> Vec<Mismatch> {
        let known: BTreeSet<(String, String)> = self
            .claims
            .invites
            .iter()
            .flat_map(|invite| invite.uses.iter().map(|taken| (invite.id.to_string(), taken.key.to_string())))
            .collect();
        let lost = told
            .claimed
            .iter()
            .filter(|(claim, (at, ends))| *ends > self.at && at + MOMENT < self.at && !known.contains(claim))
            // What an object has that does not read, nobody can tell.
            .filter(|((invite, _), _)| !self.claims.unread.iter().any(|object| object.ends_with(invite)));
        lost.map(|((invite, key), _)| Mismatch {
            what: "a log says that this key claimed a use, and the ledger does not know it",
            node: None,
            invite: Some(invite.clone()),
            key: Some(key.clone()),
            object: None,
        })
        .collect()
    }

    fn unread(&self) -> impl Iterator<Item = Mismatch> {
        self.claims.unread.iter().map(|object| Mismatch {
            what: "an invite in the ledger does not read: which claims it has, nobody can tell",
            node: None,
            invite: None,
            key: None,
            object: Some(object.clone()),
        })
    }

    fn never_joined(&self) -> Vec<NeverJoined> {
        let late = self.report.booting.iter().filter(|booting| !booting.open);
        late.filter_map(|booting| {
            let redeemed = clock::shown(booting.redeemed?);
            Some(NeverJoined { invite: booting.invite.to_string(), key: booting.key.to_string(), redeemed })
        })
        .collect()
    }
}

/// What the logs say.
#[derive(Default)]
struct Told {
    joined: BTreeSet<String>,
    adopted: BTreeSet<String>,
    /// Invite and key; when it was recorded first, and when the invite ends.
    claimed: BTreeMap<(String, String), (u64, u64)>,
}

impl Told {
    fn take(&mut self, record: &Value) {
        let text = |field: &str| record.get(field).and_then(Value::as_str).map(str::to_owned);
        match (text("event").unwrap_or_default().as_str(), text("node"), text("invite"), text("key")) {
            ("node.joined", Some(node), ..) => drop(self.joined.insert(node)),
            ("node.adopted", Some(node), ..) => drop(self.adopted.insert(node)),
            ("identity.issued" | "machine.approved", _, Some(invite), Some(key)) => {
                let at = text("time").as_deref().and_then(clock::read).unwrap_or(0);
                let ends = record.get("ends").and_then(Value::as_u64).unwrap_or(0);
                self.claimed.entry((invite, key)).or_insert((at, ends));
            }
            _ => {}
        }
    }
}

/// A broker has no copy of the log of one that was gone before it came.
const ELSEWHERE: &str = "cluster: what no log here says, a log of a broker that was gone before this one came may say: \
                         name the copies that older managers have, too (broker audit verify --cluster DIR…)";

/// In words, a line each.
pub(super) fn told(reconciled: &Reconciled) -> String {
    let Reconciled { nodes, claims, mismatches, never_joined, .. } = reconciled;
    let mut lines: Vec<String> = mismatches
        .iter()
        .map(|Mismatch { what, node, invite, key, object }| {
            let about = [("node", node), ("invite", invite), ("key", key), ("object", object)];
            let about: Vec<String> = about
                .iter()
                .filter_map(|(name, value)| value.as_ref().map(|value| format!("{name} {value}")))
                .collect();
            format!("cluster: WRONG: {what}: {}", about.join(", "))
        })
        .collect();
    lines.extend(never_joined.iter().map(|NeverJoined { invite, key, redeemed }| {
        format!("cluster: a machine was handed the token at {redeemed} and never came: invite {invite}, key {key}")
    }));
    if !mismatches.is_empty() {
        lines.push(ELSEWHERE.to_owned());
    }
    if mismatches.is_empty() {
        lines.push(format!("cluster: {nodes} nodes and {claims} claims, all as the logs say"));
    }
    lines.join("\n")
}

#[cfg(test)]
#[path = "cluster_tests.rs"]
mod tests;
