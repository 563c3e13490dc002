//! What the running broker says, again and again: the logs first, then the nodes.
//!
//! In this order a machine that the log saw come is in the ledger when that is read.

use std::collections::BTreeMap;

use crate::admin::{Sightings, SightingsOrder};
use crate::cli::AdminSocket;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::fleet::{Comparison, Expected, Report, Seen, compare};

/// Asks, and goes on in the logs where it was.
pub(super) struct Asker {
    admin: AdminSocket,
    expected: Option<Expected>,
    seen: Seen,
    after: BTreeMap<String, u64>,
}

impl Asker {
    pub(super) fn new(admin: AdminSocket, expected: Option<Expected>) -> Self {
        Self { admin, expected, seen: Seen::default(), after: BTreeMap::new() }
    }

    /// What was expected, held against what is now.
    pub(super) fn ask(&mut self) -> Result<Comparison, Failure> {
        match self.look() {
            // Without the logs a machine that was refused would be one that never asked. Who may not ask asks no more.
            Err(failure) if self.expected.is_some() || failure.code == Code::NotAllowed => return Err(failure),
            Ok(()) | Err(_) => {}
        }
        let report: Report = self.admin.open().get("/v1/nodes")?;
        Ok(compare(report, self.expected.as_ref(), &self.seen, clock::now()))
    }

    /// Takes what came into the logs since the last look.
    fn look(&mut self) -> Result<(), Failure> {
        let nobody = Expected::default();
        let expected = self.expected.as_ref().unwrap_or(&nobody);
        loop {
            let order = SightingsOrder { after: self.after.clone() };
            let Sightings { logs } = self.admin.open().post("/v1/sightings", &order)?;
            let more = logs.values().any(|page| page.more);
            for (broker, page) in logs {
                self.after.insert(broker, page.position);
                self.seen.take(expected, page.sightings);
            }
            if !more {
                return Ok(());
            }
        }
    }
}
