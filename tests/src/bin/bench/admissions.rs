//! Whole admissions, beside bare mTLS handshakes of nginx: by the same callers, with the same certificates.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper::Method;
use lab::cluster::{Broker, Cluster, Machine, Wire, on};
use lab::{Pool, usage};

use crate::callers::{Done, again};
use crate::figures::Figures;
use crate::{Failure, nginx};

const CALLERS: usize = 32;
const LASTING: Duration = Duration::from_secs(6);
/// What an admission costs at least: one without a certificate for the identity, one with it for the grant and the token.
const HANDSHAKES: u32 = 2;
/// Machines of one invite.
const USES: usize = 250;
const INVITES: usize = 40;

pub(crate) fn measure(figures: &mut Figures, pool: &Pool) -> Result<(), Failure> {
    eprintln!("bench: admissions, beside handshakes of nginx");
    let cluster = Cluster::form(pool, 1, 0)?;
    let mut broker = Broker::start_with(cluster.manager(), &["--rotate-worker", "manual"])?;
    let (admissions, ours) = admissions(&mut broker)?;
    let (handshakes, theirs) = handshakes(&mut broker)?;

    let alone = handshakes.rate() / f64::from(HANDSHAKES);
    let that = format!("what nginx's handshakes alone would allow: {:.1} /s, two an admission", handshakes.rate());
    let this = format!("admissions, by {CALLERS} callers: identity, grant, token, over two connections");
    figures.add_rates("admissions_vs_handshakes", (&this, admissions.rate()), (&that, alone));
    let that = format!("processor time of nginx for {HANDSHAKES} handshakes");
    let this = "processor time of the broker for an admission, its engine's not counted";
    figures.add("admission_cpu_vs_handshakes", (this, ours), (&that, theirs * HANDSHAKES));
    Ok(())
}

/// Machines that come one after the other, and the broker's time for each.
fn admissions(broker: &mut Broker<'_>) -> Result<(Done, Duration), Failure> {
    let uses = USES.to_string();
    let invites = (0..INVITES).map(|_| broker.invite(&["--uses", &uses])).collect::<lab::Result<Vec<_>>>()?;
    let (invites, came, address) = (Arc::new(invites), Arc::new(AtomicUsize::new(0)), broker.address());
    let once = move || {
        let (invites, number) = (invites.clone(), came.fetch_add(1, Ordering::Relaxed));
        async move {
            let invite = invites.get(number / USES).ok_or("more machines came than there are invites for")?;
            let told = Machine::new(invite, address).admitted_over_two().await;
            told.map(drop).map_err(|told| format!("{told:?}"))
        }
    };
    let pid = broker.process()?.pid();
    let before = usage::family(pid);
    let done = again(broker.host(), CALLERS, LASTING, once)?;
    let each = done.each(usage::family(pid).saturating_sub(before));
    Ok((done, each))
}

/// The same machine again and again, which is a handshake each time: there are no sessions to go on with.
fn handshakes(broker: &mut Broker<'_>) -> Result<(Done, Duration), Failure> {
    let nginx = nginx::start(broker)?;
    let (invite, address) = (broker.invite(&["--uses", "1"])?, broker.address());
    let wire = on(broker.host(), || async move {
        let mut machine = Machine::new(&invite, address);
        machine.identity().await.map(|()| machine.at(nginx.address).wire())
    })?;
    let wire: Wire = wire.map_err(|told| format!("no identity: {told:?}"))?;
    let once = move || {
        let wire = wire.clone();
        async move {
            let (status, _) = wire.send(Method::GET, "/", hyper::body::Bytes::new()).await?;
            if status == 200 { Ok(()) } else { Err(format!("nginx says {status}")) }
        }
    };
    let pid = nginx.process.pid();
    let before = usage::family(pid);
    let done = again(broker.host(), CALLERS, LASTING, once)?;
    let each = done.each(usage::family(pid).saturating_sub(before));
    Ok((done, each))
}
