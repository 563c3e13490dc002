//! The story of logs that were written as a broker writes them.

use std::path::Path;

use tempfile::TempDir;

use super::*;
use crate::audit::{Audit, Event, Outcome, Reason, Record};
use crate::review::{page, read_all};

fn log(folder: &Path, broker: &str, records: Vec<Record>) {
    std::fs::create_dir_all(folder).expect("made");
    let (audit, _) = Audit::open(&folder.join("audit.jsonl"), broker).expect("opens");
    for record in records {
        audit.record_blocking(record).expect("written");
    }
}

fn invite() -> protocol::InviteId {
    "0123456789abcdef0123456789abcdef".parse().expect("an id")
}

fn node(letter: char) -> protocol::NodeId {
    letter.to_string().repeat(25).parse().expect("an id")
}

/// The records of a boot: with its end, and without.
fn boot(name: &str, letter: char, joins: bool) -> Vec<Record> {
    let about = |event| Record {
        invite: Some(invite()),
        key: Some(protocol::KeyHash::of_spki(name.as_bytes())),
        hostname: Some(name.to_owned()),
        ..Record::new(event)
    };
    let mut records = vec![about(Event::IdentityIssued), about(Event::GrantRedeemed)];
    if joins {
        let node = Some(node(letter));
        records.push(Record { node: node.clone(), ..about(Event::NodeJoined) });
        let labels = [("zone".to_owned(), "a".to_owned())].into();
        records.push(Record { node, labels, ..about(Event::NodeLabelled) });
    }
    records
}

fn made() -> Record {
    Record { invite: Some(invite()), operator: Some("uid 0 (root)".into()), ..Record::new(Event::InviteMade) }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn a_boot_is_one_node_with_all_its_records_whatever_brokers_wrote_them() {
    let folder = folder();
    let (one, two) = (folder.path().join("one"), folder.path().join("two"));
    let mut records = boot("worker-1", 'a', true);
    // The confirm was asked for again at another broker.
    let again = records.split_off(2);
    log(&one, "one", [vec![made()], records, again[..1].to_vec()].concat());
    log(&two, "two", again);
    let logs = read_all(&[one, two], &[]);
    let story = Story::of(&logs, Span::default());
    let [node] = &story.nodes[..] else { panic!("{:?}", story.nodes) };
    assert_eq!((node.hostname, node.records.len()), ("worker-1", 5));
    assert_eq!(
        (node.explained, node.labels.as_slice()),
        (Explained::Invited { invite: invite().as_str() }, &[("zone", "a")][..])
    );
    let [invitation] = &story.invitations[..] else { panic!("{:?}", story.invitations) };
    assert_eq!((invitation.by(), invitation.joined), (Some("uid 0 (root)"), 1));
    assert!(story.unfinished.is_empty() && story.alarms.is_empty() && story.refusals.is_empty());
}

#[test]
fn a_machine_that_was_given_the_token_and_did_not_confirm_is_told() {
    let folder = folder();
    log(folder.path(), "one", boot("worker-1", 'a', false));
    let logs = read_all(&[folder.path().to_owned()], &[]);
    let story = Story::of(&logs, Span::default());
    let [boot] = &story.unfinished[..] else { panic!("{:?}", story.unfinished) };
    assert!(boot.has_token && boot.records.len() == 2 && story.nodes.is_empty());
}

#[test]
fn a_flood_is_one_row_and_one_alarm() {
    let folder = folder();
    let refused = |reason| Record { source: Some([10, 0, 0, 1].into()), ..Record::refusal(reason) };
    let more = Some("and 980 more of this kind within a minute".into());
    let more = Record { detail: more, outcome: Outcome::Alarm, ..refused(Reason::UsedUp) };
    log(folder.path(), "one", vec![refused(Reason::UsedUp), refused(Reason::OtherKey), refused(Reason::UsedUp), more]);
    let logs = read_all(&[folder.path().to_owned()], &[]);
    let story = Story::of(&logs, Span::default());
    let rows = |groups: &[Group<'_>]| groups.iter().map(|group| (group.times, group.records.len())).collect::<Vec<_>>();
    assert_eq!((rows(&story.refusals), rows(&story.alarms)), (vec![(2, 2)], vec![(1, 1), (980, 1)]));
}

#[test]
fn an_unexplained_node_that_was_adopted_is_explained_and_stays_an_alarm() {
    let folder = folder();
    let about = |event| Record { node: Some(node('a')), hostname: Some("box".into()), ..Record::new(event) };
    let alarm = Record { outcome: Outcome::Alarm, ..about(Event::NodeUnexplained) };
    let adopted = Record { operator: Some("me".into()), detail: Some("mine".into()), ..about(Event::NodeAdopted) };
    log(folder.path(), "one", vec![alarm.clone()]);
    let logs = read_all(&[folder.path().to_owned()], &[]);
    assert_eq!(Story::of(&logs, Span::default()).nodes[0].explained, Explained::Nothing);
    log(folder.path(), "one", vec![adopted, alarm]);
    let logs = read_all(&[folder.path().to_owned()], &[]);
    let story = Story::of(&logs, Span::default());
    assert_eq!(story.nodes[0].explained, Explained::Adopted { by: "me", why: "mine" });
    assert_eq!(story.alarms[0].times, 2);
}

#[test]
fn a_replacement_is_one_row_from_its_beginning_on() {
    let folder = folder();
    let token = |event| Record { role: Some(protocol::Role::Worker), generation: Some(2), ..Record::new(event) };
    let key = |event| Record { what: Some("invite-key".into()), ..Record::new(event) };
    let records = vec![
        token(Event::TokenRotating),
        key(Event::KeyRotating),
        token(Event::TokenRotated),
        Record { generation: Some(3), ..key(Event::KeyRotated) },
        Record { generation: Some(3), ..key(Event::KeyFollowed) },
        token(Event::TokenRotating),
    ];
    log(folder.path(), "one", records);
    let logs = read_all(&[folder.path().to_owned()], &[]);
    let story = Story::of(&logs, Span::default());
    let rows: Vec<_> = story.replaced.iter().map(|one| (one.what.as_str(), one.ended, one.records.len())).collect();
    assert_eq!(rows, [("worker token", true, 2), ("invite-key", true, 3), ("worker token", false, 1)]);
}

#[test]
fn what_happened_before_is_not_told_and_explains_all_the_same() {
    let folder = folder();
    log(folder.path(), "one", [vec![made()], boot("worker-1", 'a', true)].concat());
    let logs = read_all(&[folder.path().to_owned()], &[]);
    let at = logs[0].entries[0].at();
    let later = Story::of(&logs, Span { since: Some(at + 100), until: None });
    assert!(later.nodes.is_empty() && later.invitations.is_empty() && later.records == 0);
    assert!(page(&logs, &later, Span::default(), at).contains("No machine joined"));
    let then = Story::of(&logs, Span { since: Some(at), until: Some(at + 100) });
    assert_eq!(then.nodes.len(), 1);
}

#[test]
fn every_record_is_in_some_row() {
    let folder = folder();
    let records =
        [vec![made(), Record::new(Event::BrokerStarted)], boot("one", 'a', true), boot("two", 'b', false)].concat();
    log(folder.path(), "one", records);
    let logs = read_all(&[folder.path().to_owned()], &[]);
    let text = page(&logs, &Story::of(&logs, Span::default()), Span::default(), 0);
    for entry in &logs[0].entries {
        assert!(text.contains(&format!("record {} of log", entry.number)), "record {} is nowhere", entry.number);
    }
    assert!(text.contains("✓ as signed") && !text.contains("not what was signed"));
}

#[test]
fn whatever_a_log_says_is_text() {
    let hostile = "</script><img src=x onerror=alert(1)>\"'\u{202e}&lt;";
    let folder = folder();
    let mut records = boot(hostile, 'a', true);
    records.push(Record { detail: Some(hostile.into()), ..Record::new(Event::KeyRotated) });
    records.push(Record { hostname: Some(hostile.into()), ..Record::refusal(Reason::OtherKey) });
    log(folder.path(), "one", records);
    // Whoever wrote a log that nobody signed may have put it anywhere.
    let forged = folder.path().join("<b>forged");
    std::fs::create_dir_all(&forged).expect("made");
    let fields = ["broker", "node", "key", "invite", "outcome", "what", "role", "labels", "policy", hostile];
    let mut lines = String::new();
    for (number, event) in
        [hostile, "node.joined", "invite.made", "token.rotated", "identity.issued"].iter().enumerate()
    {
        let mut line: serde_json::Map<_, _> =
            fields.map(|field| (field.to_owned(), hostile.into())).into_iter().collect();
        line.insert("number".into(), number.into());
        line.insert("time".into(), "2026-11-21T08:30:11Z".into());
        line.insert("event".into(), (*event).into());
        lines.push_str(&serde_json::Value::from(line).to_string());
        lines.push('\n');
    }
    std::fs::write(forged.join("audit.jsonl"), lines).expect("written");
    let logs = read_all(&[folder.path().to_owned(), forged], &[]);
    let text = page(&logs, &Story::of(&logs, Span::default()), Span::default(), 0);
    assert!(!text.contains("<img") && !text.contains("<b>forged") && !text.contains('\u{202e}'));
    assert!(text.contains("&lt;/script&gt;&lt;img src=x onerror=alert(1)&gt;&quot;"));
    assert_eq!(text.matches("</script>").count(), 1, "the page's own");
    // Nothing is fetched, whatever a log says, and nothing of ours asks for anything.
    assert!(text.contains("content=\"default-src 'none'; style-src 'sha256-"));
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains("url("));
}

#[test]
fn a_changed_record_is_named_and_the_others_are_right() {
    let folder = folder();
    log(folder.path(), "one", boot("worker-1", 'a', true));
    let path = folder.path().join("audit.jsonl");
    let text = std::fs::read_to_string(&path).expect("reads");
    let joined = text.lines().find(|line| line.contains("node.joined")).expect("joined");
    std::fs::write(&path, text.replace(joined, &joined.replace("worker-1", "worker-9"))).expect("written");
    let logs = read_all(&[folder.path().to_owned()], &[]);
    let wrong: Vec<u64> =
        logs[0].entries.iter().filter(|entry| !logs[0].has_signed(entry)).map(|entry| entry.number).collect();
    assert_eq!(wrong, [3]);
    let text = page(&logs, &Story::of(&logs, Span::default()), Span::default(), 0);
    assert!(text.contains("NOT what was signed") && text.contains("✗ not what was signed"));
}

#[test]
fn two_logs_of_one_broker_are_one_or_one_of_them_is_wrong() {
    let folder = folder();
    let [one, copy, other] = ["one", "copy", "other"].map(|name| folder.path().join(name));
    log(&one, "one", boot("worker-1", 'a', true));
    std::fs::create_dir(&copy).expect("made");
    for name in ["audit.jsonl", "audit.hashes", "audit.head", "audit.pub"] {
        std::fs::copy(one.join(name), copy.join(name)).expect("copied");
    }
    log(&one, "one", boot("worker-2", 'b', true));
    log(&other, "one", boot("worker-1", 'a', true));
    let logs = read_all(&[one.clone(), copy.clone(), other], &[]);
    let wrong: Vec<bool> = logs.iter().map(|log| log.wrong().is_some()).collect();
    assert_eq!(wrong, [false, false, true], "the copy is its beginning, the other one another log");
    assert!(logs[2].wrong().is_some_and(|wrong| wrong.contains("though of the same broker")));
    std::fs::write(copy.join("forked.head"), "kept").expect("written");
    assert!(read_all(&[copy], &[])[0].wrong().is_some_and(|wrong| wrong.contains("has shown another log")));
}

#[test]
fn a_log_in_two_copies_is_told_once_and_the_right_copy_counts() {
    let folder = folder();
    let (real, copy) = (folder.path().join("real"), folder.path().join("copy"));
    log(&real, "one", boot("worker-1", 'a', true));
    std::fs::create_dir(&copy).expect("made");
    for name in ["audit.jsonl", "audit.hashes"] {
        std::fs::copy(real.join(name), copy.join(name)).expect("copied");
    }
    let logs = read_all(&[copy, real], &[]);
    assert_eq!(logs.iter().map(|log| log.entries.len()).collect::<Vec<_>>(), [0, 5]);
    assert!(logs[0].wrong().is_some() && logs[1].wrong().is_none());
    let none = read_all(&[folder.path().join("none")], &[]);
    assert!(none.len() == 1 && none[0].wrong().is_some(), "one that is not there is said");
}
