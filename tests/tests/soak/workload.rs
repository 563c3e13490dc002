//! Promise 8, with something to lose: what runs on machines that joined through brokers outlives the leader and the
//! quorum, and brokers say what is.

use std::time::Duration;

use lab::cluster::{Broker, Joiner, UNAVAILABLE, admitted, join_at_once};
use lab::{Failed, Pool, Workload, until};

use crate::claims::three;

/// An engine goes on answering for a while, and an election takes its time.
const NOTICED: Duration = Duration::from_mins(3);

pub(crate) fn a_workload_outlives_the_leader_and_the_loss_of_quorum(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(6)?;
    let (nodes, outside) = hosts.split_at(5);
    let brokers = three(&nodes[..3])?;
    let (leader, second) = (&nodes[0], &nodes[1]);
    let invite = brokers[2].invite(&["--uses", "3"])?;
    let came = join_at_once(&[Joiner::new(&nodes[3], &invite), Joiner::new(&nodes[4], &invite)])?;
    assert!(came.iter().all(|run| run.code == 0), "{came:?}");
    let work = Workload::put_up(nodes, &outside[0])?;
    work.scale(leader, 12)?;
    work.is_done(leader, 12, &[])?;

    leader.lose()?;
    work.is_done(second, 12, &[leader])?;

    let (last, lost) = (&brokers[1], &brokers[2]);
    let mut pages = work.pages(second)?;
    lost.host().lose()?;
    let mut told = String::new();
    let said = until(NOTICED, "the broker to say that there is no quorum", || {
        told = last.ok(&["status"]).ok()?;
        told.contains("no: the swarm has no quorum").then_some(())
    });
    assert!(said.is_ok(), "{told}");
    assert_eq!(admitted(&outside[0], last, &invite)?, Err(UNAVAILABLE));
    let refused = last.run(&["invite", "create"])?;
    assert!(refused.code == 75 && refused.stderr.contains("no quorum"), "{refused:?}");
    assert_eq!(last.count("refused", None)?, 0, "what cannot be known is never a refusal");
    // Nobody governs. What runs goes on.
    pages.retain(|node| node != lost.host().name());
    for node in pages {
        assert!(work.page(&node).is_some(), "{node} shows no page");
    }

    lost.host().heal()?;
    lost.host().start_engine()?;
    until(NOTICED, "quorum to be back", || (last.json(&["status", "--json"]).ok()?["ready"] == true).then_some(()))?;
    // The leader of then is still listed as a manager: no machine may be sent there.
    Joiner::new(&outside[0], &invite).joins()?;
    explained(last, outside[0].node_id()?.trim())?;
    Ok(work.is_done(second, 12, &[leader])?)
}

fn explained(broker: &Broker<'_>, node: &str) -> Result<(), Failed> {
    let report = broker.json(&["nodes", "--json"])?;
    let listed = report["nodes"].as_array().ok_or("nodes")?;
    assert!(listed.iter().any(|listed| listed["id"] == node && listed["explained"] == true), "{report}");
    Ok(())
}
