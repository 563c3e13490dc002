//! `broker operator request | create | list | revoke`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use certs::{OperatorName, SigningKey};
use protocol::KeyText;
use zeroize::Zeroizing;

use super::AskFlags;
use crate::admin::{OPERATORS, OperatorsShown, lines};
use crate::exit::{Code, Failure};
use crate::ledger::Right;
use crate::operators::{Contexts, Created, OperatorOrder, OperatorRevoked};

/// Operators: who may give orders from elsewhere, without a shell on a manager
#[derive(clap::Subcommand)]
pub(super) enum Operator {
    /// Where the operator types: make a key that stays here, and print the request for its certificate
    Request(Request),
    /// On a manager: make an operator's certificate, and say what it may do
    Create(Create),
    /// On a manager: list the operators and what they may do
    List(List),
    /// On a manager: revoke an operator. No broker takes an order of it from then on
    Revoke(Revoke),
}

impl Operator {
    pub(super) fn run(self) -> Result<(), Failure> {
        match self {
            Self::Request(request) => request.run(),
            Self::Create(create) => create.run(),
            Self::List(list) => list.run(),
            Self::Revoke(revoke) => revoke.run(),
        }
    }
}

#[derive(clap::Args)]
pub(super) struct Request {
    /// Write the request to this file instead of standard output. It holds no secret
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

impl Request {
    fn run(self) -> Result<(), Failure> {
        let (key, request) = new_key()?;
        Contexts::usual()?.keep_key(&key)?;
        eprintln!("broker: the key of this request is {}: 'broker operator create' shows the same", key.hash());
        match &self.output {
            Some(path) => super::write_output(path, &request),
            None => super::print(&request),
        }
    }
}

/// A key, and the request for its certificate.
fn new_key() -> Result<(SigningKey, String), Failure> {
    let internal = |error: certs::KeyError| Failure::new(Code::Internal, error.to_string());
    let key = SigningKey::generate().map_err(internal)?;
    let request = key.csr().map_err(internal)?;
    Ok((key, request))
}

#[derive(clap::Args)]
pub(super) struct Create {
    /// What the operator is called in the audit log
    #[arg(value_name = "NAME")]
    name: OperatorName,
    /// What it may do; several are separated by commas
    #[arg(long, value_name = "RIGHTS", required = true, value_delimiter = ',')]
    allow: Vec<Right>,
    /// For how long: 8h, 90d, 366d at most, and not for longer than the issuing CA
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = super::duration)]
    ttl: Duration,
    /// What 'broker operator request' printed where the operator types: the key never leaves that place. Without it a key is
    /// made here, and written into the file of --output
    #[arg(long, value_name = "FILE")]
    request: Option<PathBuf>,
    /// Write what the operator needs to this file, for 'broker context add'
    #[arg(long, short, visible_alias = "out", value_name = "FILE", required_unless_present = "request")]
    output: Option<PathBuf>,
    #[command(flatten)]
    flags: AskFlags,
}

impl Create {
    fn run(self) -> Result<(), Failure> {
        let (key, csr) = match &self.request {
            Some(path) => (None, read_request(path)?),
            None => new_key().map(|(key, csr)| (Some(key), csr))?,
        };
        let order = OperatorOrder {
            name: self.name.to_string(),
            allow: self.allow.iter().map(|right| right.word().to_owned()).collect(),
            ttl: self.ttl.as_secs(),
            csr,
        };
        let mut created: Created = self.flags.admin.open().post(OPERATORS, &order)?;
        if let Some(path) = &self.output {
            created.context.key = key.map(|key| KeyText::new(key.to_pem()));
            let text = serde_json::to_string_pretty(&created.context).map(Zeroizing::new);
            let text = text.map_err(|error| Failure::new(Code::Internal, error.to_string()))?;
            super::write_output(path, &text).map_err(|failure| not_out(&self.name, &failure))?;
            // What is printed may be kept.
            created.context.key = None;
        }
        if self.flags.json {
            return super::print_json(&created);
        }
        let shown = &created.operator;
        let rights: Vec<&str> = shown.allow.iter().map(String::as_str).collect();
        let made = format!("operator {} may {} until {}; key {}", shown.name, rights.join(", "), shown.ends, shown.key);
        let Some(path) = &self.output else {
            // Standard output is what the operator takes along.
            eprintln!("broker: {made}");
            return super::print_json(&created.context);
        };
        let secret =
            if self.request.is_some() { "It holds no secret." } else { "It holds the operator's private key." };
        super::print(&format!(
            "{made}\nwritten to {}, for 'broker context add NAME --file FILE' where the operator types. {secret}",
            path.display()
        ))
    }
}

/// The operator is made, and what it needs is nowhere.
fn not_out(name: &OperatorName, failure: &Failure) -> Failure {
    let what = format!(
        "{failure}. Operator {name} was made all the same: 'broker operator revoke {name}', then make it again"
    );
    Failure::new(failure.code, what)
}

fn read_request(path: &Path) -> Result<String, Failure> {
    let failed = |error: std::io::Error| Failure::new(Code::NoInput, format!("--request {}: {error}", path.display()));
    std::fs::read_to_string(path).map_err(failed)
}

#[derive(clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    flags: AskFlags,
}

impl List {
    fn run(self) -> Result<(), Failure> {
        let listed: OperatorsShown = self.flags.admin.open().get(OPERATORS)?;
        if self.flags.json {
            return super::print_json(&listed);
        }
        let head = ["OPERATOR", "STATE", "RIGHTS", "ENDS", "KEY", "BY"].map(String::from).to_vec();
        let rows = listed.operators.into_iter().map(|operator| {
            let rights: Vec<String> = operator.allow.into_iter().collect();
            let (ends, key) = (operator.ends.to_string(), operator.key.to_string());
            vec![operator.name, operator.state, rights.join(","), ends, key, operator.by]
        });
        super::print(&lines(&std::iter::once(head).chain(rows).collect::<Vec<_>>()))
    }
}

#[derive(clap::Args)]
pub(super) struct Revoke {
    /// The operator, as 'broker operator list' shows it
    name: OperatorName,
    #[command(flatten)]
    flags: AskFlags,
}

impl Revoke {
    fn run(self) -> Result<(), Failure> {
        let path = format!("{OPERATORS}/{}/revoke", self.name);
        let revoked: OperatorRevoked = self.flags.admin.open().post(&path, &())?;
        if self.flags.json {
            return super::print_json(&revoked);
        }
        let word = if revoked.changed { "revoked" } else { "was revoked already" };
        super::print(&format!("{} {word}", revoked.name))
    }
}
