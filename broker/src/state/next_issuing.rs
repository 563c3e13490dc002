//! The next issuing CA on disk, from the request for its certificate until it is in use.
//!
//! Keeps promise 5: certificate and key are two files, and at each moment one pair of them is whole. The next certificate
//! is there or not: from then on it is the one, with its key beside it or already in its place.
//! Must not give the key to anybody: a request carries the public half.

use certs::{Issuing, IssuingCertificate, SigningKey};
use zeroize::Zeroizing;

use super::cluster::{ISSUING_CERTIFICATE, ISSUING_KEY};
use super::{Folder, KeySource, StateError};

pub(super) const NEXT_KEY: &str = "issuing.next.key";
pub(super) const NEXT_CERTIFICATE: &str = "issuing.next.crt";

/// The key that the next issuing CA will have: made once, and the same until it is in use.
pub(crate) fn next_key(folder: &Folder) -> Result<SigningKey, StateError> {
    if !folder.has(NEXT_KEY) {
        folder.write(NEXT_KEY, &SigningKey::generate()?.to_pem())?;
    }
    let key = folder.read(NEXT_KEY)?;
    SigningKey::from_pem(&key)
        .map_err(|error| StateError::Corrupt { path: folder.path(NEXT_KEY), what: error.to_string() })
}

/// Forgets the one that was made before: after a leak, it may have leaked as well.
pub(crate) fn forget_key(folder: &Folder) -> Result<(), StateError> {
    // In this order: a certificate without its key would stop the next start.
    folder.remove(NEXT_CERTIFICATE)?;
    folder.remove(NEXT_KEY)
}

/// Whether the key is one of these CAs' already: it was staged, and not begun.
pub(crate) fn is_key_of(folder: &Folder, issuing: &[IssuingCertificate]) -> Result<bool, StateError> {
    if !folder.has(NEXT_KEY) {
        return Ok(false);
    }
    let key = next_key(folder)?;
    Ok(issuing.iter().any(|issuing| issuing.is_of(&key)))
}

/// The issuing CA of this certificate: its key is the one that was made here for it, or is where the issuing key is kept.
pub(crate) fn issuing_of(
    folder: &Folder,
    source: &KeySource,
    certificate: &str,
    root: &str,
) -> Result<Issuing, StateError> {
    if folder.has(NEXT_KEY)
        && let Ok(issuing) = Issuing::from_pem(certificate, &next_key(folder)?.to_pem(), root)
    {
        return Ok(issuing);
    }
    let key = match source.read()? {
        Some(key) => key,
        None => folder.read(ISSUING_KEY)?,
    };
    Ok(Issuing::from_pem(certificate, &key, root)?)
}

/// Puts a key beside the one in use that another broker gave, in place of any that was made here for a request.
pub(crate) fn stage(folder: &Folder, issuing: &Issuing) -> Result<(), StateError> {
    forget_key(folder)?;
    folder.write(NEXT_KEY, &issuing.key().to_pem())
}

/// From here on this is the issuing CA: the next start begins with it.
pub(crate) fn begin(folder: &Folder, issuing: &Issuing) -> Result<(), StateError> {
    folder.write(NEXT_CERTIFICATE, issuing.certificate_pem())
}

/// It is not, after all.
pub(crate) fn undo(folder: &Folder) -> Result<(), StateError> {
    folder.remove(NEXT_CERTIFICATE)
}

/// Puts what was begun into its place. Cut off in between, it is done at the next start.
pub(crate) fn finish(folder: &Folder) -> Result<(), StateError> {
    if !folder.has(NEXT_CERTIFICATE) {
        return Ok(());
    }
    if key_is_here(folder)? {
        folder.rename(NEXT_KEY, ISSUING_KEY)?;
    }
    folder.rename(NEXT_CERTIFICATE, ISSUING_CERTIFICATE)
}

/// The file that holds the issuing CA's certificate.
pub(super) fn certificate(folder: &Folder) -> &'static str {
    if folder.has(NEXT_CERTIFICATE) { NEXT_CERTIFICATE } else { ISSUING_CERTIFICATE }
}

/// The key that was made here for a certificate that was begun, if it has not come into its place yet.
pub(super) fn key(folder: &Folder) -> Result<Option<Zeroizing<String>>, StateError> {
    if folder.has(NEXT_CERTIFICATE) && key_is_here(folder)? { folder.read(NEXT_KEY).map(Some) } else { Ok(None) }
}

/// Whether the key beside the next certificate is that one's: it may be of a request that came to nothing.
fn key_is_here(folder: &Folder) -> Result<bool, StateError> {
    if !folder.has(NEXT_KEY) {
        return Ok(false);
    }
    let (key, certificate) = (next_key(folder)?, folder.read(NEXT_CERTIFICATE)?);
    let root = folder.read(super::cluster::ROOT_CERTIFICATE)?;
    Ok(IssuingCertificate::from_pem(&certificate, &root)?.is_of(&key))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use certs::{Csr, Root};

    use super::*;
    use crate::clock;
    use crate::state::{Cluster, init};

    /// A state directory, its folder, and the certificate of a next issuing CA for the key that was made there.
    fn asked() -> (tempfile::TempDir, std::path::PathBuf, Folder, String, String) {
        let temporary = tempfile::tempdir().expect("a folder");
        let path = temporary.path().join("state");
        init(&path, "test", Vec::new(), std::time::Duration::ZERO).expect("made");
        let folder = Folder::open(&path).expect("opens");
        let read = |name: &str| folder.read(name).expect("reads").to_string();
        let root = Root::from_pem(&read("root.crt"), &read("root.key"), "test").expect("the root");
        let request = next_key(&folder).and_then(|key| Ok(key.csr()?)).expect("a request");
        let request = Csr::from_pem(&request).expect("reads");
        let certificate = root.certify(&request, 2, clock::unix(clock::now())).expect("certified");
        let root = read("root.crt");
        (temporary, path, folder, certificate, root)
    }

    fn generation(path: &Path) -> u32 {
        let cluster = Cluster::open(path).expect("opens");
        let issuing = cluster.issuing_key(&KeySource::State).expect("certificate and key belong together");
        assert_eq!(issuing.public(), &cluster.issuing);
        issuing.public().generation
    }

    #[test]
    fn whatever_step_is_the_last_one_the_state_opens_with_a_whole_pair() {
        let (_temporary, path, folder, certificate, root) = asked();
        assert_eq!(generation(&path), 1, "a request changes nothing");
        let first = next_key(&folder).expect("reads").hash();
        assert_eq!(next_key(&folder).expect("reads").hash(), first, "asked again, it is the same key");
        {
            let (_temporary, path, folder, certificate, root) = asked();
            let before = next_key(&folder).expect("reads").hash();
            let issuing = issuing_of(&folder, &KeySource::State, &certificate, &root).expect("its key is here");
            begin(&folder, &issuing).expect("written");
            forget_key(&folder).expect("removed");
            assert_eq!(generation(&path), 1);
            assert_ne!(next_key(&folder).expect("made").hash(), before, "after a leak it is another one");
        }
        let issuing = issuing_of(&folder, &KeySource::State, &certificate, &root).expect("its key is here");
        begin(&folder, &issuing).expect("written");
        assert_eq!(generation(&path), 2);
        fs::rename(path.join(NEXT_KEY), path.join(ISSUING_KEY)).expect("the first half of finishing");
        assert_eq!(generation(&path), 2);
        finish(&folder).expect("finished");
        assert_eq!(generation(&path), 2);
        assert!(!folder.has(NEXT_KEY) && !folder.has(NEXT_CERTIFICATE));
        finish(&folder).expect("nothing to do");
        // The next request has a key of its own.
        assert_ne!(next_key(&folder).expect("made").hash(), first);
        assert_eq!(generation(&path), 2);
    }

    #[test]
    fn what_another_broker_gave_is_whole_after_each_step_and_in_no_request_of_ours() {
        let (_temporary, path, folder, certificate, root) = asked();
        let key = next_key(&folder).expect("reads");
        let given = Issuing::from_pem(&certificate, &key.to_pem(), &root).expect("what the other one has");
        forget_key(&folder).expect("it was made there");
        next_key(&folder).expect("a request of ours that comes to nothing");
        assert!(!is_key_of(&folder, &[given.public().clone()]).expect("reads"));
        stage(&folder, &given).expect("written");
        assert_eq!(generation(&path), 1, "nothing is begun");
        assert!(is_key_of(&folder, &[given.public().clone()]).expect("reads"), "cut off here, it is asked for again");
        begin(&folder, &given).expect("written");
        assert_eq!(generation(&path), 2);
        finish(&folder).expect("finished");
        assert_eq!(generation(&path), 2);
        assert!(!folder.has(NEXT_KEY));
    }

    #[test]
    fn what_was_undone_leaves_the_former_one() {
        let (_temporary, path, folder, certificate, root) = asked();
        begin(&folder, &issuing_of(&folder, &KeySource::State, &certificate, &root).expect("ours")).expect("written");
        undo(&folder).expect("removed");
        assert_eq!(generation(&path), 1);
    }

    #[test]
    fn a_key_that_is_kept_elsewhere_is_looked_for_there() {
        let (temporary, path, folder, certificate, root) = asked();
        let away = temporary.path().join("away.key");
        fs::rename(path.join(NEXT_KEY), &away).expect("moved");
        let source = KeySource::File(away);
        let issuing = issuing_of(&folder, &source, &certificate, &root).expect("it is there");
        assert!(issuing_of(&folder, &KeySource::State, &certificate, &root).is_err(), "not the former key");
        begin(&folder, &issuing).expect("written");
        finish(&folder).expect("finished");
        let cluster = Cluster::open(&path).expect("opens");
        assert_eq!(cluster.issuing_key(&source).expect("belongs").public().generation, 2);
    }
}
