//! The cluster's identity and keys on this manager, as `broker init` made them.
//!
//! Keeps DESIGN §3b (two keys): the root key is written at init and never read by a broker that serves.
//! Must not hand a key to anything but the part that signs with it.

use std::path::Path;
use std::time::Duration;

use certs::{AuthorityError, Issuing, IssuingCertificate, Root, SigningKey};
use protocol::{BrokerAddress, ClusterId, HandoverReply, KeyText, Pin, SwarmId};

use super::cluster_file::{CLUSTER, ClusterFile, FORMAT};
use super::{Folder, KeySource, StateError, next_issuing};
use crate::clock;

pub(super) const ROOT_CERTIFICATE: &str = "root.crt";
pub(super) const ROOT_KEY: &str = "root.key";
pub(super) const ISSUING_CERTIFICATE: &str = "issuing.crt";
pub(super) const ISSUING_KEY: &str = "issuing.key";
pub(super) const INVITE_KEY: &str = "invite.key";
pub(super) const GRANT_KEY: &str = "grant.key";
/// It is there while the folder is being restored: until then nothing in it counts.
pub(super) const UNFINISHED: &str = "restore.unfinished";

/// The root, from a folder that holds its certificate and its key: for a command, never for a broker that serves.
pub(crate) fn open_root(folder: &Folder, name: &str) -> Result<Root, StateError> {
    let certificate = folder.read(ROOT_CERTIFICATE)?;
    Ok(Root::from_pem(&certificate, &folder.read(ROOT_KEY)?, name)?)
}

/// A key that is replaced while the broker serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnKey {
    /// Signs this broker's grants.
    Grant,
    /// Signs invites.
    Invite,
}

/// Writes a key in place of the one before. At each moment the file holds one or the other, whole.
pub(crate) fn replace_key(folder: &Folder, which: OwnKey, key: &SigningKey) -> Result<(), StateError> {
    let name = match which {
        OwnKey::Grant => GRANT_KEY,
        OwnKey::Invite => INVITE_KEY,
    };
    folder.write(name, &key.to_pem())
}

/// The cluster as this manager knows it.
pub(crate) struct Cluster {
    folder: Folder,
    file: ClusterFile,
    /// The CA that signs identities and server certificates, without its key.
    pub(crate) issuing: IssuingCertificate,
    /// The key that signs invites.
    pub(crate) invite_key: SigningKey,
    /// This broker's own key that signs grants.
    pub(crate) grant_key: SigningKey,
}

/// Makes the root, an issuing CA and the cluster's identity. Run again after an interruption it starts anew, since
/// nothing can have been handed out before `cluster.json` was there.
pub(crate) fn init(
    path: &Path,
    name: &str,
    advertise: Vec<BrokerAddress>,
    form_within: Duration,
) -> Result<(ClusterId, Pin), StateError> {
    let folder = Folder::create(path)?;
    let _lock = folder.lock()?;
    if folder.has(CLUSTER) {
        let file = ClusterFile::read(&folder)?;
        return Err(StateError::AlreadyInitialised(path.to_owned(), file.name));
    }
    if was_finished(&folder) {
        return Err(StateError::Missing { path: folder.path(CLUSTER) });
    }
    let id = ClusterId::random();
    let now = clock::now();
    let pin = make_keys(&folder, &id, name, now)?;
    let broker = protocol::GrantId::random().as_str()[..16].to_owned();
    let form_until = now.saturating_add(form_within.as_secs());
    let file = ClusterFile {
        format: FORMAT,
        id,
        name: name.to_owned(),
        made: now,
        broker,
        advertise,
        form_until,
        ledger: false,
        taken: false,
        forming: false,
        brought: false,
        founds: None,
    };
    file.write(&folder)?;
    Ok((file.id, pin))
}

fn make_keys(folder: &Folder, id: &ClusterId, name: &str, now: u64) -> Result<Pin, StateError> {
    let root = Root::create(id, name, clock::unix(now))?;
    let issuing = root.issue(1, clock::unix(now))?;
    folder.write(ROOT_CERTIFICATE, root.certificate_pem())?;
    folder.write(ROOT_KEY, &root.key().to_pem())?;
    folder.write(ISSUING_CERTIFICATE, issuing.certificate_pem())?;
    folder.write(ISSUING_KEY, &issuing.key().to_pem())?;
    folder.write(INVITE_KEY, &SigningKey::generate()?.to_pem())?;
    folder.write(GRANT_KEY, &SigningKey::generate()?.to_pem())?;
    Ok(root.pin())
}

impl Cluster {
    /// What all brokers of the cluster share, for another one. An issuing key that is kept elsewhere stays there.
    pub(crate) fn shared(&self) -> Result<HandoverReply, StateError> {
        let folder = &self.folder;
        let issuing_key = match next_issuing::key(folder)? {
            Some(key) => Some(KeyText::new(key)),
            None if folder.has(ISSUING_KEY) => Some(KeyText::new(folder.read(ISSUING_KEY)?)),
            None => None,
        };
        Ok(HandoverReply {
            cluster: self.file.id.clone(),
            name: self.file.name.clone(),
            made: self.file.made,
            root: folder.read(ROOT_CERTIFICATE)?.to_string(),
            issuing: folder.read(next_issuing::certificate(folder))?.to_string(),
            issuing_key,
            invite_key: KeyText::new(folder.read(INVITE_KEY)?),
        })
    }

    /// Whether there is state of a cluster in this folder.
    pub(crate) fn is_at(path: &Path) -> Result<bool, StateError> {
        match Folder::open(path) {
            Ok(folder) => Ok(folder.has(CLUSTER) || was_finished(&folder)),
            Err(StateError::NotInitialised(..)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the keys came from another broker.
    pub(crate) fn was_taken(&self) -> bool {
        self.file.taken
    }

    /// Reads the state and checks that its parts belong together. The issuing key may be elsewhere:
    /// [`Self::issuing_key`].
    pub(crate) fn open(path: &Path) -> Result<Self, StateError> {
        let folder = Folder::open(path)?;
        if folder.has(UNFINISHED) {
            return Err(StateError::Unfinished(path.to_owned()));
        }
        if !folder.has(CLUSTER) && was_finished(&folder) {
            return Err(StateError::Missing { path: folder.path(CLUSTER) });
        }
        if !folder.has(CLUSTER) {
            return Err(StateError::NotInitialised(folder.path(CLUSTER), path.to_owned()));
        }
        let file = ClusterFile::read(&folder)?;
        let corrupt = |name: &str, what: String| StateError::Corrupt { path: folder.path(name), what };
        let certificate = next_issuing::certificate(&folder);
        let issuing = IssuingCertificate::from_pem(&folder.read(certificate)?, &folder.read(ROOT_CERTIFICATE)?)
            .map_err(|error| corrupt(certificate, error.to_string()))?;
        if issuing.cluster != file.id {
            return Err(corrupt(certificate, "it belongs to another cluster".into()));
        }
        let key =
            |name: &str| SigningKey::from_pem(&folder.read(name)?).map_err(|error| corrupt(name, error.to_string()));
        let (invite_key, grant_key) = (key(INVITE_KEY)?, key(GRANT_KEY)?);
        Ok(Self { folder, file, issuing, invite_key, grant_key })
    }

    /// The issuing CA with its key, from where it is kept.
    pub(crate) fn issuing_key(&self, source: &KeySource) -> Result<Issuing, StateError> {
        let folder = &self.folder;
        let name = next_issuing::certificate(folder);
        let kept = match next_issuing::key(folder)? {
            Some(key) => Some(key),
            None => source.read()?,
        };
        let elsewhere = kept.is_some();
        let key = match kept {
            Some(key) => key,
            None => folder.read(ISSUING_KEY).map_err(|error| match error {
                StateError::Missing { path } => StateError::NoIssuingKey { path },
                error => error,
            })?,
        };
        let (certificate, root) = (folder.read(name)?, folder.read(ROOT_CERTIFICATE)?);
        Issuing::from_pem(&certificate, &key, &root).map_err(|error| {
            let what = error.to_string();
            match error {
                AuthorityError::Key(_) | AuthorityError::OtherKey(_) if elsewhere => {
                    StateError::WrongIssuingKey { kind: source.kind(), certificate: folder.path(name), what }
                }
                AuthorityError::Key(_) => StateError::Corrupt { path: folder.path(ISSUING_KEY), what },
                _ => StateError::Corrupt { path: folder.path(name), what },
            }
        })
    }

    /// Where the issuing key is in the state directory, if it is there.
    pub(crate) fn issuing_key_here(&self) -> Option<std::path::PathBuf> {
        self.folder.has(ISSUING_KEY).then(|| self.folder.path(ISSUING_KEY))
    }

    /// The folder, for its lock and the audit log.
    pub(crate) fn folder(&self) -> &Folder {
        &self.folder
    }

    /// The cluster's id.
    pub(crate) fn id(&self) -> &ClusterId {
        &self.file.id
    }

    /// The name the operator gave it.
    pub(crate) fn name(&self) -> &str {
        &self.file.name
    }

    /// This broker's id: 16 hex digits.
    pub(crate) fn broker(&self) -> &str {
        &self.file.broker
    }

    /// The addresses given at init.
    pub(crate) fn advertise(&self) -> &[BrokerAddress] {
        &self.file.advertise
    }

    /// Until when the cluster's swarm may be made, in seconds since 1970.
    pub(crate) fn form_until(&self) -> u64 {
        self.file.form_until
    }

    /// Whether the ledger was ever made.
    pub(crate) fn has_ledger(&self) -> bool {
        self.file.ledger
    }

    /// Whether this machine set about to make a swarm that may not be the cluster's.
    pub(crate) fn is_forming(&self) -> bool {
        self.file.forming
    }

    /// Whether the operator brought the keys, as he may have to other machines.
    pub(crate) fn was_brought(&self) -> bool {
        self.file.brought
    }

    /// Whether this machine has published that swarm as the cluster's, or was named as its founder.
    pub(crate) fn founds(&self, swarm: &SwarmId) -> bool {
        self.file.founds.as_ref() == Some(swarm)
    }

    /// Whether the ledger is this broker's to begin, in that swarm. Where another machine can have begun it, one that is not
    /// there was lost: to begin it again would give every spent use back.
    pub(crate) fn begins_ledger_in(&self, swarm: &SwarmId) -> bool {
        let alone_with_the_keys = !self.file.brought && self.file.founds.is_none();
        !self.has_ledger() && !self.was_taken() && (alone_with_the_keys || self.founds(swarm))
    }

    /// Remembers that the swarm which this machine is in is the cluster's by its doing, and the ledger its to begin.
    pub(crate) fn remember_founding(&mut self, swarm: &SwarmId) -> Result<(), StateError> {
        self.file.founds = Some(swarm.clone());
        self.file.write(&self.folder)
    }

    /// Remembers that this machine sets about to make a swarm.
    pub(crate) fn remember_forming(&mut self) -> Result<(), StateError> {
        self.file.forming = true;
        self.file.write(&self.folder)
    }

    /// Remembers that this machine has joined the cluster's swarm: there is a ledger, and this broker makes none.
    pub(crate) fn remember_joined(&mut self) -> Result<(), StateError> {
        (self.file.forming, self.file.taken) = (false, true);
        self.file.write(&self.folder)
    }

    /// Remembers that the ledger was made.
    pub(crate) fn remember_ledger(&mut self) -> Result<(), StateError> {
        self.file.ledger = true;
        self.file.write(&self.folder)
    }
}

/// Whether an init came to its end here, even if `cluster.json` was lost since: the audit log is begun after it.
pub(super) fn was_finished(folder: &Folder) -> bool {
    folder.has(crate::audit::FILE) || folder.has(UNFINISHED)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn made() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        init(&path, "test", Vec::new(), Duration::from_hours(1)).expect("made");
        (folder, path)
    }

    fn with_key(path: &Path, source: &KeySource) -> Result<Issuing, StateError> {
        Cluster::open(path)?.issuing_key(source)
    }

    #[test]
    fn what_init_made_is_read_back() {
        let (_folder, path) = made();
        let cluster = Cluster::open(&path).expect("opens");
        assert_eq!(cluster.name(), "test");
        assert!(!cluster.has_ledger());
    }

    #[test]
    fn a_second_init_is_refused_and_changes_nothing() {
        let (_folder, path) = made();
        let before = Cluster::open(&path).expect("opens").issuing.pin();
        assert!(matches!(init(&path, "other", Vec::new(), Duration::ZERO), Err(StateError::AlreadyInitialised(..))));
        assert_eq!(Cluster::open(&path).expect("opens").issuing.pin(), before);
    }

    #[test]
    fn an_interrupted_init_is_done_again() {
        let (_folder, path) = made();
        fs::remove_file(path.join(CLUSTER)).expect("removed");
        assert!(matches!(Cluster::open(&path), Err(StateError::NotInitialised(..))));
        init(&path, "again", Vec::new(), Duration::from_hours(1)).expect("made");
        assert_eq!(Cluster::open(&path).expect("opens").name(), "again");
    }

    #[test]
    fn a_cluster_that_lost_its_file_is_not_made_again() {
        let (_folder, path) = made();
        fs::write(path.join(crate::audit::FILE), "").expect("written");
        fs::remove_file(path.join(CLUSTER)).expect("removed");
        let key = fs::read(path.join(ROOT_KEY)).expect("reads");
        assert!(matches!(Cluster::open(&path), Err(StateError::Missing { .. })));
        assert!(matches!(init(&path, "again", Vec::new(), Duration::ZERO), Err(StateError::Missing { .. })));
        assert_eq!(fs::read(path.join(ROOT_KEY)).expect("reads"), key);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_the_fix() {
        let (_folder, path) = made();
        fs::set_permissions(path.join(INVITE_KEY), fs::Permissions::from_mode(0o644)).expect("set");
        let error = Cluster::open(&path).err().expect("refused").to_string();
        assert!(error.contains("chmod 0600") && error.contains(INVITE_KEY), "{error}");
    }

    #[test]
    fn damaged_state_is_named_and_never_replaced() {
        let (_folder, path) = made();
        for name in [CLUSTER, ISSUING_CERTIFICATE, ISSUING_KEY, INVITE_KEY, GRANT_KEY] {
            let whole = fs::read(path.join(name)).expect("reads");
            fs::write(path.join(name), &whole[..whole.len() / 2]).expect("written");
            let error = with_key(&path, &KeySource::State).err().expect("refused");
            assert!(matches!(error, StateError::Corrupt { .. }), "{name}: {error}");
            assert_eq!(fs::read(path.join(name)).expect("reads").len(), whole.len() / 2);
            fs::write(path.join(name), &whole).expect("written");
        }
        Cluster::open(&path).expect("whole again");
    }

    #[test]
    fn a_key_of_another_cluster_is_refused() {
        let (_folder, path) = made();
        let (_other_folder, other) = made();
        fs::copy(other.join(ISSUING_KEY), path.join(ISSUING_KEY)).expect("copied");
        assert!(matches!(with_key(&path, &KeySource::State), Err(StateError::Corrupt { .. })));
    }

    #[test]
    fn the_issuing_key_may_be_elsewhere_and_must_be_the_right_one() {
        let (folder, path) = made();
        let (_other_folder, other) = made();
        let away = folder.path().join("issuing.key");
        fs::rename(path.join(ISSUING_KEY), &away).expect("moved");
        assert!(Cluster::open(&path).expect("opens").issuing_key_here().is_none());
        let missing = with_key(&path, &KeySource::State).err().expect("missing").to_string();
        assert!(missing.contains("--issuing-key"), "{missing}");

        let from_file = |file: &Path| with_key(&path, &KeySource::File(file.to_owned()));
        let cluster = Cluster::open(&path).expect("opens");
        assert_eq!(from_file(&away).expect("the right one").pin(), cluster.issuing.pin());
        let cat = KeySource::Command(format!("cat {}", away.display()));
        assert_eq!(with_key(&path, &cat).expect("the right one").pin(), cluster.issuing.pin());

        let wrong = from_file(&other.join(ISSUING_KEY)).err().expect("refused").to_string();
        assert!(wrong.contains("issuing.crt") && wrong.contains("does not belong"), "{wrong}");
        let secret = fs::read_to_string(other.join(INVITE_KEY)).expect("reads");
        let mute = KeySource::Command(format!("head -c 100 {}", other.join(INVITE_KEY).display()));
        let garbled = with_key(&path, &mute).err().expect("refused").to_string();
        assert!(garbled.contains("not a P-256 private key"), "{garbled}");
        assert!(!secret.lines().any(|line| garbled.contains(line)), "{garbled}");
        fs::set_permissions(&away, fs::Permissions::from_mode(0o640)).expect("set");
        let open = from_file(&away).err().expect("refused").to_string();
        assert!(open.contains("chmod 0600"), "{open}");
        let nowhere = from_file(&path.join("nowhere")).err().expect("refused").to_string();
        assert!(nowhere.contains("nowhere cannot be read"), "{nowhere}");
    }
}
