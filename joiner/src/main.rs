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
mod invite;
mod narrate;
mod process;
mod state;
mod status;

use std::process::ExitCode;

use arguments::Command;

fn main() -> ExitCode {
    process::forbid_core_dumps();
    match arguments::parse(std::env::args_os(), |name| std::env::var_os(name)) {
        Ok(Command::Join(options)) => exit::report(process::run(boot::join(&options))),
        Ok(Command::Status(options)) => exit::report(process::run(status::status(&options))),
        Ok(Command::Help) => {
            narrate::answer(&arguments::help());
            ExitCode::SUCCESS
        }
        Ok(Command::Version) => {
            narrate::answer(concat!("joiner ", env!("CARGO_PKG_VERSION")));
            ExitCode::SUCCESS
        }
        Err(error) => exit::report(Err(error.into())),
    }
}
