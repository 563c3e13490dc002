//! `broker context add | list | use | show | remove`.

use std::path::PathBuf;

use serde::Serialize;

use crate::admin::{lines, plain};
use crate::clock::Time;
use crate::exit::{Code, Failure};
use crate::operators::{self, Contexts, Issued, LOCAL, read_private};

/// Contexts: the clusters that are spoken to from here, and as whom
#[derive(clap::Subcommand)]
pub(super) enum Context {
    /// Keep what 'broker operator create' wrote, under a name
    Add(Add),
    /// List the contexts; the current one has a star
    List(List),
    /// Make one the current: used where no --context is given. 'local' is this machine's broker
    Use(Use),
    /// Show one, without its key
    Show(Show),
    /// Forget one, and its key
    Remove(Remove),
}

impl Context {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Add(add) => add.run(),
            Self::List(list) => list.run(),
            Self::Use(chosen) => Contexts::usual()?.use_by_default(&chosen.name),
            Self::Show(show) => show.run(),
            Self::Remove(remove) => Contexts::usual()?.remove(&remove.name),
        }
    }
}

#[derive(clap::Args)]
pub(super) struct Add {
    /// What it is called here: au, say
    name: String,
    /// What 'broker operator create' wrote
    #[arg(long, value_name = "FILE")]
    file: PathBuf,
}

impl Add {
    fn run(self) -> Result<(), Failure> {
        let place = self.file.display().to_string();
        let failed = |error: std::io::Error| Failure::new(Code::NoInput, format!("--file {place}: {error}"));
        // One without a key may be read by all. Which it is, is known once it is read.
        let text = std::fs::read(&self.file).map(zeroize::Zeroizing::new).map_err(failed)?;
        let issued = Issued::read(&text, &place)?;
        if issued.key.is_some() {
            read_private(&self.file)?;
        }
        let had_key = issued.key.is_some();
        let context = Contexts::usual()?.add(&self.name, issued, &place)?;
        let Shown { operator, cluster_name, ends, .. } = Shown::of(&context, false);
        let left = if had_key { format!(". {place} holds the key, too: remove it") } else { String::new() };
        super::print(&format!(
            "context {}: operator {} in cluster '{}', until {ends}{left}",
            self.name,
            plain(&operator),
            plain(&cluster_name)
        ))
    }
}

/// A context without its key.
#[derive(Serialize)]
struct Shown {
    name: String,
    current: bool,
    operator: String,
    cluster_name: String,
    cluster: String,
    pin: String,
    generation: u32,
    brokers: Vec<String>,
    key: String,
    ends: Time,
}

impl Shown {
    fn of(context: &operators::Context, current: bool) -> Self {
        let issued = &context.issued;
        Self {
            name: context.name.clone(),
            current,
            operator: issued.operator.clone(),
            cluster_name: issued.cluster_name.clone(),
            cluster: issued.cluster.to_string(),
            pin: issued.pin.to_string(),
            generation: issued.generation,
            brokers: issued.brokers.iter().map(ToString::to_string).collect(),
            key: context.certificate.key.to_string(),
            ends: Time(context.certificate.ends),
        }
    }
}

#[derive(clap::Args)]
pub(super) struct List {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let contexts = Contexts::usual()?;
        let (current, mut shown, mut wrong) = (contexts.current()?, Vec::new(), Vec::new());
        for name in contexts.names()? {
            match contexts.read(&name) {
                Ok(context) => shown.push(Shown::of(&context, current.as_deref() == Some(&*name))),
                Err(failure) => wrong.push(failure.to_string()),
            }
        }
        // One that cannot be used hides no other.
        for what in &wrong {
            eprintln!("broker: {what}");
        }
        if self.json {
            return super::print_json(&serde_json::json!({ "contexts": shown, "unusable": wrong }));
        }
        let head = ["", "CONTEXT", "CLUSTER", "OPERATOR", "ENDS", "BROKERS"].map(String::from).to_vec();
        let row = |it: Shown| {
            let star = if it.current { "*" } else { "" };
            vec![star.into(), it.name, it.cluster_name, it.operator, it.ends.to_string(), it.brokers.join(",")]
        };
        super::print(&lines(&std::iter::once(head).chain(shown.into_iter().map(row)).collect::<Vec<_>>()))
    }
}

#[derive(clap::Args)]
pub(super) struct Use {
    name: String,
}

#[derive(clap::Args)]
pub(super) struct Remove {
    name: String,
}

#[derive(clap::Args)]
pub(super) struct Show {
    /// Which one [default: the current one]
    name: Option<String>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl Show {
    fn run(self) -> Result<(), Failure> {
        let contexts = Contexts::usual()?;
        let current = contexts.current()?;
        let name = self.name.or_else(|| current.clone());
        let none = || {
            let what = format!("no context is the current one ('{LOCAL}'): name one, as 'broker context list' does");
            Failure::new(Code::Usage, what)
        };
        let name = name.ok_or_else(none)?;
        let shown = Shown::of(&contexts.read(&name)?, current.as_deref() == Some(&*name));
        if self.json {
            return super::print_json(&shown);
        }
        super::print(&lines(&[
            vec!["context".into(), shown.name],
            vec!["operator".into(), shown.operator],
            vec!["cluster".into(), format!("{} ({})", shown.cluster_name, shown.cluster)],
            vec!["pin".into(), shown.pin],
            vec!["brokers".into(), shown.brokers.join(", ")],
            vec!["key".into(), shown.key],
            vec!["ends".into(), shown.ends.to_string()],
        ]))
    }
}
