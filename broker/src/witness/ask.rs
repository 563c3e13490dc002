//! Asking another broker for its log, from where the copy ends.
//!
//! Keeps promise 12: each page is bounded in size and time. Must not ask anybody but a broker of this cluster.

use std::time::Duration;

use http_body_util::Full;
use hyper::{Request, StatusCode};
use protocol::{BrokerAddress, LOG, LogPage};

use crate::audit::{Grown, LogCopy, Untaken};
use crate::broker::Broker;
use crate::clock;
use crate::ledger::Peer;
use crate::peers::{Peers, body};

/// For one page.
const ONE: Duration = Duration::from_secs(5);
/// For all that is asked of one broker in one look; what is left is asked for in the next.
const WHOLE: Duration = Duration::from_secs(30);
/// The longest page, in bytes, as JSON.
const MOST: usize = 2 * 1024 * 1024;

/// Brings a copy up to what its broker has. Gives the copy back, and why it is not all there.
pub(super) async fn bring_up(
    broker: &Broker,
    peers: &Peers,
    peer: &Peer,
    mut copy: LogCopy,
) -> (Option<LogCopy>, Result<(), Untaken>) {
    let began = tokio::time::Instant::now();
    loop {
        let page = match page(broker, peers, peer, copy.position()).await {
            Ok(page) => page,
            Err(why) => return (Some(copy), Err(Untaken::Unfit(why))),
        };
        let (own, now) = (broker.audit.key().clone(), clock::now());
        let taken = tokio::task::spawn_blocking(move || {
            let grown = copy.take(page.head.as_bytes(), page.records.as_bytes(), &own, now);
            (copy, grown)
        });
        let grown;
        (copy, grown) = match taken.await {
            Ok(taken) => taken,
            // It is opened anew the next time.
            Err(error) => return (None, Err(Untaken::Unfit(error.to_string()))),
        };
        match grown {
            Ok(Grown::Whole) => return (Some(copy), Ok(())),
            Ok(Grown::Partly) if began.elapsed() < WHOLE => {}
            Ok(Grown::Partly) => return (Some(copy), Err(Untaken::Unfit("there is more than came in time".into()))),
            Err(untaken) => return (Some(copy), Err(untaken)),
        }
    }
}

/// A page, from the first of its addresses that answers.
async fn page(broker: &Broker, peers: &Peers, peer: &Peer, from: u64) -> Result<LogPage, String> {
    let mut failures = Vec::new();
    for address in &peer.addresses {
        match tokio::time::timeout(ONE, ask(broker, peers, address, from)).await {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(why)) => failures.push(format!("{address}: {why}")),
            Err(_) => failures.push(format!("{address}: no answer within {} s", ONE.as_secs())),
        }
    }
    Err(if failures.is_empty() { "the ledger lists no address of it".into() } else { failures.join("; ") })
}

async fn ask(broker: &Broker, peers: &Peers, address: &BrokerAddress, from: u64) -> Result<LogPage, String> {
    // The engine renews these files while it runs: they are read anew for each try.
    let node = broker.engine.node_key().await?;
    let request = Request::get(format!("{LOG}{from}")).body(Full::default()).map_err(|error| error.to_string())?;
    let reply = peers.ask_as(node, address, request).await?;
    let status = reply.status();
    if status != StatusCode::OK {
        return Err(format!("it answered {}", status.as_u16()));
    }
    serde_json::from_slice(&body(reply, MOST).await?).map_err(|_| "its reply does not read".into())
}
