//! Swarm configs as the ledger's storage: created once by name, changed by version.
//!
//! Keeps promise 1 by what raft gives: a name that exists cannot be created, a version that moved on cannot be
//! changed. Must not interpret what is stored, and never stores a secret: anyone with a Docker socket can read it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bollard::models::ConfigSpec;
use bollard::query_parameters::{ListConfigsOptionsBuilder, UpdateConfigOptionsBuilder};

use super::{Engine, EngineError};

/// What is stored: immutable data and labels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) data: Vec<u8>,
    pub(crate) labels: BTreeMap<String, String>,
}

/// A stored object as it was read.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) object: Object,
    /// The raft store's index at its last change.
    pub(crate) version: u64,
    id: String,
}

impl Stored {
    /// A stored object, for what is tested without an engine.
    #[cfg(test)]
    pub(crate) fn example(object: Object, version: u64) -> Self {
        Self { object, version, id: String::new() }
    }
}

impl Engine {
    /// Creates an object. `Exists` when the name is taken.
    pub(crate) async fn create(&self, object: &Object) -> Result<(), EngineError> {
        let spec = spec(object);
        self.call(|docker| async move { docker.create_config(spec).await }).await.map(|_| ())
    }

    /// Reads an object by its name.
    pub(crate) async fn read(&self, name: &str) -> Result<Option<Stored>, EngineError> {
        Ok(self.look(name).await?.map(Arc::unwrap_or_clone))
    }

    /// The same for many who look at once: a large object is there once.
    pub(crate) async fn look(&self, name: &str) -> Result<Option<Arc<Stored>>, EngineError> {
        let inspect = || async {
            let name = name.to_owned();
            match self.call(|docker| async move { docker.inspect_config(&name).await }).await {
                Ok(config) => stored(config).map(|stored| Some(Arc::new(stored))),
                Err(EngineError::NotFound) => Ok(None),
                Err(error) => Err(error),
            }
        };
        self.asked().configs.ask(name, inspect).await
    }

    /// All objects that carry this label with this value; with any, if that is empty.
    pub(crate) async fn list(&self, label: &str, value: &str) -> Result<Vec<Stored>, EngineError> {
        let filters = HashMap::from([("label", vec![format!("{label}={value}")])]);
        let options = ListConfigsOptionsBuilder::default().filters(&filters).build();
        let configs = self.call(|docker| async move { docker.list_configs(Some(options)).await }).await?;
        configs.into_iter().map(stored).collect()
    }

    /// Replaces an object's labels, if it is still as it was read.
    pub(crate) async fn relabel(&self, read: &Stored, labels: BTreeMap<String, String>) -> Result<(), EngineError> {
        let spec = spec(&Object { labels, ..read.object.clone() });
        let version = i64::try_from(read.version).map_err(|_| EngineError::Incomplete("a version in range"))?;
        let options = UpdateConfigOptionsBuilder::default().version(version).build();
        let id = read.id.clone();
        self.call(|docker| async move { docker.update_config(&id, spec, options).await }).await
    }

    /// Removes an object.
    pub(crate) async fn remove(&self, read: &Stored) -> Result<(), EngineError> {
        let id = read.id.clone();
        match self.call(|docker| async move { docker.delete_config(&id).await }).await {
            Err(EngineError::NotFound) => Ok(()),
            result => result,
        }
    }
}

fn spec(object: &Object) -> ConfigSpec {
    ConfigSpec {
        name: Some(object.name.clone()),
        labels: Some(object.labels.clone().into_iter().collect()),
        data: Some(STANDARD.encode(&object.data)),
        templating: None,
    }
}

fn stored(config: bollard::models::Config) -> Result<Stored, EngineError> {
    let spec = config.spec.ok_or(EngineError::Incomplete("a config's spec"))?;
    let data = STANDARD
        .decode(spec.data.unwrap_or_default())
        .map_err(|_| EngineError::Incomplete("a config's data in base64"))?;
    Ok(Stored {
        object: Object {
            name: spec.name.ok_or(EngineError::Incomplete("a config's name"))?,
            data,
            labels: spec.labels.unwrap_or_default().into_iter().collect(),
        },
        version: config
            .version
            .and_then(|version| version.index)
            .ok_or(EngineError::Incomplete("a config's version"))?,
        id: config.id.ok_or(EngineError::Incomplete("a config's id"))?,
    })
}
