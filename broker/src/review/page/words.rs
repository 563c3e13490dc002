//! The story in a few sentences, for whoever reads no further.

use super::text::{counted, grouped, strftime};
use crate::review::story::Explained;
use crate::review::{Log, Span, Story};

/// The time that the report is about.
pub(super) fn period(story: &Story<'_>, span: Span) -> String {
    let day = |at: u64| strftime(at, "%-d %B %Y, %H:%M");
    let (from, to) = (span.since.or(story.first), span.until.or(story.last));
    let records = counted(story.records, "record", "records");
    match (from, to) {
        (Some(from), Some(to)) if from / 86_400 == to / 86_400 => {
            format!("{} to {} UTC · {records}", day(from), strftime(to, "%H:%M"))
        }
        (Some(from), Some(to)) => format!("{} to {} UTC · {records}", day(from), day(to)),
        _ => "no record".to_owned(),
    }
}

/// What happened.
pub(super) fn summary(story: &Story<'_>) -> String {
    let joined = story.count(|one| matches!(one, Explained::Invited { .. }));
    let adopted = story.count(|one| matches!(one, Explained::Adopted { .. }));
    let nothing = story.count(|one| *one == Explained::Nothing);
    let invitations = story.invitations.iter().filter(|one| one.joined > 0).count();
    let came = if joined == 0 {
        "No machine joined".to_owned()
    } else {
        let on = counted(invitations, "invitation", "invitations");
        format!("{} joined on {on}", counted(joined, "machine", "machines"))
    };
    let more = if adopted > 0 {
        format!(", and {} adopted", counted(adopted, "node was", "nodes were"))
    } else {
        String::new()
    };
    let unexplained = (nothing > 0).then(|| format!("Nothing explains {}.", counted(nothing, "node", "nodes")));
    let with_token = story.unfinished.iter().filter(|boot| boot.has_token).count();
    let lost = (with_token > 0).then(|| {
        format!("{} given the token and did not confirm.", counted(with_token, "machine was", "machines were"))
    });
    let refused: u64 = story.refusals.iter().map(|group| group.times).sum();
    let refused = match usize::try_from(refused).unwrap_or(usize::MAX) {
        0 => "Nothing was refused.".to_owned(),
        count => format!("{} refused.", counted(count, "request was", "requests were")),
    };
    let replaced = match story.replaced.len() {
        0 => "No token or key was replaced.".to_owned(),
        1 => "A token or a key was replaced once.".to_owned(),
        count => format!("A token or a key was replaced {} times.", grouped(count)),
    };
    let alarms = match story.alarms.len() {
        0 => "There was no alarm.".to_owned(),
        count => format!("{}.", counted(count, "alarm needs a look", "alarms need a look")),
    };
    let sentences = [Some(format!("{came}{more}.")), unexplained, lost, Some(refused), Some(replaced), Some(alarms)];
    sentences.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// Whether the logs can be believed.
pub(super) fn verdict(logs: &[Log]) -> String {
    let wrong = logs.iter().filter(|log| log.wrong().is_some()).count();
    let vouched = logs.iter().all(|log| log.checked.as_ref().is_ok_and(|checked| checked.trusted));
    match (logs.len(), wrong) {
        (0, _) => "There is no log here.".to_owned(),
        (1, 1) => "The log is NOT what was signed, or cannot be read. Do not believe this page before you know why."
            .to_owned(),
        (all, wrong) if wrong > 0 => format!(
            "{wrong} of {all} logs are NOT what was signed, or cannot be read. Do not believe this page before you know why."
        ),
        (all, _) => {
            let logs = if all == 1 {
                "The log is as it was signed".to_owned()
            } else {
                format!("All {all} logs are as they were signed")
            };
            let keys = if vouched {
                "by a key that the reviewer gave."
            } else {
                "by the key that lies beside it: whoever can write there could have replaced both. Give --key with the keys that you kept."
            };
            format!("{logs}, {keys}")
        }
    }
}

/// The sections of the page: id, name, and how many rows there are.
pub(super) fn sections(story: &Story<'_>) -> [(&'static str, &'static str, usize); 7] {
    [
        ("alarms", "Alarms", story.alarms.len()),
        ("nodes", "Nodes", story.nodes.len()),
        ("unfinished", "Not finished", story.unfinished.len()),
        ("invitations", "Invitations", story.invitations.len()),
        ("refusals", "Refusals", story.refusals.len()),
        ("replaced", "Replaced", story.replaced.len()),
        ("others", "Everything else", story.others.len()),
    ]
}
