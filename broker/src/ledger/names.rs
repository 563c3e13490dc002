//! Names and labels of the ledger's objects, all under one prefix.
//!
//! Swarm compares names in lower case and limits them to 64 characters: ids in them are lower-case hex.

use certs::OperatorName;
use protocol::{InviteId, JoinerHash, KeyHash};

use crate::jwt::KeyId;

/// What all names begin with.
pub(super) const PREFIX: &str = "swarm-broker.";
/// The label that says what kind of object it is.
pub(super) const KIND: &str = "swarm-broker.kind";
pub(super) const INVITE: &str = "invite";
pub(super) const INVITE_KEY: &str = "invite-key";
pub(super) const BROKER: &str = "broker";
pub(super) const SENTINEL: &str = "sentinel";
pub(super) const JOINER: &str = "joiner";
pub(super) const ROTATION: &str = "rotation";
pub(super) const ISSUING: &str = "issuing";
pub(super) const OPERATOR: &str = "operator";

/// The label on an invite's object that says since when it is revoked.
pub(super) const REVOKED: &str = "swarm-broker.revoked";
/// The label on an invite's object that says which key signed it.
pub(super) const SIGNED: &str = "swarm-broker.signed";
/// The label on the sentinel below which no invite admits anybody, in seconds since 1970.
pub(super) const FLOOR: &str = "swarm-broker.floor";
/// The label on the sentinel: invites that were made until then, in seconds since 1970, are good only where the ledger
/// has them. It is there once the ledger was recovered.
pub(super) const RECOVERED: &str = "swarm-broker.recovered";
/// The label on a joiner's object until when it is kept, in seconds since 1970.
pub(super) const UNTIL: &str = "swarm-broker.until";

/// The labels on the rotation's object: each token's generation, the swarm's root, and the rotation under way.
pub(super) const GENERATION_OF_WORKER: &str = "swarm-broker.generation.worker";
pub(super) const GENERATION_OF_MANAGER: &str = "swarm-broker.generation.manager";
/// How often brokers replaced the managers' unlock key, and one more.
pub(super) const GENERATION_OF_UNLOCK_KEY: &str = "swarm-broker.generation.unlock-key";
pub(super) const ROOT: &str = "swarm-broker.root";
pub(super) const ROTATING: &str = "swarm-broker.rotating";

const USE: &str = "swarm-broker.use.";
const APART: &str = "swarm-broker.apart.";

const INVITE_NAME: &str = "swarm-broker.invite.";

const OPERATOR_NAME: &str = "swarm-broker.operator.";

pub(super) fn invite(id: &InviteId) -> String {
    format!("{INVITE_NAME}{id}")
}

/// The invite that an object is of by its name, if it is of one.
pub(super) fn invite_of(name: &str) -> Option<InviteId> {
    name.strip_prefix(INVITE_NAME)?.parse().ok()
}

pub(super) fn invite_key(id: &KeyId) -> String {
    format!("swarm-broker.invite-key.{id}")
}

pub(super) fn broker(id: &str) -> String {
    format!("swarm-broker.broker.{id}")
}

/// Half of the hash has room in a name; the whole one is in the data.
pub(super) fn joiner(hash: &JoinerHash) -> String {
    format!("swarm-broker.joiner.{}", &hash.as_str()[..32])
}

pub(super) fn sentinel() -> String {
    "swarm-broker.sentinel".into()
}

pub(super) fn rotation() -> String {
    "swarm-broker.rotation".into()
}

pub(super) fn issuing() -> String {
    "swarm-broker.issuing".into()
}

pub(super) fn operator(name: &OperatorName) -> String {
    operator_named(name.as_str())
}

/// What an operator's object is called, for words about one that has no name here.
pub(super) fn operator_named(name: &str) -> String {
    format!("{OPERATOR_NAME}{name}")
}

/// The operator that an object is of by its name, if it is of one.
pub(super) fn operator_of(name: &str) -> Option<OperatorName> {
    name.strip_prefix(OPERATOR_NAME)?.parse().ok()
}

/// The label of a key's use.
pub(super) fn use_of(key: &KeyHash) -> String {
    format!("{USE}{key}")
}

/// The label of a use that gives its key nothing: a person has not said yes, or its node has left.
pub(super) fn apart_of(key: &KeyHash) -> String {
    format!("{APART}{key}")
}

/// The key whose such use a label is, if it is one.
pub(super) fn apart_key_of(label: &str) -> Option<KeyHash> {
    label.strip_prefix(APART)?.parse().ok()
}

/// The key whose use a label is, if it is one.
pub(super) fn key_of(label: &str) -> Option<KeyHash> {
    label.strip_prefix(USE)?.parse().ok()
}
