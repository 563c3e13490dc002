//! What was replaced: join tokens and our own keys, by whom and why.

use std::collections::BTreeMap;

use super::{Told, each_once};

/// A replacement, from its beginning to its end.
#[derive(Debug)]
pub(crate) struct Replaced<'l> {
    /// When, in seconds since 1970.
    pub(crate) at: u64,
    /// What: 'worker token', 'invite-key', …
    pub(crate) what: String,
    pub(crate) generation: Option<u64>,
    /// Its end; its beginning if no end is known.
    pub(crate) told: Told<'l>,
    pub(crate) ended: bool,
    pub(crate) records: Vec<Told<'l>>,
}

const BEGINS: [&str; 2] = ["token.rotating", "key.rotating"];
const ENDS: [&str; 7] = [
    "token.rotated",
    "token.changed",
    "token.kept",
    "token.rotation-failed",
    "swarm.root-changed",
    "key.rotated",
    "key.rotation-failed",
];
/// Another broker takes up what was replaced.
const FOLLOWS: [&str; 2] = ["key.followed", "token.found"];

/// The replacements that these records tell of, in order.
pub(super) fn replaced<'l>(within: &[Told<'l>]) -> Vec<Replaced<'l>> {
    let mut all: Vec<Replaced<'l>> = Vec::new();
    let mut begun: BTreeMap<(usize, String), Vec<Told<'l>>> = BTreeMap::new();
    for told in within.iter().copied() {
        let (what, generation) = (what(&told), told.count("generation"));
        if BEGINS.contains(&told.event()) {
            begun.entry((told.log, what)).or_default().push(told);
        } else if ENDS.contains(&told.event()) {
            let mut records = begun.remove(&(told.log, what.clone())).unwrap_or_default();
            records.push(told);
            all.push(Replaced { at: told.at(), what, generation, told, ended: true, records });
        } else if FOLLOWS.contains(&told.event())
            && let Some(of) = all.iter_mut().rfind(|of| of.what == what && of.generation == generation)
        {
            of.records.push(told);
        }
    }
    for ((_, what), records) in begun {
        if let Some(told) = records.last().copied() {
            let generation = told.count("generation");
            all.push(Replaced { at: told.at(), what, generation, told, ended: false, records });
        }
    }
    for one in &mut all {
        one.records = each_once(std::mem::take(&mut one.records));
    }
    all.sort_by_key(|one| one.at);
    all
}

fn what(told: &Told<'_>) -> String {
    match (told.text("what"), told.text("role")) {
        ("", "") => "the swarm's root".to_owned(),
        ("", role) => format!("{role} token"),
        (what, _) => what.to_owned(),
    }
}
