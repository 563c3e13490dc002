//! The audit log, for longer than a change can wait.

use lab::{Failed, Pool};

use crate::under_load::{Load, killed_under_load};

pub(crate) fn a_broker_killed_under_load_fifty_times_has_recorded_every_answer(pool: &Pool) -> Result<(), Failed> {
    let storms = killed_under_load(pool, &Load { times: 50, at_once: 64, answers: 60 })?;
    let (answered, rate) = (storms.answered, storms.rate());
    println!("killed under load fifty times: {answered} answers, {rate} a second, each recorded");
    Ok(())
}
