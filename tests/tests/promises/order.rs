//! Promise 4, as the kernel saw it: no answer is sent before the record that it hangs on is on disk and signed.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use lab::cluster::{Broker, Cluster, Machine, on};
use lab::{Failed, LONG, Pool, Process, until};

/// Calls that end or begin something here.
const TRACED: &str = "trace=read,recvfrom,write,writev,sendto,sendmsg,fsync,fdatasync,rename";

/// What ends a connection is in 24 bytes. No request is as short as this.
const SHORT: i64 = 64;

/// A call, at its place in the order.
#[derive(Debug)]
struct Call {
    thread: String,
    name: String,
    /// Its arguments, with what its descriptors are.
    words: String,
    begun: usize,
    ended: usize,
    result: i64,
}

/// Reads what strace wrote.
fn calls(text: &str) -> Vec<Call> {
    let mut open: HashMap<&str, (usize, String, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some((thread, rest)) = line.split_once(' ').map(|(thread, rest)| (thread, rest.trim_start())) else {
            continue;
        };
        let end = |rest: &str| rest.rsplit_once("= ").and_then(|(_, end)| end.split_whitespace().next()?.parse().ok());
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let Some((begun, name, words)) = open.remove(thread) else { continue };
            let words = format!("{words}{resumed}");
            calls.push(Call { thread: thread.into(), name, words, begun, ended: at, result: end(rest).unwrap_or(-1) });
        } else if let Some((name, words)) = rest.split_once('(') {
            if rest.ends_with("<unfinished ...>") {
                open.insert(thread, (at, name.into(), words.into()));
            } else {
                let (name, words) = (name.into(), words.into());
                calls.push(Call {
                    thread: thread.into(),
                    name,
                    words,
                    begun: at,
                    ended: at,
                    result: end(rest).unwrap_or(-1),
                });
            }
        }
    }
    calls
}

impl Call {
    /// The connection it is on. A broker alone has no others than those of machines; the engine's is no TCP.
    fn connection(&self) -> Option<&str> {
        let (_, rest) = self.words.split_once("<TCP")?;
        // It has an arrow between its two ends.
        rest.split("]>").next()
    }

    /// Whether a request came by it, or a part of a handshake.
    fn reads(&self) -> bool {
        ["read", "recvfrom"].contains(&self.name.as_str()) && self.result > SHORT
    }

    fn sends(&self) -> bool {
        ["write", "writev", "sendto", "sendmsg"].contains(&self.name.as_str())
    }
}

/// That the answer which hangs on the last record of this event came after it.
fn assert_recorded_first(calls: &[Call], event: &str) -> Result<(), Failed> {
    let named = format!("\\\"event\\\":\\\"{event}\\\"");
    let written = calls
        .iter()
        .rfind(|call| call.sends() && call.words.contains("audit.jsonl>") && call.words.contains(&named))
        .ok_or_else(|| format!("no record of {event}"))?;
    let after = |name: &str, of: &str| {
        calls
            .iter()
            .find(|call| {
                call.thread == written.thread
                    && call.begun > written.ended
                    && call.name == name
                    && call.words.contains(of)
                    && call.result == 0
            })
            .ok_or_else(|| format!("no {name} of {of} after the record of {event}"))
    };
    let durable = after("fdatasync", "audit.jsonl>")?;
    let signed = after("rename", "/audit.head\"")?;
    assert!(durable.ended < signed.begun, "{event}: signed before it is on disk");
    // Who was heard last is who is answered: nobody else asks.
    let request = calls
        .iter()
        .rfind(|call| call.reads() && call.connection().is_some() && call.ended < written.begun)
        .ok_or_else(|| format!("no request before the record of {event}"))?;
    let answer = calls
        .iter()
        .find(|call| call.sends() && call.connection() == request.connection() && call.begun > request.ended)
        .ok_or_else(|| format!("no answer after the record of {event}"))?;
    assert!(answer.begun > signed.ended, "{event}: answered at {}, signed at {}", answer.begun, signed.ended);
    Ok(())
}

pub(crate) fn no_answer_is_sent_before_its_record_is_on_disk_and_signed(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let manager = cluster.manager();
    // Nothing else is done meanwhile.
    let mut broker = Broker::start_with(manager, &["--rotate-worker", "manual"])?;
    let invite = broker.invite(&["--uses", "1"])?;
    let trace = manager.folder().join("trace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-yy", "-s", "2000", "-e", TRACED, "-o"]).arg(&trace);
    strace.arg("-p").arg(broker.process()?.pid().to_string());
    let mut strace: Process = manager.spawn("strace", strace)?;
    until(LONG, "strace to follow each thread", || strace.stderr().contains("attached").then_some(()))?;

    let address = broker.address();
    let admitted = on(manager, || async { Machine::new(&invite, address).admitted().await.is_ok() })?;
    assert!(admitted);
    until(LONG, "the last call", || fs::read_to_string(&trace).ok()?.contains("grant.redeemed").then_some(()))?;
    broker.stop()?;
    strace.wait(LONG)?;
    let calls = calls(&fs::read_to_string(&trace)?);
    for event in ["identity.issued", "grant.issued", "grant.redeeming", "grant.redeemed"] {
        assert_recorded_first(&calls, event)?;
    }
    Ok(())
}
