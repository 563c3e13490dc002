//! The command line: one file a command.

mod admin_socket;
mod adopt;
mod audit;
mod backup;
mod ca;
mod cloud_init;
mod conditions;
mod context;
mod doctor;
mod generate;
mod init;
mod invite;
mod joiner;
mod nodes;
mod operator;
mod pending;
mod recover;
mod restore;
mod roles;
mod rotate;
mod serve;
mod status;
mod uninstall;
mod up;
mod wait;

use std::path::Path;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use self::admin_socket::{AdminSocket, not_elsewhere, takes_context};
use crate::exit::{self, Failure};
use crate::state::PrivateFile;

/// Admits machines to a Docker Swarm with single-use join grants, and writes down everything.
#[derive(Parser)]
#[command(name = "broker", version, after_help = exit::HELP, arg_required_else_help = true)]
struct CommandLine<C: Subcommand> {
    /// Before the command, too: each that takes it shows it.
    #[arg(long, value_name = "NAME", global = true, hide = true)]
    context: Option<String>,
    #[command(subcommand)]
    command: C,
}

/// The commands that the help, the man pages and the completions show.
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
    Pending(pending::Pending),
    Approve(pending::Approve),
    Deny(pending::Deny),
    Promote(roles::Promote),
    Demote(roles::Demote),
    Rotate(rotate::Rotate),
    Backup(backup::Backup),
    Restore(restore::Restore),
    Recover(recover::Recover),
    #[command(subcommand)]
    Ca(ca::Ca),
    Status(status::Status),
    Doctor(doctor::Doctor),
    Uninstall(uninstall::Uninstall),
    #[command(subcommand)]
    Audit(audit::Audit),
    #[command(subcommand)]
    Operator(operator::Operator),
    #[command(subcommand)]
    Context(context::Context),
}

/// All commands: the shown ones, and the one that makes man pages and completions of them.
#[derive(Subcommand)]
enum AnyCommand {
    #[command(flatten)]
    Shown(Box<Command>),
    #[command(hide = true)]
    Generate(generate::Generate),
}

/// What every question to the running broker takes.
#[derive(clap::Args)]
struct AskFlags {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

/// What every order to the running broker takes besides what it is about.
#[derive(clap::Args)]
struct OrderFlags {
    /// Why; it goes into the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

/// Reads the command line and does what it says.
pub(crate) fn run() -> Result<(), Failure> {
    match typed() {
        Ok((CommandLine { context: Some(name), .. }, false)) => Err(not_elsewhere(&name)),
        Ok((line, _)) => match line.command {
            AnyCommand::Shown(command) => command.run(),
            AnyCommand::Generate(generate) => generate.run(),
        },
        Err(error) => {
            // clap's own exit code is 2; ours are those of sysexits.h.
            let code = if error.use_stderr() { exit::Code::Usage as i32 } else { 0 };
            let _ = error.print();
            std::process::exit(code);
        }
    }
}

/// The command line, and whether its command can be about another machine.
fn typed() -> Result<(CommandLine<AnyCommand>, bool), clap::Error> {
    let mut command = CommandLine::<AnyCommand>::command();
    let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
    let takes_context = takes_context(&command, &matches);
    let line = CommandLine::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))?;
    Ok((line, takes_context))
}

impl Command {
    fn run(self) -> Result<(), Failure> {
        match self {
            Self::Init(init) => init.run(),
            Self::Up(up) => up.run(),
            Self::Serve(serve) => serve.run(),
            Self::Invite(invite) => invite.run(),
            Self::Joiner(joiner) => joiner.run(),
            Self::CloudInit(cloud_init) => cloud_init.run(),
            Self::Nodes(nodes) => nodes.run(),
            Self::Wait(wait) => wait.run(),
            Self::Adopt(adopt) => adopt.run(),
            Self::Pending(pending) => pending.run(),
            Self::Approve(approve) => approve.run(),
            Self::Deny(deny) => deny.run(),
            Self::Promote(promote) => promote.run(),
            Self::Demote(demote) => demote.run(),
            Self::Rotate(rotate) => rotate.run(),
            Self::Backup(backup) => backup.run(),
            Self::Restore(restore) => restore.run(),
            Self::Recover(recover) => recover.run(),
            Self::Ca(ca) => ca.run(),
            Self::Status(status) => status.run(),
            Self::Doctor(doctor) => doctor.run(),
            Self::Uninstall(uninstall) => uninstall.run(),
            Self::Audit(audit) => audit.run(),
            Self::Operator(operator) => operator.run(),
            Self::Context(context) => context.run(),
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

/// Writes what was asked for with --output to a file that only its owner can read, whole or not at all.
fn write_output(path: &Path, text: &str) -> Result<(), Failure> {
    let failed = |what: String| Failure::new(exit::Code::CannotCreate, format!("--output {}: {what}", path.display()));
    // A file takes the place of what is there: for /dev/stdout, say, that would be this machine's own.
    if std::fs::metadata(path).is_ok_and(|there| !there.is_file()) {
        return Err(failed("it is there, and is no file. Without --output, it goes to standard output".into()));
    }
    let written = PrivateFile::replace(path).and_then(|file| file.finish_with(text.as_bytes()));
    written.map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn output_takes_the_place_of_a_file_and_of_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, device) = (folder.path().join("file"), folder.path().join("device"));
        for text in ["one", "another"] {
            write_output(&file, text).expect("written");
            assert_eq!(fs::read_to_string(&file).expect("reads"), text);
        }
        symlink("/dev/null", &device).expect("linked");
        for path in [device.as_path(), folder.path()] {
            let refused = write_output(path, "text").expect_err("no file");
            assert!(refused.to_string().contains("is no file"), "{refused}");
        }
        assert_eq!(fs::read_link(&device).expect("still a link"), Path::new("/dev/null"));
    }
}
