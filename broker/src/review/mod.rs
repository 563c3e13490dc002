//! What a reviewer does with audit logs: tell what happened, from files alone.
//!
//! Keeps promise 11: whatever is told says by which record, and whether that is the one that was signed. Must not need
//! a running broker, and must not change anything.

mod export;
mod logs;
mod page;
mod proof;
mod story;
mod together;

pub(crate) use export::{Format, export};
pub(crate) use logs::{Entry, Log, read_all};
pub(crate) use page::{page, visible};
pub(crate) use proof::Proof;
pub(crate) use story::{Span, Story, Told, in_order};
