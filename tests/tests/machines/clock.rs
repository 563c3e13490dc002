//! A machine whose clock is wrong, as on a board without a battery: it takes an emulated one, since all others share a
//! clock.

use std::time::Duration;

use lab::cluster::Cluster;
use lab::whole::{Image, VirtualMachine};
use lab::{Failed, Pool, until};

use crate::scene::{joined, user_data, with_joiner};
use crate::time_server;

/// An emulated machine boots in a minute or two, and in much more beside others.
const SLOW: Duration = Duration::from_mins(10);

pub(crate) fn a_machine_whose_clock_is_wrong_joins_once_it_is_set(pool: &Pool) -> Result<(), Failed> {
    let (cluster, hosts, image) = (Cluster::form(pool, 1, 0)?, pool.lease_bare(1)?, Image::ready()?);
    let manager = cluster.manager();
    let mut broker = with_joiner(manager)?;
    broker.serve()?;
    // As a provider tells its machines where its time server is, which is down for now.
    let vendor_data = format!("#cloud-config\nntp: {{servers: [{}]}}\n", manager.address());
    let machine = VirtualMachine::boot(&hosts[0], &image, &user_data(&broker, 1)?, &vendor_data)?;

    let waits = until(SLOW, "the joiner to wait for the clock", || {
        let console = machine.console();
        let (_, said) = console.split_once("clock: this machine says ")?;
        said.split_once(';').map(|(dates, _)| dates.to_owned())
    });
    let dates = waits.map_err(|late| format!("{late}\n{}", machine.console()))?;
    // The hardware's clock says 1970; systemd begins no earlier than the day on which it was built.
    let (own, brokers) = dates.split_once(", the broker ").ok_or("no two dates")?;
    assert!(own[..10] < brokers[..10], "{dates}");
    assert_eq!(broker.count("identity.issued", None)?, 1, "a wrong clock is in nobody's way but Docker's");
    assert_eq!(lab::nodes(manager)?.len(), 1);

    time_server::start(manager)?;
    joined(manager, machine.host())?;
    assert!(machine.console().contains("clock: it was set"), "{}", machine.console());
    Ok(())
}
