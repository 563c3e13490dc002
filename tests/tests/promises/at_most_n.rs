//! Promise 1: an invite for N uses admits at most N keys, whatever runs at once.

use std::fs;
use std::time::Duration;

use lab::cluster::{Answer, Broker, Cluster, Machine, REFUSED, Told, UNAVAILABLE, join_at_once, on};
use lab::{Failed, Host, Pool};
use protocol::ProblemKind;
use serde_json::Value;

pub(crate) fn an_invite_for_three_admits_three_of_fifty_at_once(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 50)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "3", "--ttl", "10m", "--label", "zone=a"])?;

    let ended = join_at_once(&cluster.joiners(&invite))?;

    let joined = ended.iter().filter(|run| run.code == 0).count();
    let refused = ended.iter().filter(|run| run.code == 77).count();
    assert_eq!(
        (joined, refused),
        (3, 47),
        "{:#?}",
        ended.iter().map(|run| run.stderr.lines().last()).collect::<Vec<_>>()
    );
    let nodes = lab::nodes(cluster.manager())?;
    assert_eq!(nodes.len(), 4);
    let labelled = nodes.iter().filter(|node| node.labels.get("zone").is_some_and(|zone| zone == "a"));
    assert_eq!(labelled.filter(|node| node.availability == "active").count(), 3);
    let listed = broker.json(&["invite", "list", "--json"])?;
    assert_eq!(listed["invites"][0]["state"], "used-up");
    assert_eq!(listed["invites"][0]["joined"], 3);
    assert_eq!(broker.count("refused", Some("used-up"))?, 47);
    Ok(())
}

pub(crate) fn an_invite_for_ten_admits_ten_of_two_hundred_keys_at_once(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "10", "--ttl", "10m"])?;
    let address = broker.address();

    let outcomes = on(cluster.manager(), || async move {
        let machines = (0..200).map(|_| {
            let mut machine = Machine::new(&invite, address);
            async move {
                // As every joiner does: an answer that did not come is asked for again.
                for _ in 0..20 {
                    match machine.admitted().await {
                        Err(Told::Broken(_) | Told::Problem(ProblemKind::Unavailable)) => {}
                        answer => return answer.map(|_| ()),
                    }
                }
                Err(Told::Broken("no answer in twenty tries".into()))
            }
        });
        let mut running = tokio::task::JoinSet::new();
        machines.for_each(|machine| drop(running.spawn(machine)));
        running.join_all().await
    })?;

    let admitted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(REFUSED)).count();
    assert_eq!((admitted, refused), (10, 190), "{outcomes:?}");
    Ok(())
}

pub(crate) fn a_key_that_comes_back_uses_nothing_more(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "2", "--ttl", "10m"])?;
    let address = broker.address();
    on(cluster.manager(), || async {
        let mut first = Machine::new(&invite, address);
        for _ in 0..5 {
            assert_eq!(first.identity().await, Ok(()));
        }
        assert_eq!(Machine::new(&invite, address).identity().await, Ok(()));
        assert_eq!(Machine::new(&invite, address).identity().await, Err(REFUSED));
        assert_eq!(first.identity().await, Ok(()), "the first key keeps its use");
    })?;
    assert_eq!(broker.json(&["invite", "list", "--json"])?["invites"][0]["claimed"], 2);
    Ok(())
}

/// A second broker of the same cluster: the shared keys, and a name and a grant key of its own.
pub(crate) fn second<'h>(first: &Broker<'_>, host: &'h Host) -> Result<Broker<'h>, Failed> {
    let broker = Broker::init(host)?;
    let read = |broker: &Broker<'_>| -> Result<Value, Failed> {
        Ok(serde_json::from_str(&fs::read_to_string(broker.state().join("cluster.json"))?)?)
    };
    let (mut cluster, own) = (read(first)?, read(&broker)?);
    cluster["broker"] = own["broker"].clone();
    for name in ["root.crt", "root.key", "issuing.crt", "issuing.key", "invite.key"] {
        fs::copy(first.state().join(name), broker.state().join(name))?;
    }
    fs::write(broker.state().join("cluster.json"), cluster.to_string())?;
    Ok(broker)
}

/// Asks until the answer is final.
async fn asked(mut machine: Machine) -> Answer<()> {
    for _ in 0..50 {
        match machine.identity().await {
            Err(UNAVAILABLE) => tokio::time::sleep(Duration::from_millis(100)).await,
            told => return told,
        }
    }
    machine.identity().await
}

pub(crate) fn two_brokers_at_once_admit_sixty_of_a_hundred_keys(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 0)?;
    let first = Broker::start(cluster.manager())?;
    let mut second = second(&first, &cluster[1])?;
    second.serve()?;
    let invite = first.invite(&["--uses", "60", "--ttl", "10m"])?;
    let addresses = [first.address(), second.address()];

    // Ten rows of ten keys, each row at one broker, key after key: many small commits, each in the other broker's way.
    let outcomes = on(cluster.manager(), || async move {
        let mut running = tokio::task::JoinSet::new();
        for row in 0..10 {
            let machines: Vec<_> = (0..10).map(|_| Machine::new(&invite, addresses[row % 2])).collect();
            running.spawn(async move {
                let mut outcomes = Vec::new();
                for machine in machines {
                    outcomes.push(asked(machine).await);
                }
                outcomes
            });
        }
        running.join_all().await.concat()
    })?;

    let admitted = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let refused = outcomes.iter().filter(|outcome| **outcome == Err(REFUSED)).count();
    assert_eq!((admitted, refused), (60, 40), "{outcomes:?}");
    let mut issued = 0;
    for broker in [&first, &second] {
        assert_eq!(broker.json(&["invite", "list", "--json"])?["invites"][0]["claimed"], 60);
        assert_eq!(broker.count("ledger.lost", None)?, 0);
        let here = broker.count("identity.issued", None)?;
        assert!(here > 0, "both brokers were busy");
        issued += here;
    }
    assert_eq!(issued, 60);
    Ok(())
}
