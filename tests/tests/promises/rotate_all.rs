//! `broker rotate all`: one order after which nothing that a former manager knew is worth anything.

use std::fs;

use lab::cluster::{
    ASK_AGAIN, Broker, Cluster, Gated, Held, Joiner, Machine, REFUSED, Told, admitted, assert_admits, invite, on,
    write_private,
};
use lab::{Failed, Host, LONG, Pool, Role, until};
use serde_json::{Value, json};

use crate::managers::{follow, three};
use crate::thief::Thief;

/// All that it replaces, in its order.
pub(crate) const ALL: [&str; 6] = ["ca", "invite-key", "signing-key", "server-cert", "worker", "manager"];

/// What an answer says that was replaced.
pub(crate) fn replaced(told: &Value) -> Vec<&str> {
    let list = told["rotated"].as_array().into_iter().flatten();
    list.filter(|one| one["generation"].is_u64() && one["rotated_at"].is_string())
        .filter_map(|one| one["what"].as_str())
        .collect()
}

/// Takes a manager out, as an operator does.
fn removed(host: &Host, by: &Host) -> Result<(), Failed> {
    let node = host.node_id()?;
    by.docker(&["node", "demote", node.trim()])?;
    host.leave()?;
    until(LONG, "the node to be removed", || by.docker(&["node", "rm", "--force", node.trim()]).ok())?;
    Ok(())
}

/// Waits until a broker is ready, and behind with nothing.
fn current(broker: &Broker<'_>) -> Result<(), Failed> {
    until(LONG, "the broker to follow", || {
        let status = broker.json(&["status", "--json"]).ok()?;
        (status["ready"] == true && status["behind"] == json!([]) && status["generation"] == 2).then_some(())
    })?;
    Ok(())
}

pub(crate) fn nothing_that_a_removed_manager_knew_is_worth_anything(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(4)?;
    let mut brokers = three(&hosts)?;
    let manager = &hosts[0];
    let invite = brokers[0].invite(&["--uses", "50"])?;
    let third = fs::read_to_string(brokers[2].state().join("cluster.json"))?;
    let third: Value = serde_json::from_str(&third)?;
    let thief = Thief::of(brokers[2].state())?;
    let token = hosts[0].join_token(Role::Worker)?;

    // What it is worth before.
    let (seen, unseen) = (thief.invite(&invite), thief.invite(&invite));
    assert_admits(manager, &brokers[0], &seen)?;
    let (machine, grant) = on(manager, || Machine::with_grant(&invite, brokers[0].address()))?;
    on(manager, || async { machine.redeem(&thief.grant(&grant)).await })?.map_err(|told| format!("{told:?}"))?;
    let forged = thief.machine(&invite, brokers[0].address())?;
    assert_eq!(on(manager, || async { forged.grant().await })?.err(), Some(REFUSED), "it is believed, and has no use");

    brokers[2].kill()?;
    removed(&hosts[2], manager)?;
    // The broker's own key is worth nothing from that moment on, without any order.
    let (machine, grant) = on(manager, || Machine::with_grant(&invite, brokers[0].address()))?;
    let told = on(manager, || async { machine.redeem(&thief.grant(&grant)).await })?.err();
    assert_eq!(told, Some(ASK_AGAIN));

    // The plan names what becomes void, and changes nothing.
    let plan = brokers[0].run(&["rotate", "all", "--now", "--plan"])?;
    for word in
        [&invite::id(&invite)?, &invite::id(&seen)?, third["broker"].as_str().ok_or("no id")?, "nothing was changed"]
    {
        assert!(plan.stdout.contains(word), "{word}: {}", plan.stdout);
    }
    let told = brokers[0].json(&["rotate", "all", "--now", "--json", "--reason", "it was removed"])?;
    assert_eq!(replaced(&told), ALL, "{told}");
    assert_eq!((&told["not_done"], &told["adopt"]), (&json!([]), &json!([])), "{told}");
    assert_eq!(told["removed_brokers"], json!([third["broker"]]), "{told}");
    for voided in [invite::id(&invite)?, invite::id(&seen)?] {
        let listed = told["invites"].as_array().into_iter().flatten().find(|one| one["id"] == voided.as_str());
        assert_eq!(listed.map(|listed| &listed["revoked"]), Some(&json!(true)), "{told}");
    }

    current(&brokers[1])?;
    for broker in &brokers[..2] {
        for invite in [&invite, &seen, &unseen] {
            assert_eq!(admitted(manager, broker, invite)?, Err(REFUSED));
        }
        let new = broker.invite(&["--uses", "9"])?;
        // Of the new CA only: the TLS of a broker does not take what the stolen one issued.
        let forged = thief.machine(&new, broker.address())?;
        assert!(matches!(on(manager, || async { forged.grant().await })?, Err(Told::Broken(_))));
        let (machine, grant) = on(manager, || Machine::with_grant(&new, broker.address()))?;
        assert_eq!(on(manager, || async { machine.redeem(&thief.grant(&grant)).await })?.err(), Some(REFUSED));
        on(manager, || machine.redeem(&grant))?.map_err(|told| format!("{told:?}"))?;
        assert!(admitted(manager, broker, &thief.invite(&new))?.is_err());
    }
    assert!(hosts[3].join(manager, &token).is_err(), "the token of before");
    hosts[3].leave().ok();
    Joiner::new(&hosts[3], &brokers[1].invite(&[])?).joins()?;
    let listed = brokers[0].json(&["status", "--json"])?;
    assert_eq!(listed["brokers"].as_array().map(Vec::len), Some(2), "{listed}");
    Ok(())
}

pub(crate) fn no_broker_is_removed_without_a_record(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let manager = cluster.manager();
    let mut broker = Gated::start(manager)?;
    let mut gone = follow(&cluster[1], &broker.invite(&["--role", "manager"])?)?;
    let id: Value = serde_json::from_str(&fs::read_to_string(gone.state().join("cluster.json"))?)?;
    let id = id["broker"].as_str().ok_or("no id")?;
    gone.kill()?;
    removed(&cluster[1], manager)?;

    let entry = format!("swarm-broker.broker.{id}");
    let step = Held { request: "DELETE ".into(), number: 1, done: true };
    broker.cut_off(&["rotate", "all"], &step, || manager.config(&entry).is_err())?;
    let records = broker.records()?;
    let recorded = records.iter().filter(|record| record["event"] == "broker.removed" && record["peer"] == id);
    assert_eq!(recorded.count(), 1, "{records:?}");
    Ok(())
}

pub(crate) fn what_cannot_be_replaced_here_is_named_and_the_rest_is_done(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let broker = Broker::start(manager)?;
    let old = broker.invite(&["--uses", "9"])?;
    let vault = manager.folder().join("vault");
    fs::create_dir(&vault)?;
    fs::set_permissions(&vault, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    fs::copy(broker.state().join("root.crt"), vault.join("root.crt"))?;
    fs::rename(broker.state().join("root.key"), vault.join("root.key"))?;

    // A root that does not read is no root that is elsewhere: to sign a request is no way out of that.
    write_private(&broker.state().join("root.key"), "no key")?;
    let ended = broker.run(&["rotate", "all", "--json"])?;
    let told: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!((replaced(&told), ended.code), (ALL[1..].to_vec(), 75), "{told}");
    assert_eq!(told["not_done"][0]["commands"], json!(["broker rotate ca"]), "{told}");
    let why = told["not_done"][0]["why"].as_str().unwrap_or_default();
    assert!(why.contains(&broker.state().display().to_string()) && why.contains("--root"), "{told}");
    fs::remove_file(broker.state().join("root.key"))?;

    let ended = broker.run(&["rotate", "all", "--now", "--json"])?;
    assert_eq!(ended.code, 75, "{}", ended.stderr);
    assert!(ended.stderr.contains("not complete: ca"), "{}", ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(replaced(&told), ALL[1..], "{told}");
    assert_eq!(told["not_done"][0]["what"], "ca", "{told}");
    assert_eq!(admitted(manager, &broker, &old)?, Err(REFUSED));
    // What it names is all that is left to type.
    let new = broker.invite(&["--uses", "9"])?;
    let commands = told["not_done"][0]["commands"].as_array().ok_or("no commands")?;
    assert_eq!(commands.len(), 3, "{told}");
    for command in commands {
        let line = command.as_str().unwrap_or_default().replace("DIR", &vault.display().to_string());
        let typed = broker.typed(&line)?;
        assert_eq!(typed.code, 0, "{line}: {}", typed.stderr);
    }
    assert_eq!(broker.json(&["status", "--json"])?["generation"], 2);
    assert_eq!(admitted(manager, &broker, &new)?, Err(REFUSED), "it accepted the former CA");
    Ok(())
}

pub(crate) fn an_order_that_is_cut_off_at_any_step_is_given_again_and_all_is_well(pool: &Pool) -> Result<(), Failed> {
    const ORDER: [&str; 3] = ["rotate", "all", "--now"];
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Gated::start(manager)?;
    let update = |name: &str| -> Result<String, Failed> {
        Ok(format!("/configs/{}/update", manager.config(name)?["ID"].as_str().ok_or("no id")?))
    };
    let own: Value = serde_json::from_str(&fs::read_to_string(broker.state().join("cluster.json"))?)?;
    let entry = format!("swarm-broker.broker.{}", own["broker"].as_str().ok_or("no id")?);
    // Each write: a CA is listed, and what this broker has; an invite key; its signing key, beside the entry's renewals;
    // the tokens.
    let steps = [
        (update("swarm-broker.issuing")?, 1),
        (update(&entry)?, 1),
        ("/configs/create".into(), 1),
        (update(&entry)?, 3),
        ("/swarm/update".into(), 1),
    ];
    for (request, number) in steps {
        let step = Held { request, number, done: false };
        let ordered_again = |broker: &Broker<'_>, who: &str| -> Result<(), Failed> {
            let told = broker.json(&["rotate", "all", "--json"])?;
            assert_eq!((replaced(&told), &told["not_done"]), (ALL.to_vec(), &json!([])), "{who} at {step:?}: {told}");
            assert_admits(manager, broker, &broker.invite(&[])?)?;
            Ok(())
        };
        broker.gate().hold(step.clone());
        let mut command = broker.command();
        command.args(ORDER);
        let mut ordering = manager.spawn("rotate", command)?;
        until(LONG, "the order to be at this step", || broker.gate().struck().then_some(()))?;
        ordering.kill()?;
        broker.gate().open();
        ordered_again(&broker, "who ordered it")?;

        broker.cut_off(&ORDER, &step, || false)?;
        ordered_again(&broker, "the broker")?;
    }
    Ok(())
}
