//! The cluster's keys, from a broker that serves to the broker on another manager.
//!
//! Keeps DESIGN §3b: they go only to a manager that is explained as one, looked up by its node id at that moment, and
//! no key leaves without a ledger commit made by that very request. The root's key and a broker's own are never given.
//! A broker that serves gets those that were replaced elsewhere in the same way.
//! Must not believe a node's label that no broker signed: whoever is a manager, however it came, can set labels.

mod anew;
mod ask;
mod confirmed;
mod follow;
mod give;
mod renew;
mod take;
mod voucher;

pub(crate) use anew::{unexplained_by_log, vouch_anew};
pub(crate) use confirmed::confirmed_key;
pub(crate) use follow::follow;
pub(crate) use give::give;
pub(crate) use renew::{renew, to_renew};
pub(crate) use take::{Giver, Taker, take};
use voucher::Voucher;
pub(crate) use voucher::{LABEL, is_vouched, vouch};

#[cfg(test)]
mod tests;
