//! `broker up`.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use joiner::{InviteSource, OwnAddress};

use super::serve::{self, Logged};
use crate::config::{Flags, Settings};
use crate::exit::Failure;
use crate::state::KeySource;
use crate::up::{self, FormOptions, JoinOptions, Order, Sources};

/// Make the swarm or bring this machine into it as a manager, then serve
///
/// It is safe to run again at any point: it looks what is there, and does what is left. On the one machine that makes the
/// swarm: 'broker init', then this with --form. On every other: this with a manager invite. It joins by it, gets the
/// cluster's keys from a broker that serves, and serves. Takes the settings of 'broker serve', too.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(super) struct Up {
    /// Make the swarm here, if there is none: on one machine only
    #[arg(long, env = "BROKER_FORM", group = "makes")]
    form: bool,
    /// A file of mode 0600 with a manager invite. Nothing is wrong if it is gone: then it was used up
    #[arg(long, value_name = "FILE", env = "BROKER_INVITE_FILE", conflicts_with = "invite")]
    invite_file: Option<PathBuf>,
    /// The invite itself, or - for stdin. An argument can be read by every user of this machine: prefer the file
    #[arg(long, value_name = "LINE", hide_env_values = true)]
    invite: Option<String>,
    /// Where brokers may be, besides those that the invite names: addresses, or a DNS name, of which every address is
    /// asked. Where the broker was built for it, machines with a tag too: `provider=aws tag_key=K tag_value=V`,
    /// `provider=digitalocean tag_name=T` or `provider=vultr tag=T`, with region=R besides. No token may stand there. May be
    /// repeated
    #[arg(long, value_name = "SPEC", env = "BROKER_DISCOVER", hide_env_values = true)]
    discover: Vec<String>,
    /// Find the other managers through this place, the same for all: `file:///FOLDER`, with a file `shared-by-managers` in it, or
    /// where the broker was built for it `s3://BUCKET/PREFIX`, `gs://…` or `az://…`. Who makes the swarm is found out there
    #[arg(long, value_name = "URL", env = "BROKER_STORE", group = "makes")]
    store: Option<String>,
    /// With --store: an option of that kind of store, like endpoint=URL or region=NAME; may be repeated. Secrets are taken
    /// from the environment only, `AWS_SECRET_ACCESS_KEY` and the like
    #[arg(long, value_name = "K=V", env = "BROKER_STORE_OPTION", requires = "store", value_delimiter = ',', value_parser = option)]
    store_option: Vec<(String, String)>,
    /// With --store: where the cluster's keys are, as 'broker init --keys-file' wrote them: a file of mode 0600, or
    /// credential:NAME, or command:LINE for whose output they are. A machine without that file joins by an invite, and never makes
    /// the swarm
    #[arg(long, value_name = "FILE", env = "BROKER_KEYS_FILE", hide_env_values = true, requires = "store", value_parser = KeySource::or_path)]
    keys_file: Option<KeySource>,
    /// With --form or --store: this machine may be replaced. Once it has not answered for two minutes, and another manager comes,
    /// it is demoted and removed from the swarm. (Else the invite says so)
    #[arg(long, env = "BROKER_EPHEMERAL", requires = "makes")]
    ephemeral: bool,
    /// Wait until joiner.service, or somebody, has made this machine a manager of the swarm
    #[arg(long, env = "BROKER_WAIT", conflicts_with_all = ["form", "invite", "invite_file"])]
    wait: bool,
    /// When this machine is in, remove the invite's file, and overwrite the copies that cloud-init keeps
    #[arg(long, env = "BROKER_SHRED_INVITE")]
    shred_invite: bool,
    /// How other nodes reach this one: an address, an interface, or a network in which it has one address
    #[arg(long, value_name = "A", env = "BROKER_SWARM_ADVERTISE_ADDR")]
    swarm_advertise_addr: Option<OwnAddress>,
    /// What the node listens on for other managers, the same [default: 0.0.0.0:2377]
    #[arg(long, value_name = "A", env = "BROKER_SWARM_LISTEN_ADDR")]
    swarm_listen_addr: Option<OwnAddress>,
    /// What overlay networks use, the same
    #[arg(long, value_name = "A", env = "BROKER_DATA_PATH_ADDR")]
    data_path_addr: Option<OwnAddress>,
    /// With --form or --store: the port of overlay networks
    #[arg(long, value_name = "PORT", env = "BROKER_DATA_PATH_PORT", requires = "makes", value_parser = clap::value_parser!(u32).range(1024..=49151))]
    data_path_port: Option<u32>,
    /// With --form or --store: a network that overlay networks are cut from; may be repeated
    #[arg(long, value_name = "CIDR", env = "BROKER_DEFAULT_ADDR_POOL", requires = "makes", value_delimiter = ',')]
    default_addr_pool: Vec<IpNet>,
    /// With --form or --store: how large a piece each of them gets
    #[arg(long, value_name = "BITS", env = "BROKER_DEFAULT_ADDR_POOL_MASK_LENGTH", requires = "default_addr_pool", value_parser = clap::value_parser!(u32).range(8..=29))]
    default_addr_pool_mask_length: Option<u32>,
    /// With --form or --store: how long a node's certificate is good for [default: Docker's, 90 days]
    #[arg(long, value_name = "DURATION", env = "BROKER_CERT_EXPIRY", requires = "makes", value_parser = cert_expiry)]
    cert_expiry: Option<Duration>,
    /// For all that comes before it serves
    #[arg(long, value_name = "DURATION", env = "BROKER_UP_TIMEOUT", default_value = "10m", value_parser = super::duration)]
    timeout: Duration,
    #[command(flatten)]
    flags: Flags,
    #[command(flatten)]
    logged: Logged,
}

impl Up {
    pub(super) fn run(self) -> Result<(), Failure> {
        let settings = Settings { ephemeral: self.ephemeral, ..Settings::read(&self.flags)? };
        let order = Order {
            form: self.form,
            options: FormOptions {
                pools: self.default_addr_pool.iter().map(ToString::to_string).collect(),
                pool_mask: self.default_addr_pool_mask_length,
                data_path_port: self.data_path_port,
                certificates: self.cert_expiry,
            },
            join: JoinOptions {
                invite: match (self.invite, self.invite_file) {
                    (Some(line), _) if line == "-" => Some(InviteSource::Stdin),
                    (Some(line), _) => Some(InviteSource::argument(line)),
                    (None, file) => file.map(InviteSource::File),
                },
                discover: Sources::read(&self.discover)?,
                state: settings.joiner_state.clone(),
                advertise: self.swarm_advertise_addr,
                data_path: self.data_path_addr,
                listen: self.swarm_listen_addr,
                shred: self.shred_invite,
            },
            store: self.store.map(|url| (url, self.store_option)),
            keys_file: self.keys_file,
            wait: self.wait,
            timeout: self.timeout,
            settings,
        };
        serve::run(self.logged, up::up(order))
    }
}

pub(super) fn option(text: &str) -> Result<(String, String), &'static str> {
    text.split_once('=').map(|(key, value)| (key.to_owned(), value.to_owned())).ok_or("write it as NAME=VALUE")
}

/// What Docker takes.
fn cert_expiry(text: &str) -> Result<Duration, &'static str> {
    super::duration(text).and_then(|length| {
        if length >= Duration::from_hours(1) { Ok(length) } else { Err("Docker takes 1h at the least") }
    })
}
