//! Starting, keeping and stopping a broker, in this order: settings → state → audit log → listener's address →
//! engine → ledger → TLS → joiners → admin socket → ready. Each step needs the ones before it, and says what is wrong.

mod alarms;
mod keeper;
mod parts;
mod serve;
mod steps;

pub(crate) use serve::{Beside, serve};
pub(crate) use steps::{WORKER_BELIEVED, addresses, engine_failure};
