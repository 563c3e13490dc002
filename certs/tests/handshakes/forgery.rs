//! What certificates can be made with a key that signs: by an attacker, or by something that is no broker.

use certs::SigningKey;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use time::OffsetDateTime;

use crate::cluster::{DAY, HOUR, NOW, Shown};

pub(crate) const CLIENT: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ClientAuth;
pub(crate) const SERVER: ExtendedKeyUsagePurpose = ExtendedKeyUsagePurpose::ServerAuth;

/// The parameters of a leaf that is good from an hour ago for a day.
pub(crate) fn leaf(subject: &[(DnType, &str)], names: &[SanType]) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    for (kind, value) in subject {
        let value = DnValue::PrintableString((*value).try_into().expect("printable"));
        params.distinguished_name.push(kind.clone(), value);
    }
    params.subject_alt_names = names.to_vec();
    params.not_before = date(NOW - HOUR);
    params.not_after = date(NOW + DAY);
    params.serial_number = Some(SerialNumber::from_slice(&[0x4d; 16]));
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![CLIENT, SERVER];
    params.use_authority_key_identifier_extension = true;
    params
}

/// The parameters of a CA, with no bound on the length of its path.
pub(crate) fn ca(subject: &[(DnType, &str)]) -> CertificateParams {
    let mut params = leaf(subject, &[]);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.extended_key_usages = vec![];
    params
}

pub(crate) fn date(seconds: u64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(seconds.try_into().expect("fits")).expect("a date")
}

pub(crate) fn dns(name: &str) -> SanType {
    SanType::DnsName(name.try_into().expect("ASCII"))
}

pub(crate) fn uri(text: &str) -> SanType {
    SanType::URI(text.try_into().expect("ASCII"))
}

/// Signs with the key of `signer`, as its certificate is named; the signer's chain goes below.
pub(crate) fn signed_by(signer: &Shown, params: &CertificateParams) -> Shown {
    let key = SigningKey::generate().expect("a key");
    let issuer = Issuer::from_ca_cert_der(&signer.chain[0], pair(&signer.key)).expect("an issuer");
    let certificate = params.signed_by(&pair(&key), &issuer).expect("signed");
    let chain = std::iter::once(certificate.into()).chain(signer.chain.iter().cloned()).collect();
    Shown { chain, key }
}

/// The same certificate for the same key, signed by another CA: a cross-signed one.
pub(crate) fn cross_signed(signer: &Shown, params: &CertificateParams, key: &SigningKey) -> CertificateDer<'static> {
    let issuer = Issuer::from_ca_cert_der(&signer.chain[0], pair(&signer.key)).expect("an issuer");
    params.signed_by(&pair(key), &issuer).expect("signed").into()
}

/// A certificate that nobody vouches for.
pub(crate) fn self_made(params: &CertificateParams) -> Shown {
    let key = SigningKey::generate().expect("a key");
    let certificate = params.self_signed(&pair(&key)).expect("signed");
    Shown { chain: vec![certificate.into()], key }
}

fn pair(key: &SigningKey) -> KeyPair {
    KeyPair::from_pem(&key.to_pem()).expect("a key pair")
}
