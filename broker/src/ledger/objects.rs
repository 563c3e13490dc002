//! The ledger as a whole, for whoever takes it away.

use super::names;
use crate::swarm::{Engine, EngineError, Stored};

/// An object of the ledger, and what kind it says it is.
#[derive(Debug)]
pub(crate) struct LedgerObject {
    pub(crate) kind: String,
    pub(crate) stored: Stored,
}

impl LedgerObject {
    /// Whether it is a broker's entry.
    pub(crate) fn is_broker(&self) -> bool {
        self.kind == names::BROKER
    }
}

/// The name of a broker's entry.
pub(crate) fn entry_of(broker: &str) -> String {
    names::broker(broker)
}

/// All objects that brokers made, of newer releases too; the sentinel last, since without it there is no ledger.
pub(crate) async fn objects(engine: &Engine) -> Result<Vec<LedgerObject>, EngineError> {
    let any = engine.list(names::KIND, "").await?;
    let ours = any.into_iter().filter(|stored| stored.object.name.starts_with(names::PREFIX));
    let mut objects: Vec<LedgerObject> = ours
        .map(|stored| LedgerObject { kind: stored.object.labels.get(names::KIND).cloned().unwrap_or_default(), stored })
        .collect();
    objects.sort_by_cached_key(|object| (object.kind == names::SENTINEL, object.stored.object.name.clone()));
    Ok(objects)
}
