//! A state directory that is to become another broker's: it waits for the cluster's keys.
//!
//! Keeps DESIGN §3b: only keys of the cluster whose root this machine was told of are written down.
//! Must not be taken for a finished one: `cluster.json` is written last.

use std::path::Path;

use certs::{Issuing, IssuingCertificate, SigningKey};
use protocol::{BrokerAddress, HandoverReply, Pin};

use super::cluster::{GRANT_KEY, INVITE_KEY, ISSUING_CERTIFICATE, ISSUING_KEY, ROOT_CERTIFICATE, was_finished};
use super::cluster_file::{CLUSTER, ClusterFile, FORMAT};
use super::{Brought, Folder, StateError};
use crate::jwt::PublicKey;

/// A state directory that waits for the cluster's keys: it has this broker's own key, and its lock is held.
pub(crate) struct Waiting {
    folder: Folder,
    _lock: std::fs::File,
    /// This broker's own key that signs grants.
    pub(crate) grant_key: SigningKey,
    /// This broker's id.
    pub(crate) broker: String,
}

impl Waiting {
    /// Makes the folder, and the key once: a run that was cut off is gone on with as the same broker.
    pub(crate) fn at(path: &Path) -> Result<Self, StateError> {
        let folder = Folder::create(path)?;
        let lock = folder.lock()?;
        if was_finished(&folder) {
            return Err(StateError::Missing { path: folder.path(CLUSTER) });
        }
        if !folder.has(GRANT_KEY) {
            folder.write(GRANT_KEY, &SigningKey::generate()?.to_pem())?;
        }
        let grant_key = SigningKey::from_pem(&folder.read(GRANT_KEY)?)
            .map_err(|error| StateError::Corrupt { path: folder.path(GRANT_KEY), what: error.to_string() })?;
        let public = PublicKey::from_point(grant_key.public_point());
        let broker = public.map(|public| broker_id(&public)).ok_or(certs::KeyError::NotAKey)?;
        Ok(Self { folder, _lock: lock, grant_key, broker })
    }

    /// Checks the keys that another broker gave, and writes them down; `cluster.json` last. Only those of the cluster
    /// with this pin are taken, with an issuing CA of this generation or a later one.
    pub(crate) fn take(
        &self,
        given: &HandoverReply,
        pin: &Pin,
        generation: u32,
        advertise: Vec<BrokerAddress>,
    ) -> Result<(), StateError> {
        self.keep(given, (pin, generation), advertise, 0, true)
    }

    /// The same with what the operator brought: there may be no swarm yet, and this machine may make it.
    pub(crate) fn take_brought(&self, brought: &Brought) -> Result<(), StateError> {
        let issuing = IssuingCertificate::from_pem(&brought.keys.issuing, &brought.keys.root)
            .map_err(|error| StateError::WrongKeys { what: error.to_string() })?;
        self.keep(&brought.keys, (&issuing.pin(), issuing.generation), Vec::new(), brought.form_until, false)
    }

    fn keep(
        &self,
        given: &HandoverReply,
        (pin, generation): (&Pin, u32),
        advertise: Vec<BrokerAddress>,
        form_until: u64,
        taken: bool,
    ) -> Result<(), StateError> {
        let wrong = |what: String| StateError::WrongKeys { what };
        let issuing =
            IssuingCertificate::from_pem(&given.issuing, &given.root).map_err(|error| wrong(error.to_string()))?;
        if issuing.pin() != *pin || issuing.cluster != given.cluster {
            return Err(wrong("its root is not the one that this machine was told of".into()));
        }
        if issuing.generation < generation {
            let what = format!(
                "its issuing CA is of generation {}, and those below {generation} are void",
                issuing.generation
            );
            return Err(wrong(what));
        }
        let invite_key = SigningKey::from_pem(given.invite_key.expose()).map_err(|error| wrong(error.to_string()))?;
        let folder = &self.folder;
        if let Some(key) = &given.issuing_key {
            Issuing::from_pem(&given.issuing, key.expose(), &given.root).map_err(|error| wrong(error.to_string()))?;
            folder.write(ISSUING_KEY, key.expose())?;
        }
        folder.write(ROOT_CERTIFICATE, &given.root)?;
        folder.write(ISSUING_CERTIFICATE, &given.issuing)?;
        folder.write(INVITE_KEY, &invite_key.to_pem())?;
        let file = ClusterFile {
            format: FORMAT,
            id: given.cluster.clone(),
            name: given.name.clone(),
            made: given.made,
            broker: self.broker.clone(),
            advertise,
            form_until,
            ledger: false,
            taken,
            forming: false,
            brought: !taken,
            founds: None,
        };
        file.write(folder)
    }
}

/// The id of a broker that has its keys from another: 16 hex digits that follow from its own key.
pub(crate) fn broker_id(grant_key: &PublicKey) -> String {
    grant_key.id().to_string().chars().take(16).collect()
}
