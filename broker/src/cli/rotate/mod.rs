//! `broker rotate`.

mod ca;
mod keys;

pub(super) use keys::told;

use std::path::PathBuf;

use clap::ValueEnum;
use protocol::Role;

use super::AdminSocket;
use crate::admin::{KeyOrder, RotateOrder, RotateReply, RotationPreview};
use crate::exit::{Code, Failure};
use crate::keys::What as Key;

/// Replace a secret: the join tokens, or a key of this broker
///
/// Join tokens: machines that are joining at this moment are waited for, 2 s at most unless 'broker serve' was told
/// otherwise; those that come in between get the next token. With --now nobody is waited for, and whoever is in the middle
/// of a join tries again by itself, some 10 s later.
///
/// Keys: what the one before has signed stays good until it ends. With --now, after a leak, it is refused from that moment
/// on: machines in the middle of a boot ask for another grant by themselves; invites must be made anew, and are listed.
///
/// The issuing CA: its plan is printed first. If root.key is not on this manager, a request is printed that 'broker ca
/// issue' signs where it is.
#[derive(clap::Args)]
#[command(after_help = crate::exit::HELP)]
pub(super) struct Rotate {
    /// What to replace
    #[arg(value_name = "WHAT")]
    what: What,
    /// After a leak: wait for no machine that is joining; refuse what a former key signed
    #[arg(long)]
    now: bool,
    /// Say what would be done and whom it concerns; change nothing
    #[arg(long, visible_alias = "plan")]
    dry_run: bool,
    /// With ca: the folder that holds root.key and root.crt [default: the broker's state directory]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// With ca, where the root is not on this manager: write the request to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Why; it goes into the audit log
    #[arg(long, value_name = "TEXT")]
    reason: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    admin: AdminSocket,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The worker join token
    Worker,
    /// The manager join token
    Manager,
    /// Both join tokens
    All,
    /// The key that signs this broker's grants
    SigningKey,
    /// The key that signs invites
    InviteKey,
    /// The certificate that this broker serves with, and its key
    ServerCert,
    /// The issuing CA: the next generation under the same root
    Ca,
}

impl Rotate {
    pub(super) fn run(self) -> Result<(), Failure> {
        if !matches!(self.what, What::Ca) && (self.root.is_some() || self.output.is_some()) {
            return Err(Failure::new(Code::Usage, "--root and --output go with 'broker rotate ca'"));
        }
        match self.what {
            What::Worker => self.tokens(vec![Role::Worker]),
            What::Manager => self.tokens(vec![Role::Manager]),
            What::All => self.tokens(vec![Role::Worker, Role::Manager]),
            What::SigningKey => self.key(Key::SigningKey),
            What::InviteKey => self.key(Key::InviteKey),
            What::ServerCert => self.key(Key::ServerCert),
            What::Ca => {
                let Self { now, dry_run, reason, json, root, output, admin, .. } = self;
                ca::run(&admin.open(), ca::Asked { now, dry_run, reason, json, root, output })
            }
        }
    }

    fn tokens(self, roles: Vec<Role>) -> Result<(), Failure> {
        let order = RotateOrder { roles, now: self.now, reason: self.reason };
        if self.dry_run {
            let preview: RotationPreview = self.admin.open().post("/v1/rotate/preview", &order)?;
            return if self.json { super::print_json(&preview) } else { super::print(&previewed(&preview)) };
        }
        let rotated: RotateReply = self.admin.open().post("/v1/rotate", &order)?;
        if self.json { super::print_json(&rotated) } else { super::print(&tokens_told(&rotated)) }
    }

    fn key(self, what: Key) -> Result<(), Failure> {
        let order = KeyOrder { what, now: self.now, reason: self.reason };
        let path = if self.dry_run { "/v1/rotate/key/preview" } else { "/v1/rotate/key" };
        let shown = self.admin.open().post(path, &order)?;
        if self.json { super::print_json(&shown) } else { super::print(&told(&shown, self.now)) }
    }
}

fn tokens_told(rotated: &RotateReply) -> String {
    let mut lines: Vec<String> = rotated
        .rotated
        .iter()
        .map(|token| format!("{} token: generation {} since {}", token.role, token.generation, token.rotated_at))
        .collect();
    if rotated.shared {
        lines.push("another rotation at the same time did it".into());
    }
    match rotated.not_waited_for {
        0 => {}
        1 => lines.push("1 machine was joining with the old one: it tries again by itself".into()),
        more => lines.push(format!("{more} machines were joining with the old one: they try again by themselves")),
    }
    lines.join("\n")
}

fn previewed(preview: &RotationPreview) -> String {
    let mut lines: Vec<String> = preview
        .tokens
        .iter()
        .map(|token| {
            format!(
                "{} token: generation {} since {}, policy {}: it would become generation {}",
                token.role,
                token.generation,
                token.rotated_at,
                token.policy,
                token.generation + 1
            )
        })
        .collect();
    lines.extend(preview.in_flight.iter().map(|machine| {
        format!(
            "in flight: key {} of invite {} has the {} token since {}",
            machine.key, machine.invite, machine.role, machine.since
        )
    }));
    lines.extend(preview.under_way.iter().map(|broker| format!("broker {broker} is replacing one at this moment")));
    lines.push(match preview.in_flight.len() {
        0 => "nobody is joining at this moment; nothing was changed".into(),
        _ => format!("it would wait for them, {} ms at most; nothing was changed", preview.wait_ms),
    });
    lines.join("\n")
}
