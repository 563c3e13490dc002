//! Every TLS setting of the product: TLS 1.3 only, no tickets, no early data.
//!
//! Keeps DESIGN §3 (the wire). Must not appear elsewhere: no other crate builds a rustls configuration.

mod client;
#[cfg(feature = "authority")]
mod server;

pub use client::{PinnedClient, ServerPin};
#[cfg(feature = "authority")]
pub use server::{ClientTrust, ServerTls};
