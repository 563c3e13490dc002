//! Holding what live user-data may name: in rounds, and at once when somebody asks.
//!
//! Must not hold up the keeper: a disk or another broker may be slow.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use protocol::{BrokerAddress, JoinerHash};

use super::plan::{self, Step, plan};
use super::program::{MOST_BYTES, Program};
use super::shelf::{Note, Origin};
use super::{Joiners, Missing, facts, fetch, put};
use crate::audit::{Event, Record};
use crate::broker::Broker;
use crate::clock;
use crate::denial::Denial;
use crate::ledger::Listing;

/// Between two rounds.
const ROUND: Duration = Duration::from_secs(10);
/// A joiner that no broker gave is asked for again after a round, and then less and less often, down to this.
const SELDOM: Duration = Duration::from_mins(10);

/// Keeps the joiners until the broker stops.
pub(crate) async fn keep(broker: Arc<Broker>) {
    loop {
        let joiners = &broker.joiners;
        joiners.take_in_folder(false).await;
        joiners.shelf.forget_idle();
        match decide(&broker).await {
            Ok(Decided { wanted, unlisted }) => {
                joiners.complain(unlisted.map(words));
                fetch_all(&broker, wanted).await;
            }
            Err(denial) => joiners.complain(Some(words(denial))),
        }
        tokio::select! {
            () = tokio::time::sleep(ROUND) => {}
            () = joiners.wake.notified() => {}
        }
    }
}

/// Looks at the folder now, whatever it looked like before, and lists what is new in it.
pub(crate) async fn look(broker: &Broker) -> Result<(), Denial> {
    broker.joiners.take_in_folder(true).await;
    decide(broker).await?.unlisted.map_or(Ok(()), Err)
}

impl Joiners {
    /// Takes in what the folder has.
    async fn take_in_folder(&self, again: bool) {
        let (package, shelf, note) = (self.package.clone(), self.shelf.clone(), self.new_note(Origin::Package));
        let taken = tokio::task::spawn_blocking(move || {
            let mut package = package.lock().unwrap_or_else(PoisonError::into_inner);
            let keep = |program: &Program| put(&shelf, program, note.clone());
            // What was damaged on the shelf may be whole in the folder.
            let lost = package.found().joiners.iter().any(|(hash, _)| !shelf.has(hash));
            if again || lost {
                package.read(keep);
            } else {
                package.look(keep);
            }
            package.found().clone()
        });
        // It ends early only with the process.
        if let Ok(found) = taken.await {
            *self.found.write().unwrap_or_else(PoisonError::into_inner) = found;
        }
    }

    /// Says what is in the way, once.
    fn complain(&self, trouble: Option<String>) {
        let mut told = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = trouble.as_ref().filter(|why| told.as_ref() != Some(why)) {
            tracing::warn!(why, "what the ledger says of joiners cannot be kept");
        }
        *told = trouble;
    }

    fn until(&self) -> BTreeMap<JoinerHash, u64> {
        self.shelf.kept().into_iter().map(|(hash, kept)| (hash, kept.note().until)).collect()
    }
}

/// What a round left to do.
pub(super) struct Decided {
    /// To be fetched.
    wanted: Vec<Listing>,
    /// Why something could not be listed. It is in nobody else's way.
    unlisted: Option<Denial>,
}

/// Reads the ledger and does what is to be done, save for what must be fetched.
async fn decide(broker: &Broker) -> Result<Decided, Denial> {
    let _alone = broker.joiners.deciding.lock().await;
    decide_alone(broker).await
}

/// The same for who has the lock.
pub(super) async fn decide_alone(broker: &Broker) -> Result<Decided, Denial> {
    let joiners = &broker.joiners;
    let listed = read_listed(broker).await?;
    let full = !joiners.shelf.has_room(MOST_BYTES);
    let steps = plan(clock::now(), joiners.longest, &listed, &joiners.until(), full, &joiners.found());
    let mut decided = Decided { wanted: Vec::new(), unlisted: None };
    let mut changed = false;
    for step in steps {
        match step {
            Step::List { hash, until, new } => match list(broker, &hash, until, new, None).await {
                Ok(()) => changed = true,
                Err(denial) => decided.unlisted = Some(denial),
            },
            Step::Note { hash, until } => note(joiners, hash, until).await,
            Step::Fetch(listing) => decided.wanted.push(listing),
            Step::Drop { hash } => drop_ended(joiners, hash).await,
        }
    }
    if changed {
        read_listed(broker).await?;
    }
    Ok(decided)
}

/// Reads what the ledger lists, and remembers it.
pub(super) async fn read_listed(broker: &Broker) -> Result<Vec<Listing>, Denial> {
    let listed = broker.listings.list().await?;
    broker.joiners.listed.write().unwrap_or_else(PoisonError::into_inner).clone_from(&listed);
    Ok(listed)
}

/// Lists a joiner that is held here. That one is handed to machines that was not, or that an operator gave it, goes into
/// the audit log first.
pub(super) async fn list(
    broker: &Broker,
    hash: &JoinerHash,
    until: u64,
    new: bool,
    operator: Option<String>,
) -> Result<(), Denial> {
    let Some(kept) = broker.joiners.shelf.kept().remove(hash) else { return Ok(()) };
    if new {
        // What cannot be listed is not in the log as listed.
        broker.listings.room_for(kept.size).await?;
    }
    if new || operator.is_some() {
        let from = if operator.is_some() { "an upload" } else { "the package's folder" };
        let detail = format!("sha256 {hash}, {}, {} bytes, from {from}", kept.architecture, kept.size);
        let operator = operator.unwrap_or_else(|| "broker".into());
        let record =
            Record { operator: Some(operator), detail: Some(detail.clone()), ..Record::new(Event::JoinerListed) };
        broker.audit.record(record).await?;
        tracing::info!("listed a joiner: {detail}");
    }
    Ok(broker.listings.put(&facts(hash, &kept), until).await?)
}

async fn note(joiners: &Joiners, hash: JoinerHash, until: u64) {
    let shelf = joiners.shelf.clone();
    let noted = tokio::task::spawn_blocking(move || {
        let Some(kept) = shelf.kept().remove(&hash) else { return Ok(()) };
        shelf.annotate(&hash, Note { until, ..kept.note() })
    });
    if let Ok(Err(error)) = noted.await {
        tracing::warn!(%error, "until when a joiner is kept cannot be noted");
    }
}

async fn drop_ended(joiners: &Joiners, hash: JoinerHash) {
    tracing::info!(joiner = %hash, "held no more: no invite lives whose user-data may name it");
    let shelf = joiners.shelf.clone();
    if let Ok(Err(error)) = tokio::task::spawn_blocking(move || shelf.remove(&hash)).await {
        tracing::warn!(%error, "a joiner that ended cannot be removed");
    }
}

/// Gets what is missing from other brokers.
async fn fetch_all(broker: &Broker, wanted: Vec<Listing>) {
    let joiners = &broker.joiners;
    let hashes: HashSet<&JoinerHash> = wanted.iter().map(|listing| &listing.facts.sha256).collect();
    joiners.missing.lock().unwrap_or_else(PoisonError::into_inner).retain(|hash, _| hashes.contains(hash));
    for listing in &wanted {
        if !joiners.is_due(&listing.facts.sha256) {
            continue;
        }
        let fetched = match fetch::fetch(broker, &listing.facts).await {
            Ok((program, from)) => keep_fetched(joiners, listing, program, &from).await,
            Err(why) => Err(why),
        };
        joiners.fetched(&listing.facts.sha256, fetched);
    }
}

async fn keep_fetched(
    joiners: &Joiners,
    listing: &Listing,
    program: Program,
    from: &BrokerAddress,
) -> Result<(), String> {
    let hash = program.hash().clone();
    let note = Note { until: listing.until, from: Origin::Peer, release: listing.facts.release.clone() };
    let shelf = joiners.shelf.clone();
    let kept = tokio::task::spawn_blocking(move || put(&shelf, &program, note)).await;
    kept.map_err(|error| error.to_string())??;
    tracing::info!(joiner = %hash, %from, "got a joiner from another broker");
    Ok(())
}

impl Joiners {
    fn is_due(&self, hash: &JoinerHash) -> bool {
        let missing = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        missing.get(hash).is_none_or(|missing| Instant::now() >= missing.again)
    }

    /// Remembers what became of a try.
    fn fetched(&self, hash: &JoinerHash, fetched: Result<(), String>) {
        let mut all = self.missing.lock().unwrap_or_else(PoisonError::into_inner);
        let Err(why) = fetched else { return drop(all.remove(hash)) };
        let (tries, told) = all.get(hash).map_or((0, None), |missing| (missing.tries + 1, Some(&missing.why)));
        if told != Some(&why) {
            tracing::warn!(joiner = %hash, why, "a joiner that user-data may name is not here");
        }
        let again = Instant::now() + pause(tries);
        all.insert(hash.clone(), Missing { why, tries, again });
    }
}

/// How long until the next try, after so many that failed before this one.
fn pause(tries: u32) -> Duration {
    ROUND.saturating_mul(2_u32.saturating_pow(tries)).min(SELDOM)
}

fn words(denial: Denial) -> String {
    match denial {
        Denial::Unavailable(why) => why,
        other => format!("{other:?}"),
    }
}

/// Until when a joiner is kept that comes now.
pub(super) fn until_from_now(joiners: &Joiners) -> u64 {
    plan::until(clock::now(), joiners.longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_joiner_that_nobody_has_is_asked_for_less_and_less_often() {
        assert_eq!((pause(0), pause(1), pause(2)), (ROUND, ROUND * 2, ROUND * 4));
        assert_eq!((pause(9), pause(u32::MAX)), (SELDOM, SELDOM));
    }
}
