//! A long audit log, made by the book (docs/audit-log.md) and not by the broker: it checks what it did not write.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;

use ed25519_dalek::SigningKey;
use protocol::random;
use signed_note::{Note, StandardSigner};
use tlog_tiles::{Checkpoint, Hash, node_hash, record_hash};

use crate::Failure;

const BROKER: &str = "3f2a9c11d0e4b587";

/// What a machine that joins leaves, record by record, after number, time and broker.
const BOOT: [&str; 6] = [
    r#""event":"identity.issued","outcome":"ok","request":"8c1f64a0b27d4e93","source":"10.0.3.17","invite":"5d0c9a3be81f4472","key":"b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c","serial":"3b1c7e90a5d24f86","role":"worker","hostname":"web-17","ends":1796860800,"version":4711,"latency_us":4312"#,
    r#""event":"grant.issued","outcome":"ok","request":"8c1f64a0b27d4e94","source":"10.0.3.17","invite":"5d0c9a3be81f4472","key":"b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c","grant":"7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730","thumbprint":"9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0","role":"worker","latency_us":2104"#,
    r#""event":"grant.redeeming","outcome":"ok","request":"8c1f64a0b27d4e95","source":"10.0.3.17","invite":"5d0c9a3be81f4472","key":"b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c","grant":"7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730","thumbprint":"9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0","role":"worker","latency_us":1502"#,
    r#""event":"grant.redeemed","outcome":"ok","request":"8c1f64a0b27d4e95","source":"10.0.3.17","invite":"5d0c9a3be81f4472","key":"b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c","grant":"7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730","thumbprint":"9834876dcfb05cb167a5c24953eba58c4ac89b1adf57f28f2f9d09af107ee8f0","role":"worker","generation":12,"version":4712,"latency_us":5219"#,
    r#""event":"node.joined","outcome":"ok","request":"8c1f64a0b27d4e96","source":"10.0.3.17","invite":"5d0c9a3be81f4472","key":"b5bb9d8014a0f9b1d61e21e796d78dccdf1352f23cd32812f4850b878ae4944c","grant":"7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730","role":"worker","node":"q1x4yf2m8k0s7w9d3b5n6c1vz","hostname":"web-17","latency_us":3127"#,
    r#""event":"node.labelled","outcome":"ok","request":"8c1f64a0b27d4e96","source":"10.0.3.17","invite":"5d0c9a3be81f4472","grant":"7d865e959b2466918c9863afca942d0fb89d7c9ac0c99bafc3749504ded97730","role":"worker","node":"q1x4yf2m8k0s7w9d3b5n6c1vz","hostname":"web-17","labels":{"zone":"a","pool":"web"},"latency_us":6044"#,
];

/// Makes a log of so many records in a folder, ten of them a second from the year's beginning on.
pub(crate) fn make(folder: &Path, records: u64) -> Result<(), Failure> {
    fs::create_dir_all(folder)?;
    let create = |name: &str| File::create(folder.join(name)).map(BufWriter::new);
    let (mut lines, mut hashes) = (create("audit.jsonl")?, create("audit.hashes")?);
    let mut peaks: Vec<Hash> = Vec::new();
    for (number, boot) in (0..records).zip(BOOT.iter().cycle()) {
        let time = at(number);
        let line = format!("{{\"number\":{number},\"time\":\"{time}\",\"broker\":\"{BROKER}\",{boot}}}");
        let leaf = record_hash(line.as_bytes());
        lines.write_all(line.as_bytes())?;
        lines.write_all(b"\n")?;
        hashes.write_all(&leaf.0)?;
        // RFC 6962: each set bit at the end of the number is a subtree that is whole now.
        let whole =
            (0..number.trailing_ones()).filter_map(|_| peaks.pop()).fold(leaf, |right, left| node_hash(left, right));
        peaks.push(whole);
    }
    lines.flush()?;
    hashes.flush()?;
    let root = peaks.into_iter().rev().reduce(|right, left| node_hash(left, right)).ok_or("no records")?;
    sign(folder, records, root)
}

/// When this record was written: to the second, as the last of ten.
pub(crate) fn at(number: u64) -> String {
    let second = number / 10;
    let (day, hour, minute, second) = (second / 86_400, second / 3600 % 24, second / 60 % 60, second % 60);
    format!("2026-01-{:02}T{hour:02}:{minute:02}:{second:02}.{}Z", day + 1, number % 10)
}

/// Signs the head, with a key that nobody else has.
fn sign(folder: &Path, records: u64, root: Hash) -> Result<(), Failure> {
    let name = format!("swarm-broker/{BROKER}");
    let seed = random::<32>();
    let public = signed_note::new_ed25519_verifier_key(&name, &SigningKey::from_bytes(&seed).verifying_key());
    let (named, _) = public.match_indices('+').nth(1).map(|(end, _)| public.split_at(end)).ok_or("no key")?;
    let private = format!("PRIVATE+KEY+{named}+{}", base64(&[&[1], seed.as_slice()].concat()));
    let head = Checkpoint::new(&name, records, root, "").map_err(|error| format!("{error:?}"))?;
    let mut note = Note::new(&head.to_bytes(), &[]).map_err(|error| format!("{error:?}"))?;
    let signer = StandardSigner::new(&private).map_err(|error| format!("{error:?}"))?;
    note.add_sigs(&[&signer]).map_err(|error| format!("{error:?}"))?;
    fs::write(folder.join("audit.head"), note.to_bytes())?;
    fs::write(folder.join("audit.pub"), format!("{public}\n"))?;
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}
