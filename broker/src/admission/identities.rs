//! `POST /v1/identities`: an invite and a CSR for a certificate.
//!
//! Keeps promise 3 (verify, then spend): the use is claimed after every check passed.
//! Must not take anything from the CSR but its key, nor believe the hostname.

use std::net::IpAddr;

use certs::Csr;
use protocol::{
    ClusterId, INVITE_AUDIENCE, INVITE_TYP, IdentityReply, IdentityRequest, Invite, InviteLine, MAX_HOSTNAME,
    MAX_INVITE_LINE, Pin, Role,
};

use crate::audit::{Event, Reason, Record};
use crate::broker::{Broker, Call, Limits};
use crate::clock;
use crate::denial::Denial;
use crate::departure;
use crate::jwt;
use crate::ledger::{Asker, Operation, Outcome, Signed};

/// Clocks of brokers and operators differ by no more than this, in seconds.
pub(crate) const SKEW: u64 = 10 * 60;

/// Claims a use for the CSR's key and issues its identity.
pub(crate) async fn identity(broker: &Broker, call: &Call, request: IdentityRequest) -> Result<IdentityReply, Denial> {
    let hostname = request.hostname.as_deref().map(bounded);
    let mut record = Record { hostname, ..Record::new(Event::IdentityIssued) };
    let issued = issue(broker, call, &request, &mut record).await;
    if let Err(Denial::Refused(reason)) = issued {
        broker.record_refusal(call, record.refused(reason)).await?;
    }
    issued
}

async fn issue(
    broker: &Broker,
    call: &Call,
    request: &IdentityRequest,
    record: &mut Record,
) -> Result<IdentityReply, Denial> {
    let signed = verified(broker, &request.invite).await?;
    let invite = signed.invite.clone();
    record.invite = Some(invite.jti.clone());
    record.role = Some(invite.role);
    let now = clock::now();
    let issuing = broker.keys.issuing.get();
    let (generation, generations) = (issuing.public().generation, broker.keys.generations.get());
    if !generations.trusts(generation, now) {
        return Err(Denial::Unavailable("the issuing CA of this broker is not trusted any more".into()));
    }
    let ours = Ours { cluster: &broker.cluster, pin: &broker.pin(), generation, lowest: generations.lowest };
    judge(&invite, &ours, &broker.limits, broker.sentinel.floor(), call.source, now)?;
    // Its own word, which is asked again of the swarm once it is in: an honest machine learns it before anything is spent.
    let called = request.hostname.as_deref().unwrap_or_default();
    if invite.conditions.hostname.as_ref().is_some_and(|pattern| !pattern.fits(called)) {
        return Err(Reason::Hostname.into());
    }
    let csr = Csr::from_pem(&request.csr).map_err(|_| Reason::Csr)?;
    record.key = Some(csr.key());

    let key = csr.key();
    let claim = if invite.conditions.approve {
        Operation::Ask { key, asker: Asker { hostname: record.hostname.clone(), source: Some(call.source) } }
    } else {
        Operation::Claim { key }
    };
    let (outcome, version) = broker.invites.submit(&invite.jti, Some(signed), claim).await?;
    if outcome == Outcome::Asked {
        let waiting = Record { event: Event::MachineWaiting, version: Some(version), ..record.clone() };
        broker.audit.record(call.on(waiting)).await?;
    }
    if matches!(outcome, Outcome::Asked | Outcome::Waits) {
        let key = csr.key();
        return Err(Denial::Later(format!("this machine waits for an operator to type: broker approve {key}")));
    }
    // For whoever has a use, and for nobody else.
    if invite.role == Role::Manager {
        departure::make_room(broker).await?;
    }

    let (certificate, identity) = issuing
        .identity(&csr, invite.role, &invite.jti, clock::unix(now))
        .map_err(|error| Denial::Unavailable(error.to_string()))?;
    record.version = Some(version);
    record.ends = Some(invite.exp);
    record.thumbprint = Some(identity.thumbprint.to_string());
    record.serial = Some(identity.serial.clone());
    broker.audit.record(call.on(record.clone())).await?;
    Ok(IdentityReply { certificate, time: now })
}

/// The invite in a line, if an invite key of this cluster signed it that is not void.
async fn verified(broker: &Broker, line: &str) -> Result<Signed, Denial> {
    broker.sentinel.check()?;
    let line = InviteLine::parse(line).map_err(|_| Reason::NotSigned)?;
    let id = jwt::named_key(line.jws(), MAX_INVITE_LINE).map_err(|_| Reason::NotSigned)?;
    let key = broker.directory.invite_key(&id).await?;
    let (invite, by) =
        jwt::verify::<Invite>(line.jws(), INVITE_TYP, MAX_INVITE_LINE, |_| key).map_err(|_| Reason::NotSigned)?;
    if broker.directory.is_void(&by).await? {
        return Err(Reason::VoidKey.into());
    }
    Ok(Signed { invite, by })
}

/// What this broker is, for comparing.
struct Ours<'a> {
    cluster: &'a ClusterId,
    pin: &'a Pin,
    generation: u32,
    /// Below it, no issuing CA is trusted.
    lowest: u32,
}

/// Whether an invite whose signature holds admits from `source` at `now`. Its end is the ledger's business: a key
/// that has a use already may come back after it.
fn judge(
    invite: &Invite,
    ours: &Ours<'_>,
    limits: &Limits,
    floor: u64,
    source: IpAddr,
    now: u64,
) -> Result<(), Reason> {
    if invite.iss != *ours.cluster {
        return Err(Reason::OtherCluster);
    }
    let lifetime = invite.exp.checked_sub(invite.iat).filter(|lifetime| *lifetime <= limits.ttl.as_secs());
    let sane = invite.aud == INVITE_AUDIENCE
        && invite.pin == *ours.pin
        && (1..=ours.generation).contains(&invite.generation)
        && (1..=limits.uses).contains(&invite.uses)
        && invite.labels.keys().all(|label| !label.starts_with(super::RESERVED))
        && lifetime.is_some()
        && (!invite.conditions.live || may_live(invite))
        // What a newer release restricts, this one would not.
        && invite.newer.is_empty();
    if !sane {
        return Err(Reason::NotOurs);
    }
    if invite.generation < ours.lowest {
        return Err(Reason::VoidIssuing);
    }
    if invite.iat > now.saturating_add(SKEW) {
        return Err(Reason::InviteEnded);
    }
    if invite.exp < floor {
        return Err(Reason::BelowFloor);
    }
    if super::admits_from(invite, source) { Ok(()) } else { Err(Reason::Network) }
}

/// Whether an invite names what bounds it: where places come free, its uses do not.
fn may_live(invite: &Invite) -> bool {
    invite.role == Role::Worker && !invite.from.is_empty() && invite.conditions.rate.is_some()
}

/// A hostname fit for a record: printable ASCII on one line, cut to the longest there can be.
fn bounded(hostname: &str) -> String {
    let plain = |c: char| if c.is_ascii_graphic() { c } else { '?' };
    hostname.chars().take(MAX_HOSTNAME).map(plain).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use protocol::{InviteId, Rate};

    use super::*;

    const NOW: u64 = 1_000_000;

    fn invite(cluster: &ClusterId, pin: &Pin) -> Invite {
        Invite {
            aud: INVITE_AUDIENCE.into(),
            jti: InviteId::random(),
            iat: NOW,
            exp: NOW + 600,
            iss: cluster.clone(),
            pin: pin.clone(),
            generation: 2,
            role: Role::Worker,
            uses: 3,
            from: vec!["10.0.0.0/8".parse().expect("a network"), "fd00::/8".parse().expect("a network")],
            labels: BTreeMap::new(),
            brokers: Vec::new(),
            ephemeral: None,
            conditions: protocol::Conditions::default(),
            newer: BTreeMap::new(),
        }
    }

    fn judged(change: impl FnOnce(&mut Invite), source: &str, floor: u64) -> Result<(), Reason> {
        let (cluster, pin) = (ClusterId::random(), Pin::of_certificate(b"root"));
        let mut invite = invite(&cluster, &pin);
        change(&mut invite);
        let limits = Limits { uses: 100, ttl: Duration::from_hours(1) };
        let ours = Ours { cluster: &cluster, pin: &pin, generation: 3, lowest: 2 };
        judge(&invite, &ours, &limits, floor, source.parse().expect("an address"), NOW)
    }

    #[test]
    fn an_invite_of_ours_admits_from_its_networks() {
        assert_eq!(judged(|_| {}, "10.1.2.3", 0), Ok(()));
        assert_eq!(judged(|_| {}, "fd00::1", 0), Ok(()));
        assert_eq!(judged(|_| {}, "::ffff:10.1.2.3", 0), Ok(()));
        assert_eq!(judged(|_| {}, "192.0.2.1", 0), Err(Reason::Network));
        assert_eq!(judged(|invite| invite.from.clear(), "192.0.2.1", 0), Ok(()));
    }

    #[test]
    fn a_signed_invite_is_still_held_to_the_limits() {
        let refused = |change: fn(&mut Invite)| judged(change, "10.1.2.3", 0).err();
        assert_eq!(refused(|invite| invite.iss = ClusterId::random()), Some(Reason::OtherCluster));
        assert_eq!(refused(|invite| invite.uses = 101), Some(Reason::NotOurs));
        assert_eq!(refused(|invite| invite.uses = 0), Some(Reason::NotOurs));
        assert_eq!(refused(|invite| invite.exp = invite.iat + 3601), Some(Reason::NotOurs));
        assert_eq!(refused(|invite| invite.exp = invite.iat - 1), Some(Reason::NotOurs));
        assert_eq!(refused(|invite| invite.pin = Pin::of_certificate(b"other")), Some(Reason::NotOurs));
        assert_eq!(refused(|invite| invite.generation = 4), Some(Reason::NotOurs));
        assert_eq!(refused(|invite| invite.generation = 3), None, "the newest issuing CA alone");
        assert_eq!(refused(|invite| invite.generation = 1), Some(Reason::VoidIssuing));
        assert_eq!(refused(|invite| invite.aud = "other".into()), Some(Reason::NotOurs));
        let newer = |invite: &mut Invite| {
            invite.newer.insert("approve".into(), true.into());
        };
        assert_eq!(judged(newer, "10.1.2.3", 0), Err(Reason::NotOurs));
        let live = |invite: &mut Invite| {
            (invite.conditions.live, invite.conditions.rate) = (true, Some(Rate { most: 5, per: 60 }));
        };
        assert_eq!(judged(live, "10.1.2.3", 0), Ok(()));
        for lacks in [
            |invite: &mut Invite| invite.conditions.rate = None,
            |invite: &mut Invite| invite.from.clear(),
            |invite: &mut Invite| invite.role = Role::Manager,
        ] {
            let judged = judged(|invite| (live(invite), lacks(invite)).1, "10.1.2.3", 0);
            assert_eq!(judged, Err(Reason::NotOurs), "places that come free, and nothing that bounds them");
        }
        let reserved = |invite: &mut Invite| {
            invite.labels.insert("swarm-broker.grant".into(), "x".into());
        };
        assert_eq!(judged(reserved, "10.1.2.3", 0), Err(Reason::NotOurs));
        let future = |invite: &mut Invite| {
            invite.iat = NOW + SKEW + 1;
            invite.exp = invite.iat + 60;
        };
        assert_eq!(judged(future, "10.1.2.3", 0), Err(Reason::InviteEnded));
        assert_eq!(judged(|_| {}, "10.1.2.3", NOW + 601), Err(Reason::BelowFloor));
    }

    #[test]
    fn a_hostile_hostname_is_one_short_line() {
        let shown = bounded(&"a\n\u{1b}[2J\u{2028}\"".repeat(1000));
        assert!(shown.len() <= MAX_HOSTNAME && shown.is_ascii() && !shown.contains(char::is_control), "{shown}");
    }
}
