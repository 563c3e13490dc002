//! What the records say happened: who joined and on whose invitation, what was refused, what was replaced.
//!
//! Pure: records in, a story out. What it says of a node comes from all records, also from those before the time that
//! is asked for; what it tells is what happened within that time.

mod boots;
mod groups;
mod invitations;
mod nodes;
mod replaced;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::Deref;

pub(crate) use boots::Boot;
pub(crate) use groups::Group;
pub(crate) use invitations::Invitation;
pub(crate) use nodes::{Explained, Node};
pub(crate) use replaced::Replaced;

use super::{Entry, Log};

/// The time that is asked for, in seconds since 1970.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    /// From then on.
    pub(crate) since: Option<u64>,
    /// Before then.
    pub(crate) until: Option<u64>,
}

impl Span {
    pub(crate) fn has(self, at: u64) -> bool {
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at < until)
    }
}

/// A record, and the log that it is in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Told<'l> {
    pub(crate) log: usize,
    pub(crate) entry: &'l Entry,
}

impl Deref for Told<'_> {
    type Target = Entry;

    fn deref(&self) -> &Entry {
        self.entry
    }
}

impl Told<'_> {
    fn id(&self) -> (usize, u64) {
        (self.log, self.entry.number)
    }
}

/// What happened.
#[derive(Debug)]
pub(crate) struct Story<'l> {
    /// How many records are told, and when the first and the last was written.
    pub(crate) records: usize,
    pub(crate) first: Option<u64>,
    pub(crate) last: Option<u64>,
    pub(crate) alarms: Vec<Group<'l>>,
    pub(crate) nodes: Vec<Node<'l>>,
    pub(crate) unfinished: Vec<Boot<'l>>,
    pub(crate) invitations: Vec<Invitation<'l>>,
    pub(crate) refusals: Vec<Group<'l>>,
    pub(crate) replaced: Vec<Replaced<'l>>,
    /// All other records, by event.
    pub(crate) others: Vec<Group<'l>>,
}

impl<'l> Story<'l> {
    /// The story of these logs in this time.
    pub(crate) fn of(logs: &'l [Log], span: Span) -> Self {
        let all = in_order(logs);
        let within: Vec<Told<'l>> = all.iter().copied().filter(|told| span.has(told.at())).collect();
        let nodes = nodes::nodes(&all, span);
        let unfinished = boots::unfinished(&all, span);
        let invitations = invitations::invitations(&all, &nodes, span);
        let replaced = replaced::replaced(&within);
        let has_outcome = |outcome: &'static str| move |told: &&Told<'l>| told.text("outcome") == outcome;
        let alarms = groups::alike(within.iter().filter(has_outcome("alarm")));
        let refusals = groups::alike(within.iter().filter(has_outcome("refused")));

        let mut told: HashSet<(usize, u64)> = HashSet::new();
        let rows = [
            alarms.iter().chain(&refusals).flat_map(|group| &group.records).collect::<Vec<_>>(),
            nodes.iter().flat_map(|node| &node.records).collect(),
            unfinished.iter().flat_map(|boot| &boot.records).collect(),
            invitations.iter().flat_map(|invitation| &invitation.records).collect(),
            replaced.iter().flat_map(|replaced| &replaced.records).collect(),
        ];
        told.extend(rows.iter().flatten().map(|record| record.id()));
        let others = groups::by_event(within.iter().filter(|record| !told.contains(&record.id())));
        Self {
            records: within.len(),
            first: within.first().map(|told| told.at()),
            last: within.last().map(|told| told.at()),
            alarms,
            nodes,
            unfinished,
            invitations,
            refusals,
            replaced,
            others,
        }
    }

    /// How many nodes came in so.
    pub(crate) fn count(&self, kind: impl Fn(&Explained<'_>) -> bool) -> usize {
        self.nodes.iter().filter(|node| kind(&node.explained)).count()
    }
}

/// All records of all logs, as they were written.
pub(crate) fn in_order<'l>(logs: &'l [Log]) -> Vec<Told<'l>> {
    let of_one = |(log, found): (usize, &'l Log)| found.entries.iter().map(move |entry| Told { log, entry });
    let mut all: Vec<Told<'l>> = logs.iter().enumerate().flat_map(of_one).collect();
    all.sort_by_key(|told| (told.entry.time, told.log, told.entry.number));
    all
}

/// Without those that are in it twice, in order.
fn each_once(mut records: Vec<Told<'_>>) -> Vec<Told<'_>> {
    records.sort_by_key(|told| (told.entry.time, told.log, told.entry.number));
    records.dedup_by_key(|told| told.id());
    records
}
