//! Which broker a command speaks to: this machine's, over its admin socket, or any of a cluster elsewhere.
//!
//! Must not guess: where two are named, neither is asked.

use std::path::{Path, PathBuf};

use clap::ArgMatches;

use crate::admin::Admin;
use crate::exit::{Code, Failure};
use crate::operators::{Contexts, LOCAL};

/// Where the running broker is.
#[derive(Clone, clap::Args)]
pub(super) struct AdminSocket {
    /// The running broker's admin socket [default: /run/broker/admin.sock]
    #[arg(id = SOCKET_ID, long = "admin", value_name = "SOCKET", env = "BROKER_ADMIN")]
    path: Option<PathBuf>,
    /// In place of it, any broker of a cluster elsewhere, as 'broker context list' names it; 'local' is this machine's
    /// [default: what 'broker context use' says]
    #[arg(long, value_name = "NAME", env = "BROKER_CONTEXT")]
    context: Option<String>,
}

/// Where a broker listens unless it was told otherwise.
const SOCKET: &str = "/run/broker/admin.sock";

impl AdminSocket {
    /// The broker that is meant.
    pub(super) fn open(&self) -> Admin {
        match self.elsewhere() {
            Ok(Some(name)) => Admin::by(Contexts::usual().and_then(|contexts| contexts.read(&name))),
            Ok(None) => Admin::at(self.socket()),
            Err(failure) => Admin::by(Err(failure)),
        }
    }

    /// This machine's broker, for what is about this machine.
    pub(super) fn here(&self) -> Result<Admin, Failure> {
        match self.named() {
            Some(name) if name != LOCAL => Err(not_elsewhere(name)),
            _ => Ok(Admin::at(self.socket())),
        }
    }

    /// This manager's broker, for what is done on a manager only: not where another cluster is the current context.
    pub(super) fn on_manager(&self) -> Result<Admin, Failure> {
        match self.elsewhere()? {
            Some(name) => {
                let what =
                    "this is done as root on a manager, where '--context local' means the broker that runs there";
                Err(Failure::new(Code::Usage, format!("context {name}: {what}")))
            }
            None => Ok(Admin::at(self.socket())),
        }
    }

    /// The context that is meant, if one is.
    pub(super) fn elsewhere(&self) -> Result<Option<String>, Failure> {
        match (self.named(), &self.path) {
            (Some(LOCAL), _) | (None, Some(_)) => Ok(None),
            (Some(name), Some(path)) => {
                let what = format!(
                    "two brokers are named: context {name} (--context, BROKER_CONTEXT) and the socket {} (--admin, BROKER_ADMIN). Leave one away",
                    path.display()
                );
                Err(Failure::new(Code::Usage, what))
            }
            (Some(name), None) => Ok(Some(name.to_owned())),
            // Where nobody has a home, nobody has contexts.
            (None, None) => Contexts::usual().map_or(Ok(None), |contexts| contexts.current()),
        }
    }

    fn named(&self) -> Option<&str> {
        self.context.as_deref().filter(|name| !name.is_empty())
    }

    fn socket(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(SOCKET))
    }
}

/// That a command is not about a context.
pub(super) fn not_elsewhere(name: &str) -> Failure {
    Failure::new(Code::Usage, format!("--context {name}: this command is about the machine that it is typed on"))
}

/// What tells a command that speaks to a broker from the others.
const SOCKET_ID: &str = "admin-socket";

/// Whether the command that was typed speaks to a broker.
pub(super) fn takes_context(command: &clap::Command, matches: &ArgMatches) -> bool {
    match matches.subcommand() {
        Some((name, under)) => command.find_subcommand(name).is_some_and(|command| takes_context(command, under)),
        None => command.get_arguments().any(|argument| argument.get_id() == SOCKET_ID),
    }
}
