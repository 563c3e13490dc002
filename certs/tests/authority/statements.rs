//! The statement of a join: only the identity's key can have signed it, and for one grant, node and cluster only.

use std::sync::Arc;

use certs::{AuthorityError, IdentityKey, SigningKey, has_signed};
use protocol::{ClusterId, GrantId, HandoverStatement, KeyHash, NodeId, Signable as _, Statement};
use rcgen::{KeyPair, PublicKeyData as _};
use rustls::crypto::CryptoProvider;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn key() -> SigningKey {
    SigningKey::generate().expect("a key")
}

fn node(id: &str) -> NodeId {
    id.parse().expect("a node id")
}

fn public(key: &SigningKey) -> IdentityKey {
    IdentityKey::from_spki(&key.spki()).expect("a public key")
}

#[track_caller]
fn refused(spki: &[u8]) {
    let Err(error) = IdentityKey::from_spki(spki) else { panic!("the key was taken") };
    assert!(matches!(error, AuthorityError::Certificate(_)), "{error:?}");
}

#[test]
fn a_statement_is_its_signers_and_nobody_elses() {
    let key = key();
    let (grant, node, cluster) = (GrantId::random(), node("k9vqn1p0r3a8j2m4x6t5b7c1d"), ClusterId::random());
    let statement = Statement { grant: &grant, node: &node, cluster: &cluster };
    let signature = key.sign(&statement).expect("signed");
    assert!(public(&key).has_signed(&statement, &signature, &provider()));
    assert!(!public(&self::key()).has_signed(&statement, &signature, &provider()));
    assert_eq!(public(&key).hash(), &key.hash());
    assert_eq!(public(&key).hash(), &KeyHash::of_spki(&key.spki()));
}

#[test]
fn a_statement_says_nothing_about_another_grant_node_or_cluster() {
    let key = key();
    let (grant, node, cluster) = (GrantId::random(), node("k9vqn1p0r3a8j2m4x6t5b7c1d"), ClusterId::random());
    let statement = Statement { grant: &grant, node: &node, cluster: &cluster };
    let signature = key.sign(&statement).expect("signed");
    let (other_grant, other_cluster) = (GrantId::random(), ClusterId::random());
    let other_node = self::node("k9vqn1p0r3a8j2m4x6t5b7c1e");
    let others = [
        Statement { grant: &other_grant, ..statement },
        Statement { node: &other_node, ..statement },
        Statement { cluster: &other_cluster, ..statement },
    ];
    for other in others {
        assert!(!public(&key).has_signed(&other, &signature, &provider()), "{other:?}");
        let own = key.sign(&other).expect("signed");
        assert!(public(&key).has_signed(&other, &own, &provider()));
    }
}

#[test]
fn a_signature_that_was_changed_or_is_none_is_refused() {
    let key = key();
    let (grant, node, cluster) = (GrantId::random(), node("k9vqn1p0r3a8j2m4x6t5b7c1d"), ClusterId::random());
    let statement = Statement { grant: &grant, node: &node, cluster: &cluster };
    let signature = key.sign(&statement).expect("signed");
    let signed = |signature: &[u8]| public(&key).has_signed(&statement, signature, &provider());
    assert!(signed(&signature));
    for place in 0..signature.len() {
        let mut changed = signature.clone();
        changed[place] ^= 1;
        assert!(!signed(&changed), "byte {place}");
    }
    let longer = [&signature[..], &[0]].concat();
    // r = 0 and s = 0: what broken verifiers take for a signature of everything (CVE-2022-21449).
    let zeros: &[u8] = &[0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x00];
    for wrong in [&[], &longer[..], &signature[..signature.len() - 1], zeros, &[0; 64], &[0x30, 0]] {
        assert!(!signed(wrong), "{wrong:02x?}");
    }
}

#[test]
fn no_other_signature_of_the_key_passes_for_a_statement() {
    let key = key();
    let (grant, node, cluster) = (GrantId::random(), node("k9vqn1p0r3a8j2m4x6t5b7c1d"), ClusterId::random());
    let statement = Statement { grant: &grant, node: &node, cluster: &cluster };
    // A request's signature is by the same key, over other bytes.
    let csr = crate::parts::der(&key.csr().expect("a CSR"));
    let (_, csr) = X509CertificationRequest::from_der(&csr).expect("reads");
    csr.verify_signature().expect("a signature of this key");
    assert!(!public(&key).has_signed(&statement, &csr.signature_value.data, &provider()));
    // The fields alone, without the context that says what is signed.
    let bytes = statement.bytes();
    let fields = &bytes[bytes.iter().position(|&byte| byte == 0).expect("a context") + 1..];
    let bare = rcgen::SigningKey::sign(&crate::parts::pair(&key), fields).expect("signed");
    assert!(!public(&key).has_signed(&statement, &bare, &provider()));
    let whole = rcgen::SigningKey::sign(&crate::parts::pair(&key), &bytes).expect("signed");
    assert!(public(&key).has_signed(&statement, &whole, &provider()));
}

#[test]
fn a_key_in_any_form_but_our_own_is_refused() {
    let key = key();
    let spki = key.spki();
    assert_eq!(spki.len(), 91);
    assert!(IdentityKey::from_spki(&spki).is_ok());
    refused(&[]);
    refused(&spki[..spki.len() - 1]);
    refused(&[&spki[..], &[0]].concat());
    refused(key.public_point());
    refused(key.csr().expect("a CSR").as_bytes());
    for algorithm in [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519] {
        refused(&KeyPair::generate_for(algorithm).expect("a key").subject_public_key_info());
    }
    refused(&compressed(&key));
    // Bits that are said to be unused, a length in a longer form, and another curve's name.
    let mut unused = spki.clone();
    unused[25] = 1;
    refused(&unused);
    refused(&[&[0x30, 0x81, 0x59], &spki[2..]].concat());
    let mut other_curve = spki.clone();
    other_curve[22] = 0x04;
    refused(&other_curve);
}

/// The same key as a compressed point (SEC 1 §2.3.3): another hash for the same key, were it taken.
fn compressed(key: &SigningKey) -> Vec<u8> {
    let point = key.public_point();
    let header = &key.spki()[2..23];
    let sign = 2 + (point[64] & 1);
    [&[0x30, 0x39], header, &[0x03, 0x22, 0x00, sign], &point[1..33]].concat()
}

#[test]
fn a_point_that_is_not_on_the_curve_or_not_uncompressed_has_signed_nothing() {
    let key = key();
    let (grant, node, cluster) = (GrantId::random(), node("k9vqn1p0r3a8j2m4x6t5b7c1d"), ClusterId::random());
    let statement = Statement { grant: &grant, node: &node, cluster: &cluster };
    let signature = key.sign(&statement).expect("signed");
    let spki = key.spki();
    let mut hybrid = spki.clone();
    hybrid[26] = 6 + (spki[90] & 1);
    let mut off_curve = spki.clone();
    off_curve[90] ^= 1;
    let mut nowhere = spki.clone();
    nowhere[27..].fill(0);
    for wrong in [hybrid, off_curve, nowhere] {
        let taken = IdentityKey::from_spki(&wrong);
        assert!(!taken.is_ok_and(|key| key.has_signed(&statement, &signature, &provider())), "{wrong:02x?}");
    }
    assert!(public(&key).has_signed(&statement, &signature, &provider()));
}

#[test]
fn what_is_signed_for_a_hand_over_is_for_one_broker_and_confirms_no_join() {
    let (key, node, cluster) = (key(), node("k9vqn1p0r3a8j2m4x6t5b7c1d"), ClusterId::random());
    let other_node = self::node("k9vqn1p0r3a8j2m4x6t5b7c1e");
    let statement = HandoverStatement { broker: "0123", grant_key: "abcd", node: &node, cluster: &cluster };
    let signature = key.sign(&statement).expect("signed");
    assert!(public(&key).has_signed(&statement, &signature, &provider()));
    for other in [
        HandoverStatement { broker: "0124", ..statement },
        HandoverStatement { grant_key: "abce", ..statement },
        HandoverStatement { broker: "012", grant_key: "3abcd", ..statement },
        HandoverStatement { node: &other_node, ..statement },
        HandoverStatement { cluster: &ClusterId::random(), ..statement },
    ] {
        assert!(!public(&key).has_signed(&other, &signature, &provider()), "{other:?}");
        assert!(!has_signed(key.public_point(), &other, &signature, &provider()), "{other:?}");
    }
    assert!(has_signed(key.public_point(), &statement, &signature, &provider()), "a key that is known by its point");
    assert!(!has_signed(self::key().public_point(), &statement, &signature, &provider()), "another key");
    assert!(!has_signed(&[4; 65], &statement, &signature, &provider()), "no point of the curve");
    let grant = GrantId::random();
    let join = Statement { grant: &grant, node: &node, cluster: &cluster };
    assert!(!public(&key).has_signed(&join, &signature, &provider()));
}
