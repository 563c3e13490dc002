//! Promise 11, for other programs: records leave with what it takes to check them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lab::cluster::{Broker, run};
use lab::{Failed, Pool};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::report_log;

/// A state directory with a log of two hundred nodes, signed.
fn state(host: &lab::Host) -> Result<Broker<'_>, Failed> {
    let broker = Broker::init(host)?;
    report_log::write(broker.state())?;
    broker.ok(&["invite", "create", "--offline", "--uses", "1", "--broker", "10.0.0.1"])?;
    Ok(broker)
}

pub(crate) fn records_leave_as_lines_as_a_table_as_ocsf_and_as_tiles(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    let broker = state(&hosts[0])?;
    let records = broker.records()?;
    let export = |arguments: &[&str]| broker.ok(&[&["audit", "export", "--format"], arguments].concat());

    let lines = export(&["jsonl"])?;
    assert_eq!(lines.lines().count(), records.len());
    for line in lines.lines() {
        let proof: Value = serde_json::from_str::<Value>(line)?["proof"].clone();
        let (record, _) = line.rsplit_once(",\"proof\":").ok_or("no proof")?;
        // RFC 6962, section 2.1: the hash of a leaf.
        let hash = Sha256::new().chain_update([0]).chain_update(record).chain_update("}").finalize();
        assert_eq!(proof["hash"], STANDARD.encode(hash), "{line}");
        assert_eq!(proof["signed"], true);
        assert!(proof["head"].as_str().is_some_and(|head| head.starts_with("swarm-broker/")), "{proof}");
    }

    let table = export(&["csv", "--event", "node.joined"])?;
    assert_eq!(table.matches("\r\n").count(), 201, "a head, and 200 nodes");
    assert!(table.starts_with("time,event,outcome,reason,hostname,node,"));
    let chosen = export(&["csv", "--node", "worker-7"])?;
    assert!(chosen.lines().skip(1).all(|line| line.contains("worker-7")), "{chosen}");

    let file = hosts[0].folder().join("events.ocsf");
    export(&["ocsf", "--since", "2026-11-01T00:00:00Z", "--output", &file.display().to_string()])?;
    let events: Vec<Value> =
        std::fs::read_to_string(&file)?.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    assert_eq!(events.len(), records.len());
    assert_eq!(events.iter().filter(|event| event["class_uid"] == 2004).count(), 3, "three alarms are findings");

    // To be kept elsewhere, and longer than a broker lives.
    let archive = hosts[0].folder().join("archive");
    let export = ["audit", "export", "--format", "tiles", "--output", &archive.display().to_string()];
    broker.ok(&export)?;
    assert!(broker.ok(&export)?.contains("0 of them new"));
    let id = records[0]["broker"].as_str().ok_or("no broker")?;
    let (tiles, key) = (archive.join(id).display().to_string(), broker.state().join("audit.pub").display().to_string());
    let verify = || broker.run(&["audit", "verify", "--json", "--key", &key, &tiles]);
    let first = archive.join(id).join("tile/entries/000");
    let mut kept = std::fs::read(&first)?;
    let told: Value = serde_json::from_str(&verify()?.stdout)?;
    assert_eq!((told["ok"].as_bool(), told["records"].as_u64()), (Some(true), Some(records.len() as u64)), "{told}");
    std::fs::remove_file(&first)?;
    let told: Value = serde_json::from_str(&verify()?.stdout)?;
    assert_eq!((&told["ok"], &told["checked"][0]["elsewhere"]), (&Value::Bool(true), &256.into()), "{told}");
    *kept.last_mut().ok_or("an empty file")? ^= 1;
    std::fs::write(&first, kept)?;
    let wrong = verify()?;
    assert_eq!(wrong.code, 65, "{}", wrong.stdout);
    Ok(())
}

pub(crate) fn a_record_is_proved_to_whoever_has_the_key_and_no_log(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    let broker = state(&hosts[0])?;
    let records = broker.records()?;
    let (file, key) = (hosts[0].folder().join("record.tlog-proof"), broker.state().join("audit.pub"));
    let (file, key) = (file.display().to_string(), key.display().to_string());
    let check = || broker.run(&["audit", "prove", "--json", "--check", &file, "--key", &key]);
    for number in [0, 77, records.len() - 1] {
        let proof = broker.ok(&["audit", "prove", &number.to_string()])?;
        std::fs::write(&file, &proof)?;
        let told = check()?;
        assert_eq!(told.code, 0, "{}", told.stderr);
        assert_eq!(serde_json::from_str::<Value>(&told.stdout)?["record"], records[number]);
        // The same proof of another record proves nothing.
        std::fs::write(&file, proof.replace(&format!("\nindex {number}\n"), "\nindex 5\n"))?;
        let told = check()?;
        assert_eq!(told.code, 65, "{}", told.stdout);
    }
    let json = broker.json(&["audit", "prove", "77", "--json"])?;
    assert_eq!(json["number"], 77);
    assert!(json["path"].as_array().is_some_and(|path| path.len() == 11), "{json}");
    let beyond = broker.run(&["audit", "prove", &records.len().to_string()])?;
    assert_eq!(beyond.code, 64, "{}", beyond.stderr);
    Ok(())
}

pub(crate) fn an_outsider_checks_a_log_with_the_page_alone(pool: &Pool) -> Result<(), Failed> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/audit-log.md");
    let page = std::fs::read_to_string(page)?;
    let script = page.split_once("```python\n").and_then(|(_, rest)| rest.split_once("```")).ok_or("no script")?.0;
    let hosts = pool.lease(1)?;
    let broker = state(&hosts[0])?;
    let file = hosts[0].folder().join("check.py");
    std::fs::write(&file, script)?;
    let check = |key: &Path| {
        let mut command = hosts[0].command("python3");
        command.arg(&file).arg(broker.state()).arg(key);
        run(command)
    };
    let key = broker.state().join("audit.pub");
    let told = check(&key)?;
    let count = broker.records()?.len();
    assert!(told.code == 0 && told.stdout.starts_with(&format!("{count} records, as swarm-broker/")), "{told:?}");

    let other = Broker::init_in(&hosts[0], hosts[0].folder().join("other"))?;
    assert_ne!(check(&other.state().join("audit.pub"))?.code, 0, "with another broker's key");
    let (log, head) = (std::fs::read_to_string(broker.log())?, broker.state().join("audit.head"));
    std::fs::write(broker.log(), log.replacen("worker-77", "worker-78", 1))?;
    let told = check(&key)?;
    assert!(told.code != 0 && told.stderr.contains("not what was signed"), "{told:?}");
    std::fs::write(broker.log(), &log)?;
    // A signature that is not the key's: one character in the middle of it is another.
    let signed = std::fs::read_to_string(&head)?;
    let at = signed.len() - 20;
    let letter = if signed.as_bytes()[at] == b'A' { "B" } else { "A" };
    std::fs::write(&head, format!("{}{letter}{}", &signed[..at], &signed[at + 1..]))?;
    assert_ne!(check(&key)?.code, 0, "with a signature that nobody made");
    Ok(())
}
