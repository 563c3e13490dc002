//! A voucher is believed only as it was signed, about the node that carries it.

use certs::SigningKey;
use protocol::{ClusterId, INVITE_TYP, KeyHash, NodeId, SwarmId};

use super::LABEL;
use super::voucher::{TYP, Voucher};
use crate::admission::RESERVED;
use crate::audit::Reason;
use crate::jwt::Signer;

const NODE: &str = "k9vqn1p0r3a8j2m4x6t5b7c1d";
const OTHER: &str = "k9vqn1p0r3a8j2m4x6t5b7c1e";

fn voucher(cluster: &ClusterId) -> Voucher {
    Voucher {
        iss: cluster.clone(),
        sub: NODE.parse().expect("an id"),
        swarm: NODE.parse().expect("an id"),
        iat: 1,
        key: Some(KeyHash::of_spki(b"key")),
    }
}

fn read(label: &str, signer: &Signer, cluster: &ClusterId, swarm: &str, node: &str) -> Result<Voucher, Reason> {
    let (swarm, node): (SwarmId, NodeId) = (swarm.parse().expect("an id"), node.parse().expect("an id"));
    Voucher::read(label, std::slice::from_ref(signer.public()), cluster, &swarm, &node)
}

#[test]
fn a_voucher_is_about_one_node_of_one_swarm_and_cluster() {
    let (cluster, key) = (ClusterId::random(), SigningKey::generate().expect("made"));
    let signer = Signer::new(TYP, &key);
    let label = signer.sign(&voucher(&cluster)).expect("signs");
    assert_eq!(read(&label, &signer, &cluster, NODE, NODE), Ok(voucher(&cluster)));
    for (cluster, swarm, node) in [(&ClusterId::random(), NODE, NODE), (&cluster, OTHER, NODE), (&cluster, NODE, OTHER)]
    {
        assert_eq!(read(&label, &signer, cluster, swarm, node), Err(Reason::NoManager));
    }
}

#[test]
fn what_another_key_signed_or_the_same_for_another_purpose_is_no_voucher() {
    let (cluster, key) = (ClusterId::random(), SigningKey::generate().expect("made"));
    let signer = Signer::new(TYP, &key);
    let stranger = Signer::new(TYP, &SigningKey::generate().expect("made"));
    for forger in [&stranger, &Signer::new(INVITE_TYP, &key)] {
        let label = forger.sign(&voucher(&cluster)).expect("signs");
        assert_eq!(read(&label, &signer, &cluster, NODE, NODE), Err(Reason::NoManager));
    }
    for rubbish in ["", "a.b.c", &"a".repeat(5000)] {
        assert_eq!(read(rubbish, &signer, &cluster, NODE, NODE), Err(Reason::NoManager));
    }
}

#[test]
fn no_invite_can_set_the_label() {
    assert!(LABEL.starts_with(RESERVED));
}
