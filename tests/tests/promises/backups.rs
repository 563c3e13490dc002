//! Promises 1, 5 and 8 with a backup: another machine becomes a broker of the same cluster, and no use is given back.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use lab::cluster::{Broker, Cluster, Joiner, REFUSED, UNAVAILABLE};
use lab::{Failed, Host, LONG, Pool, until};

use crate::followed::{page, typed};
use crate::recovery::{admits_exactly, asked, lost, ready};

/// The commands of one section of the page, with this host's address.
pub(crate) fn commands(section: &str, host: &Host) -> Result<Vec<String>, Failed> {
    let text = page("docs/disaster.md")?;
    let (_, rest) = text.split_once(&format!("\n## {section}\n")).ok_or("a section is gone")?;
    let section = rest.split("\n## ").next().unwrap_or_default();
    Ok(typed(&section.replace("10.0.0.11", &host.reached_at().to_string())))
}

/// Types a command that must succeed.
pub(crate) fn types(broker: &Broker<'_>, command: &str) -> Result<String, Failed> {
    let ended = broker.typed(command)?;
    assert_eq!(ended.code, 0, "{command}: {}{}", ended.stdout, ended.stderr);
    Ok(ended.stdout)
}

pub(crate) fn a_backup_serves_beside_the_broker_that_it_is_of(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 2, 0)?;
    let mut old = Broker::start(&cluster[0])?;
    let five = old.invite(&["--uses", "5"])?;
    assert_eq!(asked(&old, &five, 1)?, [Ok(())]);
    let [backup] = &commands("Keep a backup", &cluster[0])?[..] else { return Err("one command".into()) };
    assert!(types(&old, backup)?.contains("secret"));
    let file = cluster[0].folder().join("broker.backup");
    assert_eq!(std::fs::metadata(&file)?.permissions().mode() & 0o777, 0o600);
    let whole = std::fs::read(&file)?;
    assert_eq!(old.typed(backup)?.code, 73, "never over a file that is there");
    assert_eq!(std::fs::read(&file)?, whole);
    assert_eq!(asked(&old, &five, 1)?, [Ok(())], "after the backup");

    let new = restored(&cluster[1], &whole)?;
    // Both serve, and count together.
    ready(&old)?;
    ready(&new)?;
    let id = |broker: &Broker<'_>| Ok::<_, Failed>(broker.records()?.last().ok_or("a record")?["broker"].clone());
    assert_ne!(id(&old)?, id(&new)?);
    assert_eq!(asked(&new, &five, 1)?, [Ok(())]);
    admits_exactly(&old, &five, 2)?;
    assert_eq!(asked(&new, &five, 1)?, [Err(REFUSED)]);
    old.kill()?;
    let invite = new.invite(&["--uses", "1"])?;
    admits_exactly(&new, &invite, 1)?;
    assert_eq!(new.json(&["recover", "--dry-run", "--json"])?["sound"], true, "the ledger is not touched");
    Ok(())
}

/// A broker from a backup, whose first restore was killed in the middle.
fn restored<'h>(host: &'h Host, backup: &[u8]) -> Result<Broker<'h>, Failed> {
    let mut broker = Broker::nowhere(host)?;
    let mut command = broker.command();
    let mut cut = command.args(["restore", "-"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    cut.stdin.as_mut().ok_or("stdin")?.write_all(&backup[..backup.len() - 10])?;
    until(LONG, "the restore to have begun", || broker.state().join("restore.unfinished").exists().then_some(()))?;
    cut.kill()?;
    cut.wait()?;
    let told = broker.run(&["serve"])?;
    assert!(told.code == 65 && told.stderr.contains("run 'broker restore' again"), "half a restore: {told:?}");
    assert_ne!(broker.run(&["init", "--cluster", "other"])?.code, 0, "over half a restore");
    let file = host.folder().join("broker.backup");
    lab::cluster::write_private(&file, "")?;
    std::fs::write(&file, backup)?;
    for command in commands("The state directory was lost", host)? {
        if command == "systemctl start broker" {
            broker.serve()?;
        } else {
            types(&broker, &command)?;
        }
    }
    assert_eq!(broker.run(&["restore", &file.display().to_string()])?.code, 75, "a broker runs there");
    Ok(broker)
}

pub(crate) fn old_user_data_boots_into_a_new_swarm(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, worker) = (cluster.manager(), &cluster[1]);
    let mut broker = Broker::start(manager)?;
    let (four, two) = (broker.invite(&["--uses", "4"])?, broker.invite(&["--uses", "2"])?);
    assert_eq!(asked(&broker, &four, 2)?, [Ok(()), Ok(())]);
    let commands = commands("All managers were lost", manager)?;
    assert!(anew(&mut broker, &commands, " --trust-logs")?.contains("2 of 4 uses spent"));
    Joiner::new(worker, &four).joins()?;
    admits_exactly(&broker, &four, 1)?;
    let nodes = broker.json(&["nodes", "--json"])?;
    let nodes = nodes["nodes"].as_array().ok_or("nodes")?;
    assert!(nodes.len() == 2 && nodes.iter().all(|node| node["explained"] == true), "{nodes:?}");

    worker.leave()?;
    assert!(anew(&mut broker, &commands, "")?.contains("0 of 2 uses spent; revoked: more may be spent"));
    for invite in [&four, &two] {
        assert_eq!(asked(&broker, invite, 1)?, [Err(REFUSED)], "the backup cannot prove what is left");
    }
    let new = broker.invite(&["--uses", "1"])?;
    admits_exactly(&broker, &new, 1)
}

/// A backup, then the loss of all there is, and what the page says to type on a new machine with the old one's address.
fn anew(broker: &mut Broker<'_>, commands: &[String], trust: &str) -> Result<String, Failed> {
    let [restore, init, start, preview, recover] = commands else {
        return Err(format!("not the five commands that are typed here: {commands:?}").into());
    };
    assert_eq!(start, "systemctl start broker");
    types(broker, "rm -f broker.backup; broker backup broker.backup")?;
    let invite = broker.invite(&["--uses", "1"])?;
    broker.kill()?;
    broker.host().leave()?;
    std::fs::remove_dir_all(broker.state())?;
    types(broker, restore)?;
    types(broker, init)?;
    broker.serve()?;
    lost(broker)?;
    assert_eq!(asked(broker, &invite, 1)?, [Err(UNAVAILABLE)]);
    let plain = broker.run(&["recover", "--reason", "x"])?;
    assert!(plain.code == 64 && plain.stderr.contains("--new-swarm"), "{}", plain.stderr);
    assert!(types(broker, preview)?.contains("would be revoked"));
    let told = types(broker, &format!("{recover}{trust}"))?;
    assert!(told.contains("was restored at") && told.contains("nodes adopted: 1"), "{told}");
    ready(broker)?;
    // As if it had failed between the ledger and the nodes: the same command again does what is left.
    types(broker, "docker node update --label-rm swarm-broker.adopted \"$(docker node ls -q)\"")?;
    let again = types(broker, recover)?;
    assert!(again.contains("nodes adopted: 1"), "{again}");
    let again = types(broker, recover)?;
    assert!(again.contains("nothing to recover") && !again.contains("adopted"), "{again}");
    assert_eq!(asked(broker, &invite, 1)?, [Err(REFUSED)], "it was made after the backup: no log has it");
    Ok(told)
}
