//! The disk image and the kernel that virtual machines start from.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Error, Result, Trying};
use crate::requirements;
use crate::run::run;
use crate::whole::recipe::Recipe;
use crate::whole::shelf::Kept;

/// The parts of an image, as files in its folder.
const DISK: &str = "disk";
const KERNEL: &str = "vmlinuz";
const FIRST_DISK: &str = "initrd.img";

/// An image that is there for as long as this is.
#[derive(Debug)]
pub struct Image(Kept);

impl Image {
    /// The image, made now if there is none of today's recipe.
    pub fn ready() -> Result<Self> {
        requirements::meet_for_virtual_machines()?;
        let recipe = Recipe::own_kernel();
        Kept::get("image", &recipe.name(), |path| make(&recipe, path)).map(Self)
    }

    pub(crate) fn disk(&self) -> PathBuf {
        self.0.path().join(DISK)
    }

    pub(crate) fn kernel(&self) -> PathBuf {
        self.0.path().join(KERNEL)
    }

    pub(crate) fn first_disk(&self) -> PathBuf {
        self.0.path().join(FIRST_DISK)
    }
}

fn make(recipe: &Recipe, path: &Path) -> Result<()> {
    let root = path.join("root");
    fs::create_dir_all(path).trying(|| format!("making {}", path.display()))?;
    recipe.make(&root)?;
    for part in [KERNEL, FIRST_DISK] {
        let from = find(&root.join("boot"), part)?;
        fs::copy(&from, path.join(part)).trying(|| format!("copying {}", from.display()))?;
    }
    disk(&root, &path.join(DISK), "2G")?;
    fs::remove_dir_all(&root).trying(|| format!("removing {}", root.display()))
}

/// The file in this folder whose name begins so, before a version.
fn find(folder: &Path, name: &str) -> Result<PathBuf> {
    let files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    let mut found = files.filter(|path| path.file_name().is_some_and(|file| file.to_string_lossy().starts_with(name)));
    found.next().ok_or_else(|| Error::Unmet(format!("there is no {name} in {}", folder.display())))
}

/// Makes a disk that holds a folder's files.
pub(crate) fn disk(folder: &Path, disk: &Path, size: &str) -> Result<()> {
    let mut mke2fs = Command::new("mke2fs");
    mke2fs.args(["-q", "-t", "ext4", "-d"]).arg(folder).arg(disk).arg(size);
    run(&mut mke2fs).map(drop)
}
