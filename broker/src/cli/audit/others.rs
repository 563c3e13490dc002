//! The other brokers' logs: brought up to what they have now, by the running broker.

use std::path::Path;
use std::time::Duration;

use super::elsewhere::Elsewhere;
use super::folders;
use crate::cli::AdminSocket;
use crate::exit::{Code, Failure};
use crate::witness::{self, Watched};

/// A look at brokers that are down takes some seconds each.
const PATIENCE: Duration = Duration::from_secs(45);

/// The other brokers' logs
#[derive(Clone, clap::Args)]
pub(in crate::cli) struct Others {
    /// Only this broker's log, and not the others'
    #[arg(long)]
    local: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

impl Others {
    /// Whether they are not asked for.
    pub(super) fn left_out(&self) -> bool {
        self.local
    }

    /// Where the logs are read, if not on this machine.
    pub(super) fn elsewhere(&self, waits: bool) -> Result<Option<Elsewhere>, Failure> {
        match self.admin.elsewhere()? {
            Some(name) if self.local => {
                let what = format!("--local: with context {name} no broker is this machine's");
                Err(Failure::new(Code::Usage, what))
            }
            Some(_) => Ok(Some(Elsewhere::new(self.admin.clone(), waits))),
            None => Ok(None),
        }
    }

    /// Has the broker that answers fetch what is new. One that does not answer it is named.
    pub(super) fn look(&self) -> Result<(), Failure> {
        bring_up(&self.admin).map(|watched| watched.iter().for_each(tell))
    }

    /// Has the running broker fetch what is new, without a word.
    pub(super) fn refresh(&self) {
        let _ = bring_up(&self.admin);
    }

    /// Has the running broker fetch what is new. A broker that does not answer is named: what is here of it is shown.
    pub(super) fn bring_up(&self, state: &Path) -> Result<(), Failure> {
        match bring_up(&self.admin) {
            Ok(watched) => watched.iter().for_each(tell),
            // Copies may be all that is left of a cluster.
            Err(why) if !folders::copies(state)?.is_empty() => {
                eprintln!("broker: the other brokers' logs are shown as they were copied last: {why}");
            }
            Err(_) => {}
        }
        Ok(())
    }
}

/// Has the running broker fetch what is new.
pub(super) fn bring_up(admin: &AdminSocket) -> Result<Vec<Watched>, Failure> {
    admin.open().within(PATIENCE).post(witness::LOOK, &())
}

/// Says which log is not all here.
pub(super) fn tell(Watched { broker, records, copied, problem }: &Watched) {
    let Some(problem) = problem else { return };
    let here = match copied {
        Some(copied) => format!("its {records} records that were here at {copied} are shown"),
        None => "nothing of it was copied since the start here".to_owned(),
    };
    eprintln!("broker: the log of broker {broker} is not all here: {problem}; {here}");
}
