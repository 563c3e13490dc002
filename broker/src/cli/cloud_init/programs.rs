//! Which joiner new machines fetch: the ones that were named, else the ones that the brokers serve, else the ones that
//! lie beside this program.
//!
//! Keeps promise 13: what user-data names, a broker keeps for as long as that user-data may live.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use protocol::Architecture;

use super::super::joiner::read_program;
use crate::admin::Admin;
use crate::exit::{Code, Failure};
use crate::joiners::Program;

/// SHA-256 by architecture.
type Hashes = BTreeMap<String, String>;

/// Where joiners are looked for beside the broker: as a build leaves them, as `./run package` does, and there for a
/// broker that was built in the source tree.
const BESIDE: [&str; 5] =
    ["joiner-x86_64", "joiner-aarch64", "../../dist/joiner-x86_64", "../../dist/joiner-aarch64", "joiner"];

/// The joiners for user-data. Without a running broker (`admin` is None), whoever starts one must have it serve them.
pub(super) fn find(admin: Option<&Admin>, named: &[PathBuf]) -> Result<Hashes, Failure> {
    if !named.is_empty() {
        let mut hashes = Hashes::new();
        for path in named {
            let (architecture, hash) = take(admin, path)?;
            if hashes.insert(architecture.to_string(), hash).is_some() {
                let what = format!("--joiner: two of the files are for {architecture}; one is enough");
                return Err(Failure::new(Code::Usage, what));
            }
        }
        return Ok(hashes);
    }
    if let Some(admin) = admin {
        let served = admin.joiners()?.into_iter().filter(|joiner| joiner.current && joiner.served);
        let served: Hashes =
            served.map(|joiner| (joiner.architecture.to_string(), joiner.sha256.to_string())).collect();
        if !served.is_empty() {
            return Ok(served);
        }
    }
    beside(admin)
}

fn beside(admin: Option<&Admin>) -> Result<Hashes, Failure> {
    let own = std::env::current_exe().unwrap_or_default();
    let folder = own.parent().unwrap_or(Path::new("/"));
    let mut hashes = Hashes::new();
    for path in BESIDE.map(|name| folder.join(name)) {
        if path.is_file() {
            let program = read(&path)?;
            // The first ones are the static ones.
            if !hashes.contains_key(program.architecture().as_str()) {
                let (architecture, hash) = take(admin, &path)?;
                eprintln!("broker: machines will fetch {}", path.display());
                hashes.insert(architecture.to_string(), hash);
            }
        }
    }
    if hashes.is_empty() {
        return Err(Failure::new(
            Code::NoInput,
            "there is no joiner that machines could fetch: install the broker's package, which brings it, name one with \
             --joiner FILE, or give --embed if the machines' image carries it",
        ));
    }
    Ok(hashes)
}

/// Has the running broker keep a joiner, if there is one.
fn take(admin: Option<&Admin>, path: &Path) -> Result<(Architecture, String), Failure> {
    let program = read(path)?;
    let file = path.display();
    if program.is_dynamic() {
        eprintln!(
            "broker: warning: {file} needs shared libraries, in versions that a machine may not have. './run package' \
             makes one that needs none"
        );
    }
    match admin {
        Some(admin) => drop(admin.upload_joiner(program.bytes().to_vec())?),
        None => {
            eprintln!("broker: the brokers must serve {file} when machines boot: put it into their folder of joiners");
        }
    }
    Ok((program.architecture(), program.hash().to_string()))
}

fn read(path: &Path) -> Result<Program, Failure> {
    Program::read(read_program(path)?)
        .map_err(|error| Failure::new(Code::Data, format!("the joiner {}: {error}", path.display())))
}
