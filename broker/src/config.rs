//! The settings of `broker serve`: flags, then environment, then the TOML file, then defaults.
//!
//! Every mistake is told at once, with where it stands. Unknown keys are mistakes.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use protocol::BrokerAddress;

use crate::broker::Limits;
use crate::clock;
use crate::exit::{Code, Failure};
use crate::fleet::Enforce;
use crate::rotation::{Policies, Policy};
use crate::state::KeySource;

/// Where the file is unless told otherwise.
const FILE: &str = "/etc/broker/broker.toml";

const ISSUING_KEY: &str =
    "Where the issuing key is: file:PATH, credential:NAME or command:LINE [default: in the state directory]";

/// The settings, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    pub(crate) state: PathBuf,
    pub(crate) listen: SocketAddr,
    pub(crate) docker: PathBuf,
    pub(crate) admin: PathBuf,
    pub(crate) advertise: Vec<BrokerAddress>,
    pub(crate) metrics: Option<SocketAddr>,
    pub(crate) on_alarm: Option<String>,
    pub(crate) grant_lifetime: Duration,
    pub(crate) max_uses: u32,
    pub(crate) max_ttl: Duration,
    pub(crate) joiners: PathBuf,
    pub(crate) issuing_key: KeySource,
    pub(crate) joiner_state: PathBuf,
    pub(crate) policies: Policies,
    pub(crate) enforce: Enforce,
    /// Whether this machine may be replaced by another one when it is gone: of a machine that makes the swarm, or comes in by
    /// the cluster's keys.
    pub(crate) ephemeral: bool,
}

/// The flags of `serve`, as they were typed or found in the environment.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct Flags {
    /// A TOML file with any of the settings below as keys (dashes are underscores there) [default:
    /// /etc/broker/broker.toml, if it is there]
    #[arg(long, value_name = "FILE", env = "BROKER_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// The state directory [default: /var/lib/broker]
    #[arg(long, value_name = "DIR", env = "BROKER_STATE")]
    state: Option<String>,
    /// Where machines reach this broker [default: every address, port 7443]
    #[arg(long, value_name = "ADDR", env = "BROKER_LISTEN")]
    listen: Option<String>,
    /// The Docker socket [default: /var/run/docker.sock]
    #[arg(long, value_name = "SOCKET", env = "BROKER_DOCKER")]
    docker: Option<String>,
    /// The admin socket, for root only [default: /run/broker/admin.sock]
    #[arg(long, value_name = "SOCKET", env = "BROKER_ADMIN")]
    admin: Option<String>,
    /// An address to write into invites; may be repeated [default: this node's swarm address]
    #[arg(long, value_name = "HOST[:PORT]", env = "BROKER_ADVERTISE", value_delimiter = ',')]
    advertise: Vec<String>,
    /// Serve Prometheus metrics here (plain HTTP; off unless given)
    #[arg(long, value_name = "ADDR", env = "BROKER_METRICS")]
    metrics: Option<String>,
    /// Run this by /bin/sh, for 30 s at most, at each alarm, with its record as a line of JSON on standard input. No
    /// secret belongs in it: all users see it run
    #[arg(long, value_name = "CMD", env = "BROKER_ON_ALARM")]
    on_alarm: Option<String>,
    /// How long a grant is good for, 10s to 5m [default: 60s]
    #[arg(long, value_name = "DURATION", env = "BROKER_GRANT_LIFETIME")]
    grant_lifetime: Option<String>,
    /// The most uses an invite may have [default: 1000]
    #[arg(long, value_name = "N", env = "BROKER_MAX_USES")]
    max_uses: Option<String>,
    /// The longest an invite may live [default: 90d]
    #[arg(long, value_name = "DURATION", env = "BROKER_MAX_TTL")]
    max_ttl: Option<String>,
    /// The folder with the joiners to serve to new machines [default: /usr/lib/broker/joiners]
    #[arg(long, value_name = "DIR", env = "BROKER_JOINERS")]
    joiners: Option<String>,
    #[arg(long, value_name = "WHERE", env = "BROKER_ISSUING_KEY", allow_hyphen_values = true, help = ISSUING_KEY)]
    issuing_key: Option<String>,
    /// Where the key lies that this machine made to come in [default: /var/lib/joiner]
    #[arg(long, value_name = "DIR", env = "JOINER_STATE")]
    joiner_state: Option<String>,
    /// When the worker token is replaced: after-join, interval:DURATION or manual [default: after-join; manual in a
    /// swarm that had several nodes before its first broker]
    #[arg(long, value_name = "POLICY", env = "BROKER_ROTATE_WORKER")]
    rotate_worker: Option<String>,
    /// The same for the manager token
    #[arg(long, value_name = "POLICY", env = "BROKER_ROTATE_MANAGER")]
    rotate_manager: Option<String>,
    /// How long a rotation waits at most for machines that are joining with the token [default: 2s]
    #[arg(long, value_name = "DURATION", env = "BROKER_ROTATION_WAIT")]
    rotation_wait: Option<String>,
    /// What is done about a node that nothing explains: off (it is in the log), warn (it is an alarm) or strict (it is an
    /// alarm, and drained) [default: warn]
    #[arg(long, value_name = "HOW", env = "BROKER_ENFORCE")]
    enforce: Option<String>,
}

const KEYS: [&str; 17] = [
    "state",
    "listen",
    "docker",
    "admin",
    "advertise",
    "metrics",
    "on_alarm",
    "grant_lifetime",
    "max_uses",
    "max_ttl",
    "joiners",
    "issuing_key",
    "joiner_state",
    "rotate_worker",
    "rotate_manager",
    "rotation_wait",
    "enforce",
];

impl Settings {
    /// Reads the file that the flags name, or the usual one if it is there, and puts everything together.
    pub(crate) fn read(flags: &Flags) -> Result<Self, Failure> {
        Self::read_with(flags, Path::new(FILE))
    }

    fn read_with(flags: &Flags, usual: &Path) -> Result<Self, Failure> {
        let path = flags.config.as_deref().unwrap_or(usual);
        let file = match std::fs::read_to_string(path) {
            Ok(text) => Some((path, text)),
            Err(error) if flags.config.is_none() && error.kind() == ErrorKind::NotFound => None,
            Err(error) => return Err(Failure::new(Code::NoInput, format!("--config {}: {error}", path.display()))),
        };
        Self::merge(flags, file.as_ref().map(|(path, text)| (*path, text.as_str()))).map_err(|mistakes| {
            Failure::new(Code::Config, format!("the configuration has mistakes:\n  {}", mistakes.join("\n  ")))
        })
    }

    fn merge(flags: &Flags, file: Option<(&Path, &str)>) -> Result<Self, Vec<String>> {
        let mut found = Found { values: BTreeMap::new(), mistakes: Vec::new() };
        if let Some((path, text)) = file {
            found.take_file(path, text);
        }
        found.take_flags(flags);
        let settings = Self {
            state: found.one("state", crate::state::DEFAULT, |text| text.parse().map_err(|_| "a folder")),
            listen: found.one("listen", "[::]:7443", |text| {
                text.parse().map_err(|_| "an address like 10.0.0.1:7443 or [::]:7443")
            }),
            docker: found.one("docker", "/var/run/docker.sock", socket),
            admin: found.one("admin", "/run/broker/admin.sock", socket),
            advertise: found.many("advertise", |text| text.parse().map_err(|_| "HOST or HOST:PORT")),
            metrics: found.optional("metrics", |text| text.parse().map_err(|_| "an address like 127.0.0.1:9443")),
            on_alarm: found.hidden("on_alarm", |text| {
                Some(text.to_owned()).filter(|text| !text.trim().is_empty()).ok_or("a command")
            }),
            grant_lifetime: found.one("grant_lifetime", "60s", |text| duration(text, 10, 300, "10s to 5m")),
            max_uses: found.one("max_uses", &Limits::default().uses.to_string(), |text| {
                text.parse().ok().filter(|uses| (1..=2000).contains(uses)).ok_or("a number from 1 to 2000")
            }),
            max_ttl: found.one("max_ttl", &clock::length(Limits::default().ttl), |text| {
                duration(text, 1, 366 * 24 * 3600, "1s to 366d")
            }),
            joiners: found.one("joiners", crate::joiners::DEFAULT, |text| text.parse().map_err(|_| "a folder")),
            issuing_key: found.hidden("issuing_key", str::parse).unwrap_or_default(),
            joiner_state: found.one("joiner_state", "/var/lib/joiner", |text| text.parse().map_err(|_| "a folder")),
            policies: Policies {
                worker: found.optional("rotate_worker", |text| Policy::parse(text).ok_or(Policy::WORDS)),
                manager: found.optional("rotate_manager", |text| Policy::parse(text).ok_or(Policy::WORDS)),
                wait: found.one("rotation_wait", "2s", |text| duration(text, 0, 30, "0s to 30s")),
            },
            enforce: found.optional("enforce", |text| Enforce::parse(text).ok_or(Enforce::WORDS)).unwrap_or_default(),
            ephemeral: false,
        };
        if found.mistakes.is_empty() { Ok(settings) } else { Err(found.mistakes) }
    }
}

fn socket(text: &str) -> Result<PathBuf, &'static str> {
    let path = text.strip_prefix("unix://").unwrap_or(text);
    // A socket's path has room for 107 bytes (unix(7)).
    if path.starts_with('/') && path.len() < 108 {
        Ok(path.into())
    } else {
        Err("an absolute path of at most 107 bytes")
    }
}

fn duration(text: &str, least: u64, most: u64, wanted: &'static str) -> Result<Duration, &'static str> {
    humantime::parse_duration(text).ok().filter(|time| (least..=most).contains(&time.as_secs())).ok_or(wanted)
}

struct Found {
    values: BTreeMap<&'static str, (String, Vec<String>)>,
    mistakes: Vec<String>,
}

impl Found {
    fn take_file(&mut self, path: &Path, text: &str) {
        let path = path.display();
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => {
                return self.mistakes.push(format!("{path}: {}", error.to_string().trim_end().replace('\n', "\n  ")));
            }
        };
        for (key, value) in table {
            let Some(known) = KEYS.into_iter().find(|known| *known == key) else {
                self.mistakes.push(format!(
                    "{path}: '{}' is not a setting; there are: {}",
                    key.escape_debug(),
                    KEYS.join(", ")
                ));
                continue;
            };
            let plain = |value: &toml::Value| match value {
                toml::Value::String(text) => Some(text.clone()),
                toml::Value::Integer(number) => Some(number.to_string()),
                _ => None,
            };
            let texts = match &value {
                toml::Value::Array(values) if known == "advertise" => values.iter().map(plain).collect(),
                value => plain(value).map(|text| vec![text]),
            };
            match texts {
                Some(texts) => drop(self.values.insert(known, (format!("{path}: {known}"), texts))),
                None => self.mistakes.push(format!(
                    "{path}: {known} must be text{}",
                    if known == "advertise" { " or a list of texts" } else { "" }
                )),
            }
        }
    }

    fn take_flags(&mut self, flags: &Flags) {
        let single = [
            ("state", &flags.state),
            ("listen", &flags.listen),
            ("docker", &flags.docker),
            ("admin", &flags.admin),
            ("metrics", &flags.metrics),
            ("on_alarm", &flags.on_alarm),
            ("grant_lifetime", &flags.grant_lifetime),
            ("max_uses", &flags.max_uses),
            ("max_ttl", &flags.max_ttl),
            ("joiners", &flags.joiners),
            ("issuing_key", &flags.issuing_key),
            ("joiner_state", &flags.joiner_state),
            ("rotate_worker", &flags.rotate_worker),
            ("rotate_manager", &flags.rotate_manager),
            ("rotation_wait", &flags.rotation_wait),
            ("enforce", &flags.enforce),
        ];
        let given = single.into_iter().filter_map(|(key, value)| Some((key, vec![value.clone()?])));
        let advertise = (!flags.advertise.is_empty()).then(|| ("advertise", flags.advertise.clone()));
        for (key, texts) in given.chain(advertise) {
            self.values.insert(key, (format!("--{}", key.replace('_', "-")), texts));
        }
    }

    /// A value that is not repeated where it is a mistake: it may be the secret that it should only point to.
    fn hidden<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        let (origin, texts) = self.values.get(key)?;
        match parse(texts.last()?) {
            Ok(value) => Some(value),
            Err(wanted) => {
                self.mistakes.push(format!("{origin}: it is not {wanted}"));
                None
            }
        }
    }

    fn many<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Vec<T> {
        let Some((origin, texts)) = self.values.get(key) else { return Vec::new() };
        let mut parsed = Vec::new();
        for text in texts {
            match parse(text) {
                Ok(value) => parsed.push(value),
                Err(wanted) => self.mistakes.push(format!("{origin}: '{}' is not {wanted}", text.escape_debug())),
            }
        }
        parsed
    }

    fn optional<T>(&mut self, key: &'static str, parse: impl Fn(&str) -> Result<T, &'static str>) -> Option<T> {
        self.many(key, parse).pop()
    }

    /// The value, or the default where the given one is a mistake: the mistake is told either way.
    fn one<T>(&mut self, key: &'static str, default: &str, parse: impl Fn(&str) -> Result<T, &'static str>) -> T {
        self.optional(key, &parse)
            .unwrap_or_else(|| parse(default).unwrap_or_else(|_| unreachable!("defaults are valid")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(text: &str) -> Result<Settings, Vec<String>> {
        Settings::merge(&Flags::default(), Some((Path::new("broker.toml"), text)))
    }

    #[test]
    fn an_empty_file_gives_the_defaults() {
        let settings = merged("").expect("no mistakes");
        assert_eq!(settings.listen, "[::]:7443".parse().expect("an address"));
        assert_eq!(settings.grant_lifetime, Duration::from_mins(1));
        assert_eq!(Settings::merge(&Flags::default(), None), Ok(settings));
    }

    #[test]
    fn the_usual_file_is_read_if_it_is_there_and_a_named_one_must_be() {
        let folder = tempfile::tempdir().expect("a folder");
        let usual = folder.path().join("broker.toml");
        let read = |named: Option<&Path>| {
            let flags = Flags { config: named.map(Path::to_owned), ..Flags::default() };
            Settings::read_with(&flags, &usual).map(|settings| settings.max_uses)
        };
        assert_eq!(read(None).expect("the defaults"), Limits::default().uses);
        assert!(read(Some(&usual)).is_err_and(|failure| failure.code == Code::NoInput));
        std::fs::write(&usual, "max_uses = 7").expect("written");
        assert_eq!(read(None).expect("the file's"), 7);
        assert_eq!(read(Some(Path::new("/dev/null"))).expect("another's"), Limits::default().uses);
    }

    #[test]
    fn a_key_where_its_place_should_be_is_not_repeated() {
        let mistakes = merged("issuing_key = '-----BEGIN PRIVATE KEY-----'").expect_err("a mistake");
        assert!(mistakes[0].contains("issuing_key: it is not file:PATH"), "{mistakes:?}");
        assert!(!mistakes[0].contains("BEGIN"), "{mistakes:?}");
        let settings = merged("issuing_key = 'credential:issuing.key'").expect("no mistake");
        assert_eq!(settings.issuing_key, KeySource::Credential("issuing.key".into()));
    }

    #[test]
    fn all_mistakes_are_told_at_once_and_where() {
        let text =
            "listn = 'x'\nlisten = 'nowhere'\ngrant_lifetime = '1h'\nadvertise = ['a b', 'ok']\nmax_uses = 1.5\n";
        let mistakes = merged(text).expect_err("mistakes");
        assert_eq!(mistakes.len(), 5, "{mistakes:#?}");
        for part in
            ["'listn' is not a setting", "'nowhere' is not an address", "'1h' is not 10s to 5m", "'a b'", "max_uses"]
        {
            assert!(mistakes.iter().any(|mistake| mistake.contains(part)), "{part}: {mistakes:#?}");
        }
    }

    #[test]
    fn a_flag_wins_over_the_file() {
        let flags = Flags { listen: Some("127.0.0.1:1".into()), ..Flags::default() };
        let settings = Settings::merge(&flags, Some((Path::new("f"), "listen = '127.0.0.1:2'\nmax_uses = 7")))
            .expect("no mistakes");
        assert_eq!(settings.listen, "127.0.0.1:1".parse().expect("an address"));
        assert_eq!(settings.max_uses, 7);
    }

    #[test]
    fn the_rotation_is_set_by_role_and_only_where_it_is_set() {
        let set = merged("rotate_worker = 'interval:12h'\nrotation_wait = '500ms'").expect("no mistakes").policies;
        assert_eq!(set.worker, Some(Policy::Interval(Duration::from_hours(12))));
        assert_eq!((set.manager, set.wait), (None, Duration::from_millis(500)));
        let mistakes = merged("rotate_worker = 'never'\nrotation_wait = '31s'").expect_err("mistakes");
        assert!(mistakes[0].contains("'never' is not after-join, manual, or interval:"), "{mistakes:?}");
        assert!(mistakes[1].contains("'31s' is not 0s to 30s"), "{mistakes:?}");
    }

    #[test]
    fn what_is_not_toml_is_told_with_its_place() {
        let mistakes = merged("listen = ").expect_err("mistakes");
        assert!(mistakes[0].contains("line 1"), "{mistakes:?}");
    }
}
