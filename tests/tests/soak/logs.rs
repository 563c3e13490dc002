//! The audit log, for longer than a change can wait.

use lab::{Failed, Pool};

use crate::under_load::killed_under_load;

pub(crate) fn a_broker_killed_under_load_fifty_times_has_recorded_every_answer(pool: &Pool) -> Result<(), Failed> {
    let answered = killed_under_load(pool, 50)?;
    println!("killed under load fifty times: {answered} answers, each recorded");
    Ok(())
}
