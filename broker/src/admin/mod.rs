//! The admin socket: how the other commands speak to the running broker.
//!
//! Only root, or the user the broker runs as, may speak here; the kernel says who the peer is.
//! Must not be reachable over the network, but for those orders that `operators` lets through.

mod arrivals;
mod client;
mod joiners;
mod keys;
mod operator;
mod operators;
mod order;
mod pending;
mod records;
mod recover;
mod roles;
mod rotate;
mod rotation_words;
mod server;
mod sightings;
mod status;
mod unlock_key;
mod words;

pub(crate) use arrivals::{Arrivals, ArrivalsOrder};
pub(crate) use client::{Admin, lines, plain};
pub(crate) use operator::operator;
pub(crate) use operators::{OPERATORS, OperatorsShown};
pub(crate) use order::Order;
pub(crate) use pending::{AnswerOrder, PENDING, PendingShown};
pub(crate) use records::{RECORDS, Records, RecordsOrder};
pub(crate) use roles::{ROLES, RoleOrder};
pub(crate) use rotation_words::{
    CaPlan, CaRequestOrder, Gone, KeyShown, RotateReply, RotationPreview, TokenRotated, TokenShown,
};
pub(crate) use server::{answered, serve};
pub(crate) use sightings::{Sightings, SightingsOrder};
pub(crate) use unlock_key::{UnlockKeyReplaced, UnlockKeyShown};
pub(crate) use words::{
    AdoptOrder, Adopted, ClaimsShown, InviteLineReply, InviteShown, InvitesShown, JoinersShown, Revoked, Status,
};
