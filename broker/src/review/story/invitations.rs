//! The invitations: who made them, and what became of them.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Explained, Node, Span, Told, each_once};

/// An invite.
#[derive(Debug)]
pub(crate) struct Invitation<'l> {
    pub(crate) id: &'l str,
    /// Its record; none if no log here has it.
    pub(crate) made: Option<Told<'l>>,
    /// When somebody revoked it.
    pub(crate) revoked: Option<Told<'l>>,
    /// How many machines have joined on it within the time that is asked for.
    pub(crate) joined: usize,
    pub(crate) records: Vec<Told<'l>>,
}

impl<'l> Invitation<'l> {
    /// Who made it.
    pub(crate) fn by(&self) -> Option<&'l str> {
        self.made.map(|made| made.entry.text("operator"))
    }

    /// How many machines it is for.
    pub(crate) fn uses(&self) -> Option<u64> {
        self.policy()?.get("uses")?.as_u64()
    }

    /// The networks that its machines may call from.
    pub(crate) fn networks(&self) -> Vec<&'l str> {
        let from = self.policy().and_then(|policy| policy.get("from")).and_then(Value::as_array);
        from.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn policy(&self) -> Option<&'l Value> {
        self.made?.entry.fields.get("policy")
    }
}

/// The invites that were made, revoked or joined on within this time, in order.
pub(super) fn invitations<'l>(all: &[Told<'l>], nodes: &[Node<'l>], span: Span) -> Vec<Invitation<'l>> {
    let mut invitations: BTreeMap<&str, Invitation<'l>> = BTreeMap::new();
    let new = |id| Invitation { id, made: None, revoked: None, joined: 0, records: Vec::new() };
    for told in all.iter().copied().filter(|told| matches!(told.event(), "invite.made" | "invite.revoked")) {
        let id = told.entry.text("invite");
        let invitation = invitations.entry(id).or_insert_with(|| new(id));
        let place = if told.event() == "invite.made" { &mut invitation.made } else { &mut invitation.revoked };
        place.get_or_insert(told);
        invitation.records.push(told);
    }
    for node in nodes {
        if let Explained::Invited { invite } = node.explained {
            let invitation = invitations.entry(invite).or_insert_with(|| new(invite));
            invitation.joined += 1;
            invitation.records.extend(node.records.iter().filter(|told| told.event() == "node.joined"));
        }
    }
    let matters = |one: &Invitation<'l>| {
        one.joined > 0 || [one.made, one.revoked].iter().flatten().any(|told| span.has(told.at()))
    };
    let mut invitations: Vec<Invitation<'l>> = invitations.into_values().filter(matters).collect();
    for invitation in &mut invitations {
        invitation.records = each_once(std::mem::take(&mut invitation.records));
    }
    invitations.sort_by_key(|one| one.records.first().map(|told| told.entry.time));
    invitations
}
