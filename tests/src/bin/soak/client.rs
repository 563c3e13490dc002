//! A client without an engine: it plays its part, and writes down what it saw.
//!
//! Promise: it asks as a joiner does, at each broker in turn until it is let in or refused; it believes no answer that was
//! lost on its way, and writes it down all the same, since the broker gave it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lab::cluster::{Machine, Told};
use protocol::{GrantReply, KeyHash, ProblemKind};
use tokio::time::{sleep, timeout};

use crate::history::{Answer, Client, Exchange, Step};
use crate::plan::{Kind, Lost, Part};
use crate::shared::Shared;

/// Who does not answer in this time is taken for silent.
const SILENT: Duration = Duration::from_secs(8);
/// Between two rounds of asking.
const PAUSE: Duration = Duration::from_millis(150);
/// How long a thief waits for something to steal.
const TEMPTED: usize = 40;

/// A grant and its hash, where a thief of the same episode finds it.
pub(crate) type Loot = Arc<Mutex<Option<(String, String)>>>;

/// A client with its part.
pub(crate) struct Player {
    shared: Arc<Shared>,
    number: usize,
    key: String,
    machine: Machine,
    part: Part,
    lost: Option<(Step, Lost)>,
    broker: usize,
    loot: Loot,
}

impl Player {
    /// A new key for an invite, which stands at this place in the history.
    pub(crate) fn new(shared: Arc<Shared>, invite: usize, line: &str, part: Part, loot: Loot) -> Self {
        let machine = Machine::new(line, shared.brokers[part.broker]);
        let key = KeyHash::of_spki(&machine.key().spki()).to_string();
        let client = Client { invite, kind: part.kind, key: key.clone(), asked: Vec::new(), done: false };
        let number = shared.enter(client);
        shared.busy.fetch_add(1, Ordering::Relaxed);
        Self { number, key, machine, lost: part.lost, broker: part.broker, part, loot, shared }
    }

    /// Plays its part to the end.
    pub(crate) async fn play(mut self) {
        self.think(self.part.after).await;
        let done = match self.part.kind {
            Kind::Honest => self.is_through().await,
            Kind::Quitter => self.is_let_in().await.is_some(),
            Kind::Thief => self.steals().await,
        };
        self.shared.history().clients[self.number].done = done;
        self.shared.busy.fetch_sub(1, Ordering::Relaxed);
    }

    /// Boots until it has the token or was refused. False if it had not come so far when time was up.
    async fn is_through(&mut self) -> bool {
        loop {
            match self.is_let_in().await {
                None => return false,
                Some(false) => return true,
                Some(true) => {}
            }
            let granted = match self.is_granted().await {
                Ok(granted) => granted,
                Err(Answer::Refused) => return true,
                Err(_) => continue,
            };
            // Who sleeps past its grant's end does so once.
            let thinks = std::mem::take(&mut self.part.thinks);
            self.think(thinks).await;
            match self.redeems(&granted).await {
                Ok(()) => {
                    self.replays(&granted).await;
                    return true;
                }
                Err(Answer::Refused) => return true,
                Err(_) => {}
            }
        }
    }

    /// Asks for an identity until there is an answer: whether it has one. None if time was up.
    async fn is_let_in(&mut self) -> Option<bool> {
        while !self.shared.is_too_late() {
            let mut machine = self.machine.at(self.shared.brokers[self.broker]);
            let asked = async move { machine.identity().await.map(|()| machine) };
            match self.ask(Step::Identity, None, asked, |_| None).await {
                Ok(machine) => {
                    self.machine = machine;
                    return Some(true);
                }
                Err(Answer::Refused) => return Some(false),
                Err(_) => self.goes_elsewhere().await,
            }
        }
        None
    }

    /// Asks for a grant. Where no broker gives one, the certificate may be the reason: then it is to begin anew.
    async fn is_granted(&mut self) -> Result<(String, String), Answer> {
        for _ in 0..self.enough() {
            let machine = self.machine.at(self.shared.brokers[self.broker]);
            let asked = async move { machine.grant().await };
            match self.ask(Step::Grant, None, asked, |reply: &GrantReply| Some(reply.id.hash().to_string())).await {
                Ok(reply) => {
                    let granted = (reply.grant, reply.id.hash().to_string());
                    *self.loot.lock().unwrap_or_else(PoisonError::into_inner) = Some(granted.clone());
                    return Ok(granted);
                }
                Err(Answer::Refused) => return Err(Answer::Refused),
                Err(_) => self.goes_elsewhere().await,
            }
        }
        Err(Answer::Unknown)
    }

    /// Redeems its grant. Where no broker answers, the same.
    async fn redeems(&mut self, (grant, hash): &(String, String)) -> Result<(), Answer> {
        for _ in 0..self.enough() {
            match self.redeem(Step::Redeem, grant, hash).await {
                Err(Answer::Unavailable | Answer::Unknown | Answer::Odd) => self.goes_elsewhere().await,
                answer => return answer,
            }
        }
        Err(Answer::Unknown)
    }

    /// Some rounds over all brokers.
    fn enough(&self) -> usize {
        4 * self.shared.brokers.len()
    }

    /// Redeems it again, at one broker after the other: nothing more comes of it for anybody.
    async fn replays(&mut self, (grant, hash): &(String, String)) {
        for _ in 0..self.part.replays {
            self.broker = (self.broker + 1) % self.shared.brokers.len();
            // Each answer is judged, and none changes what this client does.
            let _ = self.redeem(Step::Redeem, grant, hash).await;
        }
    }

    /// Gets a use like anybody, and then tries another one's grant.
    async fn steals(&mut self) -> bool {
        if self.is_let_in().await != Some(true) {
            return true;
        }
        for _ in 0..TEMPTED {
            let loot = self.loot.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some((grant, hash)) = loot {
                for _ in 0..=self.part.replays {
                    let _ = self.redeem(Step::Steal, &grant, &hash).await;
                    self.goes_elsewhere().await;
                }
                return true;
            }
            sleep(PAUSE).await;
        }
        true
    }

    async fn redeem(&mut self, step: Step, grant: &str, hash: &str) -> Result<(), Answer> {
        let (machine, grant) = (self.machine.at(self.shared.brokers[self.broker]), grant.to_owned());
        let asked = async move { machine.redeem(&grant).await.map(drop) };
        self.ask(step, Some(hash.to_owned()), asked, |()| None).await
    }

    /// Asks, and writes down what came; gives what this client believes.
    async fn ask<T>(
        &mut self,
        step: Step,
        grant: Option<String>,
        asked: impl Future<Output = Result<T, Told>>,
        granted: impl Fn(&T) -> Option<String>,
    ) -> Result<T, Answer> {
        let lost = self.lost.take_if(|(at, _)| *at == step).map(|(_, lost)| lost);
        let patience = if let Some(Lost::Connection(after)) = lost { Duration::from_millis(after) } else { SILENT };
        let begun = self.shared.now();
        let came = timeout(patience, asked).await.unwrap_or_else(|_| Err(Told::Broken("no answer in time".into())));
        let ended = self.shared.now();
        let (answer, words) = match &came {
            Ok(_) => (Answer::Given, String::new()),
            Err(Told::Problem(ProblemKind::Refused)) => (Answer::Refused, String::new()),
            Err(Told::Problem(ProblemKind::AskAgain)) => (Answer::AskAgain, String::new()),
            Err(Told::Problem(ProblemKind::Unavailable)) => (Answer::Unavailable, String::new()),
            Err(Told::Problem(other)) => (Answer::Odd, format!("{other:?}")),
            Err(Told::Broken(words)) if words.starts_with("status ") => (Answer::Odd, words.clone()),
            Err(Told::Broken(words)) => (Answer::Unknown, words.clone()),
        };
        let grant = grant.or_else(|| came.as_ref().ok().and_then(granted));
        let is_token = matches!(step, Step::Redeem | Step::Steal) && answer == Answer::Given;
        let recorded = grant.as_ref().filter(|_| is_token).map(|grant| {
            // A log that cannot be read has no record.
            self.shared.is_recorded(self.broker, &self.key, grant).unwrap_or(false)
        });
        let broker = Some(self.broker);
        self.shared.saw(self.number, Exchange { step, broker, begun, ended, answer, grant, recorded, words });
        if lost == Some(Lost::Answer) { Err(Answer::Unknown) } else { came.map_err(|_| answer) }
    }

    async fn goes_elsewhere(&mut self) {
        self.broker = (self.broker + 1) % self.shared.brokers.len();
        sleep(PAUSE).await;
    }

    /// Waits; who sleeps long is woken when the run is over.
    async fn think(&self, milliseconds: u64) {
        let mut left = Duration::from_millis(milliseconds);
        while !(left.is_zero() || self.shared.is_over() && left > PAUSE) {
            let step = left.min(PAUSE);
            sleep(step).await;
            left -= step;
        }
    }
}
