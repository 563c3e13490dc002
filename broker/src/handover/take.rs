//! Getting the cluster's keys for this manager, from whichever broker gives them.
//!
//! Must not keep a key that does not belong to the cluster whose pin this machine was told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use protocol::{BrokerAddress, ClusterId, HandoverReply, NodeId, Pin};

use super::ask::{Asker, ONE, Trouble, ask};
use crate::audit::{self, Event, Record};
use crate::exit::{Code, Failure};
use crate::peers::{Peers, each_of};
use crate::state::{Cluster, Waiting};
use crate::swarm::Engine;

/// How long to wait before all brokers are asked again.
const PAUSE: Duration = Duration::from_secs(1);

/// Which cluster, and who may give its keys.
#[derive(Clone, Debug)]
pub(crate) struct Giver {
    /// The cluster.
    pub(crate) cluster: ClusterId,
    /// Its root.
    pub(crate) pin: Pin,
    /// The lowest generation of issuing CA that is believed.
    pub(crate) generation: u32,
    /// Where its brokers are.
    pub(crate) brokers: Vec<BrokerAddress>,
}

/// Who asks.
pub(crate) struct Taker<'a> {
    /// The state directory, which has no cluster in it yet.
    pub(crate) state: &'a std::path::Path,
    /// Where the joiner that brought this machine in keeps its key.
    pub(crate) joiner: &'a std::path::Path,
    /// The local engine, a manager.
    pub(crate) engine: &'a Engine,
    /// The local node.
    pub(crate) node: &'a NodeId,
    /// Where the new broker will be reached.
    pub(crate) addresses: Vec<BrokerAddress>,
}

/// Asks until a broker gives the keys, a broker refuses, or time has run out.
pub(crate) async fn take(taker: Taker<'_>, giver: Giver, until: Instant) -> Result<(), Failure> {
    let waiting = Waiting::at(taker.state)?;
    let asker = Asker {
        joiner: taker.joiner,
        node: taker.node,
        cluster: &giver.cluster,
        broker: &waiting.broker,
        grant_key: &waiting.grant_key,
        addresses: &taker.addresses,
    };
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let peers = Peers::of(giver.cluster.clone(), giver.pin.clone(), giver.generation, provider);
    let mut told = String::new();
    loop {
        let mut last = "no address of a broker is known".to_owned();
        // Anew in each round: the key that confirms this node may have done so only now.
        let body = asker.request(None)?;
        for named in &giver.brokers {
            for address in &each_of(named).await {
                match tokio::time::timeout(ONE, ask(&peers, taker.engine, address, body.clone())).await {
                    Ok(Ok(given)) => return keep(&taker, &giver, &waiting, &given, address).await,
                    Ok(Err(Trouble::Refused(request))) => return Err(refused(address, &request)),
                    Ok(Err(Trouble::Passing(why))) => last = format!("{address}: {why}"),
                    Err(_) => last = format!("{address}: no answer within {} s", ONE.as_secs()),
                }
                if told != last {
                    tracing::info!(last, "waiting for a broker that hands the cluster's keys over");
                    told.clone_from(&last);
                }
            }
        }
        if Instant::now() >= until {
            let what =
                format!("no broker handed the cluster's keys over in time ({last}). Is one serving? Run this again");
            return Err(Failure::new(Code::TryAgain, what));
        }
        tokio::time::sleep(PAUSE).await;
    }
}

fn refused(address: &BrokerAddress, request: &str) -> Failure {
    let what = format!(
        "the broker at {address} refused to hand the cluster's keys over (request {request}): the audit log there says why. \
         They go to a manager that joined by a manager invite, was promoted ('broker promote NODE') or adopted ('broker adopt NODE --reason …')"
    );
    Failure::new(Code::NotAllowed, what)
}

async fn keep(
    taker: &Taker<'_>,
    giver: &Giver,
    waiting: &Waiting,
    given: &HandoverReply,
    from: &BrokerAddress,
) -> Result<(), Failure> {
    waiting.take(given, &giver.pin, giver.generation, Vec::new())?;
    let cluster = Cluster::open(taker.state)?;
    let record = Record {
        node: Some(taker.node.clone()),
        detail: Some(format!("from the broker at {from}")),
        ..Record::new(Event::KeysTaken)
    };
    audit::record_one(&cluster.folder().path(audit::FILE), cluster.broker(), record).await?;
    tracing::info!(%from, broker = waiting.broker, "has the cluster's keys");
    Ok(())
}
