//! Promise 4: no secret leaves before its record is durable and its claim committed.

use std::io::Write as _;
use std::process::Command;

use lab::cluster::{Broker, Cluster, Machine, REFUSED, Told, UNAVAILABLE, invite, node_key, on};
use lab::{Failed, LONG, Pool, Process, until};
use protocol::ProblemKind;

pub(crate) fn a_full_disk_under_the_log_lets_no_secret_out(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let disk = manager.small_disk(256 * 1024)?;
    let mut broker = Broker::init_in(manager, disk.join("state"))?;
    let told = manager.folder().join("told");
    broker.serve_with(&["--on-alarm", &format!("cat >> {}", told.display())])?;
    let invite = broker.invite(&["--uses", "2"])?;
    let address = broker.address();
    let (machine, grant) = on(manager, || Machine::with_grant(&invite, address))?;

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
        assert_eq!(Machine::new(&invite, address).identity().await, Err(UNAVAILABLE));
        answered
    })?;
    let recorded = broker.count("grant.redeemed", None)? + broker.count("grant.replayed", None)?;
    assert_eq!(recorded, answered, "each secret that left has its record");
    assert_eq!(broker.json(&["status", "--json"])?["ready"], false);

    // Free again, it goes on by itself, and the log is whole.
    std::fs::remove_file(&ballast)?;
    let token = until(LONG, "the broker to admit again", || {
        on(manager, || async { machine.redeem(&grant).await.ok() }).ok().flatten()
    })?;
    assert_eq!(token.token.expose(), manager.join_token(lab::Role::Worker)?);
    let numbers: Vec<_> = broker.records()?.iter().map(|record| record["number"].as_u64()).collect();
    assert!(numbers.iter().enumerate().all(|(at, number)| *number == u64::try_from(at).ok()), "{numbers:?}");

    // Whoever is on call was told, once each time it began.
    let begun = broker.count("log.unwritable", None)?;
    assert!(begun > 0);
    broker.stop()?;
    assert_eq!(std::fs::read_to_string(&told)?.lines().filter(|line| line.contains("log.unwritable")).count(), begun);
    Ok(())
}

pub(crate) fn a_disk_that_fails_under_the_log_lets_no_secret_out(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start_with(manager, &["--rotate-worker", "manual"])?;
    let pid = broker.process()?.pid().to_string();
    let invite = broker.invite(&["--uses", "2"])?;
    let address = broker.address();
    let (machine, grant) = on(manager, || Machine::with_grant(&invite, address))?;
    let redeem = || async { machine.redeem(&grant).await.map(drop) };
    let ready = || broker.json(&["status", "--json"]).ok()?["ready"].as_bool();
    // A sector that is gone; a file system that the kernel made read-only after such a thing.
    for (times, (call, error)) in (1..).zip([("fdatasync", "EIO"), ("write", "EROFS")]) {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-P"]).arg(broker.log()).args(["-e", &format!("inject={call}:error={error}")]);
        strace.args(["-o", "/dev/null", "-p", &pid]);
        let mut strace: Process = manager.spawn("strace", strace)?;
        until(LONG, "strace to follow each thread", || strace.stderr().contains("attached").then_some(()))?;
        on(manager, || async {
            assert_eq!(redeem().await, Err(UNAVAILABLE), "{error}, and a secret left all the same");
            assert_eq!(Machine::new(&invite, address).identity().await, Err(UNAVAILABLE));
        })?;
        assert_eq!(ready(), Some(false), "{error}");

        // The disk is whole again: so is the log, and the broker goes on by itself.
        strace.interrupt()?;
        strace.wait(LONG)?;
        until(LONG, "the broker to admit again", || on(manager, redeem).ok()?.ok())?;
        assert_eq!(broker.count("grant.redeemed", None)? + broker.count("grant.replayed", None)?, times, "{error}");
        until(LONG, "the broker to be ready", || ready().filter(|ready| *ready))?;
        broker.ok(&["audit", "verify"])?;
    }
    Ok(())
}

/// Asks until it was told twice in a row that the broker is unavailable, and counts the answers.
async fn answers<F: Future<Output = Result<(), Told>>>(answer: Result<(), Told>, ask: impl Fn() -> F) -> usize {
    let (mut answers, mut failures) = (0, 0);
    while failures < 2 && answers < 40 {
        let told = ask().await;
        if told == answer {
            (answers, failures) = (answers + 1, 0);
        } else {
            assert_eq!(told, Err(UNAVAILABLE));
            failures += 1;
        }
    }
    answers
}

pub(crate) fn a_log_that_fills_up_at_any_record_has_every_answer(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let disk = manager.small_disk(512 * 1024)?;
    let mut broker = Broker::init_in(manager, disk.join("state"))?;
    broker.serve_with(&[])?;
    let invite = broker.invite(&["--uses", "2"])?;
    let address = broker.address();
    let (machine, grant, thief) = on(manager, || async {
        let (mut machine, mut thief) = (Machine::new(&invite, address), Machine::new(&invite, address));
        machine.identity().await.expect("an identity");
        thief.identity().await.expect("an identity");
        let grant = machine.grant().await.expect("a grant").grant;
        (machine, grant, thief)
    })?;
    let redeem = || async { machine.redeem(&grant).await.map(drop) };
    let issue = || async { thief.grant().await.map(drop) };
    let steal = || async { thief.redeem(&grant).await.map(drop) };

    let ballast = disk.join("ballast");
    let (mut tokens, mut grants, mut refusals) = (0, 1, 0);
    // A redemption is two records: in each round the log ends a record later, so that the disk is full between them, too.
    for round in 0..8 {
        until(LONG, "the broker to admit", || on(manager, redeem).ok()?.ok())?;
        tokens += 1;
        for _ in 0..round {
            on(manager, issue)?.expect("a grant");
            grants += 1;
        }
        let mut file = std::fs::File::create(&ballast)?;
        while file.write_all(&[0; 512]).is_ok() {}
        drop(file);
        on(manager, || async {
            tokens += answers(Ok(()), redeem).await;
            grants += answers(Ok(()), issue).await;
            refusals += answers(Err(REFUSED), steal).await;
        })?;
        std::fs::remove_file(&ballast)?;
    }

    let count = |event: &str| broker.count(event, None);
    assert_eq!(count("grant.redeemed")? + count("grant.replayed")?, tokens, "each token that left has its record");
    assert_eq!(count("grant.issued")?, grants, "and each grant");
    assert_eq!(count("refused")?, refusals, "and each refusal");
    let id = invite::id(&invite)?;
    let config = manager.json(&["config", "inspect", &format!("swarm-broker.invite.{id}")])?;
    let used = config[0]["Spec"]["Labels"][format!("swarm-broker.use.{}", machine.key().hash())].as_str();
    let used: serde_json::Value = serde_json::from_str(used.ok_or("the use is not in the ledger")?)?;
    let claims = used["redeemed"]["times"].as_u64().ok_or("nothing was redeemed")?;
    assert!(claims <= u64::try_from(count("grant.redeeming")?)?, "each claim was written down before it was made");
    Ok(())
}

pub(crate) fn a_full_disk_under_the_log_labels_no_node(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, worker) = (cluster.manager(), &cluster[1]);
    let disk = manager.small_disk(256 * 1024)?;
    let mut broker = Broker::init_in(manager, disk.join("state"))?;
    broker.serve_with(&[])?;
    let invite = broker.invite(&["--uses", "2", "--label", "zone=a"])?;
    let address = broker.address();
    let (machine, grant, other) = on(worker, || async {
        let (mut machine, mut other) = (Machine::new(&invite, address), Machine::new(&invite, address));
        let (grant, reply) = machine.admitted().await.expect("the token");
        worker.join(manager, reply.token.expose()).expect("joins");
        other.identity().await.expect("an identity");
        (machine, grant, other)
    })?;
    let node = worker.node_id()?.parse()?;
    let confirm = || {
        let key = node_key(worker)?;
        on(worker, || async { machine.confirm(key, &machine.statement(&grant.id, &node)).await })
    };

    let ballast = disk.join("ballast");
    let mut file = std::fs::File::create(&ballast)?;
    while file.write_all(&[0; 512]).is_ok() {}
    drop(file);
    on(manager, || answers(Ok(()), || async { other.grant().await.map(drop) }))?;
    assert_eq!(confirm()?.err(), Some(UNAVAILABLE));
    assert!(lab::nodes(manager)?.iter().all(|node| !node.labels.contains_key("zone")), "labelled without a record");

    std::fs::remove_file(&ballast)?;
    let reply = until(LONG, "the confirm", || confirm().ok()?.ok())?;
    assert!(reply.changed);
    assert_eq!(broker.count("node.labelled", None)?, 1);
    assert_eq!(
        broker.count("node.joined", None)?,
        1,
        "the join has its record, though its first try could not be written"
    );
    Ok(())
}
