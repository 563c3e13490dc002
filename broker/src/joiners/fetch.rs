//! Getting a joiner from another broker, by the path that machines use.
//!
//! Keeps promise 8 (any broker will do) and promise 12: what comes is bounded in size and time, and is kept only if it
//! has the hash it was asked for by. Must not ask anybody but a broker of this cluster.

use std::time::Duration;

use http_body_util::Full;
use hyper::body::Body as _;
use hyper::{Request, StatusCode};
use protocol::{BrokerAddress, JOINER};

use super::program::{MOST_BYTES, Program};
use crate::broker::Broker;
use crate::clock;
use crate::ledger::Facts;
use crate::peers::{Peers, body};

/// For everything together: managers reach each other fast, or not at all.
const WHOLE: Duration = Duration::from_mins(1);

/// Asks the other live brokers, one after the other. Gives what came and from where, or why none gave it.
pub(super) async fn fetch(broker: &Broker, facts: &Facts) -> Result<(Program, BrokerAddress), String> {
    // Whoever is dialled must be a broker of this cluster. Of any generation: the hash says what is right.
    let peers = Peers::beside(broker);
    let live = broker.directory.live(clock::now());
    let mut failures = Vec::new();
    for address in live.into_iter().filter(|peer| peer.id != broker.id).flat_map(|peer| peer.addresses) {
        match tokio::time::timeout(WHOLE, ask(&peers, &address, facts)).await {
            Ok(Ok(program)) => return Ok((program, address)),
            Ok(Err(why)) => failures.push(format!("{address}: {why}")),
            Err(_) => failures.push(format!("{address}: not here whole within {} s", WHOLE.as_secs())),
        }
    }
    Err(if failures.is_empty() { "there is no other live broker to get it from".into() } else { failures.join("; ") })
}

async fn ask(peers: &Peers, address: &BrokerAddress, facts: &Facts) -> Result<Program, String> {
    let size = usize::try_from(facts.size).ok().filter(|size| *size <= MOST_BYTES);
    let size = size.ok_or_else(|| format!("it has {} bytes, which no joiner has", facts.size))?;
    let request = Request::get(format!("{JOINER}{}", facts.sha256)).body(Full::default());
    let reply = peers.ask(address, request.map_err(|error| error.to_string())?).await?;
    if reply.status() != StatusCode::OK {
        return Err(format!("it answered {}", reply.status().as_u16()));
    }
    if reply.body().size_hint().exact() != Some(facts.size) {
        return Err("what it has is of another size than the ledger lists".into());
    }
    match Program::read(body(reply, size).await?) {
        Ok(program) if *program.hash() == facts.sha256 => Ok(program),
        Ok(_) | Err(_) => Err("it gave other bytes than those that were asked for: they were thrown away".into()),
    }
}
