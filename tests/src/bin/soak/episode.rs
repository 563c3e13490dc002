//! An episode as it happens: an operator makes an invite, clients and a machine come with it, and it may be revoked.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use lab::{Host, Result};
use protocol::InviteLine;
use std::sync::{Mutex, PoisonError};
use tokio::sync::mpsc::UnboundedSender;

use crate::client::{Loot, Player};
use crate::engine;
use crate::history::Invite;
use crate::plan::{Episode, Order};
use crate::scene::Station;
use crate::shared::Shared;

/// Who is there to act.
pub(crate) struct Stage<'h> {
    pub(crate) stations: &'h [Station<'h>],
    pub(crate) shared: Arc<Shared>,
    /// Where clients begin to play.
    pub(crate) players: UnboundedSender<Player>,
    /// Machines with an engine that nobody uses now.
    pub(crate) machines: Mutex<Vec<&'h Host>>,
}

impl<'h> Stage<'h> {
    /// Lives an invite's life.
    pub(crate) fn live(&self, episode: Episode) -> Result<()> {
        let Some(line) = self.invite(&episode) else { return Ok(()) };
        let Some(invite) = self.made(&episode, &line) else { return Ok(()) };
        let loot = Loot::default();
        for part in episode.cast {
            // Nobody listens any more once all have played.
            let _ = self.players.send(Player::new(self.shared.clone(), invite, &line, part, loot.clone()));
        }
        thread::scope(|scope| {
            if let Some(after) = episode.revoked {
                scope.spawn(move || self.revoke(invite, after));
            }
            episode.engine.map_or(Ok(()), |leaves| self.machine(invite, &line, leaves))
        })
    }

    /// A new invite, by whichever broker makes one; none if the run is over before that.
    fn invite(&self, episode: &Episode) -> Option<String> {
        let (uses, ttl) = (episode.uses.to_string(), format!("{}s", episode.ttl));
        let words = ["invite", "create", "--uses", &uses, "--ttl", &ttl, "--label", "soak=yes"];
        for at in episode.maker.. {
            if self.shared.is_over() {
                break;
            }
            match self.station(at).order(&words) {
                Ok(run) if run.code == 0 => return Some(run.stdout.trim().to_owned()),
                // Made or not, nobody has it.
                Ok(_) | Err(_) => self.shared.wait(100),
            }
        }
        None
    }

    fn made(&self, episode: &Episode, line: &str) -> Option<usize> {
        let read = InviteLine::parse(line).ok()?;
        let policy = read.unverified();
        let (id, ends) = (policy.jti.to_string(), self.shared.at(policy.exp));
        let invites = &mut self.shared.history().invites;
        invites.push(Invite { id, uses: episode.uses, ends, revoking: None, revoked: None });
        Some(invites.len() - 1)
    }

    /// Revokes it, at one broker after the other until one says that it is done.
    fn revoke(&self, invite: usize, after: u64) {
        self.shared.wait(after);
        let (id, begun) = (self.shared.history().invites[invite].id.clone(), self.shared.now());
        self.shared.history().invites[invite].revoking = Some(begun);
        for at in invite.. {
            let told = self.station(at).order(&["invite", "revoke", &id]);
            if told.is_ok_and(|run| run.code == 0) {
                let now = self.shared.now();
                self.shared.history().invites[invite].revoked = Some(now);
                return;
            }
            if self.shared.is_too_late() {
                self.shared.history().silent.push(format!("invite {id} could not be revoked"));
                return;
            }
            thread::sleep(Duration::from_millis(200));
        }
    }

    /// Has a machine join, once one is free.
    fn machine(&self, invite: usize, line: &str, leaves: bool) -> Result<()> {
        while !self.shared.is_over() {
            let free = self.machines.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(host) = free else {
                self.shared.wait(100);
                continue;
            };
            engine::leaves(host)?;
            engine::joins(host, &self.shared, invite, line)?;
            if leaves {
                engine::leaves(host)?;
            }
            self.machines.lock().unwrap_or_else(PoisonError::into_inner).push(host);
            break;
        }
        Ok(())
    }

    /// Gives the orders of an operator's, until the run is over. One that fails is no failure of a run.
    pub(crate) fn give(&self, orders: impl Iterator<Item = Order>) {
        for Order { words, broker, pause } in orders {
            self.shared.wait(pause);
            if self.shared.is_over() {
                break;
            }
            let told = self.station(broker).order(words);
            let code = told.map_or_else(|error| error.to_string(), |run| run.code.to_string());
            self.shared.history().orders.push(format!("{} at {broker}: {code}", words.join(" ")));
        }
    }

    fn station(&self, number: usize) -> &Station<'h> {
        &self.stations[number % self.stations.len()]
    }
}
