//! What a trial asks of an invite: which it is, and whether it admits a machine at this moment.

use protocol::InviteLine;

use crate::cluster::{Answer, Broker, Machine, on};
use crate::error::{Error, Result};
use crate::host::Host;

/// The id of an invite line.
pub fn id(invite: &str) -> Result<String> {
    let line = InviteLine::parse(invite)
        .map_err(|error| Error::Unreadable { what: "broker invite create".into(), answer: error.to_string() })?;
    Ok(line.unverified().jti.to_string())
}

/// The token that a new machine gets from a broker, dialling it from this host; or what it is told instead.
pub fn admitted(from: &Host, broker: &Broker<'_>, invite: &str) -> Result<Answer<String>> {
    let address = broker.address();
    let admitted = on(from, || async { Machine::new(invite, address).admitted().await })?;
    Ok(admitted.map(|(_, reply)| reply.token.expose().to_owned()))
}

/// A new machine, dialling from this host, gets a token, which is given.
pub fn assert_admits(from: &Host, broker: &Broker<'_>, invite: &str) -> Result<String> {
    let told = admitted(from, broker, invite)?;
    Ok(told.unwrap_or_else(|told| panic!("{} admits nobody: {told:?}", broker.host().name())))
}
