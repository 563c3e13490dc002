//! What a rotation in the middle of a boot costs: a second grant, and ten seconds where the engine had begun.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::ProblemKind;

use crate::cluster::{Answer, Broker, Machine, Run, Told};
use crate::error::{Error, Result};
use crate::host::Host;
use crate::swarm::Role;

/// How many joiners were told by their engine that the token is stale: each of them has paid ten seconds for that.
#[must_use]
pub fn paid(joined: &[Run]) -> usize {
    joined.iter().filter(|run| run.stderr.contains("rotated meanwhile")).count()
}

/// A key that was given a token twice was given another one the second time, and the log says how that one came.
pub fn assert_retries_are_explained(broker: &Broker<'_>) -> Result<()> {
    let mut given: BTreeMap<String, u64> = BTreeMap::new();
    let mut told = Vec::new();
    for record in broker.records()? {
        let lacks =
            |what: &str| Error::Unreadable { what: format!("a record without {what}"), answer: record.to_string() };
        let generation = || record["generation"].as_u64().ok_or_else(|| lacks("a number"));
        match record["event"].as_str().unwrap_or_default() {
            "token.found" | "token.rotated" | "token.changed" if record["role"] == "worker" => told.push(generation()?),
            "grant.redeemed" => {
                let key = record["key"].as_str().ok_or_else(|| lacks("a key"))?.to_owned();
                let generation = generation()?;
                assert!(told.contains(&generation), "a token that the log knows nothing of: {record}");
                if let Some(before) = given.insert(key, generation) {
                    assert!(before < generation, "a second grant for the same token: {record}");
                }
            }
            _ => {}
        }
    }
    Ok(())
}

impl Machine {
    /// What an engine of this machine would see: it asks for a token until one is still live a tenth of a second later.
    /// Gives how often one was not.
    pub async fn would_join(&mut self, manager: &Host) -> Answer<usize> {
        let mut stale = 0;
        for _ in 0..100 {
            match self.admitted().await {
                Ok((_, reply)) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    let live = manager.join_token(Role::Worker).map_err(|error| Told::Broken(error.to_string()))?;
                    if live == reply.token.expose() {
                        return Ok(stale);
                    }
                    stale += 1;
                }
                // As a joiner does.
                Err(Told::Problem(ProblemKind::Unavailable | ProblemKind::AskAgain)) => {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                Err(told) => return Err(told),
            }
        }
        Err(Told::Broken("no token in a hundred tries".into()))
    }
}
