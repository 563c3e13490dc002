//! `broker wait`: until so many machines have joined, or for so long; then what became of those that did not come.
//!
//! For the end of a `terraform apply`. Reads only, and holds on to what it heard while the broker is restarted.

mod missing;
mod progress;
mod result;
mod tally;
#[cfg(test)]
mod tests;

use std::time::{Duration, Instant};

use protocol::{InviteId, Role};

use self::progress::Progress;
pub(super) use self::result::{labels, named};
use self::tally::Tally;
use super::AdminSocket;
use crate::admin::{Arrivals, ArrivalsOrder, InviteShown};
use crate::clock;
use crate::exit::{Code, Failure};

/// How often it asks.
const PAUSE: Duration = Duration::from_secs(1);
/// How long an answer may take: as long as is left, but at least and at most this.
const LEAST: Duration = Duration::from_secs(2);
const MOST: Duration = Duration::from_secs(10);

/// Wait until so many machines have joined, and say what became of the others
///
/// Counted are nodes that joined through a broker and are Ready, also those from before. Exit code 0 when there are so
/// many, 75 when the time ran out. It waits for a broker that does not run, too.
#[derive(clap::Args)]
pub(super) struct Wait {
    /// How many there should be
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    count: u32,
    /// How long to wait at most: 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "10m", value_parser = super::duration)]
    timeout: Duration,
    /// Count the machines of this invite only, by its id as 'broker invite list' shows it
    #[arg(long, value_name = "ID")]
    invite: Option<InviteId>,
    /// Count machines in this role only: worker or manager
    #[arg(long)]
    role: Option<Role>,
    /// Print one JSON object at the end
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

impl Wait {
    pub(super) fn run(self) -> Result<(), Failure> {
        let start = Instant::now();
        let count = usize::try_from(self.count).unwrap_or(usize::MAX);
        let mut tally = Tally::new(count, self.invite.clone(), clock::now());
        let mut progress = Progress::new(count, self.timeout);
        let ended = self.watch(start, &mut tally, &mut progress);
        progress.end();
        ended?;

        let elapsed = start.elapsed();
        let missing = tally.missing();
        if self.json {
            super::print_json(&result::object(&tally, &missing, elapsed))?;
        } else {
            super::print(&result::text(&tally, &missing, elapsed))?;
        }
        if tally.is_done() {
            return Ok(());
        }
        let (absent, within) = (count - tally.joined().count(), clock::length(self.timeout));
        Err(Failure::new(Code::TryAgain, format!("{absent} of {count} did not join within {within}")))
    }

    /// Asks until all are there or the time is over.
    fn watch(&self, start: Instant, tally: &mut Tally, progress: &mut Progress) -> Result<(), Failure> {
        loop {
            let left = self.timeout.saturating_sub(start.elapsed());
            match self.ask(tally.position(), left) {
                Ok(arrivals) => {
                    self.check(&arrivals)?;
                    // The log of a month is not read at once.
                    let more = arrivals.more;
                    progress.heard(tally.is_new().then_some(&arrivals), self.invite.as_ref());
                    for news in tally.take(arrivals) {
                        progress.tell(&news);
                    }
                    if tally.is_done() {
                        return Ok(());
                    }
                    if more {
                        continue;
                    }
                }
                Err(failure) if is_final(failure.code) => return Err(failure),
                Err(failure) => progress.silent(&failure),
            }
            progress.show(tally);
            let left = self.timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(PAUSE.min(left));
        }
    }

    fn ask(&self, after: Option<u64>, left: Duration) -> Result<Arrivals, Failure> {
        let order = ArrivalsOrder { invite: self.invite.clone(), role: self.role, after };
        self.admin.open().within(left.clamp(LEAST, MOST)).post("/v1/arrivals", &order)
    }

    /// What can never come is not waited for.
    fn check(&self, arrivals: &Arrivals) -> Result<(), Failure> {
        let Some(invite) = &arrivals.invite else { return Ok(()) };
        if let (Some(role), Some(wanted)) = (invite.role, self.role)
            && role != wanted
        {
            return Err(Failure::new(Code::Usage, format!("--role {wanted}: invite {} is for a {role}", invite.id)));
        }
        if invite.role.is_some() && self.count > invite.uses {
            let InviteShown { id, uses, .. } = invite;
            let what = format!(
                "--count {}: invite {id} admits {uses}. Wait for that many, or leave --invite away",
                self.count
            );
            return Err(Failure::new(Code::Usage, what));
        }
        Ok(())
    }
}

/// Whether asking again would give the same. A broker that is not there, or has no quorum, may come back.
pub(super) fn is_final(code: Code) -> bool {
    match code {
        Code::Unavailable | Code::TryAgain => false,
        Code::Usage
        | Code::Data
        | Code::NoInput
        | Code::Internal
        | Code::System
        | Code::OsFile
        | Code::CannotCreate
        | Code::Io
        | Code::NotAllowed
        | Code::Config => true,
    }
}
