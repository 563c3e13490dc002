//! What the logs say of themselves, and alarms: promises 10 and 11.

use std::collections::BTreeSet;

use super::Violation;
use crate::evidence::Evidence;
use crate::history::History;
use crate::plan::Kind;

/// Each log is what its broker signed.
pub(super) fn logs(evidence: &Evidence, found: &mut Vec<Violation>) {
    for (broker, log) in evidence.logs.iter().enumerate() {
        if let Some(wrong) = &log.wrong {
            let what = format!("the log of broker {broker} does not verify: {wrong}");
            found.push(Violation { promise: "log", what, client: None });
        }
    }
    for node in &evidence.unexplained {
        let what = format!("nothing explains a node: {node}");
        found.push(Violation { promise: "explained", what, client: None });
    }
}

/// Nobody is called out for nothing: thieves are an alarm, and full disks; nothing else that happens here is.
pub(super) fn causeless(history: &History, evidence: &Evidence, found: &mut Vec<Violation>) {
    let thieves = history.clients.iter().filter(|client| client.kind == Kind::Thief);
    let thieves: BTreeSet<&str> = thieves.map(|client| client.key.as_str()).collect();
    for (broker, log) in evidence.logs.iter().enumerate() {
        let alarms = log.records.iter().filter(|record| record.outcome == "alarm");
        for record in alarms.filter(|record| record.event != "log.unwritable") {
            let caused = record.event == "refused" && record.key.as_deref().is_none_or(|key| thieves.contains(key));
            if !caused {
                let what = format!("broker {broker} raised an alarm without a cause: {record:?}");
                found.push(Violation { promise: "alarm", what, client: None });
            }
        }
    }
}
