//! Promise 4: no secret leaves before its record is durable and its claim committed.

use std::io::Write as _;
use std::time::Duration;

use lab::cluster::{Broker, Cluster, Machine, Told, on};
use lab::{Failed, Pool, until};
use protocol::ProblemKind;

pub(crate) fn a_full_disk_under_the_log_lets_no_secret_out(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let disk = manager.small_disk(256 * 1024)?;
    let mut broker = Broker::init_in(manager, disk.join("state"))?;
    broker.serve_with(&[])?;
    let invite = broker.invite(&["--uses", "2"])?;
    let address = broker.address();
    let (machine, grant) = on(manager, || async {
        let mut machine = Machine::new(&invite, address);
        machine.identity().await.expect("an identity");
        let grant = machine.grant().await.expect("a grant").grant;
        (machine, grant)
    })?;

    let ballast = disk.join("ballast");
    let mut file = std::fs::File::create(&ballast)?;
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    // What is left of the log's last page holds a few records still: no more than these are answered.
    let answered = on(manager, || async {
        let mut answered = 0;
        for _ in 0..40 {
            match machine.redeem(&grant).await {
                Ok(_) => answered += 1,
                Err(told) => assert_eq!(told, Told::Problem(ProblemKind::Unavailable)),
            }
        }
        assert!(machine.redeem(&grant).await.is_err(), "the disk is full, and a secret left all the same");
        assert_eq!(Machine::new(&invite, address).identity().await, Err(Told::Problem(ProblemKind::Unavailable)));
        answered
    })?;
    let recorded = broker.count("grant.redeemed", None)? + broker.count("grant.replayed", None)?;
    assert_eq!(recorded, answered, "each secret that left has its record");
    assert_eq!(broker.json(&["status", "--json"])?["ready"], false);

    // Free again, it goes on by itself, and the log is whole.
    std::fs::remove_file(&ballast)?;
    let token = until(Duration::from_secs(10), "the broker to admit again", || {
        on(manager, || async { machine.redeem(&grant).await.ok() }).ok().flatten()
    })?;
    assert_eq!(token.token.expose(), manager.join_token(lab::Role::Worker)?);
    let numbers: Vec<_> = broker.records()?.iter().map(|record| record["number"].as_u64()).collect();
    assert!(numbers.iter().enumerate().all(|(at, number)| *number == u64::try_from(at).ok()), "{numbers:?}");
    Ok(())
}
