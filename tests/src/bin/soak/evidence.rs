//! What brokers, ledger and swarm say once all is over: the audit logs, the claims, the nodes.
//!
//! Promise: it is read from where it lies, the files of the logs and the engine's configs, and not asked of a broker; but
//! for whether a log verifies and which nodes are explained, which are a broker's own words.
//! Must not: judge. `check` does.

use std::collections::BTreeMap;
use std::fs;

use lab::cluster::Broker;
use lab::{Error, Host, Result};
use serde::Deserialize;
use serde_json::Value;

/// What the labels of an invite's object in the ledger begin with, for a use.
const USE: &str = "swarm-broker.use.";
const OBJECT: &str = "swarm-broker.invite.";
const REVOKED: &str = "swarm-broker.revoked";

/// All that is left of a run.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// The brokers' logs.
    pub(crate) logs: Vec<Log>,
    /// The objects of invites, by the invite's id.
    pub(crate) ledger: BTreeMap<String, Object>,
    /// Nodes that nothing explains, as the broker has it: one whose machine was given the token and is on its way is none.
    pub(crate) unexplained: Vec<String>,
}

/// One broker's log.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// The file, as it was at the end.
    pub(crate) text: String,
    pub(crate) records: Vec<Record>,
    /// What `broker audit verify` has to say against it.
    pub(crate) wrong: Option<String>,
}

/// As much of a record as matters here.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Record {
    pub(crate) event: String,
    #[serde(default)]
    pub(crate) outcome: String,
    #[serde(default)]
    pub(crate) invite: Option<String>,
    #[serde(default)]
    pub(crate) key: Option<String>,
    #[serde(default)]
    pub(crate) grant: Option<String>,
}

/// An invite's object.
#[derive(Clone, Debug, Default)]
pub(crate) struct Object {
    pub(crate) revoked: bool,
    /// By key: what was redeemed last.
    pub(crate) uses: BTreeMap<String, Option<Redeemed>>,
}

/// The last redemption in the ledger.
#[derive(Clone, Debug, Default, Deserialize)]
pub(crate) struct Redeemed {
    pub(crate) grant: String,
}

impl Evidence {
    /// Reads all of it. The brokers serve, and nobody asks them anything any more.
    pub(crate) fn read<'b, 'h: 'b>(manager: &Host, brokers: impl Iterator<Item = &'b Broker<'h>>) -> Result<Self> {
        let mut evidence = Self { ledger: ledger(manager)?, ..Self::default() };
        for broker in brokers {
            evidence.logs.push(Log::read(broker)?);
            if evidence.logs.len() == 1 {
                evidence.unexplained = unexplained(&broker.json(&["nodes", "--json"])?);
            }
        }
        Ok(evidence)
    }
}

impl Log {
    fn read(broker: &Broker<'_>) -> Result<Self> {
        let folder = broker.state().display().to_string();
        let verified = broker.run(&["audit", "verify", &folder])?;
        let wrong = (verified.code != 0).then(|| format!("{}{}", verified.stdout, verified.stderr));
        let text = fs::read_to_string(broker.log())
            .map_err(|source| Error::Io { what: format!("reading {}", broker.log().display()), source })?;
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        let records = whole.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        Ok(Self { text, records, wrong })
    }
}

impl Record {
    /// Whether it says that a token was given.
    pub(crate) fn gives_token(&self) -> bool {
        ["grant.redeemed", "grant.replayed"].contains(&self.event.as_str())
    }

    /// Whether it is about this key, and this grant if one is given.
    pub(crate) fn is_about(&self, key: &str, grant: Option<&str>) -> bool {
        self.key.as_deref() == Some(key) && grant.is_none_or(|grant| self.grant.as_deref() == Some(grant))
    }
}

fn ledger(manager: &Host) -> Result<BTreeMap<String, Object>> {
    let mut ledger = BTreeMap::new();
    let names = manager.docker(&["config", "ls", "--format", "{{.Name}}"])?;
    for (name, id) in names.lines().filter_map(|name| Some((name, name.strip_prefix(OBJECT)?))) {
        ledger.insert(id.to_owned(), Object::from_labels(&manager.config(name)?["Spec"]["Labels"]));
    }
    Ok(ledger)
}

impl Object {
    fn from_labels(labels: &Value) -> Self {
        let mut object = Self::default();
        for (label, value) in labels.as_object().into_iter().flatten() {
            if label == REVOKED {
                object.revoked = true;
            } else if let Some(key) = label.strip_prefix(USE) {
                let taken: Value = value.as_str().and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default();
                let redeemed = serde_json::from_value(taken["redeemed"].clone()).ok();
                object.uses.insert(key.to_owned(), redeemed);
            }
        }
        object
    }
}

fn unexplained(report: &Value) -> Vec<String> {
    let nodes = report["nodes"].as_array().into_iter().flatten();
    nodes.filter(|node| node["state"] == "unexplained").map(ToString::to_string).collect()
}
