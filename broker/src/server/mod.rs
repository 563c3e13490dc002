//! The listener that machines speak to: TLS, limits, routes.
//!
//! Keeps promise 12 (nothing leaks by waiting): every wait has an end and every size a bound.
//! Must not decide who is admitted.

mod connection;
mod download;
mod listener;
mod places;
mod plain;
mod reply;
mod routes;
mod seats;

pub(crate) use listener::{Listener, bind};
pub(crate) use plain::serve_metrics;
pub(crate) use reply::{Reply, body_of, bounded_body_of, json, problem};
