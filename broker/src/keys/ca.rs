//! The issuing CA: the next generation under the same root.
//!
//! Keeps DESIGN §3b: the pin stays. Both generations are trusted for an overlap; after a leak only the new one is, and
//! invites that accept the former one admit nobody. Must not see the root's key.

use std::path::PathBuf;

use certs::{Issuing, IssuingCertificate};
use serde::{Deserialize, Serialize};

use super::invite_key::refuse_all_void;
use super::order::Made;
use super::server_cert::assert_served;
use super::{Asked, CaRequest, Rotated, off_the_runtime};
use crate::broker::Broker;
use crate::clock::{self, Time};
use crate::denial::Denial;
use crate::handover;
use crate::ledger::{Generations, OVERLAP};
use crate::state::{KeySource, StateError, next_issuing};
use crate::swarm::Node;

/// How often an update of the ledger is tried that others keep overtaking.
const TRIES: usize = 16;

/// What a rotation would do, and whom it concerns. The names are stable: commands print it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The generation in use, and when it ends.
    pub(crate) generation: u32,
    pub(crate) ends: Time,
    pub(crate) next: u32,
    /// Until when the former one is trusted, if nothing has leaked.
    pub(crate) overlap_ends: Time,
    pub(crate) root_ends: Time,
    /// Invites that accept a server of a former generation: after a leak they must be made anew.
    pub(crate) invites: Vec<Made>,
    /// Objects of invites that do not read. They admit nobody, and are not among the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) unread: Vec<String>,
    /// The other live brokers, each of which gets the new one by itself.
    pub(crate) brokers: Vec<OfBroker>,
    /// Managers that must be adopted after a leak, before their brokers are given the new one.
    #[serde(default)]
    pub(crate) adopt: Vec<String>,
    /// The state directory, in which the root's key may be.
    pub(crate) state: PathBuf,
}

/// The issuing CA that another broker has.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct OfBroker {
    pub(crate) id: String,
    pub(crate) generation: u32,
}

/// Why it was not done: words for who asked, or what a request is told.
pub(crate) type Failed = Result<String, Denial>;

/// The plan.
pub(crate) async fn plan(broker: &Broker) -> Result<Plan, Denial> {
    let (issuing, now) = (broker.keys.issuing.get(), clock::now());
    let public = issuing.public();
    let next = next(&known(broker).await?, public.generation);
    let others = broker.directory.live(now).into_iter().filter(|peer| peer.id != broker.id);
    let (invites, unread) = accepting_less_than(broker, next).await?;
    Ok(Plan {
        generation: public.generation,
        ends: Time(public.ends),
        next,
        overlap_ends: Time(now.saturating_add(OVERLAP).min(public.ends)),
        root_ends: Time(public.root_ends),
        invites,
        unread,
        brokers: others.map(|peer| OfBroker { id: peer.id, generation: peer.issuing }).collect(),
        adopt: names(&handover::unexplained_by_log(broker).await?),
        state: broker.keys.folder.itself().to_owned(),
    })
}

/// The request for the next one. Its key is made here, once (after a leak, anew), and is not used before the certificate
/// is there.
pub(crate) async fn request(broker: &Broker, leaked: bool) -> Result<CaRequest, Failed> {
    if broker.issuing_key != KeySource::State {
        return Err(Ok(format!(
            "the issuing key is kept elsewhere ({}), so the next one is not made here. Make it where the root is, put it where --issuing-key finds it, and then give its certificate to 'broker ca install'; see 'broker ca issue --help'",
            broker.issuing_key.kind()
        )));
    }
    let _turn = broker.keys.turn.lock().await;
    let issuing = broker.keys.issuing.get();
    let generation = next(&known(broker).await.map_err(Err)?, issuing.public().generation);
    let (folder, trusted) = (broker.keys.folder.clone(), broker.keys.trusted.get());
    let csr = off_the_runtime(move || {
        if leaked || next_issuing::is_key_of(&folder, &trusted)? {
            next_issuing::forget_key(&folder)?;
        }
        Ok(next_issuing::next_key(&folder)?.csr()?)
    });
    let csr = csr.await;
    let csr = csr.map_err(|error| Ok(error.to_string()))?;
    Ok(CaRequest::new(broker.cluster.clone(), broker.name.clone(), issuing.pin(), generation, csr))
}

/// The issuing CA of a certificate, if it can be put to use here.
pub(super) async fn checked(broker: &Broker, certificate: String) -> Result<Issuing, Failed> {
    let current = broker.keys.issuing.get();
    let (folder, source, root) =
        (broker.keys.folder.clone(), broker.issuing_key.clone(), current.root_pem().to_owned());
    let issuing = off_the_runtime(move || next_issuing::issuing_of(&folder, &source, &certificate, &root)).await;
    let issuing = issuing.map_err(|error| {
        Ok(match error {
            StateError::Authority(certs::AuthorityError::OtherKey(_)) => {
                "this certificate is of another key than the one that 'broker rotate ca' made here last, or that --issuing-key finds".to_owned()
            }
            StateError::Authority(error) => format!("this is no issuing CA of this cluster's root: {error}"),
            error => error.to_string(),
        })
    })?;
    let (public, now) = (issuing.public(), clock::now());
    if public.cluster != broker.cluster || public.ends <= now {
        return Err(Ok("this certificate has ended, or is of another cluster".into()));
    }
    let generations = known(broker).await.map_err(Err)?;
    // Numbers are few: one that was mistyped would use up all up to it.
    let next = next(&generations, current.public().generation);
    if public.generation != next && !is_listed(&generations, &issuing) {
        return Err(Ok(format!(
            "this certificate is of generation {}, and the next one is {next}: ask for it again with 'broker rotate ca', or make it with 'broker ca issue --new-key --generation {next}'",
            public.generation
        )));
    }
    assert_served(&broker.provider, &issuing, now).map_err(Ok)?;
    Ok(issuing)
}

/// Puts it to use: on disk, then listed, then in use. Cut off after the first of these, the next start does the rest.
pub(super) async fn put_to_use(broker: &Broker, issuing: Issuing, asked: &Asked) -> Result<Rotated, Denial> {
    let folder = broker.keys.folder.clone();
    let begun = off_the_runtime(move || next_issuing::begin(&folder, &issuing).map(|()| issuing)).await;
    let issuing = begun.map_err(|error| unavailable(&error))?;
    let lowest = if asked.now { issuing.public().generation } else { 1 };
    let generations = match list(broker, &issuing, lowest).await {
        Ok(Some(generations)) => generations,
        Ok(None) => {
            next_issuing::undo(&broker.keys.folder).map_err(|error| unavailable(&error))?;
            let what = "another broker was faster, and has another issuing CA of this generation. Ask again";
            return Err(Denial::Unavailable(what.into()));
        }
        Err(Denial::Unavailable(why)) => {
            let what = format!(
                "{why}. The new issuing CA is on disk, and used from the next start on; to do it now, order it again"
            );
            return Err(Denial::Unavailable(what));
        }
        Err(other) => return Err(other),
    };
    let folder = broker.keys.folder.clone();
    off_the_runtime(move || next_issuing::finish(&folder)).await.map_err(|error| unavailable(&error))?;

    let (generation, now) = (issuing.public().generation, clock::now());
    let former = broker.keys.issuing.get();
    let former_until = generations.of(former.public().generation).and_then(|listed| listed.until);
    let kid = certs::Thumbprint::of(&issuing.public().certificate).to_string();
    broker.keys.issuing.replace(issuing);
    broker.keys.generations.replace(generations);
    trust(broker, now);
    super::server_cert::rotate(broker)?;
    list_itself(broker).await;
    let mut adopt = Vec::new();
    if asked.now {
        // Both are tried: what fails of one must not keep the other from being done.
        let refused = refuse_all_void(broker, &asked.operator).await;
        adopt = names(&handover::vouch_anew(broker).await?);
        refused?;
    }
    let (invites, unread) = accepting_less_than(broker, generation).await?;
    // Since it was listed first, where this order has been given before.
    let former_until = former_until.map(|until| Time(until.min(former.public().ends)));
    Ok(Rotated { former_until, invites, unread, adopt, ..Rotated::new(generation.into(), now, kid) })
}

/// Tells the other brokers at once what this one has: they ask who does.
pub(super) async fn list_itself(broker: &Broker) {
    if let Err(error) = broker.list_itself().await {
        tracing::warn!(?error, "what this broker has now is not in the ledger yet; it is tried again");
    }
}

/// At the start: lists the CA that this broker has, and learns of the others. What this broker knows to be void is so.
pub(crate) async fn enlist(broker: &Broker) -> Result<(), Denial> {
    let (issuing, lowest) = (broker.keys.issuing.get(), broker.keys.generations.get().lowest);
    if let Some(generations) = list(broker, &issuing, lowest).await? {
        broker.keys.generations.replace(generations);
    } else {
        tracing::error!(
            "another broker has another issuing CA of this generation: replace this one with 'broker rotate ca'"
        );
        broker.keys.generations.replace(known(broker).await?.only_from(lowest));
    }
    trust(broker, clock::now());
    Ok(())
}

/// In a recovery, before the ledger is trusted again: lists the CA that this broker has, and declares those below `lowest`
/// void, as it was before the ledger forgot that one leaked.
pub(crate) async fn put_back(broker: &Broker, lowest: u32) -> Result<(), Denial> {
    let issuing = broker.keys.issuing.get();
    let lowest = lowest.max(broker.keys.generations.get().lowest);
    let change = |known: &Generations| {
        let after = with_own(known, &issuing, &broker.id, lowest, clock::now());
        // Another broker's CA has this number: that is told at the next start, and stands in no recovery's way.
        after.unwrap_or_else(|| known.only_from(lowest))
    };
    broker.keys.generations.replace(broker.issuing_cas.put_back(change).await?);
    trust(broker, clock::now());
    Ok(())
}

/// Again and again: follows what another broker has put to use, or declared void.
pub(crate) async fn follow(broker: &Broker) -> Result<(), Denial> {
    match broker.issuing_cas.find().await? {
        // Nothing is ever less void than it was, and no CA that serves is left out.
        Some(read) if !lacks(&read.generations, broker) => broker.keys.generations.replace(read.generations),
        Some(_) | None => return enlist(broker).await,
    }
    trust(broker, clock::now());
    Ok(())
}

/// Whether a ledger that was recovered on another broker has forgotten something that this one knows.
fn lacks(listed: &Generations, broker: &Broker) -> bool {
    let own = broker.keys.issuing.get().public().generation;
    listed.lowest < broker.keys.generations.get().lowest || (own >= listed.lowest && listed.of(own).is_none())
}

/// Writes into the ledger that there is this CA, and that nothing is good below `lowest`. None if another one has its
/// number.
async fn list(broker: &Broker, issuing: &Issuing, lowest: u32) -> Result<Option<Generations>, Denial> {
    for _ in 0..TRIES {
        let read = broker.issuing_cas.find().await?;
        let before = read.as_ref().map(|read| read.generations.clone());
        let known = before.clone().unwrap_or_else(|| (*broker.keys.generations.get()).clone());
        let Some(after) = with_own(&known, issuing, &broker.id, lowest, clock::now()) else { return Ok(None) };
        if before.as_ref() == Some(&after) || broker.issuing_cas.write(read.as_ref(), &after).await? {
            return Ok(Some(after));
        }
    }
    Err(Denial::Unavailable("others keep changing the list of issuing CAs".into()))
}

/// With this CA, unless it is void or has ended, and with nothing below `lowest`. None if another one has its number.
fn with_own(known: &Generations, issuing: &Issuing, by: &str, lowest: u32, now: u64) -> Option<Generations> {
    let (known, generation) = (known.only_from(lowest), issuing.public().generation);
    if !known.trusts(generation, now) || is_listed(&known, issuing) {
        return Some(known);
    }
    let free = known.of(generation).is_none();
    free.then(|| known.with(generation, issuing.certificate_pem(), by, now))
}

/// Whether it is this very CA, by its key, that the ledger lists under its number.
pub(super) fn is_listed(generations: &Generations, issuing: &Issuing) -> bool {
    let listed = generations.of(issuing.public().generation);
    listed
        .and_then(|listed| IssuingCertificate::from_pem(&listed.certificate, issuing.root_pem()).ok())
        .is_some_and(|listed| listed.is_of(issuing.key()))
}

/// Whether other brokers take what this CA signs at `now`: it is good for something, and its number is no other one's.
pub(crate) fn is_believed(generations: &Generations, issuing: &Issuing, now: u64) -> bool {
    let generation = issuing.public().generation;
    generations.trusts(generation, now) && (generations.of(generation).is_none() || is_listed(generations, issuing))
}

/// Whether it is this CA, by its key, that the ledger lists as the newest.
pub(crate) fn is_newest(broker: &Broker, issuing: &IssuingCertificate) -> bool {
    let (generations, own) = (broker.keys.generations.get(), broker.keys.issuing.get());
    let listed = generations.of(issuing.generation).filter(|_| issuing.generation == generations.newest());
    listed
        .and_then(|listed| IssuingCertificate::from_pem(&listed.certificate, own.root_pem()).ok())
        .is_some_and(|listed| listed.public_point() == issuing.public_point())
}

/// Takes identities of the CAs that are trusted at `now`. What the ledger says of one is believed only with the root's
/// signature.
fn trust(broker: &Broker, now: u64) {
    let (issuing, generations) = (broker.keys.issuing.get(), broker.keys.generations.get());
    let mut trusted: Vec<IssuingCertificate> = generations
        .trusted(now)
        .filter_map(|(generation, listed)| {
            let read = IssuingCertificate::from_pem(&listed.certificate, issuing.root_pem()).ok();
            read.filter(|read| read.generation == generation && read.cluster == broker.cluster)
        })
        .collect();
    if is_believed(&generations, &issuing, now) && !trusted.contains(issuing.public()) {
        trusted.push(issuing.public().clone());
    }
    if let Err(error) = broker.trust.trust_identities(&trusted) {
        tracing::error!(%error, "the issuing CAs cannot be trusted");
    }
    broker.keys.trusted.replace(trusted);
}

/// What the ledger says, or what is known where it says nothing.
pub(super) async fn known(broker: &Broker) -> Result<Generations, Denial> {
    let read = broker.issuing_cas.find().await?;
    Ok(read.map_or_else(|| (*broker.keys.generations.get()).clone(), |read| read.generations))
}

/// What an operator types of a node.
fn names(nodes: &[Node]) -> Vec<String> {
    nodes
        .iter()
        .map(|node| if node.hostname.is_empty() { node.id.to_string() } else { node.hostname.clone() })
        .collect()
}

fn next(generations: &Generations, own: u32) -> u32 {
    generations.newest().max(own).saturating_add(1)
}

/// The invites that have not ended and accept a server of a generation below this one; and the objects that do not read.
async fn accepting_less_than(broker: &Broker, generation: u32) -> Result<(Vec<Made>, Vec<String>), Denial> {
    let (invites, unread) = broker.invites.list_each().await?;
    let now = clock::now();
    let accepting = invites.into_iter().filter_map(|state| {
        let invite = state.policy.invite().filter(|invite| invite.generation < generation && now < invite.exp)?;
        Some(Made { id: invite.jti.clone(), ends: Time(invite.exp), revoked: state.claims.revoked.is_some() })
    });
    Ok((accepting.collect(), unread))
}

fn unavailable(error: &StateError) -> Denial {
    Denial::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests {
    use certs::Root;
    use protocol::ClusterId;

    use super::*;

    #[test]
    fn a_broker_that_comes_back_lists_its_ca_only_if_that_is_good_still() {
        const NOW: u64 = 1_800_000_000;
        let root = Root::create(&ClusterId::random(), "test", clock::unix(NOW)).expect("a root");
        let issue = |generation| root.issue(generation, clock::unix(NOW)).expect("an issuing CA");
        let cas = [issue(1), issue(2), issue(3)];
        let listed = |known: &Generations, ca: &Issuing, now| with_own(known, ca, "b", 1, now);
        let first = listed(&Generations::default(), &cas[0], NOW).expect("free");
        let second = listed(&first, &cas[1], NOW).expect("free");
        assert_eq!(listed(&second, &cas[0], NOW), Some(second.clone()), "it is listed");
        assert_eq!(listed(&second, &issue(2), NOW), None, "another one has its number");
        // Of the first one the certificate is dropped: it comes back for no other overlap.
        let ended = NOW + OVERLAP;
        let third = listed(&second, &cas[2], ended).expect("free");
        assert!(!is_listed(&third, &cas[0]) && is_listed(&third, &cas[2]));
        assert_eq!(listed(&third, &cas[0], ended), Some(third.clone()));
        assert!(!is_believed(&third, &cas[0], ended));
        assert_eq!(with_own(&third, &cas[1], "b", 3, ended), Some(third.only_from(3)), "void");
    }
}
