//! Where roots and disk images are kept: `target/lab`, shared by every run.
//! Promise: a thing is there whole or not at all, and never goes while a machine stands on it.
//! Must not: keep what no recipe of today makes, or what was never finished: who makes the next one clears it away.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::error::{Result, Trying};
use crate::programs;

/// A thing from the shelf, which stays for as long as this is.
#[derive(Debug)]
pub(crate) struct Kept {
    path: PathBuf,
    _lock: File,
}

impl Kept {
    /// The thing of this kind and recipe; made now, by `make` at the path it is given, if it is not there.
    pub(crate) fn get(kind: &str, recipe: &str, make: impl Fn(&Path) -> Result<()>) -> Result<Self> {
        let shelf = programs::target()?.join("lab").join(kind);
        fs::create_dir_all(&shelf).trying(|| format!("making {}", shelf.display()))?;
        let (path, locking) = (shelf.join(recipe), || format!("locking {}", shelf.display()));
        let lock = shelf.with_extension("lock");
        let lock = File::create(&lock).trying(|| format!("opening {}", lock.display()))?;
        lock.lock_shared().trying(locking)?;
        while !path.is_dir() {
            // Others may use older ones, or make this one now: alone from here on, and looked at again.
            lock.unlock().and_then(|()| lock.lock()).trying(locking)?;
            if !path.is_dir() {
                clear(&shelf);
                put(&path, &make)?;
            }
            lock.unlock().and_then(|()| lock.lock_shared()).trying(locking)?;
        }
        Ok(Self { path, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes it beside its place, and moves it there when it is whole.
fn put(path: &Path, make: impl Fn(&Path) -> Result<()>) -> Result<()> {
    eprintln!("lab: making {}, once", path.display());
    let begun = Instant::now();
    let unfinished = path.with_extension("unfinished");
    make(&unfinished)?;
    fs::rename(&unfinished, path).trying(|| format!("moving {} in place", path.display()))?;
    eprintln!("lab: made it in {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Clears away what other recipes made, and what was never finished. Nobody uses it while this is called.
fn clear(shelf: &Path) {
    for old in fs::read_dir(shelf).into_iter().flatten().flatten() {
        // What cannot be removed costs room and nothing else.
        let _ = fs::remove_dir_all(old.path());
    }
}
