//! Redemptions, beside what the engine's raft store takes of bare creates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use lab::cluster::{Answer, Broker, Cluster, Kept, Machine, Told, UNAVAILABLE};
use lab::{Host, Pool};
use protocol::{GRANTS, GrantReply, REDEEM, RedeemReply};
use serde_json::json;
use tokio::sync::{Barrier, Mutex};

use crate::Failure;
use crate::callers::{Done, again, all};
use crate::figures::Figures;

/// Machines that redeem at once: an invite's worth, and few enough that their grants are young.
const MACHINES: usize = 400;
const LASTING: Duration = Duration::from_secs(3);
const CALLERS: usize = 16;

pub(crate) fn measure(figures: &mut Figures, pool: &Pool) -> Result<(), Failure> {
    for (managers, name, at_once) in [
        (1, "redemptions_vs_raft_1", "redemptions_vs_raft_1_of_16"),
        (3, "redemptions_vs_raft", "redemptions_vs_raft_of_16"),
    ] {
        eprintln!("bench: redemptions with {managers} managers, beside raft");
        let cluster = Cluster::form(pool, managers, 0)?;
        let broker = Broker::start_with(cluster.manager(), &["--rotate-worker", "manual"])?;
        let (single, many) = (creates(cluster.manager(), 1)?, creates(cluster.manager(), CALLERS)?);
        let done = redemptions(&broker)?;
        let this = format!("redemptions of one invite, {MACHINES} machines at once, {managers} managers");
        figures.add_rates(name, (&this, done.rate()), ("creates in raft, one after the other", single.rate()));
        let that = format!("creates in raft, by {CALLERS} callers");
        figures.add_rates(at_once, (&this, done.rate()), (&that, many.rate()));
    }
    Ok(())
}

/// Bare creates on the engine's own socket.
fn creates(manager: &Host, callers: usize) -> Result<Done, Failure> {
    let socket = manager.socket();
    let number = Arc::new(AtomicUsize::new(0));
    let free: Arc<Mutex<Vec<Kept>>> = Arc::default();
    let once = move || {
        let (socket, free, number) = (socket.clone(), free.clone(), number.fetch_add(1, Ordering::Relaxed));
        async move {
            let kept = free.lock().await.pop();
            let mut kept = match kept {
                Some(kept) => kept,
                None => Kept::to_socket(&socket).await.map_err(|error| error.to_string())?,
            };
            let spec = json!({ "Name": format!("bench-{callers}-{number}"), "Data": "YmVuY2g=", "Labels": {} });
            let reply = kept.ask(hyper::Method::POST, "/configs/create", spec.to_string().into()).await?;
            if reply.status() != 201 {
                return Err(format!("the engine says {} {:?}", reply.status(), reply.body()));
            }
            free.lock().await.push(kept);
            Ok(())
        }
    };
    again(manager, callers, LASTING, once)
}

/// Machines that have a grant each, and redeem all at once, each on the connection on which it got the grant.
fn redemptions(broker: &Broker<'_>) -> Result<Done, Failure> {
    let (invite, address) = (broker.invite(&["--uses", &MACHINES.to_string()])?, broker.address());
    let together = Arc::new(Barrier::new(MACHINES));
    let callers = (0..MACHINES).map(|_| {
        let (mut machine, together) = (Machine::new(&invite, address), together.clone());
        move || async move {
            let identity = machine.identity().await;
            together.wait().await;
            let granted = match identity {
                Ok(()) => granted(&machine).await,
                Err(told) => Err(told),
            };
            // Who has no grant does not keep the others waiting.
            together.wait().await;
            let begun = Instant::now();
            let (mut kept, grant) = granted?;
            redeemed(&mut kept, &grant).await?;
            Ok::<_, Told>((begun, Instant::now()))
        }
    });
    let times = all(broker.host(), callers.collect())?;
    let times = times.into_iter().collect::<Answer<Vec<_>>>().map_err(|told| format!("no redemption: {told:?}"))?;
    let begun = times.iter().map(|(begun, _)| *begun).min().ok_or("no machine")?;
    let ended = times.iter().map(|(_, ended)| *ended).max().ok_or("no machine")?;
    Ok(Done { times: u32::try_from(times.len())?, took: ended - begun })
}

async fn granted(machine: &Machine) -> Answer<(Kept, String)> {
    let mut kept = machine.wire().keep().await.map_err(|error| Told::Broken(error.to_string()))?;
    let reply: GrantReply = kept.post(GRANTS, &json!({})).await?;
    Ok((kept, reply.grant))
}

/// Redeems; who is told to come back does so.
async fn redeemed(kept: &mut Kept, grant: &str) -> Answer<RedeemReply> {
    loop {
        match kept.post(REDEEM, &json!({ "grant": grant })).await {
            Err(UNAVAILABLE) => tokio::time::sleep(Duration::from_millis(50)).await,
            told => return told,
        }
    }
}
