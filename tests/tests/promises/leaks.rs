//! The leak drill of `docs/operations.md`, row by row: what it tells to type is typed, and what leaked is worth nothing then.

use std::fs;

use certs::{Root, SigningKey};
use lab::cluster::{
    Broker, Cluster, Joiner, Machine, REFUSED, Stream, Told, admitted, assert_admits, invite, on, on_terminal,
    write_private,
};
use lab::{Failed, Host, LONG, Pool, Role, until};
use protocol::InviteLine;

use crate::followed::page;
use crate::handovers::{Asker, ask, id};
use crate::locks::locked_key;
use crate::managers::{follow, found};
use crate::swarm_ca::SwarmCa;
use crate::thief::Thief;

/// The commands of a row of the page's table, and none of another's.
fn row(leaked: &str) -> Result<Vec<String>, Failed> {
    let page = page("docs/operations.md")?;
    let section = page.split_once("\n## When something leaked\n").ok_or("no such section")?.1;
    let section = section.split("\n## ").next().unwrap_or_default();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let mut found = rows.filter(|row| row.starts_with(leaked));
    let (Some(row), None) = (found.next(), found.next()) else { return Err(format!("not one row: {leaked}").into()) };
    let cell = row.split(" | ").nth(1).ok_or("a row of three cells")?;
    let commands = cell.split("<br>").filter_map(|line| line.split('`').nth(1)).map(str::to_owned);
    Ok(commands.collect())
}

/// The page's rows, so that none is without a trial.
const ROWS: [&str; 9] = [
    "a join token ",
    "an invite ",
    "a machine's key",
    "a broker's disk",
    "the issuing CA's key",
    "the root's key",
    "all that a manager knew",
    "the swarm's unlock key",
    OPERATOR,
];

/// Its trial is that of the operators.
pub(crate) const OPERATOR: &str = "an operator's key";

/// Types a row's commands, with these words filled in.
pub(crate) fn typed(broker: &Broker<'_>, leaked: &str, words: &[(&str, &str)]) -> Result<(), Failed> {
    let commands = row(leaked)?;
    assert!(!commands.is_empty(), "{leaked}");
    for command in commands {
        let line = words.iter().fold(command, |line, (word, with)| line.replace(word, with));
        let line = line.replace("TEXT", "'a drill'");
        let mut ended = broker.typed(&line)?;
        if ended.code != 0 && line.contains("node rm") {
            ended = until(LONG, "the node to be removed", || broker.typed(&line).ok().filter(|ended| ended.code == 0))?;
        }
        assert_eq!(ended.code, 0, "{line}: {}", ended.stderr);
    }
    Ok(())
}

/// What a copy of a state directory is worth here: nothing.
fn is_worth_nothing(thief: &Thief, manager: &Host, broker: &Broker<'_>, seen: &str) -> Result<(), Failed> {
    let new = broker.invite(&["--uses", "9"])?;
    for forged in [seen, &thief.invite(seen)] {
        assert_eq!(admitted(manager, broker, forged)?, Err(REFUSED));
    }
    assert!(admitted(manager, broker, &thief.invite(&new))?.is_err());
    let forged = thief.machine(&new, broker.address())?;
    assert!(matches!(on(manager, || async { forged.grant().await })?, Err(Told::Broken(_))));
    let (machine, grant) = on(manager, || Machine::with_grant(&new, broker.address()))?;
    let told = on(manager, || async { machine.redeem(&thief.grant(&grant)).await })?;
    assert!(told.is_err(), "a grant by the stolen key");
    on(manager, || machine.redeem(&grant))?.map_err(|told| format!("{told:?}"))?;
    Ok(())
}

pub(crate) fn tokens_invites_and_keys_of_machines(pool: &Pool) -> Result<(), Failed> {
    let listed = page("docs/operations.md")?;
    let listed = listed.split_once("\n| leaked |").ok_or("no table")?.1.split("\n\n").next().unwrap_or_default();
    assert_eq!(listed.lines().filter(|line| line.starts_with("| ")).count(), ROWS.len(), "a row without a trial");
    ROWS.iter().try_for_each(|leaked| row(leaked).map(drop))?;

    let cluster = Cluster::form(pool, 1, 2)?;
    let manager = cluster.manager();
    let broker = Broker::start_with(manager, &["--rotate-worker", "manual", "--rotate-manager", "manual"])?;
    let address = broker.address();

    let tokens = [manager.join_token(Role::Worker)?, manager.join_token(Role::Manager)?];
    typed(&broker, ROWS[0], &[])?;
    assert!(cluster[2].join(manager, &tokens[0]).is_err());
    assert!(!tokens.contains(&manager.join_token(Role::Manager)?));

    let leaked = broker.invite(&["--uses", "9"])?;
    let (booting, grant) = on(manager, || Machine::with_grant(&leaked, address))?;
    typed(&broker, ROWS[1], &[("ID", &invite::id(&leaked)?)])?;
    assert_eq!(admitted(manager, &broker, &leaked)?, Err(REFUSED));
    assert_eq!(on(manager, || booting.redeem(&grant))?.err(), Some(REFUSED));

    // Of a machine that has joined nothing is to be typed; of one in the middle of its boot the invite is revoked.
    let invite = broker.invite(&["--uses", "9"])?;
    let joiner = Joiner::new(&cluster[1], &invite);
    joiner.joins()?;
    let key = fs::read_to_string(joiner.state().join("key.pem"))?;
    let again = on(manager, || async { Machine::with_key(&invite, address, &key).admitted().await.map(drop) })?;
    assert_eq!(again, Err(REFUSED));
    let (machine, grant) = on(manager, || Machine::with_grant(&invite, address))?;
    let copied = machine.at(address);
    let another = Machine::with_key(&invite, address, &SigningKey::generate()?.to_pem());
    let another = on(manager, || async {
        let mut another = another;
        another.identity().await.map(|()| another)
    })?;
    let another = another.map_err(|told| format!("{told:?}"))?;
    assert_eq!(on(manager, || another.redeem(&grant))?.err(), Some(REFUSED), "the grant without the key");
    typed(&broker, ROWS[2], &[("ID", &invite::id(&invite)?)])?;
    assert_eq!(on(manager, || copied.redeem(&grant))?.err(), Some(REFUSED));
    assert_eq!(on(manager, || async { copied.grant().await })?.err(), Some(REFUSED));
    Ok(())
}

pub(crate) fn a_brokers_disk_and_the_keys_that_stand_above_it(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    let mut broker = Broker::start(manager)?;

    let (thief, invite) = (Thief::of(broker.state())?, broker.invite(&["--uses", "9"])?);
    let seen = thief.invite(&invite);
    assert_admits(manager, &broker, &seen)?;
    typed(&broker, ROWS[3], &[])?;
    is_worth_nothing(&thief, manager, &broker, &seen)?;

    let (thief, invite) = (Thief::of(broker.state())?, broker.invite(&["--uses", "9"])?);
    typed(&broker, ROWS[4], &[])?;
    let new = broker.invite(&["--uses", "9"])?;
    let forged = thief.machine(&new, broker.address())?;
    assert!(matches!(on(manager, || async { forged.grant().await })?, Err(Told::Broken(_))));
    assert_eq!(admitted(manager, &broker, &invite)?, Err(REFUSED), "whoever has that key could meet its machine");

    // The former unlock key does not open a manager that starts again.
    manager.docker(&["swarm", "update", "--autolock=true"])?;
    let former = manager.docker(&["swarm", "unlock-key", "--quiet"])?;
    let on_disk = locked_key(manager, "")?;
    let [command] = &row(ROWS[7])?[..] else { return Err("one command".into()) };
    let shown = on_terminal(broker.typed_command(&command.replace("TEXT", "'a drill'")), Stream::Output)?;
    assert_eq!(shown.code, 0, "{}", shown.stdout);
    let key = shown.stdout.split_whitespace().find(|word| word.starts_with("SWMKEY-")).ok_or("no key")?;
    locked_key(manager, &on_disk)?;
    manager.kill_engine()?;
    manager.start_engine()?;
    let file = manager.folder().join("typed");
    for (typed, opens) in [(former.trim(), false), (key, true)] {
        write_private(&file, typed)?;
        assert_eq!(broker.typed("docker swarm unlock < typed")?.code == 0, opens);
        fs::remove_file(&file)?;
    }
    until(LONG, "the broker to be ready again", || {
        broker.json(&["status", "--json"]).ok().filter(|status| status["ready"] == true)
    })?;
    manager.docker(&["swarm", "update", "--autolock=false"])?;

    // The root: a new cluster identity. What the stolen root signs is nothing to it.
    let old = broker.invite(&["--uses", "9"])?;
    let read = |name: &str| fs::read_to_string(broker.state().join(name));
    let (root, root_key) = (read("root.crt")?, read("root.key")?);
    let state = broker.state().display().to_string();
    for command in row(ROWS[5])? {
        match command.as_str() {
            "systemctl stop broker" => drop(broker.stop()?),
            "systemctl start broker" => broker.serve()?,
            line => {
                let line = line.replace("/var/lib/broker", &state).replace("NAME", "anew");
                let ended = broker.typed(&line)?;
                assert_eq!(ended.code, 0, "{line}: {}", ended.stderr);
            }
        }
    }
    let new = broker.invite(&["--uses", "9"])?;
    let pin = |invite: &str| InviteLine::parse(invite).map(|line| line.unverified().pin.clone());
    assert_ne!(pin(&new)?, pin(&old)?);
    assert!(admitted(manager, &broker, &old)?.is_err());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let stolen = Root::from_pem(&root, &root_key, "lab")?;
    let issuing = stolen.issue(9, rustls_pki_types::UnixTime::since_unix_epoch(now))?;
    let forged = Thief { issuing, ..thief }.machine(&new, broker.address())?;
    assert!(matches!(on(manager, || async { forged.grant().await })?, Err(Told::Broken(_))));
    assert_admits(manager, &broker, &new)?;
    Ok(())
}

pub(crate) fn all_that_a_removed_manager_knew(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(3)?;
    let broker = found(&hosts[0])?;
    let swarm_ca = SwarmCa::given_to(&hosts[0])?;
    let given = hosts[0].join_token(Role::Manager)?;
    let removed = follow(&hosts[1], &broker.invite(&["--role", "manager"])?)?;
    let thief = Thief::of(removed.state())?;
    let seen = thief.invite(&removed.invite(&["--uses", "9"])?);
    assert_admits(&hosts[0], &broker, &seen)?;
    // The token that came with it is replaced by itself.
    let token = until(LONG, "the manager token to be another one", || {
        hosts[0].join_token(Role::Manager).ok().filter(|token| *token != given)
    })?;
    // A manager that was adopted has no key of its own that must ask for the cluster's.
    hosts[2].join(&hosts[0], &token)?;
    let adopted = id(&hosts[2])?;
    broker.ok(&["adopt", adopted.as_str(), "--reason", "ours"])?;
    let asker = Asker::new(&seen)?;
    let asks = |certificate| ask(&broker, &seen, certificate, &asker.request(&adopted, None));
    assert!(asks(swarm_ca.manager(&hosts[0], &adopted)?)?.is_ok(), "what the swarm's own CA is worth");
    let forged = swarm_ca.manager(&hosts[0], &adopted)?;
    typed(&broker, ROWS[6], &[("NODE", hosts[1].name())])?;
    let told = asks(forged)?;
    assert!(told.is_err(), "it is given the new keys by a certificate of the swarm's former CA");
    is_worth_nothing(&thief, &hosts[0], &broker, &seen)?;
    assert_ne!(hosts[0].join_token(Role::Manager)?, token);
    Ok(())
}
