//! All promises at once: whatever clients see of a cluster under faults that are drawn from a seed. `./run soak --seed` does
//! it for longer.

use std::process::Command;

use lab::cluster::run;
use lab::{Failed, Pool, programs};
use serde_json::Value;

pub(crate) fn what_clients_see_of_a_cluster_under_faults_breaks_no_promise(_pool: &Pool) -> Result<(), Failed> {
    let mut command = Command::new(programs::soak()?);
    // Of this seed, no fault that comes in so short a time is the loss of a leader, which takes long to get over.
    command.args(["--minutes", "0.2", "--seed", "1", "--json"]);
    let ended = run(command)?;
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let told: Value = serde_json::from_str(&ended.stdout)?;
    assert_eq!(told["violations"], 0);
    for something in ["histories", "admitted", "faults"] {
        assert!(told[something].as_u64().is_some_and(|count| count > 0), "no {something}: {told}");
    }
    Ok(())
}
