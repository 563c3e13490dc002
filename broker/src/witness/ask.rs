//! Asking another broker for its log, from where the copy ends.
//!
//! Keeps promise 12: each page is bounded in size and time. Must not ask anybody but a broker of this cluster.

use std::time::Duration;

use http_body_util::Full;
use hyper::{Request, StatusCode};
use protocol::{BrokerAddress, LOG, LogPage};

use crate::audit::{Grown, LogCopy, PublicLogKey, Untaken};
use crate::broker::Broker;
use crate::clock;
use crate::ledger::Peer;
use crate::peers::{Peers, body};

/// For one page.
const ONE: Duration = Duration::from_secs(5);
/// For all that is asked of one broker in one look; what is left is asked for in the next.
const WHOLE: Duration = Duration::from_secs(30);
/// A broker has a few addresses.
const MOST_ADDRESSES: usize = 16;
/// The longest page, in bytes, as JSON.
const MOST: usize = 2 * 1024 * 1024;

/// Brings a copy up to what its broker has. Gives the copy back, and why it is not all there.
pub(super) async fn bring_up(
    broker: &Broker,
    peers: &Peers,
    peer: &Peer,
    mut copy: LogCopy,
) -> (Option<LogCopy>, Result<(), Untaken>) {
    let deadline = tokio::time::Instant::now() + WHOLE;
    loop {
        let page = match tokio::time::timeout_at(deadline, page(broker, peers, peer, copy.position())).await {
            Ok(Ok(page)) => page,
            Ok(Err(why)) => return (Some(copy), Err(Untaken::Unfit(why))),
            Err(_) => return (Some(copy), Err(Untaken::Unfit("it did not come in time".into()))),
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
            Ok(Grown::Partly) => {}
            // What lies on the disk now is looked at anew the next time.
            Err(untaken @ Untaken::Here(_)) => return (None, Err(untaken)),
            Err(untaken) => return (Some(copy), Err(untaken)),
        }
    }
}

/// A page, from the first of its addresses that answers.
async fn page(broker: &Broker, peers: &Peers, peer: &Peer, from: u64) -> Result<LogPage, String> {
    let mut failures = Vec::new();
    for address in peer.addresses.iter().take(MOST_ADDRESSES) {
        match tokio::time::timeout(ONE, ask(broker, peers, peer, address, from)).await {
            Ok(Ok(page)) => return Ok(page),
            Ok(Err(why)) => failures.push(format!("{address}: {why}")),
            Err(_) => failures.push(format!("{address}: no answer within {} s", ONE.as_secs())),
        }
    }
    Err(if failures.is_empty() { "the ledger lists no address of it".into() } else { failures.join("; ") })
}

async fn ask(
    broker: &Broker,
    peers: &Peers,
    peer: &Peer,
    address: &BrokerAddress,
    from: u64,
) -> Result<LogPage, String> {
    let nonce = format!("{:032x}", u128::from_be_bytes(protocol::random()));
    // The engine renews these files while it runs: they are read anew for each try.
    let node = broker.engine.node_key().await?;
    let request =
        Request::get(format!("{LOG}{from}/{nonce}")).body(Full::default()).map_err(|error| error.to_string())?;
    let reply = peers.ask_as(node, address, request).await?;
    let status = reply.status();
    if status != StatusCode::OK {
        return Err(format!("it answered {}", status.as_u16()));
    }
    let page: LogPage =
        serde_json::from_slice(&body(reply, MOST).await?).map_err(|_| "its reply does not read".to_owned())?;
    // Any manager may serve at an address that the ledger lists. Only its own broker has the log's key.
    let key = peer.log.as_ref().and_then(|listed| PublicLogKey::read(&listed.key));
    if key.is_some_and(|key| key.has_answered(&nonce, page.head.as_bytes(), &page.answer)) {
        Ok(page)
    } else {
        Err("who answers there has not got the log's key".into())
    }
}
