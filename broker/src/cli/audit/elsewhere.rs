//! The brokers' logs as an operator reads them who has no shell on a manager: from any broker of a context, page by page.
//!
//! Must not end what follows the logs because a broker is restarted: the next one goes on where that one was.

use std::io::{Error, Read, Result as Io};
use std::time::{Duration, Instant};

use super::merged::Merged;
use crate::admin::{RECORDS, Records, RecordsOrder};
use crate::cli::AdminSocket;
use crate::cli::wait::is_final;
use crate::exit::{Code, Failure};

/// How long a log whose end was seen is left alone.
const REST: Duration = Duration::from_secs(1);

/// The logs of a context.
#[derive(Clone)]
pub(super) struct Elsewhere {
    admin: AdminSocket,
    /// Whether it waits for brokers that do not answer.
    waits: bool,
}

impl Elsewhere {
    pub(super) fn new(admin: AdminSocket, waits: bool) -> Self {
        Self { admin, waits }
    }

    /// Reads those logs, too, that are not read yet. From their ends on, if nothing before is asked for.
    pub(super) fn add_to(&self, merged: &mut Merged, from_end: bool) -> Result<(), Failure> {
        for log in self.ask(&RecordsOrder::default())?.logs {
            if merged.has(&log) {
                continue;
            }
            let position = if from_end {
                self.ask(&RecordsOrder { log: Some(log.clone()), after: 0, end: true })?.position
            } else {
                0
            };
            let pages = Pages { of: self.clone(), log: log.clone(), position, page: Vec::new(), read: 0, ended: None };
            merged.read(log, Box::new(pages));
        }
        Ok(())
    }

    /// The same, while others are followed: who does not answer now is asked again.
    pub(super) fn add_new(&self, merged: &mut Merged) -> Result<(), Failure> {
        match self.add_to(merged, false) {
            Err(failure) if !is_final(failure.code) => Ok(()),
            added => added,
        }
    }

    fn ask(&self, order: &RecordsOrder) -> Result<Records, Failure> {
        self.admin.open().post(RECORDS, order)
    }
}

/// A log, from a position on. At its end it reads as ended, until there is more.
struct Pages {
    of: Elsewhere,
    log: String,
    position: u64,
    page: Vec<u8>,
    /// How much of the page.
    read: usize,
    /// When its end was seen.
    ended: Option<Instant>,
}

impl Pages {
    fn turn(&mut self) -> Io<()> {
        if self.ended.is_some_and(|ended| ended.elapsed() < REST) {
            return Ok(());
        }
        match self.of.ask(&RecordsOrder { log: Some(self.log.clone()), after: self.position, end: false }) {
            // Another broker than before may answer, whose copy is behind or was not begun.
            Ok(Records { logs, length, .. })
                if !self.of.waits && (length < self.position || !logs.contains(&self.log)) =>
            {
                let what = format!(
                    "the broker that answers has not got all of the log of broker {} yet: run this again",
                    self.log
                );
                Err(Error::other(Failure::new(Code::TryAgain, what)))
            }
            Ok(Records { lines, position, .. }) => {
                self.ended = lines.is_empty().then(Instant::now);
                (self.page, self.read, self.position) = (lines.into_bytes(), 0, position);
                Ok(())
            }
            Err(failure) if self.of.waits && !is_final(failure.code) => {
                self.ended = Some(Instant::now());
                Ok(())
            }
            Err(failure) => Err(Error::other(failure)),
        }
    }
}

impl Read for Pages {
    fn read(&mut self, buffer: &mut [u8]) -> Io<usize> {
        if self.read == self.page.len() {
            self.turn()?;
        }
        let taken = (&self.page[self.read..]).read(buffer)?;
        self.read += taken;
        Ok(taken)
    }
}
