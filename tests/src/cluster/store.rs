//! The swarm's raft store, as its own index counts what is written to it.

use std::cell::Cell;
use std::thread::sleep;
use std::time::Duration;

use crate::error::{Error, Result, Trying};
use crate::host::Host;
use crate::until::{LONG, until};

/// The store's index: that of an object which is made for it. Those objects are not counted.
pub struct Store<'h> {
    manager: &'h Host,
    made: Cell<u64>,
}

impl<'h> Store<'h> {
    /// The store that this manager is of. Only one of these may look at it.
    #[must_use]
    pub fn of(manager: &'h Host) -> Self {
        Self { manager, made: Cell::new(0) }
    }

    /// The index now.
    pub fn index(&self) -> Result<u64> {
        let made = self.made.get() + 1;
        let name = format!("look-{made}");
        let file = self.manager.folder().join(&name);
        std::fs::write(&file, &name).trying(|| format!("writing {}", file.display()))?;
        self.manager.docker(&["config", "create", &name, &file.display().to_string()])?;
        self.made.set(made);
        let config = self.manager.config(&name)?;
        let index = config["Version"]["Index"].as_u64();
        let unreadable = || Error::Unreadable { what: "docker config inspect".into(), answer: config.to_string() };
        Ok(index.ok_or_else(unreadable)? - made)
    }

    /// The index when nothing was written for a second: the swarm has more to write of a node that came a moment ago.
    pub fn still(&self) -> Result<u64> {
        until(LONG, "the store to be still", || {
            let index = self.index().ok()?;
            sleep(Duration::from_secs(1));
            (self.index().ok()? == index).then_some(index)
        })
    }
}
