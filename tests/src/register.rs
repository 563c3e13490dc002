//! The register of the labs on this machine: a folder each, with a lock that its owner holds.
//! Promise: a lab whose owner died, however it died, is cleared by the next one; a live one never.
//! Must not: trust a process id that was written down; the kernel lets a lock go, and only then.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use rustix::mount::{MountPropagationFlags, mount_bind, mount_change};

use crate::error::{Result, Trying};
use crate::place::{self, ROOT};
use crate::remains::Remains;

/// The file in a lab's folder that its owner holds locked.
const OWNER: &str = "owner";

/// A lab's entry in the register.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) id: String,
    _lock: File,
}

impl Entry {
    /// Clears dead labs away, and enters a new one.
    pub(crate) fn make() -> Result<Self> {
        let _gate = gate()?;
        sweep();
        let id = new_id()?;
        let folder = place::folder(&id);
        fs::create_dir(&folder).trying(|| format!("making {}", folder.display()))?;
        let owner = folder.join(OWNER);
        let lock = File::create_new(&owner).trying(|| format!("making {}", owner.display()))?;
        lock.lock().trying(|| format!("locking {}", owner.display()))?;
        // A mount namespace can only be held open by a file on a mount that is not shared.
        mount_bind(&folder, &folder)
            .and_then(|()| mount_change(&folder, MountPropagationFlags::PRIVATE))
            .trying(|| format!("mounting {}", folder.display()))?;
        Ok(Self { id, _lock: lock })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        take_down(&self.id);
    }
}

/// Clears a lab away, and the register with the last one.
pub(crate) fn take_down(lab: &str) {
    clear(lab);
    if let Ok(_gate) = gate() {
        // Refused while there are other labs.
        let _ = fs::remove_dir(ROOT);
    }
}

/// Clears away all that a lab left, and says so if something stays.
fn clear(lab: &str) {
    if let Err(error) = Remains::of_lab(lab).clear() {
        eprintln!("lab {lab}: not all of it could be cleared away: {error}");
    }
}

/// Clears the labs whose owners are dead.
fn sweep() {
    let labs = fs::read_dir(ROOT).into_iter().flatten().flatten();
    for lab in labs.map(|lab| lab.file_name().to_string_lossy().into_owned()) {
        if is_dead(&place::folder(&lab)) {
            eprintln!("lab {lab}: its owner is dead; clearing it away");
            clear(&lab);
        }
    }
}

/// Called at the gate, so no owner is between making its file and locking it.
fn is_dead(folder: &Path) -> bool {
    match File::open(folder.join(OWNER)).map(|owner| owner.try_lock()) {
        Ok(Err(TryLockError::WouldBlock | TryLockError::Error(_))) => false,
        Ok(Ok(())) | Err(_) => true,
    }
}

/// The register is read and written by one at a time.
fn gate() -> Result<File> {
    loop {
        DirBuilder::new().recursive(true).mode(0o700).create(ROOT).trying(|| format!("making {ROOT}"))?;
        let gate = File::open(ROOT).trying(|| format!("opening {ROOT}"))?;
        gate.lock().trying(|| format!("locking {ROOT}"))?;
        let held = gate.metadata().trying(|| format!("looking at {ROOT}"))?.ino();
        // Whoever had it before may have removed it as the last one out.
        if fs::metadata(ROOT).is_ok_and(|root| root.ino() == held) {
            return Ok(gate);
        }
    }
}

/// Six characters by chance; a folder of that name is not there yet, or making it fails.
fn new_id() -> Result<String> {
    let source = "/proc/sys/kernel/random/uuid";
    let uuid = fs::read_to_string(source).trying(|| format!("reading {source}"))?;
    Ok(uuid.chars().take(6).collect())
}
