//! `broker rotate unlock-key`: the new key is shown once, to a person.
//!
//! Keeps promise 7: not into a file, a pipe or JSON, which would keep it.

use std::io::IsTerminal as _;

use super::Rotate;
use crate::admin::{Order, UnlockKeyReplaced, UnlockKeyShown};
use crate::cli::{print, print_json};
use crate::exit::{Code, Failure};

const ONCE: &str = "the new unlock key is shown once, and on a terminal only, since whatever else standard output is would keep it. Type 'broker rotate unlock-key' at a terminal, without --json (over SSH: ssh -t HOST)";

pub(super) fn run(asked: Rotate) -> Result<(), Failure> {
    let admin = asked.flags.admin.open();
    if asked.dry_run {
        let shown: UnlockKeyShown = admin.get("/v1/rotate/unlock-key")?;
        return if asked.flags.json { print_json(&shown) } else { print(&told(&shown)) };
    }
    // Before anything is asked: a key that was replaced and not shown helps nobody.
    if asked.flags.json || !std::io::stdout().is_terminal() {
        return Err(Failure::new(Code::Usage, ONCE));
    }
    let order = Order { what: (), now: false, reason: asked.flags.reason };
    let replaced: UnlockKeyReplaced = admin.post("/v1/rotate/unlock-key", &order)?;
    let UnlockKeyReplaced { generation, rotated_at, key } = replaced;
    print(&format!("unlock-key: generation {generation} since {rotated_at}. It is shown this once:\n"))?;
    print(key.expose())?;
    print(
        "\nKeep it where the former one was kept. A manager whose engine starts from now on asks for it: 'docker swarm unlock'",
    )
}

fn told(shown: &UnlockKeyShown) -> String {
    let UnlockKeyShown { autolock, generation } = shown;
    if *autolock {
        format!(
            "unlock-key: generation {generation}: it would become generation {}\nnothing was changed",
            generation + 1
        )
    } else {
        "autolock is off: this swarm has no unlock key ('docker swarm update --autolock=true' turns it on)".into()
    }
}
