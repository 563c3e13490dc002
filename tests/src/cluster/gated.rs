//! A broker behind a gate, which is killed exactly at a step on its way, and serves again.

use std::ops::Deref;

use crate::cluster::{Broker, Gate, Held};
use crate::error::Result;
use crate::host::Host;
use crate::until::{LONG, until};

/// A broker whose way to its engine leads through a gate.
#[derive(Debug)]
pub struct Gated<'h> {
    broker: Broker<'h>,
    gate: Gate,
}

impl<'h> Gated<'h> {
    /// `broker init` and `broker serve`, ready. Tokens are replaced when a trial says so, and not meanwhile.
    pub fn start(host: &'h Host) -> Result<Self> {
        let mut gated = Self::init_for(host, &["--rotate-worker", "manual"])?;
        gated.broker.serve()?;
        Ok(gated)
    }

    /// `broker init`, not started yet.
    pub fn init(host: &'h Host) -> Result<Self> {
        Self::init_for(host, &[])
    }

    fn init_for(host: &'h Host, arguments: &[&str]) -> Result<Self> {
        let mut broker = Broker::init(host)?;
        let gate = Gate::start(host, "gate.sock")?;
        let socket = gate.socket().display().to_string();
        broker.will_serve_with(&[&["--docker", &socket], arguments].concat());
        Ok(Self { broker, gate })
    }

    /// A broker that comes up by itself with these words, ready: `broker up`.
    pub fn up(mut broker: Broker<'h>, arguments: &[&str]) -> Result<Self> {
        let gate = Gate::start(broker.host(), "gate.sock")?;
        broker.with("BROKER_DOCKER", &gate.socket().display().to_string());
        broker.up_with(&[arguments, &["--rotate-worker", "manual", "--rotate-manager", "manual"]].concat())?;
        Ok(Self { broker, gate })
    }

    /// The gate.
    #[must_use]
    pub fn gate(&self) -> &Gate {
        &self.gate
    }

    /// Kills it at this step of this command, and serves again. Where the engine gets the request, it is killed once the
    /// engine has done it, as this tells. Who gave the command must not be told that all is well.
    pub fn cut_off(&mut self, command: &[&str], step: &Held, is_done: impl Fn() -> bool) -> Result<()> {
        self.kill_at(command, step, is_done)?;
        self.broker.serve()
    }

    /// The same, and it is not started again.
    pub fn kill_at(&mut self, command: &[&str], step: &Held, is_done: impl Fn() -> bool) -> Result<()> {
        self.gate.hold(step.clone());
        let mut asked = self.broker.command();
        asked.args(command);
        let mut asking = self.broker.host().spawn("cut-off", asked)?;
        self.wait_for(step, is_done)?;
        self.broker.kill()?;
        self.gate.lose();
        let told = asking.wait(LONG)?;
        assert_ne!(told.code(), Some(0), "{command:?} was cut off at {step:?}, and who asked is told that all is well");
        Ok(())
    }

    /// Serves again as the last time, until it is ready.
    pub fn serve(&mut self) -> Result<()> {
        self.broker.serve()
    }

    /// The same at this step of its start.
    pub fn cut_off_start(&mut self, step: &Held, is_done: impl Fn() -> bool) -> Result<()> {
        self.gate.hold(step.clone());
        let mut starting = self.broker.spawn()?;
        self.wait_for(step, is_done)?;
        starting.kill()?;
        self.gate.lose();
        self.broker.serve()
    }

    fn wait_for(&self, step: &Held, is_done: impl Fn() -> bool) -> Result<()> {
        until(LONG, &format!("{step:?}"), || self.gate.struck().then_some(()))?;
        if step.done {
            // The engine has got it; it does what it was asked before the broker hears of it.
            until(LONG, &format!("the engine to do {step:?}"), || is_done().then_some(()))?;
        }
        Ok(())
    }
}

impl<'h> Deref for Gated<'h> {
    type Target = Broker<'h>;

    fn deref(&self) -> &Broker<'h> {
        &self.broker
    }
}
