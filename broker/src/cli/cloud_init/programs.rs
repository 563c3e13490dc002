//! Which joiner new machines fetch: the ones that were named, else the ones that the brokers serve, else the ones that
//! lie beside this program.
//!
//! Keeps promise 13: what user-data names, a broker keeps for as long as that user-data may live.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::super::joiner::read_program;
use crate::admin::Admin;
use crate::exit::{Code, Failure};

/// SHA-256 by architecture.
type Hashes = BTreeMap<String, String>;

/// Where joiners are looked for, seen from the broker's own folder: beside it, where `./run package` puts them if the
/// broker is one that was built in the source tree, and last the one that was built with it.
const BESIDE: [&[&str]; 3] =
    [&["joiner-x86_64", "joiner-aarch64"], &["../../dist/joiner-x86_64", "../../dist/joiner-aarch64"], &["joiner"]];

/// The joiners for user-data. Without a running broker (`admin` is None), whoever starts one must have it serve them.
pub(super) fn find(admin: Option<&Admin>, named: &[PathBuf]) -> Result<Hashes, Failure> {
    if !named.is_empty() {
        return take(admin, named);
    }
    if let Some(admin) = admin {
        let served = admin.joiners()?.into_iter().filter(|joiner| joiner.current && joiner.served);
        let served: Hashes =
            served.map(|joiner| (joiner.architecture.to_string(), joiner.sha256.to_string())).collect();
        if !served.is_empty() {
            return Ok(served);
        }
    }
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("/"));
    for names in BESIDE {
        let files: Vec<PathBuf> = names.iter().map(|name| folder.join(name)).filter(|file| file.is_file()).collect();
        if !files.is_empty() {
            return take(admin, &files);
        }
    }
    Err(Failure::new(
        Code::NoInput,
        "there is no joiner that machines could fetch: install the broker's package, which brings it, name one with \
         --joiner FILE, or give --embed if the machines' image carries it",
    ))
}

/// Has the running broker keep joiners, if there is one: one for each architecture.
fn take(admin: Option<&Admin>, files: &[PathBuf]) -> Result<Hashes, Failure> {
    let mut hashes = Hashes::new();
    for path in files {
        let program = read_program(path)?;
        let (architecture, file) = (program.architecture(), path.display());
        if hashes.insert(architecture.to_string(), program.hash().to_string()).is_some() {
            let what = format!("{file}: there is another joiner for {architecture}; one is enough");
            return Err(Failure::new(Code::Usage, what));
        }
        match admin {
            Some(admin) => drop(admin.upload_joiner(program.bytes().to_vec())?),
            None => eprintln!("broker: {file} must be in the brokers' folder of joiners when machines boot"),
        }
    }
    Ok(hashes)
}
