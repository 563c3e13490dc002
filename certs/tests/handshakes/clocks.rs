//! A fresh machine's clock may be wrong by years: validity is judged at the latest of its clock, the invite's time
//! and the `notBefore`s that are shown under the pin (DESIGN §3, names and clocks).

use certs::{BrokerServer, Root, ServerPin};
use protocol::ClusterId;
use rcgen::DnType;
use rustls::{AlertDescription, CertificateError, Error};

use crate::cluster::{Cluster, DAY, HOUR, NOW, Shown, at, copy, dial_at, serving};
use crate::forgery::{SERVER, date, dns, leaf, self_made, signed_by};
use crate::pipe::{Meeting, reason};

const YEAR_1970: u64 = 0;
const WEEK: u64 = 7 * DAY;
const YEAR: u64 = 366 * DAY;

/// A machine whose clock shows `clock`, with an invite made at `invited`, meets a broker whose certificate was made
/// at `made`.
fn dial(cluster: &Cluster, clock: u64, invited: u64, made: u64) -> Meeting {
    let shown = cluster.issuing.server(at(made)).expect("a server certificate");
    dial_shown(cluster, clock, invited, shown)
}

fn dial_shown(cluster: &Cluster, clock: u64, invited: u64, shown: BrokerServer) -> Meeting {
    let pin = ServerPin { not_earlier_than: at(invited), ..cluster.pin() };
    dial_at(clock, pin, serving(shown, &cluster.trust()))
}

/// A server certificate that is good from `begins` to `ends`, made with the issuing key.
fn lasting(cluster: &Cluster, begins: u64, ends: u64) -> BrokerServer {
    let public = cluster.issuing.public();
    let ca = Shown { chain: vec![public.certificate.clone(), public.root.clone()], key: copy(cluster.issuing.key()) };
    signed_by(&ca, &lasting_params(&cluster.id, begins, ends)).into_server()
}

fn lasting_params(cluster: &ClusterId, begins: u64, ends: u64) -> rcgen::CertificateParams {
    let names = [dns(&protocol::server_name(cluster)), dns(&format!("{cluster}.g1.swarm-broker.internal"))];
    let mut params = leaf(&[(DnType::OrganizationName, cluster.as_str()), (DnType::CommonName, "broker")], &names);
    params.extended_key_usages = vec![SERVER];
    params.not_before = date(begins);
    params.not_after = date(ends);
    params
}

#[track_caller]
fn expired(meeting: Meeting, judged_at: u64, ended: u64) {
    let refusal = meeting.refused_by_client(AlertDescription::CertificateExpired);
    let wanted = CertificateError::ExpiredContext { time: at(judged_at), not_after: at(ended) };
    assert_eq!(refusal, Error::InvalidCertificate(wanted));
}

#[test]
fn a_machine_in_1970_believes_its_invite() {
    let cluster = Cluster::new();
    dial(&cluster, YEAR_1970, NOW, NOW).succeeded();
}

#[test]
fn a_machine_in_1970_with_an_old_invite_believes_what_the_pinned_root_vouches_for() {
    let cluster = Cluster::new();
    // The invite is older than the server certificate, the issuing CA and the root.
    dial(&cluster, YEAR_1970, NOW - 100 * DAY, NOW).succeeded();
    dial(&cluster, YEAR_1970, YEAR_1970, NOW).succeeded();
    // The issuing CA may begin later than the server certificate: each is waited for.
    dial_shown(&cluster, YEAR_1970, NOW - 100 * DAY, lasting(&cluster, NOW - 50 * DAY, NOW)).succeeded();
}

#[test]
fn a_machine_whose_clock_is_right_needs_no_help() {
    let cluster = Cluster::new();
    for clock in [NOW - HOUR, NOW, NOW + WEEK] {
        dial(&cluster, clock, NOW - 100 * DAY, NOW).succeeded();
    }
}

#[test]
fn a_machine_whose_clock_is_past_the_end_of_a_server_certificate_refuses_it() {
    let cluster = Cluster::new();
    expired(dial(&cluster, NOW + WEEK + 1, NOW - HOUR, NOW), NOW + WEEK + 1, NOW + WEEK);
}

#[test]
fn an_invite_made_after_the_end_of_a_server_certificate_refuses_it_whatever_the_clock_says() {
    let cluster = Cluster::new();
    for clock in [YEAR_1970, NOW, NOW + WEEK + DAY] {
        expired(dial(&cluster, clock, NOW + WEEK + DAY, NOW), NOW + WEEK + DAY, NOW + WEEK);
    }
    // The same machine accepts one that was made since.
    dial(&cluster, YEAR_1970, NOW + WEEK + DAY, NOW + WEEK).succeeded();
}

#[test]
fn an_issuing_ca_that_has_ended_is_refused() {
    let cluster = Cluster::new();
    let ended = NOW - DAY + YEAR;
    assert_eq!(cluster.issuing.public().ends, ended);
    dial(&cluster, ended, NOW, ended).succeeded();
    expired(dial(&cluster, ended + 1, NOW, ended), ended + 1, ended);
    // The time that a leaf shows moves the clock forward, and then its CA has ended.
    let beyond = lasting(&cluster, ended + DAY, ended + WEEK);
    expired(dial_shown(&cluster, YEAR_1970, NOW, beyond), ended + DAY, ended);
}

#[test]
fn a_server_certificate_that_ended_before_its_issuing_ca_began_is_refused() {
    let cluster = Cluster::new();
    let (begins, ends) = (NOW - 90 * DAY, NOW - 80 * DAY);
    // The issuing CA begins an hour before it was made, a day ago.
    let meeting = dial_shown(&cluster, YEAR_1970, YEAR_1970, lasting(&cluster, begins, ends));
    expired(meeting, NOW - DAY - HOUR, ends);
}

#[test]
fn a_time_that_the_pinned_root_does_not_vouch_for_is_not_believed() {
    let cluster = Cluster::new();
    // A stranger's certificate from the future neither passes nor moves the clock for anything else.
    let mut stranger = self_made(&lasting_params(&cluster.id, NOW + YEAR, NOW + 2 * YEAR));
    stranger.chain.extend(cluster.broker().chain.into_iter().skip(1));
    let refusal =
        dial_shown(&cluster, YEAR_1970, NOW, stranger.into_server()).refused_by_client(AlertDescription::UnknownCA);
    assert_eq!(reason(&refusal), "UnknownIssuer");

    // Sent along with an honest chain, certificates of a look-alike from the future change nothing.
    let imitation = Root::create(&cluster.id, "lab", at(NOW + 10 * YEAR)).expect("a root");
    let future = imitation.issue(1, at(NOW + 10 * YEAR)).expect("a CA");
    let mut honest = cluster.broker();
    honest.chain.insert(1, future.public().certificate.clone());
    honest.chain.insert(2, future.public().root.clone());
    dial_shown(&cluster, YEAR_1970, NOW - 100 * DAY, honest).succeeded();
}
