//! `broker init`.

use std::path::PathBuf;
use std::time::Duration;

use protocol::BrokerAddress;

use crate::admin::operator;
use crate::audit::{self, Event, Record};
use crate::exit::{Code, Failure};
use crate::state;

/// Make the root, an issuing CA and the cluster's identity
///
/// Run it once, on the first manager. Nothing is changed in Docker; 'broker serve' does that.
#[derive(clap::Args)]
pub(super) struct Init {
    /// What people call this cluster
    #[arg(long, value_name = "NAME")]
    cluster: String,
    /// The state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// An address of this broker to write into invites; may be repeated
    #[arg(long, value_name = "HOST[:PORT]", env = "BROKER_ADVERTISE", value_delimiter = ',')]
    advertise: Vec<BrokerAddress>,
    /// How long 'broker up --form' may make the cluster's swarm: a machine that is made again later must not make another
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = super::duration)]
    form_within: Duration,
    /// Write the cluster's keys, without the root's, into this new file: for managers that make the swarm by themselves, see
    /// 'broker up --store'. Whoever has it can let machines in: bring it to managers only, as a secret
    #[arg(long, value_name = "FILE")]
    keys_file: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Init {
    pub(super) fn run(self) -> Result<(), Failure> {
        let name = self.cluster.trim();
        if name.is_empty() || name.len() > 40 || name.contains(char::is_control) {
            return Err(Failure::new(
                Code::Usage,
                "--cluster must be a name of 1 to 40 bytes, without control characters",
            ));
        }
        if let Some(path) = self.keys_file.as_deref().filter(|path| path.exists()) {
            let what = format!("--keys-file {}: it is there already. Give another place, or remove it", path.display());
            return Err(Failure::new(Code::CannotCreate, what));
        }
        let operator = operator(rustix::process::getuid().as_raw());
        let (id, pin) = state::init(&self.state, name, self.advertise, self.form_within)?;
        let cluster = state::Cluster::open(&self.state)?;
        let record = Record { operator: Some(operator), ..Record::new(Event::ClusterMade) };
        audit::record_once(&cluster.folder().path(audit::FILE), cluster.broker(), record)?;
        if let Some(path) = &self.keys_file {
            state::Brought::write(&cluster, path)?;
        }
        if self.json {
            return super::print_json(
                &serde_json::json!({ "cluster": id, "name": name, "pin": pin, "state": self.state }),
            );
        }
        super::print(&format!(
            "made cluster '{name}'\n  id     {id}\n  pin    {pin}\n  state  {}\n\nnext: broker serve, then: broker invite create --uses 3 --ttl 1h",
            self.state.display()
        ))
    }
}
