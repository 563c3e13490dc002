//! `joiner`: brings one machine into the swarm, on an operator's invite.
//!
//! Keeps DESIGN §3 (the boot of a worker), from a key made on the machine to the confirm.
//! Must not know anything of broker but the protocol, and never shows the swarm token.

mod arguments;
mod boot;
mod broker;
mod clock;
mod docker;
mod exit;
mod http;
mod invite;
mod narrate;
mod on_failure;
mod process;
mod shred;
mod state;
mod status;

use std::process::ExitCode;

use arguments::{Command, JoinOptions};
use exit::Error;

fn main() -> ExitCode {
    process::forbid_core_dumps();
    let ended = arguments::parse(std::env::args_os(), |name| std::env::var_os(name))
        .map_err(Error::from)
        .and_then(|command| process::run(run(&command)));
    ended.map_or_else(|error| exit::tell(&error), |()| ExitCode::SUCCESS)
}

async fn run(command: &Command) -> Result<(), Error> {
    match command {
        Command::Join(options) => return join(options).await,
        Command::Status(options) => return status::status(options).await,
        Command::Help => narrate::answer(&arguments::help()),
        Command::Version => narrate::answer(concat!("joiner ", env!("CARGO_PKG_VERSION"))),
    }
    Ok(())
}

async fn join(options: &JoinOptions) -> Result<(), Error> {
    let Err(error) = boot::join(options).await else { return Ok(()) };
    if on_failure::is_wanted(options, &error).await {
        // Before the command, too, which may end this machine; the last line on a console is the reason, in any case.
        exit::tell(&error);
        on_failure::run(options, &error);
    }
    Err(error)
}
