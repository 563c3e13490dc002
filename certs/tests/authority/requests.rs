//! A certificate signing request gives its public key, and nothing else that it says is heard.

use certs::{AuthorityError, Csr, SigningKey};
use protocol::{InviteId, KeyHash, Role};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer as _, X509CertificationRequest};

use crate::parts::{Authority, der, extensions, pair, parse, pem, replaced, subject};

const CSR: &str = "CERTIFICATE REQUEST";

fn key() -> SigningKey {
    SigningKey::generate().expect("a key")
}

/// A request for everything that an attacker would like to have.
fn greedy() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::OrganizationName, "somebody else");
    params.distinguished_name.push(DnType::CommonName, "lab root");
    params.subject_alt_names = vec![
        SanType::DnsName("broker.example".try_into().expect("ASCII")),
        SanType::URI("swarm-broker://00000000000000000000000000000000/manager/0".try_into().expect("ASCII")),
    ];
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::Any];
    params
}

#[track_caller]
fn refused(pem: &str) {
    let Err(error) = Csr::from_pem(pem) else { panic!("the request was taken") };
    assert!(matches!(error, AuthorityError::Csr), "{error:?}");
}

#[test]
fn a_request_that_asks_for_much_gets_what_every_request_gets() {
    let authority = Authority::new();
    let key = key();
    let asking = greedy().serialize_request(&pair(&key)).and_then(|csr| csr.pem()).expect("a CSR");
    let invite = InviteId::random();
    let identity = |csr: &str| -> CertificateDer<'static> {
        authority.identity(&Csr::from_pem(csr).expect("its signature is right"), Role::Worker, &invite)
    };
    let (asked, plain) = (identity(&asking), identity(&key.csr().expect("a CSR")));
    let (asked, plain) = (parse(&asked), parse(&plain));
    assert_eq!(subject(&asked), format!("O={}, CN=identity", authority.cluster));
    assert_eq!(asked.subject().as_raw(), plain.subject().as_raw());
    assert_eq!(asked.validity(), plain.validity());
    assert_eq!(asked.public_key().raw, plain.public_key().raw);
    assert_eq!(extensions(&asked), extensions(&plain));
    for (one, other) in asked.extensions().iter().zip(plain.extensions()) {
        assert_eq!((&one.oid, one.value), (&other.oid, other.value));
    }
    assert!(!asked.is_ca());
    assert_ne!(asked.raw_serial(), plain.raw_serial());
}

#[test]
fn a_request_is_known_by_the_hash_of_its_key() {
    let key = key();
    let csr = Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
    assert_eq!(csr.key(), key.hash());
    assert_eq!(csr.key(), KeyHash::of_spki(&key.spki()));
    assert_ne!(csr.key(), self::key().hash());
}

#[test]
fn our_own_request_asks_for_nothing() {
    let der = der(&key().csr().expect("a CSR"));
    let (rest, csr) = X509CertificationRequest::from_der(&der).expect("reads");
    assert!(rest.is_empty());
    assert_eq!(csr.certification_request_info.subject.iter().count(), 0);
    assert_eq!(csr.requested_extensions().into_iter().flatten().count(), 0);
}

#[test]
fn a_request_with_a_key_that_is_not_p_256_is_refused() {
    let algorithms = [&rcgen::PKCS_ECDSA_P384_SHA384, &rcgen::PKCS_ED25519];
    for algorithm in algorithms {
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let csr = CertificateParams::default().serialize_request(&key).and_then(|csr| csr.pem()).expect("a CSR");
        refused(&csr);
    }
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
    let csr = CertificateParams::default().serialize_request(&key).and_then(|csr| csr.pem()).expect("a CSR");
    assert!(Csr::from_pem(&csr).is_ok());
}

/// A request with these bytes in place of others, signed anew by `key`.
fn signed_anew(csr: &[u8], key: &SigningKey, old: &[u8], new: &[u8]) -> Vec<u8> {
    use rcgen::SigningKey as _;
    let (_, parsed) = X509CertificationRequest::from_der(csr).expect("reads");
    let info = replaced(parsed.certification_request_info.raw, old, new);
    let algorithm: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let signature = pair(key).sign(&info).expect("signed");
    let bits = [&[0x03, u8::try_from(signature.len() + 1).expect("short"), 0], &signature[..]].concat();
    let body = [&info, algorithm, &bits].concat();
    let length = u16::try_from(body.len()).expect("short").to_be_bytes();
    [&[0x30, 0x82, length[0], length[1]], &body[..]].concat()
}

#[test]
fn a_request_that_was_changed_after_it_was_signed_is_refused() {
    let key = key();
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "a name of some length, so that lengths take two bytes each");
    params.subject_alt_names =
        vec![SanType::DnsName("a-name-of-some-length.for-the-same-reason.example".try_into().expect("ASCII"))];
    let csr = der(&params.serialize_request(&pair(&key)).and_then(|csr| csr.pem()).expect("a CSR"));
    let (old, new) = (&b"some length, so"[..], &b"SOME length, so"[..]);
    refused(&pem(CSR, &replaced(&csr, old, new)));
    // Another's public key in it: nobody asks in the name of a key that is not theirs.
    let other = self::key();
    refused(&pem(CSR, &replaced(&csr, key.public_point(), other.public_point())));
    refused(&pem(CSR, &signed_anew(&csr, &key, key.public_point(), other.public_point())));
    let last = csr.len() - 1;
    let mut flipped = csr.clone();
    flipped[last] ^= 1;
    refused(&pem(CSR, &flipped));
    refused(&pem(CSR, &csr[..last]));
    // Signed anew by its own key, the change is as good as the original; so it was the signature that told.
    assert!(Csr::from_pem(&pem(CSR, &csr)).is_ok());
    let honest = Csr::from_pem(&pem(CSR, &signed_anew(&csr, &key, old, new))).expect("its signature is right");
    assert_eq!(honest.key(), key.hash());
}

#[test]
fn a_request_that_names_another_curve_for_its_key_is_refused() {
    let key = key();
    let mut params = CertificateParams::default();
    params
        .distinguished_name
        .push(DnType::CommonName, "a name of some length, so that lengths take two bytes each".repeat(3));
    let csr = der(&params.serialize_request(&pair(&key)).and_then(|csr| csr.pem()).expect("a CSR"));
    // id-ecPublicKey with prime256v1, and with prime239v1, whose OID is as long.
    let p256 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    let p239 = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x04];
    refused(&pem(CSR, &signed_anew(&csr, &key, &p256, &p239)));
    assert!(Csr::from_pem(&pem(CSR, &signed_anew(&csr, &key, &p256, &p256))).is_ok());
}

#[test]
fn what_is_no_request_is_refused() {
    let honest = key().csr().expect("a CSR");
    let garbage: Vec<u8> = (0..2048_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let cases = [
        String::new(),
        "rubbish".to_owned(),
        honest.replace("-----BEGIN", "----BEGIN"),
        honest.replacen("MI", "!!", 1),
        pem(CSR, &[]),
        pem(CSR, &garbage),
        pem(CSR, &[0x30; 4096]),
        // A length of nearly 4 GiB, and nesting without end.
        pem(CSR, &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff, 0x00]),
        pem(CSR, &[0x30, 0x80].repeat(4000)),
        pem("CERTIFICATE", &Authority::new().some_identity()),
    ];
    for case in cases {
        refused(&case);
    }
    assert!(Csr::from_pem(&honest).is_ok());
}

#[test]
fn a_request_larger_than_any_honest_one_is_refused_though_its_signature_is_right() {
    let key = key();
    let request = |names: usize| {
        let mut params = CertificateParams::default();
        let name = |number| SanType::DnsName(format!("name-{number}.example").try_into().expect("ASCII"));
        params.subject_alt_names = (0..names).map(name).collect();
        params.serialize_request(&pair(&key)).and_then(|csr| csr.pem()).expect("a CSR")
    };
    let large = request(2000);
    assert!(large.len() > protocol::MAX_BODY);
    refused(&large);
    refused(&"-".repeat(1 << 20));
    assert!(Csr::from_pem(&request(20)).is_ok());
}

#[test]
fn a_request_with_an_extension_that_nobody_knows_is_refused() {
    let mut params = CertificateParams::default();
    params.custom_extensions = vec![CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 99_999, 1], vec![5, 0])];
    refused(&params.serialize_request(&pair(&key())).and_then(|csr| csr.pem()).expect("a CSR"));
}
