//! Promise 11, for a reviewer: one page says who joined and on whose invitation, and whether the log can be believed.

use std::fs;
use std::path::{Path, PathBuf};

use lab::cluster::{Broker, Cluster, Machine, REFUSED, on, run};
use lab::{Browser, Failed, LONG, Pool, programs, until};
use serde_json::Value;

use super::{report_log, schema};

/// `broker audit report` of the broker's own state, into a file; its exit code and what it says.
fn report(broker: &Broker<'_>, page: &Path, folder: &Path) -> Result<(i32, String), Failed> {
    let mut command = broker.command();
    command
        .args(["audit", "report", "--output"])
        .arg(page)
        .arg("--key")
        .arg(broker.state().join("audit.pub"))
        .arg(folder);
    let told = run(command)?;
    Ok((told.code, told.stderr))
}

/// Keeps a picture where a person can look at it: in target/report/.
fn keep(name: &str, picture: &[u8]) -> Result<(), Failed> {
    let folder: PathBuf = programs::target()?.join("report");
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), picture)?;
    Ok(())
}

/// How many rows of a kind can be seen.
fn rows(browser: &mut Browser, selector: &str) -> Result<u64, Failed> {
    let count = browser.eval(&format!(
        "[...document.querySelectorAll('{selector}')].filter((row) => row.offsetParent !== null).length"
    ))?;
    count.as_u64().ok_or_else(|| format!("no count of {selector}: {count}").into())
}

pub(crate) fn a_reviewer_reads_who_joined_and_on_whose_invitation(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 3)?;
    let broker = Broker::start_with(cluster.manager(), &["--rotate-worker", "manual"])?;
    let invite = broker.invite(&["--uses", "3", "--label", "zone=a"])?;
    cluster.joiners(&invite).iter().try_for_each(|joiner| joiner.joins().map(drop))?;
    let address = broker.address();
    on(cluster.manager(), || async {
        assert_eq!(Machine::new(&invite, address).identity().await.err(), Some(REFUSED), "a fourth machine");
    })?;
    broker.ok(&["rotate", "worker", "--now", "--reason", "a trial of the report"])?;

    let schema = schema::of_records()?;
    for record in broker.records()? {
        assert_eq!(schema::departs(&record, &schema), None, "{record}");
    }
    let page = cluster.manager().folder().join("report.html");
    let state = broker.state().clone();
    let (code, told) = report(&broker, &page, &state)?;
    assert_eq!(code, 0, "while the broker serves: {told}");
    let mut browser = Browser::open(cluster.manager(), 1280, 900)?;
    browser.open_file(&page)?;
    let summary = browser.eval("document.querySelector('.summary').textContent")?;
    let summary = summary.as_str().unwrap_or_default();
    for said in ["3 machines joined on 1 invitation", "1 request was refused", "was replaced once", "no alarm"] {
        assert!(summary.contains(said), "'{said}' is not in: {summary}");
    }
    assert_eq!(browser.eval("document.querySelector('.verdict').textContent.includes('as it was signed')")?, true);
    assert_eq!(rows(&mut browser, ".row.node")?, 4, "three that joined, and the manager, adopted");

    // A row opens to its records, each with its proof.
    browser.click(".row.node:last-of-type summary .name")?;
    let events =
        browser.eval("[...document.querySelectorAll('.row.node:last-of-type li b')].map((b) => b.textContent)")?;
    let boot = ["identity.issued", "grant.issued", "grant.redeeming", "grant.redeemed", "node.joined", "node.labelled"];
    assert_eq!(events, Value::from(boot.to_vec()));
    let proofs = browser.eval(
        "[...document.querySelectorAll('.row.node:last-of-type .proof')].every((p) => p.offsetParent && p.textContent.includes('✓ as signed'))",
    )?;
    assert_eq!(proofs, true, "it is open, and every record was signed");
    keep("three.png", &browser.picture(true)?)?;

    // Nothing was asked for but the page, and nothing of it was stopped or failed.
    let asked = browser.requests();
    assert!(!asked.is_empty() && asked.iter().all(|url| url.starts_with("file://")), "{asked:?}");
    assert_eq!(browser.complaints(), Vec::<String>::new());

    // A changed record: the page is written, says so, and so does the exit code.
    let taken = cluster.manager().folder().join("taken");
    fs::create_dir(&taken)?;
    for name in ["audit.head", "audit.hashes", "audit.jsonl"] {
        fs::copy(state.join(name), taken.join(name))?;
    }
    let log = fs::read_to_string(taken.join("audit.jsonl"))?;
    fs::write(taken.join("audit.jsonl"), log.replace("\"hostname\":\"h", "\"hostname\":\"x"))?;
    let (code, told) = report(&broker, &page, &taken)?;
    assert_eq!(code, 65, "{told}");
    browser.open_file(&page)?;
    assert_eq!(browser.eval("document.querySelector('.verdict').classList.contains('wrong')")?, true);
    let changed = browser.eval("[...document.querySelectorAll('.proof .bad')].map((bad) => bad.textContent)[0]")?;
    assert_eq!(changed, "✗ not what was signed");
    assert!(rows(&mut browser, ".logs tr.wrong")? == 1);
    keep("changed.png", &browser.picture(false)?)?;
    Ok(())
}

pub(crate) fn a_report_of_two_hundred_nodes_is_found_printed_and_read_in_the_dark(pool: &Pool) -> Result<(), Failed> {
    let hosts = pool.lease(1)?;
    let broker = Broker::init(&hosts[0])?;
    report_log::write(broker.state())?;
    // Whoever opens the log next signs what a killed broker could not.
    broker.ok(&["invite", "create", "--offline", "--uses", "1", "--broker", "10.0.0.1"])?;
    let page = hosts[0].folder().join("report.html");
    let (code, told) = report(&broker, &page, broker.state())?;
    assert_eq!(code, 0, "{told}");

    let mut browser = Browser::open(&hosts[0], 1280, 900)?;
    browser.open_file(&page)?;
    assert_eq!(rows(&mut browser, ".row.node")?, 202);
    assert_eq!(rows(&mut browser, ".row.alarm")?, 3);
    let first = browser.eval("document.querySelector('main section').id")?;
    assert_eq!(first, "alarms", "alarms first");
    let pictures = [("light.png", "screen", "light"), ("dark.png", "screen", "dark"), ("print.png", "print", "dark")];
    let mut taken = Vec::new();
    for (name, medium, scheme) in pictures {
        browser.show_as(medium, scheme)?;
        let picture = browser.picture(false)?;
        keep(name, &picture)?;
        taken.push(picture);
    }
    keep("print.pdf", &browser.printed()?)?;
    browser.show_as("screen", "light")?;

    // A machine that calls itself a script is text like any other.
    assert_eq!(browser.eval("document.querySelectorAll('img').length")?, 0);
    let named = browser.eval("document.querySelector('.row.refusal').textContent.includes('</script><img src=x')")?;
    assert_eq!(named, true);

    browser.click("#filter")?;
    browser.type_text("WORKER-77")?;
    assert_eq!(rows(&mut browser, ".row.node")?, 1, "found whatever the letters' size");
    assert_eq!(rows(&mut browser, ".row.alarm")?, 0);
    browser.click(".row.node:not([hidden]) summary .name")?;
    assert!(rows(&mut browser, ".row.node .records li")? >= 6, "it opens");
    keep("found.png", &browser.picture(false)?)?;
    // The invite that it came on is a click away, though the filter hides it.
    browser.click(".row.node:not([hidden]) summary a")?;
    until(LONG, "the invite's row to be shown", || {
        browser
            .eval("document.querySelector('.row.invitation:target')?.open ?? false")
            .ok()
            .filter(|open| *open == true)
    })?;
    keep("invite.png", &browser.picture(false)?)?;

    assert!(browser.requests().iter().all(|url| url.starts_with("file://")), "{:?}", browser.requests());
    assert_eq!(browser.complaints(), Vec::<String>::new());
    let [light, dark, print] = [&taken[0], &taken[1], &taken[2]].map(|picture| browser.look(picture));
    let (light, dark, print) = (light?, dark?, print?);
    assert!(light.light > 200.0 && print.light > 200.0 && dark.light < 90.0, "{light:?} {dark:?} {print:?}");
    assert!([light, dark, print].iter().all(|look| look.colours > 50), "none is blank: {light:?} {dark:?} {print:?}");
    Ok(())
}
