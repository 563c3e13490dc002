//! Promises 1 and 2 at three brokers, many times.

use lab::cluster::{Broker, Machine, on};
use lab::{Failed, Host, Pool};
use protocol::RedeemReply;

const ROUNDS: usize = 1000;
const CLIENTS: usize = 64;

/// Three managers with a broker each.
pub(crate) fn three(hosts: &[Host]) -> Result<Vec<Broker<'_>>, Failed> {
    let mut first = Broker::init(&hosts[0])?;
    first.up_with(&["--form"])?;
    let mut brokers = vec![first];
    for host in &hosts[1..] {
        let mut broker = Broker::nowhere(host)?;
        let file = host.folder().join("manager.invite");
        lab::cluster::write_private(&file, &brokers[0].invite(&["--role", "manager"])?)?;
        broker.up_with(&["--invite-file", &file.display().to_string()])?;
        brokers.push(broker);
    }
    Ok(brokers)
}

pub(crate) fn a_grant_redeemed_64_times_at_three_brokers_is_one_claim_a_thousand_times(
    pool: &Pool,
) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let brokers = three(&hosts)?;
    let invite = brokers[0].invite(&["--uses", &ROUNDS.to_string()])?;
    let addresses: Vec<_> = brokers.iter().map(Broker::address).collect();
    on(&hosts[0], || async {
        for round in 0..ROUNDS {
            let mut machine = Machine::new(&invite, addresses[round % 3]);
            machine.identity().await.expect("an identity");
            let grant = machine.grant().await.expect("a grant").grant;
            let mut asking = tokio::task::JoinSet::new();
            for client in 0..CLIENTS {
                let (wire, body) = (machine.at(addresses[client % 3]).wire(), serde_json::json!({ "grant": grant }));
                asking.spawn(async move { wire.post::<RedeemReply>(protocol::REDEEM, &body).await });
            }
            for reply in asking.join_all().await {
                assert!(reply.is_ok(), "round {round}: {:?}", reply.err());
            }
        }
    })?;
    let redeemed: Vec<usize> =
        brokers.iter().map(|broker| broker.count("grant.redeemed", None)).collect::<lab::Result<_>>()?;
    // The two managers, too.
    assert_eq!(redeemed.iter().sum::<usize>(), ROUNDS + 2, "one claim a grant, over all brokers: {redeemed:?}");
    println!("claims: {ROUNDS} grants, each {CLIENTS} times at once at three brokers; claimed at {redeemed:?}");
    Ok(())
}

pub(crate) fn two_hundred_machines_at_three_brokers_are_ten(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let brokers = three(&hosts)?;
    let addresses: Vec<_> = brokers.iter().map(Broker::address).collect();
    for round in 0..20 {
        let invite = brokers[0].invite(&["--uses", "10"])?;
        let admitted = on(&hosts[0], || async {
            let mut asking = tokio::task::JoinSet::new();
            for number in 0..200 {
                let mut machine = Machine::new(&invite, addresses[number % 3]);
                asking.spawn(async move { machine.admitted().await.is_ok() });
            }
            asking.join_all().await.into_iter().filter(|admitted| *admitted).count()
        })?;
        assert_eq!(admitted, 10, "round {round}");
    }
    Ok(())
}
