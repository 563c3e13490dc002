//! `POST /v1/logs/records`: the records of a log, this broker's or its copy of another's, page by page.
//!
//! For operators who have no shell on a manager, where the files are read. Positions are bytes of the log, which are the same
//! in each copy: whoever was answered by one broker goes on with the next. Must not open what is not a log's name.

use serde::{Deserialize, Serialize};

use super::server::{Reply, read};
use crate::audit;
use crate::broker::Broker;
use crate::denial::Denial;
use crate::server::json;

pub(crate) const RECORDS: &str = "/v1/logs/records";

/// Which records.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RecordsOrder {
    /// Whose log, by the broker's id; none: only which logs there are.
    pub(crate) log: Option<String>,
    /// The position that the answer before this one gave.
    pub(crate) after: u64,
    /// No record, but the position of the end.
    pub(crate) end: bool,
}

/// Some of them.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Records {
    /// The brokers whose logs are here.
    pub(crate) logs: Vec<String>,
    /// Whole lines, as they are in the log.
    pub(crate) lines: String,
    /// Where to go on.
    pub(crate) position: u64,
    /// How long the log is here: a copy may be behind, or not begun.
    pub(crate) length: u64,
}

pub(super) async fn records(broker: &Broker, body: &[u8]) -> Result<Reply, Denial> {
    let RecordsOrder { log, after, end } = read(body)?;
    let copies = broker.state.join(audit::COPIES);
    let mut logs = audit::copies_in(copies.clone()).await?;
    logs.push(broker.id.clone());
    let (lines, length) = match &log {
        Some(log) if *log == broker.id => {
            let length = broker.audit.signed().length;
            // Written meanwhile is what the next look gives.
            (if end { String::new() } else { broker.audit.page(after).await?.1 }, length)
        }
        Some(log) if logs.contains(log) => audit::page_of_copy(copies.join(log), (!end).then_some(after)).await?,
        // One that another broker has, and this one not yet.
        Some(_) | None => (String::new(), 0),
    };
    let position = if end { length } else { after.saturating_add(lines.len() as u64) };
    Ok(json(&Records { logs, lines, position, length }))
}
