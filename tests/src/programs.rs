//! Where the programs under test are.
//! Promise: a test runs the programs that were built with it, or those that are shipped, or says which are not built.
//! Must not: build them, or take others of the same name from the PATH.

use std::env;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result, Trying};

/// The built broker.
pub fn broker() -> Result<PathBuf> {
    built("broker")
}

/// The built joiner.
pub fn joiner() -> Result<PathBuf> {
    built("joiner")
}

/// The joiner as a machine downloads it, static: the one that is shipped, else the one that `./run demo --machines` builds.
pub fn static_joiner() -> Result<PathBuf> {
    if let Ok(shipped) = shipped(&format!("joiner-{}", env::consts::ARCH)) {
        return Ok(shipped);
    }
    let built = target()?.join(format!("{}-unknown-linux-gnu/release/joiner", env::consts::ARCH));
    if built.is_file() {
        return Ok(built);
    }
    Err(Error::Unmet("there is no static joiner: run `./run package` first".to_owned()))
}

/// The built demo.
pub fn demo() -> Result<PathBuf> {
    built("demo")
}

/// The built history checker.
pub fn soak() -> Result<PathBuf> {
    built("soak")
}

/// A program as it is shipped, from `dist/`.
pub fn shipped(file: &str) -> Result<PathBuf> {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."));
    let path = house.join("dist").join(file);
    if path.is_file() {
        return Ok(path);
    }
    Err(Error::Unmet(format!("{} is not there: run `./run package` first", path.display())))
}

/// The folder of everything that was built, `target`.
pub fn target() -> Result<PathBuf> {
    let profile = profile()?;
    Ok(profile.parent().unwrap_or(&profile).to_owned())
}

/// A test is `target/PROFILE/deps/NAME-HASH`, the demo `target/PROFILE/demo`; what they run is
/// `target/PROFILE/PROGRAM`.
fn profile() -> Result<PathBuf> {
    let own = env::current_exe().trying(|| "finding this program's own file".to_owned())?;
    let folder = own.parent().unwrap_or(Path::new("."));
    Ok(if folder.ends_with("deps") { folder.parent().unwrap_or(folder) } else { folder }.to_owned())
}

fn built(program: &str) -> Result<PathBuf> {
    let path = profile()?.join(program);
    if path.is_file() {
        return Ok(path);
    }
    let path = path.display();
    Err(Error::Unmet(format!("{path} is not there: run `cargo build --workspace --bins` first")))
}
