//! Promises 1 and 5 over the worst day: the ledger was lost and is put right from the logs. No use that was spent is given
//! back, nothing that was revoked admits, and what the logs prove to be left still does.

use std::time::Duration;

use lab::cluster::{Broker, Cluster, Machine, Told, on};
use lab::{Failed, Host, Pool, until};
use protocol::{InviteLine, ProblemKind};
use serde_json::Value;

const UNAVAILABLE: Told = Told::Problem(ProblemKind::Unavailable);
const REFUSED: Told = Told::Problem(ProblemKind::Refused);

/// A clean-up script, as one finds them.
pub(crate) fn remove_configs(manager: &Host) -> Result<(), Failed> {
    let ids = manager.docker(&["config", "ls", "-q"])?;
    for id in ids.split_whitespace() {
        manager.docker(&["config", "rm", id])?;
    }
    Ok(())
}

/// What so many new machines are told, one after another.
pub(crate) fn asked(broker: &Broker<'_>, invite: &str, machines: usize) -> Result<Vec<Result<(), Told>>, Failed> {
    let address = broker.address();
    Ok(on(broker.host(), || async {
        let mut told = Vec::new();
        for _ in 0..machines {
            told.push(Machine::new(invite, address).identity().await);
        }
        told
    })?)
}

/// Each of so many machines is admitted, and one more is not.
pub(crate) fn admits_exactly(broker: &Broker<'_>, invite: &str, machines: usize) -> Result<(), Failed> {
    let mut wanted = vec![Ok(()); machines];
    wanted.push(Err(REFUSED));
    assert_eq!(asked(broker, invite, machines + 1)?, wanted);
    Ok(())
}

pub(crate) fn lost(broker: &Broker<'_>) -> Result<(), Failed> {
    until(Duration::from_secs(30), "the ledger to be lost", || {
        broker.json(&["status", "--json"]).ok()?["missing"].to_string().contains("ledger was lost").then_some(())
    })?;
    Ok(())
}

fn id(invite: &str) -> Result<String, Failed> {
    Ok(InviteLine::parse(invite)?.unverified().jti.to_string())
}

/// What a recovery says of an invite.
fn of<'a>(recovery: &'a Value, invite: &str) -> Result<&'a Value, Failed> {
    let id = id(invite)?;
    let found = recovery["invites"].as_array().and_then(|all| all.iter().find(|one| one["id"] == id.as_str()));
    Ok(found.ok_or_else(|| format!("no invite {id} in {recovery}"))?)
}

pub(crate) fn deleted_configs_are_put_back_and_no_use_is_given_back(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let (five, one) = (broker.invite(&["--uses", "5"])?, broker.invite(&["--uses", "1"])?);
    let (revoked, unused) = (broker.invite(&["--uses", "3"])?, broker.invite(&["--uses", "2"])?);
    assert_eq!(asked(&broker, &five, 2)?, [Ok(()), Ok(())]);
    assert_eq!(asked(&broker, &one, 1)?, [Ok(())]);
    let (booting, grant) = on(manager, || Machine::with_grant(&five, broker.address()))?;
    broker.ok(&["invite", "revoke", &id(&revoked)?])?;
    assert_eq!(broker.json(&["recover", "--dry-run", "--json"])?["sound"], true);
    broker.ok(&["recover", "--reason", "nothing is wrong"])?;
    assert_eq!(broker.count("ledger.recovering", None)?, 0, "a ledger that is sound is left alone");

    remove_configs(manager)?;
    lost(&broker)?;
    let before = broker.records()?.len();
    let preview = broker.json(&["recover", "--dry-run", "--json"])?;
    assert_eq!((&of(&preview, &five)?["missing"], &preview["gaps"]), (&3.into(), &Value::Array(Vec::new())));
    assert_eq!(broker.records()?.len(), before, "looking changes nothing");
    assert_eq!(asked(&broker, &five, 1)?, [Err(UNAVAILABLE)]);
    assert_eq!(broker.run(&["recover"])?.code, 64, "a reason is asked for");

    let told = broker.ok(&["recover", "--reason", "a clean-up script removed the configs"])?;
    assert!(told.contains("3 of 5 uses spent, 3 of them were missing; put back"), "{told}");
    assert_eq!(broker.json(&["status", "--json"])?["ready"], true, "without a restart");
    let address = broker.address();
    // The boot that was in flight goes on, with the grant it has.
    on(manager, || async { booting.redeem(&grant).await.expect("its token") })?;
    for restarted in [false, true] {
        if restarted {
            broker.stop()?;
            broker.serve()?;
        } else {
            admits_exactly(&broker, &five, 2)?;
            admits_exactly(&broker, &unused, 2)?;
        }
        for spent in [&five, &one, &revoked, &unused] {
            assert_eq!(asked(&broker, spent, 1)?, [Err(REFUSED)], "restarted: {restarted}");
        }
    }
    let new = broker.invite(&["--uses", "1"])?;
    admits_exactly(&broker, &new, 1)?;
    let recovered = broker.records()?.into_iter().find(|record| record["event"] == "ledger.recovered");
    let recovered = recovered.ok_or("no record")?;
    assert_eq!(recovered["detail"], "a clean-up script removed the configs");
    assert!(recovered["operator"].as_str().is_some_and(|operator| operator.starts_with("uid 0")), "{recovered}");

    // It may be lost again, and recovered again.
    remove_configs(manager)?;
    lost(&broker)?;
    broker.ok(&["recover", "--reason", "again"])?;
    assert_eq!(asked(&broker, &five, 1)?, [Err(REFUSED)]);
    assert_eq!(asked(&broker, &new, 1)?, [Err(REFUSED)]);
    let _ = address;
    Ok(())
}
