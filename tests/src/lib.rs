//! The lab: hosts for tests, each with a Docker engine and a network of its own, on one machine.
//! Promise: a test sees real engines, sockets and files; whatever happens, nothing stays behind.
//! Must not: fetch an image, or let the programs under test into anything but `cluster`.
//!
//! A test program sets `harness = false` and hands its tests to [`main`]. Each test leases hosts
//! from a [`Pool`], and each lease is of new ones.
//!
//! ```no_run
//! use std::process::ExitCode;
//! use lab::{Failed, Pool};
//!
//! fn main() -> ExitCode {
//!     lab::main(8, lab::trials![a_worker_joins])
//! }
//!
//! fn a_worker_joins(pool: &Pool) -> Result<(), Failed> {
//!     let hosts = pool.lease(2)?;
//!     lab::form(&[&hosts[0]], &[&hosts[1]])?;
//!     assert_eq!(lab::nodes(&hosts[0])?.len(), 2);
//!     Ok(())
//! }
//! ```

#![forbid(unsafe_code)]

mod addresses;
mod browser;
pub mod cluster;
mod docker;
mod engine;
mod error;
mod faults;
mod host;
mod image;
mod lab;
mod network;
mod output;
mod place;
mod pool;
mod process;
pub mod programs;
mod register;
mod remains;
pub mod requirements;
mod run;
mod signals;
mod swarm;
mod trials;
mod until;
pub mod usage;
pub mod whole;
mod workload;

pub use browser::{Browser, Look};
pub use error::{Error, Result};
pub use host::Host;
pub use image::BUSYBOX;
pub use lab::Lab;
pub use pool::{Lease, Pool};
pub use process::Process;
pub use swarm::{Node, Role, form, nodes};
pub use trials::{Failed, Trial, main};
pub use until::{LONG, until};
pub use workload::Workload;
