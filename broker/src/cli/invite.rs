//! `broker invite create | list | revoke`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ipnet::IpNet;
use protocol::{BrokerAddress, INVITE_TYP, InviteId, InviteLine, Role};

use super::conditions::ConditionFlags;
use super::rotate::not_read;
use super::{AdminSocket, AskFlags};
use crate::admin::{Admin, InviteLineReply, InviteShown, InvitesShown, Revoked, lines, operator};
use crate::admission::{InviteOrder, Maker, gone_after, made, sign};
use crate::audit::{self, record_once};
use crate::broker::Limits;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::jwt::Signer;
use crate::state::{self, Cluster, StateError};

/// Make, list and revoke invites: the one line that goes into user-data
#[derive(clap::Subcommand)]
pub(super) enum Invite {
    /// Make an invite and print its line, alone, on standard output
    Create(Create),
    /// List invites and what became of them
    List(List),
    /// Revoke an invite: nobody more is admitted by it, and boots in flight end
    Revoke(Revoke),
}

impl Invite {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// What its machines join as; managers must be asked for
    #[arg(long, default_value = "worker")]
    role: Role,
    /// Print one JSON object instead of the line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    terms: Terms,
}

/// What an invite is made for, and by whom.
#[derive(clap::Args)]
pub(super) struct Terms {
    /// How many machines it admits
    #[arg(long, value_name = "N", default_value_t = 1)]
    uses: u32,
    /// How long it admits machines: 90s, 10m, 1h
    #[arg(long, value_name = "DURATION", default_value = "1h", value_parser = super::duration)]
    ttl: std::time::Duration,
    /// A network its machines call from; may be repeated [default: from anywhere]
    #[arg(long, value_name = "CIDR", value_parser = network)]
    from: Vec<IpNet>,
    /// A label its nodes get; may be repeated
    #[arg(long, value_name = "K=V", value_parser = label)]
    label: Vec<(String, String)>,
    /// Its machines come and go: a node of theirs that is down for longer than --gone-after is removed from the swarm,
    /// and the machine leaves the swarm when it is powered off
    #[arg(long)]
    ephemeral: bool,
    /// With --ephemeral: for how long a node may be down [default: 10m; for a manager, which goes only when another one
    /// comes: 2m]
    #[arg(long, value_name = "DURATION", value_parser = super::duration, requires = "ephemeral")]
    gone_after: Option<std::time::Duration>,
    #[command(flatten)]
    conditions: ConditionFlags,
    /// Make it here, with the invite key in the state directory, without a running broker or a cluster yet
    #[arg(long)]
    offline: bool,
    /// With --offline: the state directory
    #[arg(long, value_name = "DIR", env = "BROKER_STATE", default_value = state::DEFAULT)]
    state: PathBuf,
    /// With --offline: where the brokers will be; may be repeated [default: what init was told]
    #[arg(long, value_name = "HOST[:PORT]", requires = "offline", value_delimiter = ',')]
    broker: Vec<BrokerAddress>,
    #[command(flatten)]
    pub(super) admin: AdminSocket,
}

/// A network, or one address.
fn network(text: &str) -> Result<IpNet, &'static str> {
    let one = || text.parse::<std::net::IpAddr>().map(IpNet::from);
    text.parse().or_else(|_| one()).map_err(|_| "write it like 10.0.0.0/24, fd00::/64 or 10.0.0.7")
}

fn label(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as NAME=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let reply = self.terms.make(self.role)?;
        if self.json { super::print_json(&reply) } else { super::print(&reply.line) }
    }
}

impl Terms {
    /// Whether it is made without a running broker.
    pub(super) fn offline(&self) -> bool {
        self.offline
    }

    /// Whether its machines come and go.
    pub(super) fn ephemeral(&self) -> bool {
        self.ephemeral
    }

    /// Makes the invite.
    pub(super) fn make(&self, role: Role) -> Result<InviteLineReply, Failure> {
        let labels: BTreeMap<String, String> = self.label.iter().cloned().collect();
        if labels.len() != self.label.len() {
            return Err(Failure::new(Code::Usage, "--label: the same name was given twice"));
        }
        let gone_after = self.gone_after.map_or(gone_after(role), |given| given.as_secs());
        let ephemeral = self.ephemeral.then_some(gone_after);
        let order = InviteOrder {
            role,
            uses: self.conditions.places().unwrap_or(self.uses),
            ttl: self.ttl.as_secs(),
            from: self.from.clone(),
            labels,
            ephemeral,
            conditions: self.conditions.read(),
        };
        if !self.offline {
            let admin = self.admin.open();
            let reply = admin.post("/v1/invites", &order)?;
            assert_ours(&admin, &reply, role)?;
            return Ok(reply);
        }
        if order.ephemeral.is_some() || !order.conditions.is_none() {
            eprintln!(
                "broker: brokers of an older release refuse the machines of such an invite, for good, and none was asked: \
                 upgrade all of them before it is used"
            );
        }
        let line = make_offline(&self.state, &self.broker, order)?;
        Ok(InviteLineReply { line: line.expose(), invite: InviteShown::unclaimed(line.unverified()) })
    }
}

/// That an invite from elsewhere is what was asked for: it goes into user-data, and machines believe whatever root it pins.
fn assert_ours(admin: &Admin, reply: &InviteLineReply, role: Role) -> Result<(), Failure> {
    let Some((cluster, pin)) = admin.cluster() else { return Ok(()) };
    if let Ok(line) = InviteLine::parse(&reply.line) {
        let invite = line.unverified();
        if invite.iss == *cluster && invite.pin == *pin && invite.role == role && invite.jti == reply.invite.id {
            return Ok(());
        }
    }
    let what =
        "the broker that answered gave an invite of another cluster or role: do not use it, and look at that broker";
    Err(Failure::new(Code::Data, what))
}

/// Signs an invite with the key in the state directory, and records it there.
fn make_offline(path: &Path, brokers: &[BrokerAddress], order: InviteOrder) -> Result<InviteLine, Failure> {
    let cluster = Cluster::open(path)?;
    let _lock = cluster.folder().lock().map_err(|error| match error {
        StateError::Locked(_) => Failure::new(Code::Usage, "a broker runs here: leave --offline away"),
        error => error.into(),
    })?;
    let brokers = if brokers.is_empty() { cluster.advertise() } else { brokers }.to_vec();
    if brokers.is_empty() {
        return Err(Failure::new(
            Code::Usage,
            "nobody knows yet where the brokers will be: name them with --broker HOST[:PORT]",
        ));
    }
    let limits = Limits::default();
    let (pin, generation) = (cluster.issuing.pin(), cluster.issuing.generation);
    let maker = Maker { cluster: cluster.id(), pin, generation, limits, brokers };
    let invite = order.fill(maker, clock::now()).map_err(|complaint| Failure::new(Code::Usage, complaint))?;
    let signer = Signer::new(INVITE_TYP, &cluster.invite_key);
    let line = sign(&signer, &invite).map_err(|error| Failure::new(Code::Internal, error))?;
    let operator = operator(rustix::process::getuid().as_raw());
    record_once(&cluster.folder().path(audit::FILE), cluster.broker(), made(&invite, operator))?;
    Ok(line)
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    flags: AskFlags,
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let listed: InvitesShown = self.flags.admin.open().get("/v1/invites")?;
        if self.flags.json {
            return super::print_json(&listed);
        }
        let head = ["INVITE", "STATE", "ROLE", "CLAIMED", "JOINED", "ENDS", "LABELS"].map(String::from).to_vec();
        let rows = listed.invites.into_iter().map(|invite| {
            let labels: Vec<String> = invite.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
            vec![
                invite.id.to_string(),
                invite.state,
                invite.role.map_or_else(|| "?".into(), |role| role.to_string()),
                format!("{}/{}", invite.claimed, invite.uses),
                invite.joined.to_string(),
                invite.ends.unwrap_or_default(),
                labels.join(","),
            ]
        });
        let mut told = lines(&std::iter::once(head).chain(rows).collect::<Vec<_>>());
        told.push_str(&not_read(&listed.unread).join("\n"));
        super::print(&told)
    }
}

#[derive(clap::Args)]
pub(super) struct Revoke {
    /// The invite's id, as 'broker invite list' shows it
    id: InviteId,
    #[command(flatten)]
    flags: AskFlags,
}

impl Revoke {
    fn run(self) -> Result<(), Failure> {
        let revoked: Revoked = self.flags.admin.open().post(&format!("/v1/invites/{}/revoke", self.id), &())?;
        if self.flags.json {
            return super::print_json(&revoked);
        }
        let word = if revoked.changed { "revoked" } else { "was revoked already" };
        let unseen = if revoked.seen { "" } else { ". No broker has seen this invite yet: is the id right?" };
        super::print(&format!("{} {word}{unseen}", revoked.id))
    }
}
