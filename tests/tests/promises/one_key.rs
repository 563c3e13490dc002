//! Promise 2: a grant is redeemed by the key it is bound to, and by no other.

use lab::cluster::{ASK_AGAIN, Broker, Cluster, Joiner, Machine, REFUSED, node_key, on};
use lab::{Failed, Pool};
use protocol::RedeemReply;

pub(crate) fn a_grant_redeemed_64_times_at_once_is_one_claim_and_one_answer(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "1"])?;
    let address = broker.address();
    let tokens: Vec<String> = on(cluster.manager(), || async move {
        let mut machine = Machine::new(&invite, address);
        machine.identity().await.expect("an identity");
        let grant = machine.grant().await.expect("a grant").grant;
        let wire = machine.wire();
        let mut running = tokio::task::JoinSet::new();
        for _ in 0..64 {
            let (wire, body) = (wire.clone(), serde_json::json!({ "grant": grant }));
            running.spawn(async move { wire.post::<RedeemReply>(protocol::REDEEM, &body).await });
        }
        let replies = running.join_all().await;
        replies.into_iter().map(|reply| reply.expect("the token").token.expose().to_owned()).collect()
    })?;
    assert_eq!(tokens.len(), 64);
    assert!(tokens.iter().all(|token| *token == tokens[0]));
    assert_eq!(tokens[0], cluster.manager().join_token(lab::Role::Worker)?);
    assert_eq!(broker.count("grant.redeemed", None)?, 1, "one claim");
    assert_eq!(broker.count("grant.replayed", None)?, 63, "and 63 repetitions by the same key");
    Ok(())
}

pub(crate) fn another_key_is_refused_and_an_alarm(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "2"])?;
    let address = broker.address();
    on(cluster.manager(), || async {
        let (mut honest, mut thief) = (Machine::new(&invite, address), Machine::new(&invite, address));
        honest.identity().await.expect("an identity");
        thief.identity().await.expect("an identity");
        let grant = honest.grant().await.expect("a grant");
        assert_eq!(thief.redeem(&grant.grant).await.err(), Some(REFUSED));
        // The theft has spent nothing, and the honest machine goes on; after it, too, the thief gets nothing.
        assert!(honest.redeem(&grant.grant).await.is_ok());
        assert_eq!(thief.redeem(&grant.grant).await.err(), Some(REFUSED));
    })?;
    assert_eq!(broker.count("refused", Some("other-key"))?, 2);
    let alarms = broker.records()?.into_iter().filter(|record| record["outcome"] == "alarm").count();
    assert_eq!(alarms, 2);
    Ok(())
}

pub(crate) fn a_newer_certificate_of_the_same_key_asks_again_without_alarm(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "1"])?;
    let address = broker.address();
    on(cluster.manager(), || async {
        let mut before = Machine::new(&invite, address);
        before.identity().await.expect("an identity");
        let grant = before.grant().await.expect("a grant");
        let mut after = before.again();
        after.identity().await.expect("another certificate for the same key");
        assert_eq!(after.redeem(&grant.grant).await.err(), Some(ASK_AGAIN));
        let newer = after.grant().await.expect("another grant");
        assert_eq!(before.redeem(&grant.grant).await.err(), Some(ASK_AGAIN), "one open grant a key");
        assert!(after.redeem(&newer.grant).await.is_ok());
    })?;
    assert!(broker.records()?.iter().all(|record| record["outcome"] == "ok"));
    Ok(())
}

pub(crate) fn a_copied_grant_confirms_no_other_node(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 2)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "2", "--label", "zone=a"])?;
    let address = broker.address();
    let (honest, thief) = (&cluster[1], &cluster[2]);
    // The thief's machine is a node of the swarm: it joined with a token that it stole.
    thief.join(cluster.manager(), &cluster.manager().join_token(lab::Role::Worker)?)?;
    let thief_node = thief.node_id()?.parse().expect("a node id");
    let thief_key = || node_key(thief).expect("the thief's node key");

    let (mut machine, grant) = on(honest, || async {
        let mut machine = Machine::new(&invite, address);
        let (grant, reply) = machine.admitted().await.expect("the token");
        honest.join(cluster.manager(), reply.token.expose()).expect("joins");
        (machine, grant)
    })?;
    let honest_node = honest.node_id()?.parse().expect("a node id");
    on(thief, || async {
        let copied = machine.statement(&grant.id, &honest_node);
        assert_eq!(machine.confirm(thief_key(), &copied).await.err(), Some(REFUSED), "another node's statement");
        let mut renamed = copied.clone();
        renamed.node = thief_node;
        assert_eq!(machine.confirm(thief_key(), &renamed).await.err(), Some(REFUSED), "signed for another node");
        let own = Machine::new(&invite, address).statement(&grant.id, &renamed.node);
        assert_eq!(machine.confirm(thief_key(), &own).await.err(), Some(REFUSED), "signed by another key");
    })?;
    let unchanged = lab::nodes(cluster.manager())?;
    assert!(unchanged.iter().all(|node| !node.labels.contains_key("zone")), "{unchanged:?}");

    // The honest machine's confirm is not disturbed.
    machine = machine.again();
    let key = node_key(honest)?;
    let reply = on(honest, || async { machine.confirm(key, &machine.statement(&grant.id, &honest_node)).await })?;
    assert!(reply.expect("confirmed").changed);
    let labelled = lab::nodes(cluster.manager())?.into_iter().filter(|node| node.labels.contains_key("zone"));
    assert_eq!(labelled.map(|node| node.id).collect::<Vec<_>>(), [honest_node.to_string()]);
    Ok(())
}

pub(crate) fn a_repeated_confirm_changes_nothing(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, host) = (cluster.manager(), &cluster[1]);
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "1", "--label", "zone=a"])?;
    Joiner::new(host, &invite).joins()?;

    let node = host.node_id()?;
    manager.docker(&["node", "update", "--availability", "drain", "--label-rm", "zone", &node])?;
    let version = manager.json(&["node", "inspect", &node])?[0]["Version"]["Index"].clone();
    let again = Joiner::new(host, &invite);
    let state = again.state().join("boot.json");
    let text = std::fs::read_to_string(&state)?;
    assert!(text.contains("\"confirmed\""), "{text}");
    // As if it had been killed before it could note the confirm.
    let mut record: serde_json::Value = serde_json::from_str(&text)?;
    record["confirmed"] = serde_json::json!(false);
    std::fs::write(&state, record.to_string())?;
    again.joins()?;
    let after = manager.json(&["node", "inspect", &node])?;
    assert_eq!(after[0]["Version"]["Index"], version, "the node was not touched");
    assert_eq!(after[0]["Spec"]["Availability"], "drain");
    assert_eq!(broker.count("node.labelled", None)?, 1);
    Ok(())
}

pub(crate) fn a_confirm_is_for_a_new_node_of_the_granted_role(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, worker) = (cluster.manager(), &cluster[1]);
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2", "--label", "zone=a"])?;
    let address = broker.address();
    Joiner::new(worker, &invite).joins()?;
    let before = lab::nodes(manager)?;

    // A grant that was redeemed and whose own node never came.
    let (machine, grant) = on(worker, || async {
        let mut machine = Machine::new(&invite, address);
        let (grant, _) = machine.admitted().await.expect("the token");
        (machine, grant)
    })?;
    for host in [worker, manager] {
        let (key, node) = (node_key(host)?, host.node_id()?.parse()?);
        let told = on(host, || async { machine.confirm(key, &machine.statement(&grant.id, &node)).await })?;
        assert_eq!(told.err(), Some(REFUSED), "{} was confirmed", host.name());
    }
    assert_eq!(broker.count("refused", Some("other-node"))?, 1, "a node that another grant explains");
    assert_eq!(broker.count("refused", Some("wrong-role"))?, 1, "a manager with a worker's grant");
    assert_eq!(broker.count("node.joined", None)?, 1);
    assert_eq!(lab::nodes(manager)?, before);
    Ok(())
}
