//! Managers that scaling groups replace: the dead go before the next one comes, so that the quorum is never lost.

use lab::cluster::{Joiner, UNAVAILABLE, admitted};
use lab::{Failed, Host, LONG, Pool, Role, until};

use crate::managers::{follow, found};

/// The managers that the leader reaches, and how many there are.
fn managers(host: &Host) -> Result<(usize, usize), Failed> {
    let told = host.docker(&["node", "ls", "--filter", "role=manager", "--format", "{{.ManagerStatus}}"])?;
    let reached = told.lines().filter(|status| ["Leader", "Reachable"].contains(status)).count();
    Ok((reached, told.lines().count()))
}

pub(crate) fn an_ephemeral_manager_that_is_gone_goes_before_another_comes(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(7)?;
    let first = found(&hosts[0])?;
    hosts[0].docker(&["swarm", "update", "--dispatcher-heartbeat", "1s"])?;
    let refused = first.run(&["invite", "create", "--role", "manager", "--ephemeral", "--gone-after", "19s"])?;
    assert_eq!((refused.code, refused.stderr.contains("at least 20s")), (64, true), "{}", refused.stderr);
    let terms = ["--role", "manager", "--uses", "6", "--ephemeral", "--gone-after", "20s"];
    let invite = first.invite(&terms)?;
    let worker = first.invite(&["--uses", "1"])?;
    let mut brokers = vec![follow(&hosts[1], &invite)?, follow(&hosts[2], &invite)?];
    // One after the other, each with another name and address: as often as it takes to lose a quorum of those that were there.
    for (number, host) in hosts[3..6].iter().enumerate() {
        let gone = brokers.remove(0);
        let id = gone.host().node_id()?;
        gone.host().kill_engine()?;
        drop(gone);
        let unreached = || (managers(&hosts[0]).ok()? == (2, 3)).then_some(());
        until(LONG, "the leader to miss it", unreached)?;
        // Nobody takes its place at once: it may come back.
        if number == 0 {
            assert_eq!(admitted(host, &first, &invite)?, Err(UNAVAILABLE));
            assert_eq!(first.count("node.role-changing", None)?, 0);
        }
        brokers.push(follow(host, &invite)?);
        assert_eq!(managers(&hosts[0])?, (3, 3), "three, and each of them is reached");
        assert!(lab::nodes(&hosts[0])?.iter().all(|node| node.id != id), "its row is gone");
    }
    let demoted: usize = [&first]
        .into_iter()
        .chain(&brokers)
        .map(|broker| broker.count("node.role-changed", None))
        .sum::<lab::Result<_>>()?;
    assert_eq!(demoted, 3, "by one broker each");
    // A worker is not kept waiting for any of that, and finds a manager by the invite of the first day.
    Joiner::new(&hosts[6], &worker).joins()?;
    assert!(lab::nodes(&hosts[0])?.iter().filter(|node| node.role == Role::Manager).all(|node| node.state == "ready"));
    Ok(())
}
