//! Operators: who gives orders from elsewhere, with a certificate in place of a root shell on a manager.
//!
//! Keeps DESIGN §6: what has no right in the table is refused, each right is read from the ledger at each order, and what was
//! refused is written down. Must not do what is ordered: an order that may be given is the admin socket's own.

mod context;
mod contexts;
mod dial;
mod enrol;
mod gate;
mod orders;

pub(crate) use context::{Context, Issued};
pub(crate) use contexts::{Contexts, LOCAL, read_private};
pub(crate) use dial::Answered;
pub(crate) use enrol::{Created, OperatorOrder, OperatorRevoked, OperatorShown, create, list, revoke};
pub(crate) use gate::{Orders, PREFIX, answer};
pub(crate) use orders::is_for_operators;
