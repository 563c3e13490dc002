//! `broker cloud-init manager --store`: the same user-data for all managers, of which one makes the swarm.

use serde::Serialize;

use super::{CloudInit, failure};
use crate::exit::Failure;
use crate::state::KeySource;
use crate::up;
use crate::userdata::{ByStore, LIMIT, render_by_store};

/// How managers find each other, and where each has the keys from.
#[derive(clap::Args)]
pub(super) struct Place {
    /// For managers: they find each other through this place, as with 'broker up --store', and one of them makes the swarm. No
    /// invite is needed, and none is made
    #[arg(long, value_name = "URL", requires = "keys_file", conflicts_with_all = OF_AN_INVITE)]
    store: Option<String>,
    /// With --store: an option of that kind of store; may be repeated. No secret: a machine has those in its environment, or a role
    #[arg(long, value_name = "K=V", requires = "store", value_parser = crate::cli::up::option)]
    store_option: Vec<(String, String)>,
    /// With --store: where each machine has the cluster's keys: a file in its image, credential:NAME, or command:LINE that asks a
    /// secret store. Only the place is in the user-data
    #[arg(long, value_name = "FILE", requires = "store")]
    keys_file: Option<String>,
}

/// What is about an invite, or about a machine that joins by one.
const OF_AN_INVITE: [&str; 18] = [
    "invite",
    "uses",
    "ttl",
    "from",
    "label",
    "gone_after",
    "live",
    "replaces",
    "approve",
    "each_rate",
    "hostname",
    "availability",
    "broker",
    "offline",
    "joiner",
    "embed",
    "install_docker",
    "on_failure",
];

#[derive(Serialize)]
struct Shown<'a> {
    format: String,
    user_data: &'a str,
    bytes: usize,
}

impl Place {
    /// What was ordered, if a store was given.
    pub(super) fn order(&self, advertise: Option<&String>, ephemeral: bool) -> Result<Option<ByStore>, Failure> {
        let (Some(store), Some(keys)) = (&self.store, &self.keys_file) else { return Ok(None) };
        if KeySource::or_path(keys).map_err(|wanted| failure(format!("--keys-file: {wanted}")))?.is_relative() {
            return Err(failure("--keys-file: name a file by its whole path: it is read on another machine"));
        }
        Ok(Some(ByStore {
            store: store.clone(),
            folder: up::checked_store(store, &self.store_option)?.map(str::to_owned),
            options: self.store_option.clone(),
            keys: keys.clone(),
            ephemeral,
            advertise: advertise.cloned(),
        }))
    }
}

/// Prints the user-data.
pub(super) fn run(command: &CloudInit, order: &ByStore) -> Result<(), Failure> {
    let text = render_by_store(order, command.format).map_err(failure)?;
    if command.json {
        let shown = Shown { format: command.format_name(), user_data: &text, bytes: text.len() };
        return crate::cli::print_json(&shown);
    }
    match &command.output {
        Some(path) => crate::cli::write_output(path, &text)?,
        None => crate::cli::print(&text)?,
    }
    eprintln!("broker: {} of {LIMIT} bytes; no key is in it", text.len());
    Ok(())
}
