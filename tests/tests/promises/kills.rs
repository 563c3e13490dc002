//! Of three brokers, whichever replaces a secret may be killed at any step: the others go on admitting, and it finishes or
//! undoes what it was at when it starts again, and says which.

use std::fs;

use lab::cluster::{Broker, Gated, Held, Joiner, finish};
use lab::{Failed, Host, Pool, Role};
use serde_json::Value;

use crate::follows::follows;
use crate::managers::invite_file;
use crate::rotation_cut_off::{OBJECT, is_under_way, last_word};

/// What became of an order that was cut off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Finished,
    Undone,
}

/// One kill: the order, the write at which the broker is, whether that is done, and what is to become of it.
struct Kill {
    order: &'static str,
    write: Write,
    number: usize,
    done: bool,
    end: End,
}

/// What is written.
#[derive(Clone, Copy)]
enum Write {
    /// This object of the ledger.
    Object(&'static str),
    /// The entry of the broker itself.
    Entry,
    /// A new object.
    New,
    /// Docker's own, with the tokens.
    Swarm,
}

const fn kill(order: &'static str, write: Write, number: usize, done: bool, end: End) -> Kill {
    Kill { order, write, number, done, end }
}

/// What is before a write is what is after the one before it.
const KILLS: [Kill; 11] = [
    kill("worker", Write::Object(OBJECT), 1, false, End::Undone),
    kill("worker", Write::Object(OBJECT), 1, true, End::Undone),
    kill("worker", Write::Swarm, 1, true, End::Finished),
    kill("worker", Write::Object(OBJECT), 2, true, End::Finished),
    kill("invite-key", Write::New, 1, false, End::Undone),
    kill("invite-key", Write::New, 1, true, End::Undone),
    kill("invite-key", Write::Entry, 1, true, End::Finished),
    kill("signing-key", Write::Entry, 1, false, End::Undone),
    kill("signing-key", Write::Entry, 1, true, End::Undone),
    kill("ca", Write::Object("swarm-broker.issuing"), 1, false, End::Finished),
    kill("ca", Write::Object("swarm-broker.issuing"), 1, true, End::Finished),
];

/// Three managers' brokers, each behind a gate.
fn three(hosts: &[Host]) -> Result<Vec<Gated<'_>>, Failed> {
    let founder = Gated::up(Broker::init(&hosts[0])?, &["--form"])?;
    let invite = founder.invite(&["--role", "manager", "--uses", "2"])?;
    let mut brokers = vec![founder];
    for host in &hosts[1..3] {
        brokers.push(Gated::up(Broker::nowhere(host)?, &["--invite-file", &invite_file(host, &invite)?])?);
    }
    Ok(brokers)
}

fn object(manager: &Host, name: &str) -> Result<String, Failed> {
    Ok(manager.config(name)?["ID"].as_str().ok_or("no id")?.to_owned())
}

/// The object that holds a broker's entry.
fn entry(broker: &Broker<'_>) -> Result<String, Failed> {
    let file: Value = serde_json::from_str(&fs::read_to_string(broker.state().join("cluster.json"))?)?;
    Ok(format!("swarm-broker.broker.{}", file["broker"].as_str().ok_or("no id")?))
}

/// Kills a broker there. False if it was at the renewal of its entry, and had not begun: it renews that every ten seconds.
fn killed(broker: &mut Gated<'_>, root: &str, kill: &Kill) -> Result<bool, Failed> {
    let manager = broker.host();
    let written = match kill.write {
        Write::Object(name) => Some(object(manager, name)?),
        Write::Entry => Some(object(manager, &entry(broker)?)?),
        Write::New | Write::Swarm => None,
    };
    let request = match (&written, kill.write) {
        (Some(id), _) => format!("/configs/{id}/update"),
        (None, Write::Swarm) => "/swarm/update".into(),
        (None, _) => "/configs/create".into(),
    };
    let (before, token) = (manager.config_versions()?, manager.join_token(Role::Worker)?);
    let begun = |broker: &Broker<'_>| -> Result<usize, Failed> {
        Ok(broker.count("key.rotating", None)? + broker.count("token.rotating", None)?)
    };
    let orders = begun(broker)?;
    let order: &[&str] = if kill.order == "ca" { &["rotate", "ca", "--root", root] } else { &["rotate", kill.order] };
    let step = Held { request, number: kill.number, done: kill.done };
    broker.kill_at(order, &step, || match &written {
        // Its second write ends what its first one began.
        Some(_) if kill.number == 2 => is_under_way(manager).is_ok_and(|under_way| !under_way),
        Some(id) => manager.config_versions().is_ok_and(|now| now.get(id) != before.get(id)),
        None if matches!(kill.write, Write::Swarm) => manager.join_token(Role::Worker).is_ok_and(|now| now != token),
        None => manager.config_versions().is_ok_and(|now| now.len() > before.len()),
    })?;
    Ok(begun(broker)? > orders)
}

/// The last that a broker's log says of a key.
fn last_of_key(broker: &Broker<'_>, what: &str) -> Result<(String, String), Failed> {
    let records = broker.records()?;
    let last = records
        .iter()
        .rev()
        .find(|record| {
            record["what"] == what && record["event"].as_str().is_some_and(|event| event.starts_with("key."))
        })
        .ok_or("no word of the key")?;
    let text = |name: &str| last[name].as_str().unwrap_or_default().to_owned();
    Ok((text("event"), text("detail")))
}

pub(crate) fn any_of_three_brokers_that_is_killed_at_any_step_of_a_rotation_says_what_became_of_it(
    pool: &Pool,
) -> Result<(), Failed> {
    let hosts = pool.lease(3 + KILLS.len() + 3)?;
    let (managers, machines) = hosts.split_at(3);
    let mut brokers = three(managers)?;
    let root = brokers[0].state().display().to_string();
    let (mut tokens, mut ca) = (1, 1);

    for (round, kill) in KILLS.iter().enumerate() {
        let (rotates, admits) = (round % 3, (round + 1) % 3);
        let place = format!("{} at broker {rotates}, round {round}", kill.order);
        while !killed(&mut brokers[rotates], &root, kill)? {
            brokers[rotates].serve()?;
        }
        let invite = brokers[admits].invite(&["--uses", "1"])?;
        // Where a token's rotation was left open, no worker is given one before it is ended: by the broker itself when it is
        // back, or by the others when it does not come back.
        let left_open = is_under_way(&managers[admits])? && kill.end == End::Undone;
        let joining = Joiner::new(&machines[round], &invite).start()?;
        if left_open {
            brokers[rotates].serve()?;
        }
        let ended = finish(joining)?;
        assert_eq!(ended.code, 0, "{place}: a machine meanwhile: {}", ended.stderr);
        if !left_open {
            brokers[rotates].serve()?;
        }

        let finished = kill.end == End::Finished;
        if kill.order == "worker" {
            tokens += u64::from(finished);
            let word = if finished { "token.found" } else { "token.kept" };
            assert_eq!(last_word(&brokers[rotates])?, (word.to_owned(), tokens), "{place}");
            continue;
        }
        ca += u64::from(finished && kill.order == "ca");
        let (event, words) = last_of_key(&brokers[rotates], kill.order)?;
        let (expected, word) =
            if finished { ("key.rotated", "is finished") } else { ("key.rotation-failed", "undone") };
        assert!(event == expected && words.contains(word), "{place}: {event}: {words}");
    }

    let kid = brokers[0].json(&["rotate", "invite-key", "--dry-run", "--json"])?["kid"].clone();
    for (broker, machine) in brokers.iter().zip(&machines[KILLS.len()..]) {
        follows(broker, ca, &kid)?;
        assert_eq!(broker.json(&["status", "--json"])?["tokens"][0]["generation"], tokens);
        Joiner::new(machine, &broker.invite(&["--uses", "1"])?).joins()?;
    }
    Ok(())
}
