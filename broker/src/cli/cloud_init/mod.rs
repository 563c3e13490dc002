//! `broker cloud-init`: user-data for machines that join by themselves.

mod by_store;
mod programs;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::PathBuf;

use protocol::{InviteLine, Role};
use serde::Serialize;

use super::invite::Terms;
use crate::admin::InviteShown;
use crate::exit::{Code, Failure};
use crate::userdata::{Format, LIMIT, Order, Program, render};

/// Print user-data: a machine that gets it at its first boot joins by itself
///
/// Makes an invite on the way, unless one is given. The machine fetches the joiner from the brokers, and runs it only if
/// its SHA-256 is the one that the user-data names. What it ends up with on a machine: /etc/joiner/invite (removed when
/// it has joined), /etc/joiner/environment, /usr/local/bin/joiner and joiner.service.
///
/// For a manager, the image must carry the broker's package: its broker then comes up by itself ('broker up --wait'), and
/// gets the cluster's keys from one that serves. With --store there need be no swarm yet: machines with the same user-data make one.
#[derive(clap::Args)]
pub(super) struct CloudInit {
    /// What the machines join as
    role: Role,
    /// Use this invite instead of making one; - reads it from standard input, out of other users' sight
    #[arg(long, value_name = "LINE", conflicts_with_all = ["uses", "ttl", "from", "label", "ephemeral", "live", "each_rate", "hostname", "availability", "replaces", "approve", "broker"])]
    invite: Option<String>,
    /// The form of the text
    #[arg(long, value_enum, default_value = "cloud-config")]
    format: Format,
    /// The image carries the joiner's package: fetch nothing
    #[arg(long, conflicts_with = "joiner")]
    embed: bool,
    /// Have machines fetch this joiner; one file for each kind of processor [default: what the brokers serve]
    #[arg(long, value_name = "FILE")]
    joiner: Vec<PathBuf>,
    /// Install Docker with apt, dnf or zypper on a machine that has none
    #[arg(long)]
    install_docker: bool,
    /// The address, interface or network by which other nodes reach the machine, for joiner join
    #[arg(long, value_name = "A")]
    advertise_addr: Option<String>,
    /// A command that the machine runs if it was refused, to have itself replaced
    #[arg(long, value_name = "CMD")]
    on_failure: Option<String>,
    /// Write to this file, which only you can read, instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long, conflicts_with = "output")]
    json: bool,
    #[command(flatten)]
    place: by_store::Place,
    #[command(flatten)]
    terms: Terms,
}

#[derive(Serialize)]
struct Shown<'a> {
    format: String,
    user_data: &'a str,
    bytes: usize,
    invite: InviteShown,
    /// By architecture.
    joiners: BTreeMap<String, String>,
}

impl CloudInit {
    pub(super) fn run(self) -> Result<(), Failure> {
        if let Some(order) = self.place.order(self.advertise_addr.as_ref(), self.terms.ephemeral())? {
            if self.role != Role::Manager {
                return Err(failure("--store is for managers: a worker joins by an invite"));
            }
            return by_store::run(&self, &order);
        }
        // Whatever may be wrong is found before an invite is made.
        let order = Order { program: self.program()?, install_docker: self.install_docker, settings: self.settings() };
        order.check(self.role, self.format).map_err(failure)?;
        let line = if let Some(given) = &self.invite {
            self.given(given)?
        } else {
            let line = self.terms.make(self.role)?.line;
            InviteLine::parse(&line).map_err(|error| Failure::new(Code::Internal, error.to_string()))?
        };
        let invite = line.unverified();
        let text = render(&order, &line, self.format).map_err(|error| match self.invite {
            Some(_) => failure(error),
            None => failure(format!("{error}. Invite {} was made for it: revoke it", invite.jti)),
        })?;
        if self.json {
            let joiners = match order.program {
                Program::InImage => BTreeMap::new(),
                Program::Fetched(joiners) => joiners,
            };
            let (user_data, bytes) = (text.as_str(), text.len());
            let shown = InviteShown::unclaimed(invite);
            return super::print_json(&Shown { format: self.format_name(), user_data, bytes, invite: shown, joiners });
        }
        match &self.output {
            Some(path) => super::write_output(path, &text)?,
            None => super::print(&text)?,
        }
        let (uses, ends) = (invite.uses, crate::clock::shown(invite.exp));
        eprintln!("broker: {} of {LIMIT} bytes; invite {}, uses: {uses}, until {ends}", text.len(), invite.jti);
        Ok(())
    }

    fn format_name(&self) -> String {
        let named = clap::ValueEnum::to_possible_value(&self.format);
        named.map(|value| value.get_name().to_owned()).unwrap_or_default()
    }

    /// The invite that was given, if it is for this role.
    fn given(&self, given: &str) -> Result<InviteLine, Failure> {
        let mut text = given.to_owned();
        if given == "-" {
            text.clear();
            let most = u64::try_from(protocol::MAX_INVITE_LINE).unwrap_or(u64::MAX) + 2;
            std::io::stdin().take(most).read_to_string(&mut text).map_err(|error| {
                Failure::new(Code::Data, format!("the invite cannot be read from standard input: {error}"))
            })?;
        }
        let line = InviteLine::parse(&text).map_err(|error| Failure::new(Code::Data, error.to_string()))?;
        let role = line.unverified().role;
        if role != self.role {
            return Err(Failure::new(Code::Usage, format!("this invite is for a {role}, not for a {}", self.role)));
        }
        Ok(line)
    }

    fn program(&self) -> Result<Program, Failure> {
        if self.embed {
            return Ok(Program::InImage);
        }
        let running = (!self.terms.offline()).then(|| self.terms.admin.open());
        programs::find(running.as_ref(), &self.joiner).map(Program::Fetched)
    }

    fn settings(&self) -> BTreeMap<&'static str, String> {
        let settings = [("JOINER_ADVERTISE_ADDR", &self.advertise_addr), ("JOINER_ON_FAILURE", &self.on_failure)];
        settings.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect()
    }
}

fn failure(error: impl std::fmt::Display) -> Failure {
    Failure::new(Code::Usage, error.to_string())
}
