//! Promise 7: the token shows nowhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use lab::cluster::{Broker, Cluster, Storm};
use lab::{Failed, Pool, Role};

/// A secret in every form it might be seen in: its random parts as they are, in base64 and in hex.
pub(crate) fn forms(token: &str) -> Vec<String> {
    let parts = token.split('-').filter(|part| part.len() > 8);
    parts
        .flat_map(|part| [part.to_owned(), STANDARD_NO_PAD.encode(part), URL_SAFE_NO_PAD.encode(part), hex(part)])
        .collect()
}

fn hex(text: &str) -> String {
    text.bytes()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

pub(crate) fn texts_below(folder: &Path, found: &mut Vec<(String, String)>) -> std::io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            texts_below(&path, found)?;
        } else if path.is_file() {
            found.push((path.display().to_string(), String::from_utf8_lossy(&fs::read(&path)?).into_owned()));
        }
    }
    Ok(())
}

/// Command lines and environments of all processes that are there now.
pub(crate) fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbered =
        entries.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    numbered
        .flat_map(|entry| ["cmdline", "environ"].map(|file| fs::read(entry.path().join(file)).unwrap_or_default()))
        .filter(|bytes| !bytes.is_empty())
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .collect()
}

pub(crate) fn the_token_shows_nowhere_at_trace(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let manager = cluster.manager();
    let mut broker = Broker::start_with(manager, &["--log", "trace"])?;
    let invite = broker.invite(&["--uses", "3"])?;
    let live = || Ok::<_, Failed>([manager.join_token(Role::Worker)?, manager.join_token(Role::Manager)?]);
    let mut tokens = live()?.to_vec();

    let mut seen = BTreeSet::new();
    let joiners: Vec<_> =
        cluster.joiners(&invite).into_iter().map(|joiner| joiner.with("JOINER_LOG", "trace")).collect();
    let joined = Storm::every(Duration::ZERO).while_all_join(&joiners, || {
        seen.extend(processes());
        Ok(true)
    })?;
    assert!(seen.iter().any(|text| text.contains("joiner\0join")), "the joiners' command lines were looked at");
    let failed = broker.run(&["invite", "create", "--uses", "0"])?;
    tokens.extend(live()?);
    let mut rotated = broker.ok(&["rotate", "all", "--reason", "a test"])?;
    rotated += &broker.ok(&["rotate", "worker", "--now", "--json"])?;
    rotated += &broker.ok(&["rotate", "all", "--dry-run", "--json"])?;
    rotated += &broker.ok(&["status"])?;
    tokens.extend(live()?);
    let stopped = broker.stop()?;
    assert!(stopped.stderr.contains("TRACE") || stopped.stderr.contains("DEBUG"), "the log was at its loudest");

    let mut texts: Vec<(String, String)> = seen.into_iter().map(|text| ("a process".to_owned(), text)).collect();
    for run in joined.joined {
        texts.push(("a joiner's output".into(), run.stdout + &run.stderr));
    }
    texts.push(("the broker's output".into(), stopped.stdout + &stopped.stderr + &failed.stderr));
    texts.push(("what rotating printed".into(), rotated));
    for id in manager.docker(&["config", "ls", "-q"])?.split_whitespace() {
        let config = manager.json(&["config", "inspect", id])?;
        let data = config[0]["Spec"]["Data"].as_str().unwrap_or_default();
        let data = base64::engine::general_purpose::STANDARD.decode(data)?;
        texts.push((format!("config {id}"), format!("{config} {}", String::from_utf8_lossy(&data))));
    }
    texts.push(("the nodes' labels".into(), format!("{:?}", lab::nodes(manager)?)));
    texts_below(broker.state(), &mut texts)?;
    for machine in &cluster[1..] {
        texts_below(&machine.folder().join("joiner"), &mut texts)?;
    }
    assert!(texts.len() > 20, "there was something to look at");
    for form in tokens.iter().flat_map(|token| forms(token)) {
        for (place, text) in &texts {
            assert!(!text.contains(&form), "{place} shows a token: {text}");
        }
    }
    Ok(())
}
