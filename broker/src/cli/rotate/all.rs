//! `broker rotate all`: every secret that a manager knows, in one order.
//!
//! Keeps DESIGN §9: the answer to a manager that was taken over. The tokens are replaced last: who was given one by a stolen
//! key until then has one that is dead. Must not stop at what fails: the rest is replaced all the same, and the answer says
//! what was not.

use protocol::Role;
use serde::Serialize;

use super::ca::{self, Asked, Outcome};
use super::{keys, tokens};
use crate::admin::{Admin, CaPlan, Gone, KeyShown, Order, RotateReply, RotationPreview, TokenRotated, UnlockKeyShown};
use crate::cli::{print, print_json};
use crate::exit::{Code, Failure};
use crate::keys::{Made, What};

/// The keys that the broker replaces by itself, in this order.
const KEYS: [What; 3] = [What::InviteKey, What::SigningKey, What::ServerCert];
/// Docker's, as every manager has it: with its key one asks as a manager that was adopted.
const SWARM_CA: &str = "docker swarm ca --rotate";
/// It is shown on a terminal only.
const UNLOCK_KEY: &str = "broker rotate unlock-key";

/// What there is to replace.
#[derive(Serialize)]
struct Plan {
    dry_run: bool,
    ca: CaPlan,
    keys: Vec<KeyShown>,
    tokens: RotationPreview,
    /// Invites of former keys: with `--now` they must be made anew.
    invites: Vec<Made>,
    /// Brokers whose node is no manager any more: their entries are removed.
    brokers: Vec<String>,
}

/// What came of it.
#[derive(Serialize)]
struct All {
    rotated: Vec<Replaced>,
    not_done: Vec<NotDone>,
    invites: Vec<Made>,
    /// Objects of invites that do not read.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    unread: Vec<String>,
    adopt: Vec<String>,
    removed_brokers: Vec<String>,
    /// What is left to order by itself.
    also: Vec<&'static str>,
    waited_ms: u64,
    not_waited_for: usize,
    shared: bool,
    dry_run: bool,
}

/// A secret that was replaced.
#[derive(Serialize)]
#[serde(untagged)]
enum Replaced {
    Key(Box<KeyShown>),
    Token {
        what: Role,
        #[serde(flatten)]
        token: TokenRotated,
    },
}

/// One that was not.
#[derive(Serialize)]
struct NotDone {
    what: String,
    why: String,
    /// What to type for it.
    commands: Vec<String>,
}

pub(super) fn run(admin: &Admin, asked: &Asked) -> Result<(), Failure> {
    let plan = plan(admin, asked)?;
    if asked.dry_run {
        return if asked.json { print_json(&plan) } else { print(&planned(&plan, asked)) };
    }
    if !asked.json {
        eprintln!("{}", planned(&plan, asked));
    }
    let all = replace(admin, &plan, asked);
    if asked.json {
        print_json(&all)?;
    } else {
        print(&told(&all, &plan, asked))?;
    }
    let left: Vec<&str> = all.not_done.iter().map(|one| one.what.as_str()).collect();
    if left.is_empty() {
        return Ok(());
    }
    let what = format!("not complete: {} not replaced. The rest is; this order can be given again", left.join(", "));
    Err(Failure::new(Code::TryAgain, what))
}

fn roles() -> Vec<Role> {
    vec![Role::Worker, Role::Manager]
}

fn plan(admin: &Admin, asked: &Asked) -> Result<Plan, Failure> {
    let ca = ca::plan(admin)?;
    let preview = |what: &What| {
        admin.post::<_, KeyShown>("/v1/rotate/key/preview", &Order { what: *what, now: asked.now, reason: None })
    };
    let keys: Vec<KeyShown> = KEYS.iter().map(preview).collect::<Result<_, _>>()?;
    let order = Order { what: roles(), now: asked.now, reason: None };
    let tokens = admin.post("/v1/rotate/preview", &order)?;
    let Gone { brokers } = admin.get("/v1/brokers/gone")?;
    let mut invites: Vec<Made> = Vec::new();
    for invite in keys.iter().flat_map(|shown| &shown.key.invites).chain(&ca.key.invites) {
        if !invite.revoked && invites.iter().all(|known| known.id != invite.id) {
            invites.push(invite.clone());
        }
    }
    Ok(Plan { dry_run: true, ca, keys, tokens, invites, brokers })
}

/// Replaces one after the other. What fails is left, and told.
fn replace(admin: &Admin, plan: &Plan, asked: &Asked) -> All {
    let (now, reason) = (asked.now, &asked.reason);
    let mut all = All {
        rotated: Vec::new(),
        not_done: Vec::new(),
        invites: Vec::new(),
        unread: Vec::new(),
        adopt: Vec::new(),
        removed_brokers: Vec::new(),
        also: Vec::new(),
        waited_ms: 0,
        not_waited_for: 0,
        shared: false,
        dry_run: false,
    };
    match ca::replace(admin, &plan.ca, asked) {
        Ok(Outcome::Replaced(shown)) => all.took(*shown),
        Ok(Outcome::Asked(request)) => {
            let written = asked.output.as_deref().map(|path| ca::write_request(&request, path));
            let why = match written {
                Some(Err(error)) => {
                    format!("root.key is not on this manager, and the request was not written: {error}")
                }
                _ => "root.key is not on this manager".to_owned(),
            };
            all.not_done.push(NotDone {
                what: What::Ca.to_string(),
                why,
                commands: ca_commands(asked, plan.ca.key.next),
            });
        }
        Err(error) => all.left(What::Ca.to_string(), &error, now),
    }
    for what in KEYS {
        match admin.post::<_, KeyShown>("/v1/rotate/key", &Order { what, now, reason: reason.clone() }) {
            Ok(shown) => all.took(shown),
            Err(error) => all.left(what.to_string(), &error, now),
        }
    }
    let order = Order { what: roles(), now, reason: reason.clone() };
    match admin.post::<_, RotateReply>("/v1/rotate", &order) {
        Ok(reply) => {
            (all.waited_ms, all.not_waited_for, all.shared) = (reply.waited_ms, reply.not_waited_for, reply.shared);
            all.rotated.extend(reply.rotated.into_iter().map(|token| Replaced::Token { what: token.role, token }));
        }
        Err(error) => roles().iter().for_each(|role| all.left(role.to_string(), &error, now)),
    }
    match admin.post::<_, Gone>("/v1/brokers/gone", &Order { what: (), now, reason: reason.clone() }) {
        Ok(gone) => all.removed_brokers = gone.brokers,
        Err(error) => all.left("brokers of former managers".into(), &error, now),
    }
    if admin.get::<UnlockKeyShown>("/v1/rotate/unlock-key").is_ok_and(|shown| shown.autolock) {
        all.also.push(UNLOCK_KEY);
    }
    if now {
        all.also.push(SWARM_CA);
    }
    all
}

impl All {
    fn took(&mut self, shown: KeyShown) {
        for invite in &shown.key.invites {
            match self.invites.iter_mut().find(|known| known.id == invite.id) {
                Some(known) => known.revoked |= invite.revoked,
                None => self.invites.push(invite.clone()),
            }
        }
        for object in &shown.key.unread {
            if !self.unread.contains(object) {
                self.unread.push(object.clone());
            }
        }
        self.adopt.extend(shown.key.adopt.iter().cloned());
        self.rotated.push(Replaced::Key(Box::new(shown)));
    }

    fn left(&mut self, what: String, error: &Failure, now: bool) {
        let now = if now { " --now" } else { "" };
        let command =
            if what.contains(' ') { format!("broker rotate all{now}") } else { format!("broker rotate {what}{now}") };
        self.not_done.push(NotDone { what, why: error.to_string(), commands: vec![command] });
    }
}

/// What to type where the root is elsewhere.
fn ca_commands(asked: &Asked, next: u32) -> Vec<String> {
    let now = if asked.now { " --now" } else { "" };
    let file = asked.output.as_ref().map_or_else(|| "request.json".to_owned(), |path| path.display().to_string());
    let ask = asked.output.is_none().then(|| format!("broker rotate ca{now} --output {file}"));
    let then = [
        format!("broker ca issue {file} --root DIR --output issuing-{next}.crt"),
        format!("broker ca install issuing-{next}.crt{now}"),
    ];
    ask.into_iter().chain(then).collect()
}

/// The plan in words.
fn planned(plan: &Plan, asked: &Asked) -> String {
    let mut lines = vec![ca::planned(&plan.ca, asked.now)];
    lines.extend(plan.keys.iter().map(keys::headline));
    lines.extend(tokens::found(&plan.tokens));
    lines.extend(plan.brokers.iter().map(|id| format!("broker {id} is on no manager any more: its entry is removed")));
    lines.extend(invites(&plan.invites, asked.now, true));
    if asked.now {
        lines.push(format!("of a manager that was removed, the swarm's own CA is replaced before this: {SWARM_CA}"));
    }
    if asked.dry_run {
        lines.push("nothing was changed".into());
    }
    lines.join("\n")
}

/// What came of it, in words.
fn told(all: &All, plan: &Plan, asked: &Asked) -> String {
    let mut lines = Vec::new();
    for replaced in &all.rotated {
        lines.push(match replaced {
            Replaced::Key(key) => keys::headline(key),
            Replaced::Token { token: TokenRotated { role, generation, rotated_at }, .. } => {
                format!("{role} token: generation {generation} since {rotated_at}")
            }
        });
    }
    lines.extend(all.removed_brokers.iter().map(|id| format!("broker {id} was on no manager any more: removed")));
    if !plan.ca.key.brokers.is_empty() {
        lines.push(
            "the other brokers get the new keys by themselves: 'broker status' there says how far they are".into(),
        );
    }
    lines.extend(keys::to_adopt(&all.adopt));
    lines.extend(invites(&all.invites, asked.now, false));
    lines.extend(keys::not_read(&all.unread));
    lines.extend(all.also.iter().map(|command| match *command {
        SWARM_CA => format!(
            "a former manager can have the key of the swarm's own CA, too. If that was not replaced since it was removed: {command}, and then this order again"
        ),
        command => {
            format!("a former manager knows the swarm's unlock key, too, which is shown on a terminal only: {command}")
        }
    }));
    for NotDone { what, why, commands } in &all.not_done {
        lines.push(format!("not replaced: {what}: {why}. For that:"));
        lines.extend(commands.iter().map(|command| format!("  {command}")));
    }
    lines.join("\n")
}

/// The invites of former keys, and what is to be done about them.
fn invites(invites: &[Made], now: bool, before: bool) -> Vec<String> {
    if invites.is_empty() {
        return vec!["invites of former keys that have not ended: none".into()];
    }
    let many = invites.len();
    let mut lines = vec![match (now, before) {
        (true, true) => format!("invites of former keys: {many}. They are refused then:"),
        (true, false) => format!("invites of former keys: {many}. They are refused from now on:"),
        (false, _) => format!("invites of former keys: {many}. They stay good until they end or are revoked:"),
    }];
    lines.extend(invites.iter().map(|invite| format!("  {} ends {}", invite.id, invite.ends)));
    if now {
        lines.push("make them anew, and replace all user-data that holds one ('broker invite create', 'broker cloud-init'): a machine that boots with it is refused".into());
    }
    lines
}
