//! The command line: one file a command.

mod adopt;
mod audit;
mod cloud_init;
mod doctor;
mod init;
mod invite;
mod joiner;
mod nodes;
mod rotate;
mod serve;
mod status;
mod up;
mod wait;

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::admin::Admin;
use crate::exit::{self, Failure};

/// Admits machines to a Docker Swarm with single-use join grants, and writes down everything.
#[derive(Parser)]
#[command(name = "broker", version, after_help = exit::HELP, arg_required_else_help = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Init(init::Init),
    Up(Box<up::Up>),
    Serve(serve::Serve),
    #[command(subcommand)]
    Invite(invite::Invite),
    #[command(subcommand)]
    Joiner(joiner::Joiner),
    CloudInit(cloud_init::CloudInit),
    Nodes(nodes::Nodes),
    Wait(wait::Wait),
    Adopt(adopt::Adopt),
    Rotate(rotate::Rotate),
    Status(status::Status),
    Doctor(doctor::Doctor),
    #[command(subcommand)]
    Audit(audit::Audit),
}

/// Where the running broker is.
#[derive(clap::Args)]
struct AdminSocket {
    /// The running broker's admin socket
    #[arg(long = "admin", value_name = "SOCKET", env = "BROKER_ADMIN", default_value = "/run/broker/admin.sock")]
    path: PathBuf,
}

impl AdminSocket {
    fn open(&self) -> Admin {
        Admin::at(&self.path)
    }
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> Result<(), Failure> {
    match CommandLine::try_parse() {
        Ok(line) => match line.command {
            Command::Init(init) => init.run(),
            Command::Up(up) => up.run(),
            Command::Serve(serve) => serve.run(),
            Command::Invite(invite) => invite.run(),
            Command::Joiner(joiner) => joiner.run(),
            Command::CloudInit(cloud_init) => cloud_init.run(),
            Command::Nodes(nodes) => nodes.run(),
            Command::Wait(wait) => wait.run(),
            Command::Adopt(adopt) => adopt.run(),
            Command::Rotate(rotate) => rotate.run(),
            Command::Status(status) => status.run(),
            Command::Doctor(doctor) => doctor.run(),
            Command::Audit(audit) => audit.run(),
        },
        Err(error) => {
            // clap's own exit code is 2; ours are those of sysexits.h.
            let code = if error.use_stderr() { exit::Code::Usage as i32 } else { 0 };
            let _ = error.print();
            std::process::exit(code);
        }
    }
}

/// A length of time, as people type it.
fn duration(text: &str) -> Result<std::time::Duration, &'static str> {
    humantime::parse_duration(text).map_err(|_| "write it like 90s, 10m or 1h")
}

/// Prints JSON as one object.
fn print_json(value: &impl serde::Serialize) -> Result<(), Failure> {
    let text =
        serde_json::to_string_pretty(value).map_err(|error| Failure::new(exit::Code::Internal, error.to_string()))?;
    print(&text)
}

/// Prints a text and ends its line. A reader that went away is no failure.
fn print(text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    match writeln!(std::io::stdout(), "{}", text.trim_end_matches('\n')) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(exit::Code::Io, format!("standard output: {error}")))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}
