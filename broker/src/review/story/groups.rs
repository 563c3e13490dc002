//! Records that say the same, told once: a flood of refusals is one row.

use std::collections::BTreeMap;

use super::Told;

/// Records of one kind.
#[derive(Debug)]
pub(crate) struct Group<'l> {
    /// How often it happened: a record may stand for many.
    pub(crate) times: u64,
    pub(crate) records: Vec<Told<'l>>,
}

impl<'l> Group<'l> {
    /// The first of them.
    pub(crate) fn first(&self) -> Option<Told<'l>> {
        self.records.first().copied()
    }

    /// The last of them.
    pub(crate) fn last(&self) -> Option<Told<'l>> {
        self.records.last().copied()
    }
}

/// What makes two records say the same.
const SAME: [&str; 7] = ["event", "reason", "source", "invite", "node", "key", "what"];

/// One row for those that say the same, in the order of their first.
pub(super) fn alike<'a, 'l: 'a>(records: impl Iterator<Item = &'a Told<'l>>) -> Vec<Group<'l>> {
    grouped(records, |told| SAME.map(|field| told.entry.text(field).to_owned()).to_vec())
}

/// One row an event.
pub(super) fn by_event<'a, 'l: 'a>(records: impl Iterator<Item = &'a Told<'l>>) -> Vec<Group<'l>> {
    grouped(records, |told| vec![told.event().to_owned()])
}

fn grouped<'a, 'l: 'a>(
    records: impl Iterator<Item = &'a Told<'l>>,
    kind: impl Fn(&Told<'l>) -> Vec<String>,
) -> Vec<Group<'l>> {
    let mut groups: Vec<Group<'l>> = Vec::new();
    let mut places = BTreeMap::new();
    for told in records {
        let place = *places.entry(kind(told)).or_insert(groups.len());
        if place == groups.len() {
            groups.push(Group { times: 0, records: Vec::new() });
        }
        groups[place].times += times(told);
        groups[place].records.push(*told);
    }
    groups
}

/// What a record stands for: 'and 980 more of this kind within a minute' are 980.
fn times(told: &Told<'_>) -> u64 {
    let more = told.text("detail").strip_prefix("and ").and_then(|rest| rest.split_once(" more of this kind"));
    more.and_then(|(count, _)| count.parse().ok()).unwrap_or(1)
}
