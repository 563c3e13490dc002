//! Machines with an engine: they join by a joiner, as a real one does, and leave again.

use std::sync::atomic::Ordering;

use lab::cluster::{Joiner, write_private};
use lab::{Host, LONG, Result, until};

use crate::history::{Answer, Client, Exchange, Step};
use crate::plan::Kind;
use crate::scene::in_time;
use crate::shared::Shared;

/// Joins by this invite, which stands at this place in the history: until it is in or was refused, as cloud-init would
/// run the joiner again.
pub(crate) fn joins(host: &Host, shared: &Shared, invite: usize, line: &str) -> Result<()> {
    let client = Client { invite, kind: Kind::Honest, key: String::new(), asked: Vec::new(), done: false };
    let number = shared.enter(client);
    shared.busy.fetch_add(1, Ordering::Relaxed);
    let outcome = boots(host, shared, number, line);
    shared.busy.fetch_sub(1, Ordering::Relaxed);
    outcome
}

fn boots(host: &Host, shared: &Shared, number: usize, line: &str) -> Result<()> {
    let file = host.folder().join("invite");
    write_private(&file, line)?;
    let command =
        Joiner::new(host, line).command(&["join", "--timeout", "20s", "--invite-file", &file.display().to_string()]);
    while !shared.is_too_late() {
        let begun = shared.now();
        let ended = in_time(&command, "60")?;
        let answer = match ended.code {
            0 => Answer::Given,
            77 => Answer::Refused,
            75 => Answer::Unavailable,
            _ => Answer::Unknown,
        };
        let words = ended.stderr.lines().last().unwrap_or_default().to_owned();
        let (broker, grant, recorded) = (None, None, None);
        shared.saw(
            number,
            Exchange { step: Step::Join, broker, begun, ended: shared.now(), answer, grant, recorded, words },
        );
        let client = &mut shared.history().clients[number];
        if let Some(key) = key_in(&ended.stderr) {
            key.clone_into(&mut client.key);
        }
        client.done = matches!(answer, Answer::Given | Answer::Refused);
        if client.done {
            break;
        }
    }
    Ok(())
}

/// The key that a joiner said that it made.
fn key_in(told: &str) -> Option<&str> {
    let (_, rest) = told.split_once("new key ")?;
    rest.split(|end: char| end == ',' || end.is_whitespace()).next()
}

/// Leaves as a machine does that is taken down; whose joiner cannot, for a fault, is taken out by its engine alone.
pub(crate) fn leaves(host: &Host) -> Result<()> {
    let is_out = || host.swarm_state().is_ok_and(|state| state == "inactive");
    if is_out() {
        return Ok(());
    }
    let told = in_time(&Joiner::new(host, "").command(&["leave", "--timeout", "10s"]), "60")?;
    if told.code != 0 {
        eprintln!("soak: {} leaves unheard: {}", host.name(), told.stderr.lines().last().unwrap_or_default());
    }
    until(LONG, "an engine to leave", || (is_out() || host.leave().is_ok()).then_some(()))
}
