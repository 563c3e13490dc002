//! Root and issuing CA read back from their files, and only as what they are, with the key that is theirs.

use certs::{AuthorityError, Issuing, Root, SigningKey};

use crate::parts::{Authority, now, pem};

fn key_pem() -> String {
    SigningKey::generate().expect("a key").to_pem().to_string()
}

fn read_root(certificate: &str, key: &str) -> Result<Root, AuthorityError> {
    Root::from_pem(certificate, key, "lab")
}

#[track_caller]
fn root_refused(certificate: &str, key: &str) -> AuthorityError {
    read_root(certificate, key).err().expect("refused")
}

#[track_caller]
fn issuing_refused(certificate: &str, key: &str, root: &str) -> AuthorityError {
    Issuing::from_pem(certificate, key, root).err().expect("refused")
}

#[test]
fn a_root_reads_back_as_it_was_written_and_issues() {
    let authority = Authority::new();
    let (certificate, key) = (authority.root.certificate_pem(), authority.root.key().to_pem());
    let read = read_root(certificate, &key).expect("reads back");
    assert_eq!(read.pin(), authority.root.pin());
    assert_eq!(read.certificate_pem(), certificate);
    assert_eq!(read.key().hash(), authority.root.key().hash());
    let issued = read.issue(4, now()).expect("an issuing CA");
    assert_eq!((issued.pin(), issued.public().generation), (authority.root.pin(), 4));
    assert_eq!(issued.public().cluster, authority.cluster);
}

#[test]
fn an_issuing_ca_reads_back_as_it_was_written() {
    let authority = Authority::new();
    let (written, root) = (&authority.issuing, authority.root.certificate_pem());
    let read = Issuing::from_pem(written.certificate_pem(), &written.key().to_pem(), root).expect("reads back");
    assert_eq!(read.public(), written.public());
    assert_eq!((read.pin(), read.root_pem()), (authority.root.pin(), root));
    assert_eq!(read.public().cluster, authority.cluster);
    assert_eq!(read.key().hash(), written.key().hash());
}

#[test]
fn a_root_with_a_foreign_key_is_refused() {
    let authority = Authority::new();
    let certificate = authority.root.certificate_pem();
    for key in [key_pem(), authority.issuing.key().to_pem().to_string()] {
        assert!(matches!(root_refused(certificate, &key), AuthorityError::OtherKey(_)));
    }
}

#[test]
fn an_issuing_ca_with_a_foreign_key_is_refused() {
    let authority = Authority::new();
    let (certificate, root) = (authority.issuing.certificate_pem(), authority.root.certificate_pem());
    for key in [key_pem(), authority.root.key().to_pem().to_string()] {
        assert!(matches!(issuing_refused(certificate, &key, root), AuthorityError::OtherKey(_)));
    }
}

#[test]
fn an_issuing_ca_that_this_root_did_not_sign_is_refused() {
    let ours = Authority::new();
    let key = ours.issuing.key().to_pem();
    let stranger = Authority::new();
    let refusal = issuing_refused(ours.issuing.certificate_pem(), &key, stranger.root.certificate_pem());
    assert!(matches!(refusal, AuthorityError::Certificate(_)), "{refusal:?}");
    // A root of the same names, so that only the signature tells.
    let look_alike = Authority::of(&ours.cluster);
    let refusal = issuing_refused(ours.issuing.certificate_pem(), &key, look_alike.root.certificate_pem());
    assert!(matches!(refusal, AuthorityError::Certificate(_)), "{refusal:?}");
}

#[test]
fn what_is_no_root_is_not_read_as_one() {
    let authority = Authority::new();
    // A root that was no root would be pinned by every invite made with it.
    let issuing = &authority.issuing;
    let refusal = root_refused(issuing.certificate_pem(), &issuing.key().to_pem());
    assert!(matches!(refusal, AuthorityError::Certificate(_)), "{refusal:?}");
    let server = issuing.server(now()).expect("a server certificate");
    let refusal = root_refused(&pem("CERTIFICATE", &server.chain[0]), &server.key.to_pem());
    assert!(matches!(refusal, AuthorityError::Certificate(_)), "{refusal:?}");
}

#[test]
fn what_is_no_issuing_ca_is_not_read_as_one() {
    let authority = Authority::new();
    let root = authority.root.certificate_pem();
    let refusal = issuing_refused(root, &authority.root.key().to_pem(), root);
    assert!(matches!(refusal, AuthorityError::Certificate(_)), "{refusal:?}");
    let server = authority.issuing.server(now()).expect("a server certificate");
    let leaf = pem("CERTIFICATE", &server.chain[0]);
    for below in [root, authority.issuing.certificate_pem()] {
        let refusal = issuing_refused(&leaf, &server.key.to_pem(), below);
        assert!(matches!(refusal, AuthorityError::Certificate(_)), "{refusal:?}");
    }
}

#[test]
fn there_is_no_generation_zero() {
    assert!(matches!(Authority::new().root.issue(0, now()), Err(AuthorityError::Generation(_))));
}

#[test]
fn files_that_do_not_read_are_refused_without_showing_what_is_in_them() {
    let authority = Authority::new();
    let (root, key) = (authority.root.certificate_pem(), authority.root.key().to_pem());
    let secret: String = key.lines().nth(1).expect("base64").to_owned();
    let broken_key = key.replacen(&secret, &secret.to_lowercase(), 1);
    let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).expect("a key").serialize_pem();
    for wrong in ["", "rubbish", root, &broken_key, &p384] {
        let refusal = root_refused(root, wrong);
        assert!(matches!(refusal, AuthorityError::Key(_)), "{refusal:?}");
        let shown = format!("{refusal} {refusal:?}");
        assert!(!shown.to_lowercase().contains(&secret.to_lowercase()), "{shown}");
    }
    let cut = &root[..root.len() / 2];
    for wrong in ["", "rubbish", cut, &key] {
        let refusal = root_refused(wrong, &key);
        assert!(matches!(refusal, AuthorityError::Certificate(_)), "{refusal:?}");
        assert!(!format!("{refusal} {refusal:?}").contains(&secret));
        let issuing = &authority.issuing;
        for (certificate, root) in [(wrong, root), (issuing.certificate_pem(), wrong)] {
            let refusal = issuing_refused(certificate, &issuing.key().to_pem(), root);
            assert!(matches!(refusal, AuthorityError::Certificate(_)), "{refusal:?}");
        }
    }
}

#[test]
fn a_root_certifies_a_key_that_was_made_elsewhere_and_an_issuing_ca_comes_of_it() {
    let authority = Authority::new();
    let (key, other) = (SigningKey::generate().expect("a key"), SigningKey::generate().expect("a key"));
    let request = certs::Csr::from_pem(&key.csr().expect("a request")).expect("reads");
    let certificate = authority.root.certify(&request, 2, now()).expect("certified");
    let root = authority.root.certificate_pem();
    let issuing = Issuing::from_pem(&certificate, &key.to_pem(), root).expect("an issuing CA");
    assert_eq!((issuing.public().generation, issuing.pin()), (2, authority.root.pin()));
    assert!(issuing.public().is_of(&key) && !issuing.public().is_of(&other));
    assert!(issuing.public().root_ends > issuing.public().ends);
    assert_eq!(issuing.public().public_point(), key.public_point());
    assert!(matches!(issuing_refused(&certificate, &other.to_pem(), root), AuthorityError::OtherKey(_)));
    for generation in [0, 201] {
        assert!(matches!(authority.root.certify(&request, generation, now()), Err(AuthorityError::Generation(200))));
    }
}
