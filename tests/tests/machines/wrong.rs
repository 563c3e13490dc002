//! Brokers that are not the right ones: nothing of theirs runs, and they are told nothing.

use std::fs;

use lab::cluster::{Broker, Cluster};
use lab::whole::Root;
use lab::{Failed, Pool, programs};
use sha2::{Digest as _, Sha256};

use crate::impostor::Impostor;
use crate::scene::{boot, lines, says, user_data, with_joiner};

pub(crate) fn a_changed_joiner_never_runs(pool: &Pool) -> Result<(), Failed> {
    let (cluster, hosts, root) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(2)?, Root::ready()?);
    let (manager, elsewhere, machine) = (cluster.manager(), &hosts[0], &hosts[1]);
    let joiner = fs::read(programs::static_joiner()?)?;
    let mut changed = joiner.clone();
    changed[joiner.len() / 2] ^= 1;
    let (right, wrong) = (format!("{:x}", Sha256::digest(&joiner)), format!("{:x}", Sha256::digest(&changed)));
    let impostor = Impostor::start(elsewhere, changed)?;
    let mut broker = with_joiner(manager)?;
    broker.serve_with(&["--advertise", &impostor.address().to_string()])?;

    let machine = boot(machine, &root, &user_data(&broker, 1)?)?;
    says(&machine, "it was not run")?;
    assert_eq!(machine.settled()?, "done");
    let told = lines(&machine, "it was not run");
    let tells =
        |line: &String| [&right, &wrong, &impostor.address().to_string()].iter().all(|word| line.contains(*word));
    assert!(told.len() == 1 && told.iter().all(tells), "{told:?}");
    // What came lies there until the next try, and nobody could run it.
    assert_eq!(machine.ok(&["find", "/usr/local/bin", "-type", "f", "-perm", "/111"])?, "");
    assert!(lines(&machine, "joiner: ").is_empty(), "{}", machine.console());
    assert_eq!(lab::nodes(manager)?.len(), 1);
    Ok(())
}

pub(crate) fn a_broker_of_another_ca_is_told_nothing(pool: &Pool) -> Result<(), Failed> {
    let (cluster, other, hosts) = (Cluster::form(pool, 1, 0)?, Cluster::form(pool, 1, 0)?, pool.lease_bare(1)?);
    let root = Root::ready()?;
    // It has the same joiner, and nothing else of what the invite names.
    let mut wrong: Broker<'_> = with_joiner(other.manager())?;
    wrong.serve()?;
    let mut right = with_joiner(cluster.manager())?;
    right.serve_with(&["--advertise", &wrong.address().to_string()])?;

    let machine = boot(&hosts[0], &root, &user_data(&right, 1)?)?;
    says(&machine, "identity: ")?;
    let told = lines(&machine, "identity: ");
    assert!(
        told.iter()
            .all(|line| line.contains(&wrong.address().to_string()) && line.contains("is not of the invite's cluster")),
        "{told:?}"
    );
    assert_eq!(machine.settled()?, "done");
    for broker in [&right, &wrong] {
        assert_eq!((broker.count("identity.issued", None)?, broker.count("refused", None)?), (0, 0), "nobody asked");
        assert_eq!(lab::nodes(broker.host())?.len(), 1);
    }
    Ok(())
}
