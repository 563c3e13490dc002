//! The profile of each certificate: what it may do, how long, and for whom.

use std::collections::HashSet;

use certs::{Csr, SigningKey};
use protocol::{InviteId, Role};
use x509_parser::prelude::{GeneralName, ParsedExtension, X509Certificate};

use crate::parts::{Authority, DAY, HOUR, NOW, extensions, key_identifiers, parse, subject};

const AUTHORITY_KEY_IDENTIFIER: &str = "2.5.29.35";
const BASIC_CONSTRAINTS: &str = "2.5.29.19";
const EXTENDED_KEY_USAGE: &str = "2.5.29.37";
const KEY_USAGE: &str = "2.5.29.15";
const NAME_CONSTRAINTS: &str = "2.5.29.30";
const SUBJECT_ALT_NAME: &str = "2.5.29.17";
const SUBJECT_KEY_IDENTIFIER: &str = "2.5.29.14";

/// Bits of `KeyUsage` as x509-parser counts them: bit 0 is digitalSignature.
const DIGITAL_SIGNATURE: u16 = 1;
const CERT_SIGN_AND_CRL_SIGN: u16 = 1 << 5 | 1 << 6;

fn validity(certificate: &X509Certificate<'_>) -> (i64, i64) {
    (certificate.validity().not_before.timestamp(), certificate.validity().not_after.timestamp())
}

fn usage(certificate: &X509Certificate<'_>) -> u16 {
    certificate.key_usage().expect("reads").expect("present").value.flags
}

/// Whether it is a CA, and of which path length. Panics if it does not say.
fn basic(certificate: &X509Certificate<'_>) -> (bool, Option<u32>) {
    let extension = certificate.basic_constraints().expect("reads").expect("present");
    (extension.value.ca, extension.value.path_len_constraint)
}

fn names(certificate: &X509Certificate<'_>) -> Vec<String> {
    let extension = certificate.subject_alternative_name().expect("reads").expect("present");
    let shown = |name: &GeneralName<'_>| match name {
        GeneralName::DNSName(name) => format!("dns {name}"),
        GeneralName::URI(uri) => format!("uri {uri}"),
        other => format!("{other:?}"),
    };
    extension.value.general_names.iter().map(shown).collect()
}

/// Client, server, and whether there is any other purpose.
fn purposes(certificate: &X509Certificate<'_>) -> (bool, bool, bool) {
    let usage = certificate.extended_key_usage().expect("reads").expect("present").value;
    let others = usage.any
        || usage.code_signing
        || usage.email_protection
        || usage.time_stamping
        || usage.ocsp_signing
        || !usage.other.is_empty();
    (usage.client_auth, usage.server_auth, others)
}

/// Leaves and issuing CAs name their issuer by its subject and by its key.
#[track_caller]
fn is_issued_by(certificate: &X509Certificate<'_>, issuer: &X509Certificate<'_>) {
    assert_eq!(certificate.issuer().as_raw(), issuer.subject().as_raw());
    let (own, of_issuer) = key_identifiers(certificate);
    let (identifier, _) = key_identifiers(issuer);
    assert!(identifier.is_some());
    assert_eq!(of_issuer, identifier);
    assert_ne!(own, identifier);
    certificate.verify_signature(Some(issuer.public_key())).expect("its signature");
    assert!(certificate.verify_signature(Some(certificate.public_key())).is_err());
}

#[test]
fn the_root_signs_cas_that_sign_leaves_for_25_years() {
    let authority = Authority::new();
    let der = authority.root_der();
    let root = parse(&der);
    assert_eq!(basic(&root), (true, Some(1)));
    assert_eq!(usage(&root), CERT_SIGN_AND_CRL_SIGN);
    assert_eq!(validity(&root), (NOW - HOUR, NOW + 25 * 365 * DAY));
    assert_eq!(subject(&root), format!("O={}, CN=lab root", authority.cluster));
    assert_eq!(root.issuer().as_raw(), root.subject().as_raw());
    root.verify_signature(None).expect("its own signature");
    assert_eq!(
        extensions(&root),
        [
            (SUBJECT_KEY_IDENTIFIER.to_owned(), false),
            (KEY_USAGE.to_owned(), true),
            (BASIC_CONSTRAINTS.to_owned(), true),
            (AUTHORITY_KEY_IDENTIFIER.to_owned(), false),
        ]
    );
    assert_eq!(key_identifiers(&root).0, key_identifiers(&root).1);
}

#[test]
fn an_issuing_ca_signs_leaves_of_its_generations_names_for_a_year() {
    let authority = Authority::new();
    let (der, root) = (authority.issuing_der(), authority.root_der());
    let issuing = parse(&der);
    is_issued_by(&issuing, &parse(&root));
    assert_eq!(basic(&issuing), (true, Some(0)));
    assert_eq!(usage(&issuing), CERT_SIGN_AND_CRL_SIGN);
    assert_eq!(validity(&issuing), (NOW - HOUR, NOW + 366 * DAY));
    assert_eq!(subject(&issuing), format!("O={}, CN=lab issuing 3", authority.cluster));
    assert_eq!(
        extensions(&issuing),
        [
            (SUBJECT_KEY_IDENTIFIER.to_owned(), false),
            (KEY_USAGE.to_owned(), true),
            (BASIC_CONSTRAINTS.to_owned(), true),
            (NAME_CONSTRAINTS.to_owned(), true),
            (AUTHORITY_KEY_IDENTIFIER.to_owned(), false),
        ]
    );
    let constraints = issuing
        .extensions()
        .iter()
        .find_map(|extension| match extension.parsed_extension() {
            ParsedExtension::NameConstraints(constraints) => Some(constraints),
            _ => None,
        })
        .expect("present");
    assert!(constraints.excluded_subtrees.is_none());
    let permitted: Vec<_> = constraints.permitted_subtrees.iter().flatten().map(|tree| tree.base.to_string()).collect();
    let cluster = &authority.cluster;
    let wanted = [
        format!("{cluster}.swarm-broker.internal"),
        format!("{cluster}.g1.swarm-broker.internal"),
        format!("{cluster}.g2.swarm-broker.internal"),
        format!("{cluster}.g3.swarm-broker.internal"),
    ];
    assert_eq!(permitted, wanted.map(|name| format!("DNSName({name})")));
    assert_eq!(authority.issuing.public().generation, 3);
    assert_eq!(i64::try_from(authority.issuing.public().ends), Ok(NOW + 366 * DAY));
}

#[test]
fn a_server_certificate_is_for_servers_only_and_for_a_week() {
    let authority = Authority::new();
    let made = authority.issuing.server(crate::parts::now()).expect("a server certificate");
    let issuing = authority.issuing_der();
    let server = parse(&made.chain[0]);
    is_issued_by(&server, &parse(&issuing));
    assert_eq!(basic(&server), (false, None));
    assert_eq!(usage(&server), DIGITAL_SIGNATURE);
    assert_eq!(purposes(&server), (false, true, false));
    assert_eq!(validity(&server), (NOW - HOUR, NOW + 7 * DAY));
    assert_eq!(subject(&server), format!("O={}, CN=broker", authority.cluster));
    let cluster = &authority.cluster;
    assert_eq!(
        names(&server),
        [
            format!("dns {cluster}.swarm-broker.internal"),
            format!("dns {cluster}.g1.swarm-broker.internal"),
            format!("dns {cluster}.g2.swarm-broker.internal"),
            format!("dns {cluster}.g3.swarm-broker.internal"),
        ]
    );
    assert_eq!(extensions(&server), leaf_extensions());
    // The chain is complete, down to the root that is pinned; the key is the leaf's.
    assert_eq!(made.chain[1..], [issuing.clone(), authority.root_der()]);
    assert_eq!(server.public_key().raw, made.key.spki());
    let renew_at = i64::try_from(made.renew_at.as_secs()).expect("fits");
    assert!(NOW < renew_at && renew_at < NOW + 7 * DAY - 2 * DAY, "{renew_at}");
    // Each has a key of its own.
    assert_ne!(made.key.hash(), authority.issuing.server(crate::parts::now()).expect("another").key.hash());
}

#[test]
fn an_identity_is_for_clients_only_and_for_a_quarter_of_an_hour() {
    let authority = Authority::new();
    let key = SigningKey::generate().expect("a key");
    let csr = Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
    let invite = InviteId::random();
    let issuing = authority.issuing_der();
    for role in [Role::Worker, Role::Manager] {
        let der = authority.identity(&csr, role, &invite);
        let identity = parse(&der);
        is_issued_by(&identity, &parse(&issuing));
        assert_eq!(basic(&identity), (false, None));
        assert_eq!(usage(&identity), DIGITAL_SIGNATURE);
        assert_eq!(purposes(&identity), (true, false, false));
        assert_eq!(validity(&identity), (NOW - 5 * 60, NOW + 15 * 60));
        assert_eq!(subject(&identity), format!("O={}, CN=identity", authority.cluster));
        assert_eq!(names(&identity), [format!("uri swarm-broker://{}/{role}/{invite}", authority.cluster)]);
        assert_eq!(extensions(&identity), leaf_extensions());
        assert_eq!(identity.public_key().raw, key.spki());
    }
}

fn leaf_extensions() -> [(String, bool); 6] {
    [
        (SUBJECT_KEY_IDENTIFIER.to_owned(), false),
        (KEY_USAGE.to_owned(), true),
        (SUBJECT_ALT_NAME.to_owned(), false),
        (BASIC_CONSTRAINTS.to_owned(), true),
        (AUTHORITY_KEY_IDENTIFIER.to_owned(), false),
        (EXTENDED_KEY_USAGE.to_owned(), false),
    ]
}

#[test]
fn a_machine_gets_its_identity_with_the_issuing_ca_below_it() {
    let authority = Authority::new();
    let key = SigningKey::generate().expect("a key");
    let csr = Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
    let (pem, identity) =
        authority.issuing.identity(&csr, Role::Worker, &InviteId::random(), crate::parts::now()).expect("an identity");
    let issuing = authority.issuing.certificate_pem();
    assert!(pem.ends_with(issuing) && pem.matches("BEGIN CERTIFICATE").count() == 2);
    let leaf = crate::parts::der(pem.strip_suffix(issuing).expect("two certificates")).into();
    assert_eq!(
        identity.serial,
        parse(&leaf).raw_serial().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
    );
}

#[test]
fn a_thousand_serial_numbers_all_differ_and_are_positive_and_short() {
    let authority = Authority::new();
    let key = SigningKey::generate().expect("a key");
    let csr = Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
    let invite = InviteId::random();
    let mut seen = HashSet::new();
    let mut bits = [0_u8; 16];
    for _ in 0..1000 {
        let der = authority.identity(&csr, Role::Worker, &invite);
        let serial = parse(&der).raw_serial().to_vec();
        assert!(serial.len() <= 20 && serial.len() >= 8, "RFC 5280 §4.1.2.2");
        assert!(serial[0] > 0 && serial[0] < 0x80, "positive, in its shortest form");
        bits.iter_mut().zip(&serial).for_each(|(seen, byte)| *seen |= byte);
        assert!(seen.insert(serial));
    }
    assert_eq!(bits[1..], [0xff; 15], "every bit but the first byte's is random");
    for der in [authority.root_der(), authority.issuing_der(), authority.server_der()] {
        let serial = parse(&der).raw_serial().to_vec();
        assert!(serial.len() == 16 && serial[0] > 0 && serial[0] < 0x80);
        assert!(seen.insert(serial));
    }
}
