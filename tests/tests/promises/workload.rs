//! Promise 8, with something to lose: what runs on machines that joined through brokers outlives a drain and a worker.
//! What the loss of a manager and of quorum do to it, takes longer: `./run soak`.

use lab::cluster::{Joiner, join_at_once};
use lab::{Failed, Pool, Workload};

use crate::managers::three;

pub(crate) fn a_workload_outlives_a_drain_and_the_loss_of_a_worker(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(6)?;
    let (nodes, outside) = hosts.split_at(5);
    let brokers = three(nodes)?;
    let (manager, drained, lost) = (&nodes[0], &nodes[3], &nodes[4]);
    let invite = brokers[0].invite(&["--uses", "2"])?;
    let came = join_at_once(&[Joiner::new(drained, &invite), Joiner::new(lost, &invite)])?;
    assert!(came.iter().all(|run| run.code == 0), "{came:?}");
    let report = brokers[1].json(&["nodes", "--json"])?;
    let listed = report["nodes"].as_array().ok_or("nodes")?;
    assert!(listed.len() == 5 && listed.iter().all(|node| node["explained"] == true), "{report}");

    let work = Workload::put_up(nodes, &outside[0])?;
    work.is_done(manager, 3, &[])?;
    work.scale(manager, 12)?;
    work.is_done(manager, 12, &[])?;

    let availability = |what| manager.docker(&["node", "update", "--availability", what, drained.node_id()?.trim()]);
    availability("drain")?;
    work.is_done(manager, 12, &[drained])?;
    availability("active")?;
    lost.lose()?;
    Ok(work.is_done(manager, 12, &[lost])?)
}
