//! The root that all machines start from: made once, kept in `target/lab`, shared by every run.
//! Promise: it is there whole or not at all, and never goes while a machine stands on it.
//! Must not: leave a half-made one behind for long: who makes the next one clears it away.

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, id};
use std::sync::Arc;
use std::time::Instant;

use crate::error::{Result, Trying};
use crate::run::run;
use crate::whole::recipe::{self, FILES, MASKED, PACKAGES, SUITE};
use crate::{programs, requirements};

/// A root that is there for as long as this is.
#[derive(Debug, Clone)]
pub struct Root(Arc<Held>);

#[derive(Debug)]
struct Held {
    path: PathBuf,
    _lock: File,
}

impl Root {
    /// The root, made now if there is none of today's recipe.
    pub fn ready() -> Result<Self> {
        requirements::meet_for_machines()?;
        let shelf = programs::target()?.join("lab");
        fs::create_dir_all(&shelf).trying(|| format!("making {}", shelf.display()))?;
        let path = shelf.join(recipe::name());
        let lock = lock_file(&shelf)?;
        let trying = || format!("locking {}", shelf.display());
        lock.lock_shared().trying(trying)?;
        while !path.is_dir() {
            // Others may use older roots, or make this one: alone from here on, and asked again.
            lock.unlock().and_then(|()| lock.lock()).trying(trying)?;
            if !path.is_dir() {
                clear(&shelf);
                make(&path)?;
            }
            lock.unlock().and_then(|()| lock.lock_shared()).trying(trying)?;
        }
        Ok(Self(Arc::new(Held { path, _lock: lock })))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0.path
    }
}

fn lock_file(shelf: &Path) -> Result<File> {
    let file = shelf.join("lock");
    File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&file)
        .trying(|| format!("opening {}", file.display()))
}

/// Makes it beside its place, and moves it there when it is whole.
fn make(path: &Path) -> Result<()> {
    eprintln!("lab: making the root for whole machines with mmdebstrap, once: {}", path.display());
    let begun = Instant::now();
    let unfinished = path.with_extension(format!("unfinished-{}", id()));
    // If this process is killed, so is mmdebstrap, and what it has mounted goes with it.
    run(Command::new("setpriv")
        .args(["--pdeathsig=KILL", "unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"])
        .args(["--mount-proc", "mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"])
        .arg(format!("--include={}", PACKAGES.join(",")))
        .arg(SUITE)
        .arg(&unfinished))?;
    for (file, text) in FILES {
        let file = unfinished.join(file);
        fs::write(&file, text).trying(|| format!("writing {}", file.display()))?;
    }
    for unit in MASKED {
        let unit = unfinished.join("etc/systemd/system").join(unit);
        symlink("/dev/null", &unit).trying(|| format!("masking {}", unit.display()))?;
    }
    fs::rename(&unfinished, path).trying(|| format!("moving {} in place", path.display()))?;
    eprintln!("lab: the root took {:.0} s", begun.elapsed().as_secs_f64());
    Ok(())
}

/// Clears away roots of other recipes, and what was never finished. Nobody uses them while this is called.
fn clear(shelf: &Path) {
    for old in fs::read_dir(shelf).into_iter().flatten().flatten() {
        if old.file_name().to_string_lossy().starts_with("root-") {
            // What cannot be removed costs room and nothing else.
            let _ = fs::remove_dir_all(old.path());
        }
    }
}
