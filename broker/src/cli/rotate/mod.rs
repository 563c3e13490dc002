//! `broker rotate`.

mod all;
mod ca;
mod keys;
mod tokens;
mod unlock_key;

pub(super) use keys::{not_read, told};

use std::path::PathBuf;

use clap::ValueEnum;
use protocol::Role;

use super::OrderFlags;
use crate::admin::{KeyShown, Order, RotateReply, RotationPreview};
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
///
/// All: the plan is printed first, with the invites that --now voids. What could not be replaced is named with the commands
/// for it, and the exit code is 75 then. It can be ordered again at any time. The brokers on the other managers get the new
/// keys by themselves.
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
    /// With ca and all: the folder that holds root.key and root.crt [default: the broker's state directory]
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,
    /// With ca and all, where the root is not on this manager: write the request to this file instead of standard output
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    #[command(flatten)]
    flags: OrderFlags,
}

#[derive(Clone, Copy, ValueEnum)]
enum What {
    /// The worker join token
    Worker,
    /// The manager join token
    Manager,
    /// Every secret that a manager knows: all that is listed here, after a manager was removed or taken over
    All,
    /// The key that signs this broker's grants
    SigningKey,
    /// The key that signs invites
    InviteKey,
    /// The certificate that this broker serves with, and its key
    ServerCert,
    /// The issuing CA: the next generation under the same root
    Ca,
    /// With autolock on: the key that 'docker swarm unlock' asks for. It is shown once, on a terminal
    UnlockKey,
}

impl Rotate {
    pub(super) fn run(self) -> Result<(), Failure> {
        if !matches!(self.what, What::Ca | What::All) && (self.root.is_some() || self.output.is_some()) {
            return Err(Failure::new(
                Code::Usage,
                "--root and --output go with 'broker rotate ca' and 'broker rotate all'",
            ));
        }
        match self.what {
            What::Worker => self.tokens(vec![Role::Worker]),
            What::Manager => self.tokens(vec![Role::Manager]),
            What::SigningKey => self.key(Key::SigningKey),
            What::InviteKey => self.key(Key::InviteKey),
            What::ServerCert => self.key(Key::ServerCert),
            What::UnlockKey => unlock_key::run(self),
            What::Ca | What::All => {
                let Self { what, now, dry_run, root, output, flags: OrderFlags { reason, json, admin } } = self;
                let asked = ca::Asked { now, dry_run, reason, json, root, output };
                // The root signs what a broker asks for: that is this manager's, never one's that answers from elsewhere.
                let admin = admin.on_manager()?;
                match what {
                    What::All => all::run(&admin, &asked),
                    _ => ca::run(&admin, &asked),
                }
            }
        }
    }

    fn tokens(self, roles: Vec<Role>) -> Result<(), Failure> {
        let order = Order { what: roles, now: self.now, reason: self.flags.reason };
        if self.dry_run {
            let preview: RotationPreview = self.flags.admin.open().post("/v1/rotate/preview", &order)?;
            return if self.flags.json {
                super::print_json(&preview)
            } else {
                super::print(&tokens::previewed(&preview))
            };
        }
        let rotated: RotateReply = self.flags.admin.open().post("/v1/rotate", &order)?;
        if self.flags.json { super::print_json(&rotated) } else { super::print(&tokens::told(&rotated)) }
    }

    fn key(self, what: Key) -> Result<(), Failure> {
        let order = Order { what, now: self.now, reason: self.flags.reason };
        let path = if self.dry_run { "/v1/rotate/key/preview" } else { "/v1/rotate/key" };
        let shown: KeyShown = self.flags.admin.open().post(path, &order)?;
        if self.flags.json { super::print_json(&shown) } else { super::print(&told(&shown, self.now)) }
    }
}
