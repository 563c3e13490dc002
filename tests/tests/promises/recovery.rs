//! Promises 1 and 5 over the worst day: the ledger was lost and is put right from the logs. No use that was spent is given
//! back, nothing that was revoked admits, and what the logs prove to be left still does.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use certs::SigningKey;
use lab::cluster::{Broker, Cluster, Machine, REFUSED, Told, UNAVAILABLE, invite, on, run};
use lab::{Failed, Host, LONG, Pool, until};
use protocol::{INVITE_PREFIX, InviteId};
use serde_json::Value;

use crate::backups::{commands, types};
use crate::managers::{follow, found};
use crate::verify_then_spend::{decoded, signed};

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
    until(LONG, "the ledger to be lost", || {
        broker.json(&["status", "--json"]).ok()?["missing"].to_string().contains("ledger was lost").then_some(())
    })?;
    Ok(())
}

/// What a recovery says of an invite.
fn of<'a>(recovery: &'a Value, invite: &str) -> Result<&'a Value, Failed> {
    let id = invite::id(invite)?;
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
    broker.ok(&["invite", "revoke", &invite::id(&revoked)?])?;
    assert_eq!(broker.json(&["recover", "--dry-run", "--json"])?["sound"], true);
    broker.ok(&["recover", "--reason", "nothing is wrong"])?;
    assert_eq!(broker.count("ledger.recovering", None)?, 0, "a ledger that is sound is left alone");

    remove_configs(manager)?;
    lost(&broker)?;
    until(LONG, "the alarm", || (broker.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    let before = broker.records()?.len();
    let [look, recover, _] = &commands("The ledger was lost", manager)?[..] else { return Err("three".into()) };
    assert!(types(&broker, look)?.contains("nothing was changed"));
    let preview = broker.json(&["recover", "--dry-run", "--json"])?;
    assert_eq!((&of(&preview, &five)?["missing"], &preview["gaps"]), (&3.into(), &Value::Array(Vec::new())));
    assert_eq!(broker.records()?.len(), before, "looking changes nothing");
    assert_eq!(asked(&broker, &five, 1)?, [Err(UNAVAILABLE)]);
    assert_eq!(broker.run(&["recover"])?.code, 64, "a reason is asked for");

    let told = types(&broker, recover)?;
    assert!(told.contains("3 of 5 uses spent, 3 of them were missing; put back"), "{told}");
    assert_eq!(broker.json(&["status", "--json"])?["ready"], true, "without a restart");
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
    // One that no log has is refused, which is final: so it takes a commit, though there is nothing to write.
    let (unseen, before) = (unseen(&broker, &new)?, version_of(manager, "swarm-broker.sentinel")?);
    assert_eq!(asked(&broker, &unseen, 1)?, [Err(REFUSED)]);
    assert_eq!(broker.count("refused", Some("before-recovery"))?, 1);
    assert!(version_of(manager, "swarm-broker.sentinel")? > before, "it was told without a commit");
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
    Ok(())
}

/// Two managers, each with a broker.
fn two(hosts: &[Host]) -> Result<(Broker<'_>, Broker<'_>), Failed> {
    let first = found(&hosts[0])?;
    let invite = first.invite(&["--role", "manager"])?;
    let second = follow(&hosts[1], &invite)?;
    Ok((first, second))
}

pub(crate) fn ready(broker: &Broker<'_>) -> Result<(), Failed> {
    until(Duration::from_mins(1), "the broker to be ready", || {
        (broker.json(&["status", "--json"]).ok()?["ready"] == true).then_some(())
    })?;
    Ok(())
}

pub(crate) fn every_brokers_log_counts_and_one_that_is_missing_revokes(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let (first, second) = two(&hosts)?;
    let (five, three) = (first.invite(&["--uses", "5"])?, second.invite(&["--uses", "3"])?);
    assert_eq!(asked(&first, &five, 2)?, [Ok(()), Ok(())]);
    assert_eq!(asked(&second, &five, 1)?, [Ok(())]);
    assert_eq!(asked(&second, &three, 1)?, [Ok(())]);
    remove_configs(&hosts[0])?;
    lost(&first)?;

    let preview = first.json(&["recover", "--dry-run", "--json"])?;
    assert!(preview["gaps"][0].as_str().is_some_and(|gap| gap.contains("log of broker")), "{preview}");
    assert_eq!(of(&preview, &five)?["action"], "revoked");
    // A copy that was made before its broker had lost the ledger may not be all of it.
    lost(&second)?;
    until(LONG, "the alarm", || (second.count("ledger.lost", None).ok()? > 0).then_some(()))?;
    let [_, _, recover] = &commands("The ledger was lost", &hosts[0])?[..] else { return Err("three".into()) };
    std::fs::copy(second.log(), hosts[0].folder().join("other.jsonl"))?;
    let recovery: Value = serde_json::from_str(&types(&first, &format!("{recover} --json"))?)?;
    assert_eq!(recovery["gaps"], Value::Array(Vec::new()));
    assert_eq!(of(&recovery, &five)?["missing"], 3);
    ready(&second)?;
    until(LONG, "the other broker, which goes on, to write down why", || {
        (second.count("ledger.recovered", None).ok()? == 1).then_some(())
    })?;
    admits_exactly(&second, &five, 2)?;
    admits_exactly(&first, &three, 2)?;

    let unused = first.invite(&["--uses", "2"])?;
    remove_configs(&hosts[0])?;
    lost(&first)?;
    let told = first.ok(&["recover", "--reason", "lost again, and the other log with it"])?;
    assert!(told.contains("not proved: the log of broker"), "{told}");
    ready(&second)?;
    for broker in [&first, &second] {
        for invite in [&five, &three, &unused] {
            assert_eq!(asked(broker, invite, 1)?, [Err(REFUSED)]);
        }
    }
    let new = second.invite(&["--uses", "1"])?;
    admits_exactly(&first, &new, 1)?;
    Ok(())
}

/// Where a host's engine keeps its swarm.
fn swarm_folder(host: &Host) -> Result<PathBuf, Failed> {
    Ok(Path::new(host.docker(&["info", "--format", "{{.DockerRootDir}}"])?.trim()).join("swarm"))
}

fn copy(from: &Path, to: &Path) -> Result<(), Failed> {
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    let copied = run(command)?;
    assert_eq!(copied.code, 0, "{}", copied.stderr);
    Ok(())
}

pub(crate) fn a_raft_store_restored_from_an_old_copy_gives_no_use_back(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let (first, mut second) = two(&hosts)?;
    let (five, revoked) = (first.invite(&["--uses", "5"])?, first.invite(&["--uses", "3"])?);
    assert_eq!(asked(&first, &five, 1)?, [Ok(())]);
    let (folder, old) = (swarm_folder(&hosts[0])?, hosts[0].folder().join("old"));
    hosts[0].kill_engine()?;
    copy(&folder, &old)?;
    hosts[0].start_engine()?;
    ready(&first)?;
    ready(&second)?;
    assert_eq!(asked(&first, &five, 1)?, [Ok(())]);
    assert_eq!(asked(&second, &five, 1)?, [Ok(())]);
    first.ok(&["invite", "revoke", &invite::id(&revoked)?])?;

    // The second manager is gone for good, the first one comes back as it once was.
    second.stop()?;
    hosts[1].kill_engine()?;
    hosts[0].kill_engine()?;
    std::fs::remove_dir_all(&folder)?;
    copy(&old, &folder)?;
    hosts[0].start_engine()?;
    let [force, recover] = &commands("Raft was restored", &hosts[0])?[..] else { return Err("two".into()) };
    // An engine that started a moment ago may still be about to come up as it was, and refuses.
    until(LONG, "a new cluster of one manager", || first.typed(force).ok().filter(|ended| ended.code == 0))?;
    lost(&first)?;
    for invite in [&five, &revoked] {
        assert_eq!(asked(&first, invite, 1)?, [Err(UNAVAILABLE)]);
    }

    std::fs::copy(second.log(), hosts[0].folder().join("other.jsonl"))?;
    let told = types(&first, recover)?;
    // Docker drops of the copy what it cannot tell to be committed, too.
    assert!(told.contains("3 of 5 uses spent") && told.contains("were missing; put back"), "{told}");
    admits_exactly(&first, &five, 2)?;
    assert_eq!(asked(&first, &revoked, 1)?, [Err(REFUSED)]);
    Ok(())
}

fn version_of(manager: &Host, config: &str) -> Result<u64, Failed> {
    Ok(manager.config(config)?["Version"]["Index"].as_u64().ok_or("no version")?)
}

/// An invite like this one, signed by the same key, that no log and no ledger has.
fn unseen(broker: &Broker<'_>, invite: &str) -> Result<String, Failed> {
    let parts: Vec<&str> = invite.trim_start_matches(INVITE_PREFIX).split('.').collect();
    let (header, mut claims) = (decoded(parts[0]), decoded(parts[1]));
    claims["jti"] = InviteId::random().to_string().into();
    let key = SigningKey::from_pem(&std::fs::read_to_string(broker.state().join("invite.key"))?)?;
    Ok(format!("{INVITE_PREFIX}{}", signed(&header, &claims, &key)))
}

pub(crate) fn a_broker_that_starts_on_a_restored_raft_store_waits_to_be_recovered(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let (five, other) = (broker.invite(&["--uses", "5"])?, broker.invite(&["--uses", "5"])?);
    assert_eq!(asked(&broker, &five, 1)?, [Ok(())]);
    let (folder, old) = (swarm_folder(manager)?, manager.folder().join("old"));
    broker.stop()?;
    manager.kill_engine()?;
    copy(&folder, &old)?;
    manager.start_engine()?;
    broker.serve()?;
    // What is in this broker's log says nothing of it: versions alone tell.
    let (booting, grant) = on(manager, || Machine::with_grant(&five, broker.address()))?;
    broker.stop()?;
    manager.kill_engine()?;
    std::fs::remove_dir_all(&folder)?;
    copy(&old, &folder)?;
    manager.start_engine()?;

    // Started again and again, as by systemd: it serves, writes nothing, and nobody is admitted.
    let before = manager.config_versions()?;
    for starts in 1..=3 {
        broker.serve()?;
        assert_eq!(broker.count("ledger.lost", None)?, starts);
        for invite in [&five, &other] {
            assert_eq!(asked(&broker, invite, 1)?, [Err(UNAVAILABLE)]);
        }
        assert!(on(manager, || booting.redeem(&grant))?.is_err());
        broker.stop()?;
        assert_eq!(manager.config_versions()?, before, "a lost ledger was written into");
    }
    // Nor does it count as found again because its versions have come far enough.
    let config = "swarm-broker.sentinel";
    let seen = broker.records()?.iter().filter_map(|record| record["version"].as_u64()).max().ok_or("no version")?;
    while version_of(manager, config)? <= seen {
        crate::fail_closed::relabel(manager, config, "swarm-broker.kind", Some("sentinel"))?;
    }
    broker.serve()?;
    assert_eq!(asked(&broker, &other, 1)?, [Err(UNAVAILABLE)]);

    let told = broker.ok(&["recover", "--reason", "raft was restored from a copy"])?;
    assert!(told.contains("2 of 5 uses spent, 1 of them were missing; put back"), "{told}");
    on(manager, || async { booting.redeem(&grant).await.expect("its token") })?;
    admits_exactly(&broker, &five, 3)?;
    broker.stop()?;
    broker.serve()?;
    admits_exactly(&broker, &other, 5)
}

pub(crate) fn an_issuing_ca_that_leaked_stays_void_though_raft_forgot_it(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let manager = &hosts[0];
    let mut first = found(manager)?;
    let old = first.invite(&["--uses", "5"])?;
    let (booting, grant) = on(manager, || Machine::with_grant(&old, first.address()))?;
    let (folder, copied) = (swarm_folder(manager)?, manager.folder().join("old"));
    manager.kill_engine()?;
    copy(&folder, &copied)?;
    manager.start_engine()?;
    ready(&first)?;
    first.ok(&["rotate", "ca", "--now", "--reason", "a leak"])?;
    first.ok(&["rotate", "ca", "--reason", "and one in good order"])?;
    first.stop()?;
    manager.kill_engine()?;
    std::fs::remove_dir_all(&folder)?;
    copy(&copied, &folder)?;
    manager.start_engine()?;

    let listed = || Ok::<_, Failed>(manager.config("swarm-broker.issuing")?["Spec"]["Labels"].clone());
    assert_eq!(listed()?["swarm-broker.lowest"], "1", "raft has forgotten it");
    first.serve()?;
    first.ok(&["recover", "--reason", "raft was restored from a copy"])?;
    let list = listed()?;
    assert_eq!(list["swarm-broker.lowest"], "2", "{list}");
    assert!(
        list["swarm-broker.ca.1"].is_null() && !list["swarm-broker.ca.3"].is_null(),
        "others would refuse it: {list}"
    );
    ready(&first)?;
    assert!(on(manager, || booting.redeem(&grant))?.is_err(), "an identity of the one that leaked");
    assert_eq!(asked(&first, &old, 1)?, [Err(REFUSED)], "an invite that accepts it");
    let new = first.invite(&["--uses", "1"])?;
    admits_exactly(&first, &new, 1)?;
    // What the new one vouches for is believed.
    let invite = first.invite(&["--role", "manager"])?;
    let second = follow(&hosts[1], &invite)?;
    ready(&second)?;
    admits_exactly(&second, &first.invite(&["--uses", "1"])?, 1)
}

pub(crate) fn an_invite_key_that_leaked_stays_void_when_a_broker_that_has_it_comes_back(
    pool: &Pool,
) -> Result<(), Failed> {
    let hosts = pool.lease(2)?;
    let (first, mut second) = two(&hosts)?;
    second.stop()?;
    let kid = |invite: &str| {
        let header = invite.trim_start_matches(INVITE_PREFIX).split('.').next().unwrap_or_default().to_owned();
        let kid = decoded(&header)["kid"].as_str().map(ToOwned::to_owned);
        kid.ok_or("no key id")
    };
    first.ok(&["rotate", "invite-key", "--now", "--reason", "a leak"])?;
    remove_configs(&hosts[0])?;
    lost(&first)?;
    let log = second.log().display().to_string();
    let told = first.json(&["recover", "--log", &log, "--reason", "a clean-up script", "--json"])?;
    assert_eq!(told["gaps"], Value::Array(Vec::new()), "{told}");

    // Whoever has the former key signs what he likes with it.
    let address = first.address().to_string();
    let forged = second.invite(&["--offline", "--broker", &address, "--uses", "3"])?;
    assert_eq!(asked(&first, &forged, 1)?, [Err(REFUSED)]);
    second.serve()?;
    ready(&second)?;
    let listed = hosts[0].config(&format!("swarm-broker.invite-key.{}", kid(&forged)?))?;
    assert!(!listed["Spec"]["Labels"]["swarm-broker.voided"].is_null(), "the key that leaked is good again: {listed}");
    for broker in [&first, &second] {
        until(LONG, "the refusal of a void key", || {
            assert_eq!(asked(broker, &forged, 1).ok()?, [Err(REFUSED)]);
            (broker.count("refused", Some("void-key")).ok()? > 0).then_some(())
        })?;
    }
    let new = first.invite(&["--uses", "2"])?;
    assert_eq!(asked(&second, &new, 1)?, [Ok(())]);
    admits_exactly(&first, &new, 1)
}

pub(crate) fn an_undone_revocation_is_found_though_nobody_asks(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "3"])?;
    broker.ok(&["invite", "revoke", &invite::id(&invite)?])?;
    // What it knows by now is in its log alone.
    broker.stop()?;
    broker.serve()?;
    let config = format!("swarm-broker.invite.{}", invite::id(&invite)?);
    crate::fail_closed::relabel(manager, &config, "swarm-broker.revoked", None)?;
    lost(&broker)?;
    assert_eq!(asked(&broker, &invite, 1)?, [Err(UNAVAILABLE)]);
    broker.ok(&["recover", "--reason", "somebody took the label away"])?;
    assert_eq!(asked(&broker, &invite, 1)?, [Err(REFUSED)]);
    Ok(())
}
