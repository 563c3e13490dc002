//! An operator is told from a machine by its certificate alone, and neither passes for the other.

use certs::{Caller, Csr, OperatorName, SigningKey};
use protocol::{InviteId, Role};
use rustls::AlertDescription;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use crate::cluster::{Cluster, DAY, HOUR, NOW, Shown, at};
use crate::pipe::reason;

fn jane() -> OperatorName {
    "jane".parse().expect("a name")
}

/// What an operator of this name has, for so many seconds from [`NOW`] on.
fn operator(cluster: &Cluster, name: &OperatorName, lifetime: u64) -> Shown {
    let key = SigningKey::generate().expect("a key");
    let csr = Csr::from_pem(&key.csr().expect("a CSR")).expect("reads");
    let (pem, _) = cluster.issuing.operator(&csr, name, lifetime, at(NOW)).expect("a certificate");
    Shown { chain: vec![CertificateDer::from_pem_slice(pem.as_bytes()).expect("reads")], key }
}

#[test]
fn an_operator_says_cluster_name_and_key_and_is_no_machine() {
    let cluster = Cluster::new();
    let shown = operator(&cluster, &jane(), DAY);
    let (key, trust) = (shown.key.hash(), cluster.trust());
    let meeting = cluster.call(shown, &trust).succeeded();
    let chain = meeting.server.peer_certificates().expect("the server saw a chain");
    let Caller::Operator(caller) = trust.caller(chain, at(NOW)).expect("known") else { panic!("not an operator") };
    assert_eq!((&caller.cluster, &caller.name, &caller.key), (&cluster.id, &jane(), &key));
    assert_eq!(caller.ends, NOW + DAY);
    let (machine, _) = cluster.machine(Role::Worker, &InviteId::random());
    assert!(matches!(trust.caller(&machine.chain, at(NOW)), Ok(Caller::Identity(_))));
}

#[test]
fn names_that_are_roles_make_no_machine() {
    let cluster = Cluster::new();
    for name in ["worker", "manager", "operator", InviteId::random().as_str()] {
        let shown = operator(&cluster, &name.parse().expect("a name"), DAY);
        assert!(matches!(cluster.trust().caller(&shown.chain, at(NOW)), Ok(Caller::Operator(_))), "{name}");
    }
}

#[test]
fn an_operator_ends_in_time_with_its_ca_and_with_the_brokers_trust() {
    let cluster = Cluster::new();
    let shown = operator(&cluster, &jane(), HOUR);
    let trust = cluster.trust();
    assert!(trust.caller(&shown.chain, at(NOW + HOUR)).is_ok());
    assert_eq!(reason(&trust.caller(&shown.chain, at(NOW + HOUR + 1)).expect_err("over")), "ExpiredContext");
    // The issuing CA is a day old, and lives for a year and a day.
    let Ok(Caller::Operator(long)) = trust.caller(&operator(&cluster, &jane(), u64::MAX).chain, at(NOW)) else {
        panic!("not an operator")
    };
    assert_eq!(long.ends, cluster.issuing.public().ends);
    let next = cluster.root.issue(2, at(NOW)).expect("generation 2");
    trust.trust_identities(&[next.public().clone()]).expect("the next one only");
    cluster.call(shown, &trust).refused_by_server(AlertDescription::UnknownCA);
}
