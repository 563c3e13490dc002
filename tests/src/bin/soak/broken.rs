//! Brokers that break a promise on purpose: patches in `broken/`, each named by what it breaks. Its first word is the
//! promise that [`check`](crate::check) must see broken: `./run soak --broken NAME` builds it and looks.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

fn patches() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin/soak/broken");
    let mut patches: Vec<PathBuf> =
        fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    patches.sort();
    patches
}

#[test]
fn every_patch_still_applies() {
    let house = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    for patch in patches() {
        let applied =
            Command::new("git").current_dir(house).args(["apply", "--check"]).arg(&patch).output().expect("git");
        let told = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{} is to be made anew: {told}", patch.display());
    }
}

#[test]
fn every_patch_says_which_promise_it_breaks() {
    let promises =
        ["at-most-n", "one-key", "revoked", "ended", "write-then-answer", "ledger", "refused", "stranded", "log"];
    let mut broken = Vec::new();
    for patch in patches() {
        let text = fs::read_to_string(&patch).expect("a patch");
        let promise = text.split(':').next().unwrap_or_default().to_owned();
        assert!(promises.contains(&promise.as_str()), "{}: '{promise}'", patch.display());
        broken.push(promise);
    }
    assert!(promises.iter().all(|promise| broken.iter().any(|by| by == promise)), "{broken:?}");
}
