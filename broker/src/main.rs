//! The swarm join broker: admits machines to a Docker Swarm, hands each one a single-use join grant, watches that it
//! arrives, and writes down everything. `docs/architecture.md` has the picture.

mod admin;
mod admission;
mod audit;
mod broker;
mod cli;
mod clock;
mod config;
mod denial;
mod departure;
mod exit;
mod fleet;
mod format;
mod grants;
mod handover;
mod health;
mod joiners;
mod jwt;
mod keys;
mod ledger;
mod metrics;
mod operators;
mod peers;
mod recover;
mod review;
mod rotation;
mod server;
mod start;
mod state;
mod swarm;
mod uninstall;
mod up;
mod userdata;
mod witness;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Part of it may be somebody else's words.
            for line in format!("broker: {failure}").lines() {
                eprintln!("{}", admin::plain(line));
            }
            ExitCode::from(failure.code as u8)
        }
    }
}
