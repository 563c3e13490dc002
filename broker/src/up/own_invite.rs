//! The manager invite that a machine with the cluster's keys makes for itself.
//!
//! A machine that was given the keys needs no other word to come in: whoever has the invite key can make an invite. It comes
//! in by the same exchange as every manager all the same, so that it is explained, vouched for, and in the log.
//! Must not be made on a machine that was in before: a manager that was removed does not bring itself back.

use std::collections::BTreeMap;
use std::time::Duration;

use protocol::{BrokerAddress, Conditions, INVITE_TYP, InviteLine, Role};

use crate::admission::{InviteOrder, Maker, gone_after, made, sign};
use crate::audit;
use crate::broker::Limits;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::jwt::Signer;
use crate::state::Cluster;

/// Its file in the state directory: a run that was cut off goes on with the same.
const FILE: &str = "own-invite";
const TTL: Duration = Duration::from_hours(1);
/// One that ends sooner, in seconds, is not begun with.
const MARGIN: u64 = 60;

/// The one that was made here before, and not used up. One that has ended is good for nothing but the end of a join that
/// Docker has done.
pub(super) fn kept(cluster: &Cluster, finishing: bool, now: u64) -> Result<Option<InviteLine>, Failure> {
    let folder = cluster.folder();
    if !folder.has(FILE) {
        return Ok(None);
    }
    let kept = InviteLine::parse(&folder.read(FILE)?).ok();
    Ok(kept.filter(|line| finishing || now.saturating_add(MARGIN) < line.unverified().exp))
}

/// The one that was made before, if it is still good, or a new one.
pub(super) async fn invite(
    cluster: &Cluster,
    brokers: Vec<BrokerAddress>,
    ephemeral: bool,
) -> Result<InviteLine, Failure> {
    let now = clock::now();
    if let Some(kept) = kept(cluster, false, now)? {
        return Ok(kept);
    }
    let order = InviteOrder {
        role: Role::Manager,
        uses: 1,
        ttl: TTL.as_secs(),
        from: Vec::new(),
        labels: BTreeMap::new(),
        ephemeral: ephemeral.then(|| gone_after(Role::Manager)),
        conditions: Conditions::default(),
    };
    let (pin, generation) = (cluster.issuing.pin(), cluster.issuing.generation);
    let maker = Maker { cluster: cluster.id(), pin, generation, limits: Limits::default(), brokers };
    let internal = |what: String| Failure::new(Code::Internal, what);
    let invite = order.fill(maker, now).map_err(internal)?;
    let line = sign(&Signer::new(INVITE_TYP, &cluster.invite_key), &invite).map_err(internal)?;
    let record = made(&invite, "broker up, for its own machine".into());
    audit::record_one(&cluster.folder().path(audit::FILE), cluster.broker(), record).await?;
    cluster.folder().write(FILE, line.expose().as_bytes())?;
    Ok(line)
}

/// It is used up.
pub(super) fn forget(cluster: &Cluster) -> Result<(), Failure> {
    Ok(cluster.folder().remove(FILE)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state;

    #[tokio::test]
    async fn one_that_has_ended_finishes_a_join_and_begins_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state");
        state::init(&path, "test", Vec::new(), TTL).expect("made");
        let cluster = Cluster::open(&path).expect("opens");
        let made = invite(&cluster, vec!["10.0.0.1".parse().expect("one")], false).await.expect("made");
        let ends = made.unverified().exp;
        let id = |line: InviteLine| line.unverified().jti.clone();
        let kept = |finishing, now| kept(&cluster, finishing, now).expect("reads").map(id);
        let same = Some(id(made));
        assert_eq!([kept(false, clock::now()), kept(true, clock::now())], [same.clone(), same.clone()]);
        assert_eq!([kept(false, ends - MARGIN), kept(true, ends + 1)], [None, same]);
    }
}
