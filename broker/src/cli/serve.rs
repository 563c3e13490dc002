//! `broker serve`.

use std::io::IsTerminal as _;
use std::time::Duration;

use tracing_subscriber::filter::LevelFilter;

use crate::config::{Flags, Settings};
use crate::exit::{Code, Failure};
use crate::start;

/// Run the broker on this manager until it is told to stop
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Serve {
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    logged: Logged,
}

/// How a running broker logs.
#[derive(Clone, Copy, clap::Args)]
pub(super) struct Logged {
    /// How much to log: error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", env = "BROKER_LOG", default_value = "info")]
    log: LevelFilter,
}

impl Serve {
    pub(super) fn run(self) -> Result<(), Failure> {
        let settings = Settings::read(&self.flags)?;
        run(self.logged, start::serve(settings, None))
    }
}

/// Runs a broker: its log, its memory and its threads are set up first.
pub(super) fn run(logged: Logged, broker: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    // Records of the `log` crate are not taken in on purpose: below INFO, the Docker client writes requests and
    // replies there, join tokens included.
    tracing_subscriber::fmt()
        .with_max_level(logged.log)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none())
        .with_target(false)
        .init();
    keep_memory_private()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(Code::System, format!("no threads: {error}")))?;
    let ended = runtime.block_on(broker);
    runtime.shutdown_timeout(LEFT_BEHIND);
    ended
}

/// A thread that a folder on another machine has hung is not waited for: all that must be finished is by now.
const LEFT_BEHIND: Duration = Duration::from_secs(2);

/// No core dumps, and no reading of our memory by other processes of the same user (promise 7).
fn keep_memory_private() -> Result<(), Failure> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .and_then(|()| setrlimit(Resource::Core, none))
        .map_err(|error| Failure::new(Code::System, format!("core dumps cannot be turned off: {error}")))
}
