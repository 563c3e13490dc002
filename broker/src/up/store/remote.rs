//! An object store: S3 and what speaks like it, Google Cloud Storage, Azure Blob Storage.
//!
//! Keeps promise 7: credentials come from the environment or the machine's role, and are in no argument, log or Debug.
//! Must not be asked without a limit in time: that is its caller's.

use std::fmt;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload, UpdateVersion,
};
use url::Url;

use super::{Found, MOST, Put, Version, options};

/// The kinds of store there are here.
const SCHEMES: [&str; 3] = ["s3", "gs", "az"];
/// The variables that the clouds' own tools know begin with these.
const VARIABLES: [&str; 3] = ["AWS_", "GOOGLE_", "AZURE_"];

/// The part of a store under a prefix.
#[derive(Clone)]
pub(super) struct Remote {
    store: Arc<dyn ObjectStore>,
    prefix: Path,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Remote({})", self.prefix)
    }
}

impl Remote {
    /// The store with this URL. Nothing is asked yet.
    pub(super) fn open(url: &str, options: &[(String, String)]) -> Result<Self, String> {
        let parsed = check(url, options)?;
        let ours = |name: &String| VARIABLES.iter().any(|begin| name.starts_with(begin));
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let variables =
            variables.filter(|(name, _)| ours(name)).map(|(name, value)| (name.to_ascii_lowercase(), value));
        let all: Vec<(String, String)> = variables.chain(options.iter().cloned()).collect();
        let (store, prefix) = object_store::parse_url_opts(&parsed, all).map_err(|error| shown(&error))?;
        Ok(Self { store: store.into(), prefix })
    }

    pub(super) async fn get(&self, name: &str) -> Result<Option<Found>, String> {
        let path = self.path(name);
        let got = async {
            let got = self.store.get_opts(&path, GetOptions::default()).await?;
            let version = Version { tag: got.meta.e_tag.clone(), number: got.meta.version.clone() };
            // More than that is no object of ours, and is not read.
            let bytes = if got.meta.size > MOST as u64 { None } else { Some(got.bytes().await?) };
            Ok((version, bytes))
        };
        match got.await {
            Ok((version, Some(bytes))) => Ok(Some(Found { bytes: bytes.to_vec(), version })),
            Ok((_, None)) => Err(format!("{name} is larger than it can be")),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(shown(&error)),
        }
    }

    pub(super) async fn create(&self, name: &str, bytes: Vec<u8>) -> Result<Put, String> {
        self.put(name, bytes, PutMode::Create).await
    }

    pub(super) async fn update(&self, name: &str, bytes: Vec<u8>, version: &Version) -> Result<Put, String> {
        let Version { tag, number } = version.clone();
        self.put(name, bytes, PutMode::Update(UpdateVersion { e_tag: tag, version: number })).await
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), String> {
        let path = self.path(name);
        match self.store.delete(&path).await {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(shown(&error)),
        }
    }

    async fn put(&self, name: &str, bytes: Vec<u8>, mode: PutMode) -> Result<Put, String> {
        let path = self.path(name);
        let is_update = matches!(mode, PutMode::Update(_));
        match self.store.put_opts(&path, PutPayload::from(bytes), PutOptions::from(mode)).await {
            Ok(done) => Ok(Put::Done(Version { tag: done.e_tag, number: done.version })),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Put::Conflict),
            // An update of what is gone is one of what has moved on.
            Err(Error::NotFound { .. }) if is_update => Ok(Put::Conflict),
            Err(error @ Error::NotFound { .. }) => {
                Err(format!("is there such a bucket or container? Nothing can be made in it: {}", shown(&error)))
            }
            Err(error) => Err(shown(&error)),
        }
    }

    fn path(&self, name: &str) -> Path {
        self.prefix.clone().join(name)
    }
}

/// Whether this names an object store, with options that may be arguments.
pub(super) fn check(url: &str, options: &[(String, String)]) -> Result<Url, String> {
    let parsed = Url::parse(url).map_err(|error| error.to_string())?;
    if !parsed.username().is_empty() || parsed.password().is_some() || parsed.query().is_some() {
        return Err("write it without user, password and options, as s3://BUCKET/PREFIX".into());
    }
    // What else the library knows is no place that machines share: memory, say.
    if !SCHEMES.contains(&parsed.scheme()) {
        return Err("write s3://BUCKET/PREFIX, gs://BUCKET/PREFIX, az://CONTAINER/PREFIX or file:///FOLDER".into());
    }
    for (key, _) in options {
        options::check(parsed.scheme(), key)?;
    }
    Ok(parsed)
}

/// An error's words, with those of its causes that add something, in one line.
fn shown(error: &Error) -> String {
    let text = error.to_string();
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(400).flat_map(char::escape_debug).collect()
}
