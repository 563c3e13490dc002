//! A head: how many records a log has, and the hash over all of them, signed (C2SP tlog-checkpoint, signed-note).
//!
//! Keeps promise 11: whoever has a head and the public key can tell whether a log is still the one that was signed.
//! Must not show the private key.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};
use protocol::random;
use signed_note::{Note, NoteError, StandardSigner, StandardVerifier, Verifier, VerifierList};
use tlog_tiles::Checkpoint;
use zeroize::Zeroizing;

use super::cosign::{Cosigner, is_cosigned};
use super::tree::{Hash, Tree};

/// What the name of a broker's log and of its key begins with; the broker's id follows.
const ORIGIN: &str = "swarm-broker/";

/// The key that signs a log's heads.
pub(crate) struct LogKey {
    signer: StandardSigner,
    signing: SigningKey,
    public: PublicLogKey,
}

/// The key that verifies them, as text: `NAME+ID+KEY` (C2SP signed-note, "verifier keys").
#[derive(Clone)]
pub(crate) struct PublicLogKey {
    text: String,
    verifier: StandardVerifier,
    point: VerifyingKey,
}

/// A head whose signature was verified.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Head {
    pub(crate) size: u64,
    pub(crate) root: Hash,
}

/// Why a head is none.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum BadHead {
    #[error("it is not a signed checkpoint")]
    Malformed,
    #[error("no signature of the key {0} is on it")]
    NotSigned(String),
    #[error("the signature of the key {0} is not valid")]
    BadSignature(String),
    #[error("it is of another log")]
    OtherLog,
}

impl LogKey {
    /// Makes a key for this broker's log. Gives its text, for the state directory, too.
    pub(crate) fn make(broker: &str) -> Option<(Zeroizing<String>, Self)> {
        let (name, seed) = (format!("{ORIGIN}{broker}"), Zeroizing::new(random::<32>()));
        let key = SigningKey::from_bytes(&seed);
        let public = signed_note::new_ed25519_verifier_key(&name, &key.verifying_key());
        // The private form is the public one with the seed in place of the point (golang.org/x/mod/sumdb/note).
        // A key in base64 may hold a '+' as well: NAME and ID end at the first two.
        let (end, _) = public.match_indices('+').nth(1)?;
        let named = &public[..end];
        let encoded = Zeroizing::new([&[ED25519], seed.as_slice()].concat());
        let private = Zeroizing::new(format!("{PRIVATE}{named}+{}", *base64(&encoded)));
        let key = Self::read(&private)?;
        Some((private, key))
    }

    /// Reads a key; the public half follows from it. None if it is none.
    pub(crate) fn read(private: &str) -> Option<Self> {
        let private = private.trim();
        let [name, _, encoded] = private.strip_prefix(PRIVATE)?.splitn(3, '+').collect::<Vec<_>>()[..] else {
            return None;
        };
        let decoded = Zeroizing::new(STANDARD.decode(encoded).ok()?);
        let seed = Zeroizing::new(<[u8; 32]>::try_from(decoded.strip_prefix(&[ED25519])?).ok()?);
        let signing = SigningKey::from_bytes(&seed);
        let public = signed_note::new_ed25519_verifier_key(name, &signing.verifying_key());
        let key = Self { signer: StandardSigner::new(private).ok()?, signing, public: PublicLogKey::read(&public)? };
        key.sign(&Tree::default()).and_then(|note| key.public.verify(&note).ok()).map(|_| key)
    }

    /// The other half.
    pub(crate) fn public(&self) -> &PublicLogKey {
        &self.public
    }

    /// The head of this tree, signed.
    pub(crate) fn sign(&self, tree: &Tree) -> Option<Vec<u8>> {
        let head = Checkpoint::new(self.public.name(), tree.size(), tree.root(), "").ok()?;
        let mut note = Note::new(&head.to_bytes(), &[]).ok()?;
        note.add_sigs(&[&self.signer]).ok()?;
        Some(note.to_bytes())
    }

    /// That a head is the log's last one, to whoever asked with this nonce.
    pub(crate) fn answer(&self, nonce: &str, note: &[u8]) -> String {
        STANDARD.encode(self.signing.sign(&answer(nonce, note)).to_bytes())
    }

    /// Another log's head with this key's cosignature on it: it was held against what is known of that log, at `now`,
    /// in seconds since 1970.
    pub(crate) fn cosign(&self, note: &[u8], now: u64) -> Option<Vec<u8>> {
        let mut note = Note::from_bytes(note).ok()?;
        note.add_sigs(&[&Cosigner { name: self.public.name(), key: &self.signing, now }]).ok()?;
        Some(note.to_bytes())
    }
}

impl PublicLogKey {
    /// Reads a key's text.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let text = text.trim();
        let verifier = StandardVerifier::new(text).ok()?;
        // Name and id end at the first two: a key in base64 may hold a '+' as well.
        let decoded = STANDARD.decode(text.splitn(3, '+').last()?).ok()?;
        let point = VerifyingKey::from_bytes(decoded.strip_prefix(&[ED25519])?.try_into().ok()?).ok()?;
        Some(Self { text: text.to_owned(), verifier, point })
    }

    /// The key's text.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// The log's name.
    pub(crate) fn name(&self) -> &str {
        self.verifier.name()
    }

    /// The broker whose log it is.
    pub(crate) fn broker(&self) -> &str {
        self.name().strip_prefix(ORIGIN).unwrap_or(self.name())
    }

    /// Whether the broker with this key has cosigned a note.
    pub(super) fn has_cosigned(&self, note: &[u8]) -> bool {
        Note::from_bytes(note).is_ok_and(|note| is_cosigned(&note, self.name(), self.point))
    }

    /// Whether whoever has the log's key has said, to this nonce, that a head is its last one.
    pub(crate) fn has_answered(&self, nonce: &str, note: &[u8], signature: &str) -> bool {
        let signature = STANDARD.decode(signature).ok().and_then(|bytes| Signature::from_slice(&bytes).ok());
        signature.is_some_and(|signature| self.point.verify(&answer(nonce, note), &signature).is_ok())
    }

    /// The head in a note, if this key signed it.
    pub(crate) fn verify(&self, note: &[u8]) -> Result<Head, BadHead> {
        let note = Note::from_bytes(note).map_err(|_| BadHead::Malformed)?;
        let known = VerifierList::new(vec![Box::new(self.verifier.clone())]);
        note.verify(&known).map_err(|error| match error {
            NoteError::InvalidSignature { .. } => BadHead::BadSignature(self.name().to_owned()),
            _ => BadHead::NotSigned(self.name().to_owned()),
        })?;
        let head = Checkpoint::from_bytes(note.text()).map_err(|_| BadHead::Malformed)?;
        if head.origin() != self.name() {
            return Err(BadHead::OtherLog);
        }
        Ok(Head { size: head.size(), root: *head.hash() })
    }
}

/// What is signed of an answer. No head begins so.
fn answer(nonce: &str, note: &[u8]) -> Vec<u8> {
    [format!("log-page/v1\nnonce {nonce}\n").as_bytes(), note].concat()
}

/// The brokers that have cosigned a note, by these keys.
pub(crate) fn cosigned_by(note: &[u8], keys: &[PublicLogKey]) -> Vec<String> {
    let cosigners = keys.iter().filter(|key| key.has_cosigned(note)).map(|key| key.broker().to_owned());
    cosigners.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// What a private key's text begins with.
const PRIVATE: &str = "PRIVATE+KEY+";
/// The algorithm's number in a key's text (C2SP signed-note).
const ED25519: u8 = 1;

fn base64(bytes: &[u8]) -> Zeroizing<String> {
    Zeroizing::new(STANDARD.encode(bytes))
}

#[cfg(test)]
mod tests {
    use super::super::tree::leaf;
    use super::*;

    fn key(broker: &str) -> LogKey {
        LogKey::make(broker).expect("a key").1
    }

    #[test]
    fn a_head_is_verified_by_its_own_key_only() {
        assert!((0..200).all(|_| LogKey::make("one").is_some()), "whatever the key's bytes are");
        let (one, other) = (key("one"), key("one"));
        let mut tree = Tree::default();
        tree.push(leaf(b"record"));
        let note = one.sign(&tree).expect("signed");
        assert_eq!(one.public().verify(&note), Ok(Head { size: 1, root: tree.root() }));
        assert!(matches!(other.public().verify(&note), Err(BadHead::NotSigned(_))));
        let text = String::from_utf8(note.clone()).expect("text");
        assert!(text.starts_with("swarm-broker/one\n1\n"), "{text}");
        let two = text.replacen("\n1\n", "\n2\n", 1);
        assert!(matches!(one.public().verify(two.as_bytes()), Err(BadHead::BadSignature(_))));
        for at in 0..note.len() {
            let mut changed = note.clone();
            changed[at] ^= 1;
            assert!(one.public().verify(&changed).is_err(), "changed at {at}");
        }
    }

    #[test]
    fn another_broker_cosigns_and_changes_nothing_else() {
        let (log, witness, other) = (key("one"), key("two"), key("two"));
        let mut tree = Tree::default();
        tree.push(leaf(b"record"));
        let note = log.sign(&tree).expect("signed");
        let cosigned = witness.cosign(&note, 1_700_000_000).expect("cosigned");
        assert!(cosigned.starts_with(&note), "a line more");
        assert_eq!(log.public().verify(&cosigned), log.public().verify(&note));
        assert!(witness.public().has_cosigned(&cosigned));
        assert!(!witness.public().has_cosigned(&note) && !other.public().has_cosigned(&cosigned));
        assert!(witness.public().verify(&cosigned).is_err(), "a cosignature makes it no log of its own");
        for at in 0..cosigned.len() {
            let mut changed = cosigned.clone();
            changed[at] ^= 1;
            let both = log.public().verify(&changed).is_ok() && witness.public().has_cosigned(&changed);
            assert!(!both, "changed at {at}");
        }
        let answer = log.answer("17", &note);
        assert!(log.public().has_answered("17", &note, &answer));
        for (nonce, head) in [("18", &note), ("17", &cosigned)] {
            assert!(!log.public().has_answered(nonce, head, &answer), "to another question");
        }
        assert!(!witness.public().has_answered("17", &note, &answer) && !log.public().has_answered("17", &note, ""));
        let later = witness.cosign(&cosigned, 1_700_000_001).expect("cosigned");
        assert_eq!(later.len(), cosigned.len(), "in place of the one before");
    }

    #[test]
    fn a_key_is_read_back_and_shows_nothing() {
        let (private, made) = LogKey::make("one").expect("a key");
        let read = LogKey::read(&private).expect("a key");
        assert_eq!(read.public().as_str(), made.public().as_str());
        for cut in 0..private.len() {
            assert!(LogKey::read(&private[..cut]).is_none(), "cut at {cut}");
        }
        assert_eq!((made.public().name(), made.public().broker()), ("swarm-broker/one", "one"));
        assert!(PublicLogKey::read(&private).is_none());
    }
}
