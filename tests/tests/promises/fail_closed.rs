//! Promise 5: what is not known is unavailable, and a ledger that went back admits nobody.

use std::time::{Duration, Instant};

use lab::cluster::{Broker, Cluster, Machine, Told, on};
use lab::{Failed, Pool, until};
use protocol::{InviteLine, ProblemKind};

const UNAVAILABLE: Told = Told::Problem(ProblemKind::Unavailable);

pub(crate) fn a_manager_cut_off_from_quorum_hands_out_nothing(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 3, 1)?;
    let (leader, outside) = (cluster.manager(), &cluster[3]);
    let broker = Broker::start(leader)?;
    let invite = broker.invite(&["--uses", "3"])?;
    let address = broker.address();
    let (booting, grant) = on(outside, || async {
        let mut machine = Machine::new(&invite, address);
        machine.identity().await.expect("an identity");
        let grant = machine.grant().await.expect("a grant").grant;
        (machine, grant)
    })?;

    leader.cut_from(&cluster[1])?;
    leader.cut_from(&cluster[2])?;
    let cut = Instant::now();
    let asked = on(outside, || async {
        let mut asked = 0;
        // The engine goes on answering reads for about 16 s: the whole time is covered, from the first moment.
        while cut.elapsed() < Duration::from_secs(20) {
            assert_eq!(booting.redeem(&grant).await.err(), Some(UNAVAILABLE), "{:?} after the cut", cut.elapsed());
            assert_eq!(Machine::new(&invite, address).identity().await, Err(UNAVAILABLE), "{:?}", cut.elapsed());
            asked += 1;
        }
        asked
    })?;
    assert!(asked > 0);
    assert_eq!(broker.count("grant.redeemed", None)?, 0);
    assert_eq!(broker.count("refused", None)?, 0, "an unknown outcome is never a refusal");

    leader.heal()?;
    until(Duration::from_mins(1), "the healed manager to hand out the token", || {
        on(outside, || async { booting.redeem(&grant).await }).ok()?.map_or_else(
            // The grant was good for a minute: the same key asks for another.
            |_| on(outside, || async { booting.redeem(&booting.grant().await.ok()?.grant).await.ok() }).ok()?,
            Some,
        )
    })?;
    Ok(())
}

pub(crate) fn deleted_configs_admit_nobody(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "5"])?;
    let address = broker.address();
    on(manager, || async { Machine::new(&invite, address).identity().await.expect("an identity") })?;

    // A clean-up script, as one finds them.
    let ids = manager.docker(&["config", "ls", "-q"])?;
    for id in ids.split_whitespace() {
        manager.docker(&["config", "rm", id])?;
    }
    let refused = || on(manager, || async { Machine::new(&invite, address).identity().await });
    assert_eq!(refused()?, Err(UNAVAILABLE));
    until(Duration::from_secs(20), "the alarm", || (broker.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    assert_eq!(broker.json(&["status", "--json"])?["ready"], false);

    // Nor after a restart: a broker never makes its ledger a second time.
    broker.stop()?;
    broker.serve()?;
    assert_eq!(refused()?, Err(UNAVAILABLE));
    assert_eq!(broker.count("ledger.made", None)?, 1);
    Ok(())
}

pub(crate) fn a_deleted_invite_gives_no_use_back(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "1"])?;
    let address = broker.address();
    on(manager, || async { Machine::new(&invite, address).identity().await.expect("an identity") })?;
    broker.stop()?;
    // The broker has forgotten all it does not keep on disk, and the use is gone from raft.
    let id = InviteLine::parse(&invite)?.unverified().jti.to_string();
    manager.docker(&["config", "rm", &format!("swarm-broker.invite.{id}")])?;
    broker.serve()?;
    let told = on(manager, || async { Machine::new(&invite, address).identity().await })?;
    assert_eq!(told, Err(UNAVAILABLE), "the use was given back");
    until(Duration::from_secs(20), "the alarm", || (broker.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    Ok(())
}
