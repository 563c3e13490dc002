//! Boots that began and did not end: among them, machines that were given the token and never confirmed.

use std::collections::{BTreeMap, HashSet};

use super::{Span, Told, each_once};

/// A key that was given an identity, and with which no node has joined.
#[derive(Debug)]
pub(crate) struct Boot<'l> {
    /// When it began, in seconds since 1970.
    pub(crate) at: u64,
    /// What the machine calls itself.
    pub(crate) hostname: &'l str,
    pub(crate) source: &'l str,
    pub(crate) invite: &'l str,
    /// Whether it was given the token.
    pub(crate) has_token: bool,
    pub(crate) records: Vec<Told<'l>>,
}

/// The boots that began within this time and have no end in any log, in order.
pub(super) fn unfinished<'l>(all: &[Told<'l>], span: Span) -> Vec<Boot<'l>> {
    let of_event = |event: &'static str| all.iter().filter(move |told| told.event() == event);
    let joined: HashSet<&str> = of_event("node.joined").map(|told| told.entry.text("key")).collect();
    let mut boots: BTreeMap<&str, Boot<'l>> = BTreeMap::new();
    for told in of_event("identity.issued").filter(|told| !joined.contains(told.text("key"))) {
        let entry = told.entry;
        boots.entry(entry.text("key")).or_insert_with(|| Boot {
            at: entry.at(),
            hostname: entry.text("hostname"),
            source: entry.text("source"),
            invite: entry.text("invite"),
            has_token: false,
            records: Vec::new(),
        });
    }
    for told in all {
        if let Some(boot) = boots.get_mut(told.text("key")) {
            boot.has_token |= matches!(told.event(), "grant.redeemed" | "grant.replayed");
            boot.records.push(*told);
        }
    }
    let mut boots: Vec<Boot<'l>> = boots.into_values().filter(|boot| span.has(boot.at)).collect();
    for boot in &mut boots {
        boot.records = each_once(std::mem::take(&mut boot.records));
    }
    boots.sort_by_key(|boot| boot.at);
    boots
}
