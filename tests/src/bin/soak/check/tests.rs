use super::*;
use crate::evidence::{Log, Object, Record, Redeemed};
use crate::fault::FaultKind;
use crate::history::{Answer, Client, Hurt, Invite, Step};
use crate::plan::Kind;

/// A run in which two clients with one invite for two were given the token by broker 0, and a third one was refused.
fn run() -> (History, Evidence) {
    let invite = Invite { id: "invite".into(), uses: 2, ends: 3_600_000_000, revoking: None, revoked: None };
    let mut history = History { invites: vec![invite], ..History::default() };
    let mut evidence = Evidence { logs: vec![Log::default(), Log::default()], ..Evidence::default() };
    let object = evidence.ledger.entry("invite".into()).or_default();
    for (key, at) in [("one", 1000), ("two", 2000)] {
        let grant = format!("grant of {key}");
        let mut redeem = exchange(Step::Redeem, at + 20, Answer::Given);
        (redeem.grant, redeem.recorded) = (Some(grant.clone()), Some(true));
        let asked = vec![
            exchange(Step::Identity, at, Answer::Given),
            Exchange { grant: Some(grant.clone()), ..exchange(Step::Grant, at + 10, Answer::Given) },
            redeem,
        ];
        history.clients.push(client(key, asked));
        for event in ["identity.issued", "grant.issued", "grant.redeeming", "grant.redeemed"] {
            evidence.logs[0].records.push(record(event, key, &grant));
        }
        object.uses.insert(key.into(), Some(Redeemed { grant }));
    }
    history.clients.push(client("three", vec![exchange(Step::Identity, 3000, Answer::Refused)]));
    (history, evidence)
}

fn client(key: &str, asked: Vec<Exchange>) -> Client {
    Client { invite: 0, kind: Kind::Honest, key: key.into(), asked, done: true }
}

fn exchange(step: Step, begun: Moment, answer: Answer) -> Exchange {
    let (broker, ended) = (Some(0), begun + 5);
    Exchange { step, broker, begun, ended, answer, grant: None, recorded: None, words: String::new() }
}

fn record(event: &str, key: &str, grant: &str) -> Record {
    let some = |text: &str| Some(text.to_owned());
    let grant = if event == "identity.issued" { None } else { some(grant) };
    Record { event: event.into(), invite: some("invite"), key: some(key), grant, ..Record::default() }
}

/// The promises that are broken once this was changed of the run.
fn broken(change: impl FnOnce(&mut History, &mut Evidence)) -> Vec<&'static str> {
    let (mut history, mut evidence) = run();
    change(&mut history, &mut evidence);
    let mut promises: Vec<_> = violations(&history, &evidence).iter().map(|violation| violation.promise).collect();
    promises.dedup();
    promises
}

const NONE: [&str; 0] = [];

#[test]
fn a_run_in_which_all_is_well_has_no_violation() {
    let (history, evidence) = run();
    assert_eq!(violations(&history, &evidence), []);
}

#[test]
fn one_key_too_many_is_seen_by_whoever_looks() {
    assert_eq!(broken(|history, _| history.invites[0].uses = 1), ["at-most-n"]);
    let in_the_ledger = broken(|_, evidence| {
        let object = evidence.ledger.get_mut("invite").expect("the object");
        object.uses.insert("three".into(), None);
    });
    assert_eq!(in_the_ledger, ["at-most-n"]);
    let in_a_log = broken(|_, evidence| evidence.logs[1].records.push(record("identity.issued", "three", "")));
    assert_eq!(in_a_log, ["at-most-n"]);
}

#[test]
fn a_stolen_grant_that_is_worth_something_is_seen() {
    let stolen = |answer| {
        broken(move |history, _| {
            let thief = Client { kind: Kind::Thief, ..client("three", vec![exchange(Step::Steal, 4000, answer)]) };
            history.clients[2] = thief;
        })
    };
    assert!(stolen(Answer::Given).contains(&"one-key"));
    assert_eq!(stolen(Answer::Refused), NONE);
    let in_the_logs = broken(|_, evidence| {
        let theft = ["grant.redeeming", "grant.redeemed"].map(|event| record(event, "two", "grant of one"));
        evidence.logs[1].records.extend(theft);
    });
    assert_eq!(in_the_logs, ["one-key"]);
}

#[test]
fn what_is_given_after_a_revocation_is_seen_and_what_is_given_meanwhile_is_none() {
    let revoked = |at| {
        broken(move |history, evidence| {
            (history.invites[0].revoking, history.invites[0].revoked) = (Some(at), Some(at + 5));
            evidence.ledger.get_mut("invite").expect("the object").revoked = true;
        })
    };
    assert_eq!(revoked(500), ["revoked"]);
    assert_eq!(revoked(2014), ["revoked"], "the second one's redemption began a moment after");
    assert_eq!(revoked(2015), NONE, "it began before the broker had said so");
    let forgotten = |history: &mut History, _: &mut Evidence| {
        (history.invites[0].revoking, history.invites[0].revoked) = (Some(9000), Some(9005));
    };
    assert_eq!(broken(forgotten), ["revoked"], "the ledger does not know of it");
}

#[test]
fn a_machine_that_had_the_token_before_the_revocation_may_finish_its_boot_after_it() {
    let joined = |first| {
        broken(move |history, evidence| {
            (history.invites[0].revoking, history.invites[0].revoked) = (Some(9000), Some(9005));
            evidence.ledger.get_mut("invite").expect("the object").revoked = true;
            // Who was refused is another story.
            history.clients.pop();
            history.clients[0].asked =
                vec![exchange(Step::Join, first, Answer::Unavailable), exchange(Step::Join, 9500, Answer::Given)];
        })
    };
    assert_eq!(joined(8000), NONE);
    assert_eq!(joined(9100), ["revoked"]);
}

#[test]
fn a_new_use_of_an_invite_that_has_ended_is_seen() {
    let ended = |ends| {
        broken(move |history, _| {
            for asked in history.clients.iter_mut().flat_map(|client| &mut client.asked) {
                (asked.begun, asked.ended) = (asked.begun + 2 * SLACK, asked.ended + 2 * SLACK);
            }
            history.invites[0].ends = ends;
        })
    };
    assert_eq!(ended(0), ["ended"]);
    assert_eq!(ended(SLACK + 3000), NONE);
}

#[test]
fn a_token_without_its_record_is_seen() {
    let late = |history: &mut History, _: &mut Evidence| history.clients[0].asked[2].recorded = Some(false);
    assert_eq!(broken(late), ["write-then-answer"]);
    for (event, number) in [("identity.issued", 0), ("grant.issued", 1), ("grant.redeeming", 2), ("grant.redeemed", 3)]
    {
        let dropped = broken(|_, evidence| drop(evidence.logs[0].records.remove(number)));
        assert!(dropped.contains(&"write-then-answer"), "{event}: {dropped:?}");
    }
    let elsewhere = broken(|_, evidence| {
        let record = evidence.logs[0].records.remove(3);
        evidence.logs[1].records.extend([Record { event: "grant.redeeming".into(), ..record.clone() }, record]);
    });
    assert_eq!(elsewhere, ["write-then-answer"], "it is the broker that gave it that has to say so");
}

#[test]
fn a_ledger_that_does_not_know_what_was_given_is_seen() {
    let object = |change: fn(&mut Object)| {
        broken(move |_, evidence| change(evidence.ledger.get_mut("invite").expect("the object")))
    };
    assert_eq!(object(|object| drop(object.uses.remove("one"))), ["ledger"]);
    assert_eq!(object(|object| drop(object.uses.insert("one".into(), None))), ["ledger"]);
    let silent = |object: &mut Object| {
        object.uses.insert("two".into(), Some(Redeemed { grant: "another".into() }));
    };
    assert_eq!(object(silent), ["ledger"], "a claim that no log announces");
    let nobodys = broken(|history, evidence| {
        history.invites[0].uses = 3;
        history.clients.pop();
        evidence.ledger.get_mut("invite").expect("the object").uses.insert("four".into(), None);
    });
    assert_eq!(nobodys, ["ledger"], "a use that nobody asked for");
}

#[test]
fn a_refusal_of_somebody_who_could_be_let_in_is_seen() {
    assert_eq!(broken(|history, _| history.invites[0].uses = 3), ["refused"], "there was a use left");
    let boot = broken(|history, _| history.clients[0].asked.push(exchange(Step::Redeem, 5000, Answer::Refused)));
    assert_eq!(boot, ["refused"], "it has a use");
    // Who asked in time and was never answered may have it.
    let unknown = broken(|history, _| {
        history.invites[0].uses = 3;
        history.clients.push(client("four", vec![exchange(Step::Identity, 2999, Answer::Unknown)]));
    });
    assert_eq!(unknown, NONE);
    let revoking = broken(|history, _| {
        (history.invites[0].uses, history.invites[0].revoking) = (3, Some(2999));
    });
    assert_eq!(revoking, NONE, "nobody knows whether the revocation has come through");
}

#[test]
fn an_answer_that_no_honest_request_gets_is_seen() {
    let odd = broken(|history, _| history.clients[0].asked.insert(0, exchange(Step::Grant, 1, Answer::Odd)));
    assert_eq!(odd, ["odd"]);
}

#[test]
fn what_is_given_while_there_is_no_quorum_is_seen() {
    let lost = |from, until| {
        let hurt = Hurt { kind: FaultKind::QuorumLost, victims: vec![1], from, until, over: until };
        broken(move |history, _| history.hurts.push(hurt))
    };
    assert_eq!(lost(900, 1100), ["quorum"]);
    assert_eq!(lost(1001, 1009), NONE, "the request before it began before, and the next one after it");
    let cut = broken(|history, _| {
        history.hurts.push(Hurt { kind: FaultKind::Cut, victims: vec![1], from: 0, until: 9000, over: 9000 });
    });
    assert_eq!(cut, NONE, "a minority is no quorum lost");
}

#[test]
fn who_is_not_through_in_the_end_is_seen_unless_it_wants_nothing_more() {
    let left = |kind| broken(move |history, _| (history.clients[1].kind, history.clients[1].done) = (kind, false));
    assert_eq!(left(Kind::Honest), ["stranded"]);
    assert_eq!(left(Kind::Quitter), NONE);
    assert_eq!(broken(|history, _| history.silent.push("broker 2".into())), ["stranded"]);
    let patient =
        broken(|history, _| history.clients[0].asked.insert(0, exchange(Step::Identity, 1, Answer::Unavailable)));
    assert_eq!(patient, NONE, "to be told to come back is no failure");
}

#[test]
fn a_log_that_does_not_verify_a_node_without_a_word_and_an_alarm_for_nothing_are_seen() {
    assert_eq!(broken(|_, evidence| evidence.logs[1].wrong = Some("a record was changed".into())), ["log"]);
    assert_eq!(broken(|_, evidence| evidence.unexplained.push("node".into())), ["explained"]);
    let alarm = |event: &'static str, key: &'static str| {
        broken(move |_, evidence| {
            evidence.logs[0].records.push(Record { outcome: "alarm".into(), ..record(event, key, "") });
        })
    };
    assert_eq!(alarm("log.forked", "one"), ["alarm"]);
    assert_eq!(alarm("refused", "one"), ["alarm"], "an honest client is called a thief");
    assert_eq!(alarm("log.unwritable", "one"), NONE);
}
