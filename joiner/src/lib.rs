//! `joiner`: brings one machine into the swarm, on an operator's invite, and out of it again.
//!
//! Keeps DESIGN §3 (the boot of a worker), from a key made on the machine to the confirm.
//! Must not know anything of broker but the protocol, and never shows the swarm token.
//!
//! It is a library for `broker up`, which brings its machine in by the same steps: [`join`], [`identity_key`].

mod arguments;
mod boot;
mod broker;
mod clock;
mod docker;
mod exit;
mod http;
mod invite;
mod leave;
mod narrate;
mod on_failure;
mod process;
mod shred;
mod state;
mod status;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use certs::SigningKey;
use protocol::{InviteLine, NodeId};

use arguments::Command;
use exit::Error;

pub use arguments::{Addresses, JoinOptions, OwnAddress};
pub use boot::OwnAddresses;
pub use invite::InviteSource;

/// Why a machine did not come in.
#[derive(Debug, thiserror::Error)]
#[error("{words}")]
pub struct Failure {
    /// What happened, to what, and what to do, in one line.
    pub words: String,
    /// The exit code of `joiner join` (sysexits).
    pub code: u8,
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self { words: error.to_string(), code: error.code() }
    }
}

/// Brings this machine into the swarm, or finds that it is in: `joiner join`. Gives what to tell at the end.
pub async fn join(options: &JoinOptions) -> Result<String, Failure> {
    Ok(boot::join(options).await?)
}

/// Reads an invite.
pub fn read_invite(source: &InviteSource) -> Result<InviteLine, Failure> {
    Ok(source.read()?)
}

/// This machine's addresses in the networks that were given, once they are there; what was given otherwise, as it is.
pub async fn own_addresses(given: &Addresses, within: Duration) -> Result<OwnAddresses, Failure> {
    Ok(boot::own_addresses(given, clock::Deadline::after(within)).await?)
}

/// Whether a join was begun with this state folder and not confirmed.
pub fn is_unfinished(state: &Path) -> Result<bool, Failure> {
    let record = state::read_record(state).map_err(Error::from)?;
    Ok(record.is_some_and(|record| !record.confirmed))
}

/// The same of one that may still come to its end by itself: a run is at it, or the last one did not end for good.
pub fn is_under_way(state: &Path) -> Result<bool, Failure> {
    state::is_under_way(state).map_err(|error| Error::from(error).into())
}

/// The key that confirmed this node here; none if this node was not brought in by a join with this state folder.
pub fn identity_key(state: &Path, node: &NodeId) -> Result<Option<SigningKey>, Failure> {
    state::confirmed_key(state, node).map_err(|error| Error::from(error).into())
}

/// The program: reads the command line and does what it says.
#[must_use]
pub fn run() -> ExitCode {
    process::forbid_core_dumps();
    let ended = arguments::parse(std::env::args_os(), |name| std::env::var_os(name))
        .map_err(Error::from)
        .and_then(|command| process::run(run_command(&command)));
    ended.map_or_else(|error| exit::tell(&error), |()| ExitCode::SUCCESS)
}

async fn run_command(command: &Command) -> Result<(), Error> {
    match command {
        Command::Join(options) => return join_or_tell(options).await,
        Command::Leave(options) => narrate::answer(&leave::leave(options).await?),
        Command::Status(options) => return status::status(options).await,
        Command::Help => narrate::answer(&arguments::help()),
        Command::Version => narrate::answer(concat!("joiner ", env!("CARGO_PKG_VERSION"))),
    }
    Ok(())
}

async fn join_or_tell(options: &JoinOptions) -> Result<(), Error> {
    let error = match boot::join(options).await {
        Ok(answer) => {
            narrate::answer(&answer);
            return Ok(());
        }
        Err(error) => error,
    };
    if on_failure::is_wanted(options, &error).await {
        // Before the command, too, which may end this machine; the last line on a console is the reason, in any case.
        exit::tell(&error);
        on_failure::run(options, &error);
    }
    Err(error)
}
