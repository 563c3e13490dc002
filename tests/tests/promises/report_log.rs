//! A log of a swarm with two hundred nodes, as a broker would have written it over three weeks.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use lab::Failed;
use serde_json::{Value, json};

/// A hostname that wants to be more than one.
pub(crate) const HOSTILE: &str = "</script><img src=x onerror=alert(1)>\u{202e}";

/// Writes more records to a log: invites, 200 joins on them, refusals, a rotation and three alarms. They are signed by
/// whoever opens the log next, as those of a broker that was killed are.
pub(crate) fn write(state: &Path) -> Result<(), Failed> {
    let path = state.join("audit.jsonl");
    let mut text = fs::read_to_string(&path)?;
    let first: Value = serde_json::from_str(text.lines().next().ok_or("an empty log")?)?;
    let mut log = Log { number: text.lines().count(), broker: first["broker"].clone(), text: String::new() };
    log.three_weeks();
    text += &log.text;
    fs::write(&path, text)?;
    Ok(())
}

struct Log {
    number: usize,
    broker: Value,
    text: String,
}

/// Seconds of a day.
const DAY: u64 = 86_400;
/// 2026-11-01, in seconds since 1970.
const BEGIN: u64 = 1_793_491_200;

impl Log {
    fn three_weeks(&mut self) {
        let invites: Vec<String> = (0..4).map(|number| hex(7 + number, 32)).collect();
        let mut at = BEGIN + 8 * 3600;
        self.write(
            at,
            &json!({ "event": "node.adopted", "node": id(900, 25), "hostname": "manager-1",
            "role": "manager", "operator": "broker", "detail": "was there before the broker" }),
        );
        for (week, invite) in invites.iter().enumerate() {
            at = BEGIN + (week as u64 * 5 + 1) * DAY + 9 * 3600;
            let operator = ["uid 0 (root)", "uid 1001 (mira)"][week % 2];
            self.write(
                at,
                &json!({ "event": "invite.made", "invite": invite, "role": "worker", "operator": operator,
                "ends": at + 4 * 3600, "policy": { "uses": 50, "from": ["10.0.0.0/16"] },
                "detail": "for 50 machines" }),
            );
            for number in 0..50 {
                let node = week as u64 * 50 + number;
                self.join(at + 60 + number * 41 * (1 + number % 3), invite, node);
            }
        }
        let about = |event: &str| {
            json!({ "event": event, "role": "worker", "generation": 2,
            "operator": "uid 1001 (mira)", "detail": "manual: the intern left" })
        };
        self.write(BEGIN + 12 * DAY, &about("token.rotating"));
        self.write(BEGIN + 12 * DAY + 1, &about("token.rotated"));
        for number in 0..9 {
            self.write(
                BEGIN + 3 * DAY + number * 3000,
                &json!({ "event": "refused", "outcome": "refused",
                "reason": "used-up", "source": "10.0.9.9", "invite": invites[0], "hostname": HOSTILE }),
            );
        }
        self.write(
            BEGIN + 14 * DAY,
            &json!({ "event": "refused", "outcome": "refused", "reason": "network",
            "source": "203.0.113.7", "invite": invites[2], "hostname": "laptop" }),
        );
        for (day, reason) in [(9, "other-key"), (13, "statement")] {
            self.write(
                BEGIN + day * DAY,
                &json!({ "event": "refused", "outcome": "alarm", "reason": reason,
                "source": "10.0.4.4", "invite": invites[1], "key": key(5000 + day) }),
            );
        }
        let unexplained = json!({ "event": "node.unexplained", "outcome": "alarm", "node": id(901, 25),
            "hostname": "gpu-box", "role": "worker",
            "detail": "a node joined without a grant: see 'broker nodes'; 'broker adopt' it or remove it" });
        self.write(BEGIN + 17 * DAY, &unexplained);
        self.write(
            BEGIN + 17 * DAY + 300,
            &json!({ "event": "identity.issued", "invite": invites[3], "role": "worker",
            "key": key(6000), "hostname": "worker-that-hangs", "source": "10.0.3.77" }),
        );
    }

    fn join(&mut self, at: u64, invite: &str, number: u64) {
        let hostname = format!("worker-{number}");
        let about = |event: &str, more: Value| {
            let mut record = json!({ "event": event, "invite": invite, "role": "worker", "key": key(number),
                "source": format!("10.0.{}.{}", number / 50, number % 50 + 10) });
            if let (Some(record), Value::Object(more)) = (record.as_object_mut(), more) {
                record.extend(more);
            }
            record
        };
        let grant = hex(number + 40_000, 64);
        let node = json!({ "grant": grant, "node": id(number, 25), "hostname": hostname });
        self.write(at, &about("identity.issued", json!({ "hostname": hostname })));
        self.write(at, &about("grant.issued", json!({ "grant": grant })));
        self.write(at, &about("grant.redeeming", json!({ "grant": grant })));
        self.write(at, &about("grant.redeemed", json!({ "grant": grant, "generation": 1 })));
        self.write(at + 1, &about("node.joined", node.clone()));
        let zone = if number.is_multiple_of(3) { "b" } else { "a" };
        let mut labelled = about("node.labelled", node);
        labelled["labels"] = json!({ "zone": zone, "tier": "web" });
        self.write(at + 1, &labelled);
    }

    fn write(&mut self, at: u64, record: &Value) {
        let mut line = record.clone();
        line["number"] = self.number.into();
        line["time"] = time(at).into();
        line["broker"] = self.broker.clone();
        if line.get("outcome").is_none() {
            line["outcome"] = "ok".into();
        }
        self.number += 1;
        let _ = writeln!(self.text, "{line}");
    }
}

/// RFC 3339, within November 2026.
fn time(at: u64) -> String {
    let (day, second) = ((at - BEGIN) / DAY + 1, (at - BEGIN) % DAY);
    format!("2026-11-{day:02}T{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

/// Letters that look like those of an id.
fn letters(number: u64, length: usize, alphabet: &[u8]) -> String {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(0x1234_5678);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 40).unwrap_or(0) % alphabet.len()
    };
    (0..length).map(|_| char::from(alphabet[next()])).collect()
}

fn hex(number: u64, length: usize) -> String {
    letters(number, length, b"0123456789abcdef")
}

fn id(number: u64, length: usize) -> String {
    letters(number, length, b"abcdefghijklmnopqrstuvwxyz0123456789")
}

fn key(number: u64) -> String {
    letters(number, 43, b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
}
