//! The one place through which all certificate parameters pass.
//!
//! rcgen's defaults are wrong here (validity 1975 to 4096, serial from the key, no BasicConstraints on leaves).
//! Must not be bypassed: no other file of the workspace makes `CertificateParams` for a certificate.

use std::time::Duration;

use protocol::ClusterId;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyUsagePurpose, NameConstraints, SanType, SerialNumber,
};
use rustls_pki_types::UnixTime;
use time::OffsetDateTime;

use super::AuthorityError;

const HOUR: u64 = 60 * 60;
const DAY: u64 = 24 * HOUR;
/// Certificates begin a little before they are made: clocks of brokers and machines differ.
const BACKDATE: u64 = HOUR;
const BACKDATE_IDENTITY: u64 = 5 * 60;
/// A root outlives the machines whose user-data pins it.
const ROOT_LIFETIME: u64 = 25 * 365 * DAY;
const ISSUING_LIFETIME: u64 = 366 * DAY;
const SERVER_LIFETIME: u64 = 7 * DAY;
const IDENTITY_LIFETIME: u64 = 15 * 60;
const RECORD_LIFETIME: u64 = DAY;
const OPERATOR_LONGEST: u64 = 366 * DAY;
/// id-kp-documentSigning (RFC 9336): what holds it passes neither for a server nor for a client.
const DOCUMENT_SIGNING: [u64; 9] = [1, 3, 6, 1, 5, 5, 7, 3, 36];

pub(super) fn root(cluster: &ClusterId, name: &str, now: UnixTime) -> Result<CertificateParams, AuthorityError> {
    let mut params = base(&format!("{name} root"), cluster, now, BACKDATE, ROOT_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

pub(super) fn issuing(
    cluster: &ClusterId,
    name: &str,
    generation: u32,
    now: UnixTime,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = base(&format!("{name} issuing {generation}"), cluster, now, BACKDATE, ISSUING_LIFETIME)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.name_constraints = Some(NameConstraints {
        permitted_subtrees: crate::names::all(cluster, generation).into_iter().map(GeneralSubtree::DnsName).collect(),
        excluded_subtrees: Vec::new(),
    });
    Ok(params)
}

pub(super) fn server(cluster: &ClusterId, generation: u32, now: UnixTime) -> Result<CertificateParams, AuthorityError> {
    let mut params = leaf("broker", cluster, now, BACKDATE, SERVER_LIFETIME, ExtendedKeyUsagePurpose::ServerAuth)?;
    params.subject_alt_names = names(cluster, generation)?;
    Ok(params)
}

/// The names are those of a server: they tell cluster and generation, under the name constraints of the issuing CA.
pub(super) fn record(cluster: &ClusterId, generation: u32, now: UnixTime) -> Result<CertificateParams, AuthorityError> {
    let usage = ExtendedKeyUsagePurpose::Other(DOCUMENT_SIGNING.to_vec());
    let mut params = leaf("cluster record", cluster, now, BACKDATE, RECORD_LIFETIME, usage)?;
    params.subject_alt_names = names(cluster, generation)?;
    Ok(params)
}

fn names(cluster: &ClusterId, generation: u32) -> Result<Vec<SanType>, AuthorityError> {
    let names = crate::names::all(cluster, generation).into_iter();
    names.map(|name| name.try_into().map(SanType::DnsName).map_err(AuthorityError::Signing)).collect()
}

pub(super) fn identity(cluster: &ClusterId, uri: &str, now: UnixTime) -> Result<CertificateParams, AuthorityError> {
    let client = ExtendedKeyUsagePurpose::ClientAuth;
    let mut params = leaf("identity", cluster, now, BACKDATE_IDENTITY, IDENTITY_LIFETIME, client)?;
    params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(AuthorityError::Signing)?)];
    Ok(params)
}

/// The same, with a life of its own: what an operator may do is looked up each time, and ends when it is taken away.
pub(super) fn operator(
    cluster: &ClusterId,
    uri: &str,
    lifetime: u64,
    now: UnixTime,
) -> Result<CertificateParams, AuthorityError> {
    let (client, lifetime) = (ExtendedKeyUsagePurpose::ClientAuth, lifetime.min(OPERATOR_LONGEST));
    let mut params = leaf("operator", cluster, now, BACKDATE_IDENTITY, lifetime, client)?;
    params.subject_alt_names = vec![SanType::URI(uri.try_into().map_err(AuthorityError::Signing)?)];
    Ok(params)
}

fn leaf(
    name: &str,
    cluster: &ClusterId,
    now: UnixTime,
    backdate: u64,
    lifetime: u64,
    usage: ExtendedKeyUsagePurpose,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = base(name, cluster, now, backdate, lifetime)?;
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    Ok(params)
}

fn base(
    name: &str,
    cluster: &ClusterId,
    now: UnixTime,
    backdate: u64,
    lifetime: u64,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, cluster.as_str());
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date(now.as_secs().saturating_sub(backdate))?;
    params.not_after = date(now.as_secs().saturating_add(lifetime))?;
    params.serial_number = Some(random_serial());
    params.use_authority_key_identifier_extension = true;
    Ok(params)
}

fn date(seconds: u64) -> Result<OffsetDateTime, AuthorityError> {
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok())
        .ok_or(AuthorityError::Certificate("a time that a certificate can hold"))
}

/// 127 random bits: positive and never zero in its first byte (RFC 5280 §4.1.2.2).
fn random_serial() -> SerialNumber {
    let mut bytes = protocol::random::<16>();
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    SerialNumber::from_slice(&bytes)
}

/// When a server certificate made `at` should be replaced: at two thirds of its life.
pub(super) fn server_renewal(at: UnixTime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(at.as_secs() + SERVER_LIFETIME * 2 / 3))
}
