//! What is told at the end: figures, and each violation with the history of who saw it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

use lab::programs;
use serde_json::{Value, json};

use crate::check::Violation;
use crate::history::{Answer, History, Step};
use crate::run::Ran;
use crate::words::Words;

/// What the run came to, for programs.
pub(crate) fn figures(words: &Words, history: &History, violations: &[Violation]) -> Value {
    let faults = by_kind(history);
    let answers = |answer| history.clients.iter().flat_map(|c| &c.asked).filter(|asked| asked.answer == answer).count();
    let joined = history.clients.iter().filter(|client| client.was_given(Step::Join)).count();
    json!({
        "seed": words.seed,
        "managers": words.managers,
        "histories": history.clients.len(),
        "invites": history.invites.len(),
        "admitted": history.clients.iter().filter(|client| client.has_token()).count(),
        "engines_joined": joined,
        "answers": {
            "given": answers(Answer::Given),
            "refused": answers(Answer::Refused),
            "ask_again": answers(Answer::AskAgain),
            "unavailable": answers(Answer::Unavailable),
            "unknown": answers(Answer::Unknown),
        },
        "orders": history.orders.len(),
        "faults": faults.values().sum::<usize>(),
        "faults_by_kind": faults,
        "violations": violations.len(),
        "promises_broken": violations.iter().map(|violation| violation.promise).collect::<Vec<_>>(),
    })
}

/// The same for people: a line each.
pub(crate) fn lines(figures: &Value) -> String {
    let kinds: Vec<String> = figures["faults_by_kind"]
        .as_object()
        .into_iter()
        .flatten()
        .map(|(kind, count)| format!("{kind} {count}"))
        .collect();
    let answers = &figures["answers"];
    format!(
        "seed: {}\nmanagers: {}\nhistories: {} ({} admitted, {} engines joined, {} invites)\nanswers: {} given, {} refused, {} \
         ask again, {} unavailable, {} unknown\nfaults: {} ({})\norders: {}\nviolations: {}",
        figures["seed"],
        figures["managers"],
        figures["histories"],
        figures["admitted"],
        figures["engines_joined"],
        figures["invites"],
        answers["given"],
        answers["refused"],
        answers["ask_again"],
        answers["unavailable"],
        answers["unknown"],
        figures["faults"],
        kinds.join(", "),
        figures["orders"],
        figures["violations"],
    )
}

fn by_kind(history: &History) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for hurt in &history.hurts {
        *kinds.entry(hurt.kind.name()).or_default() += 1;
    }
    kinds
}

/// Each violation, with all that the client asked and was answered that saw it.
pub(crate) fn violation(violation: &Violation, history: &History) -> String {
    let mut text = format!("violation of {}: {}", violation.promise, violation.what);
    if let Some(client) = violation.client.map(|number| &history.clients[number]) {
        // Writing to a string does not fail.
        let _ = write!(text, "\n  by {:?} client with key {}", client.kind, client.key);
        for exchange in client.asked.iter().filter_map(|exchange| serde_json::to_string(exchange).ok()) {
            let _ = write!(text, "\n  {exchange}");
        }
    }
    text
}

/// Keeps the whole history in a folder, which is given: each client, invite, fault and order in a line, as JSON.
pub(crate) fn keep(words: &Words, ran: &Ran) -> io::Result<PathBuf> {
    let target = programs::target().map_err(io::Error::other)?;
    let folder = target.join("soak").join(format!("seed-{}-of-{}", words.seed, words.managers));
    fs::create_dir_all(&folder)?;
    let mut file = fs::File::create(folder.join("history.jsonl"))?;
    let history = serde_json::to_value(&ran.history)?;
    for (name, list) in history.as_object().into_iter().flatten() {
        for entry in list.as_array().into_iter().flatten() {
            writeln!(file, "{}", json!({ name: entry }))?;
        }
    }
    for (broker, log) in ran.evidence.logs.iter().enumerate() {
        fs::write(folder.join(format!("broker-{broker}.jsonl")), &log.text)?;
    }
    Ok(folder)
}
