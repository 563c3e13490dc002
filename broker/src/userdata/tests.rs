//! What holds for user-data in every form.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::ValueEnum as _;
use protocol::{ClusterId, INVITE_AUDIENCE, INVITE_TYP, Invite, InviteId, InviteLine, Pin, Role};

use super::*;

fn invite(labels: usize) -> InviteLine {
    invite_for(Role::Worker, labels)
}

fn invite_for(role: Role, labels: usize) -> InviteLine {
    let invite = Invite {
        aud: INVITE_AUDIENCE.into(),
        jti: InviteId::random(),
        iat: 1_800_000_000,
        exp: 1_800_003_600,
        iss: ClusterId::random(),
        pin: Pin::of_certificate(b"root"),
        generation: 1,
        role,
        uses: 3,
        from: vec!["10.0.0.0/8".parse().expect("a network")],
        labels: (0..labels).map(|number| (format!("label-{number}"), "v".repeat(200))).collect(),
        brokers: vec!["10.0.0.11".parse().expect("an address"), "fd00::12".parse().expect("an address")],
        ephemeral: None,
        conditions: protocol::Conditions::default(),
        newer: BTreeMap::new(),
    };
    line(&invite)
}

fn line(invite: &Invite) -> InviteLine {
    let part = |bytes: Vec<u8>| URL_SAFE_NO_PAD.encode(bytes);
    let header = part(format!(r#"{{"alg":"ES256","typ":"{INVITE_TYP}"}}"#).into_bytes());
    let payload = part(serde_json::to_vec(invite).expect("serialises"));
    InviteLine::from_jws(&format!("{header}.{payload}.{}", part(vec![7; 64]))).expect("an invite")
}

fn order() -> Order {
    let hashes = [("x86_64", "a".repeat(64)), ("aarch64", "b".repeat(64))];
    Order {
        program: Program::Fetched(hashes.map(|(architecture, hash)| (architecture.into(), hash)).into()),
        install_docker: false,
        settings: BTreeMap::from([
            ("JOINER_ADVERTISE_ADDR", "10.0.0.0/8".into()),
            ("JOINER_ON_FAILURE", r#"curl -d "$(hostname) \ `id`" http://169.254.169.254/"#.into()),
        ]),
    }
}

/// What a shell makes of a script's here-documents, or what Ignition writes: path to mode and content.
fn ignition_files(text: &str) -> BTreeMap<String, (u64, String)> {
    let config: serde_json::Value = serde_json::from_str(text).expect("JSON");
    let files = config["storage"]["files"].as_array().expect("files").iter().map(|file| {
        let source = file["contents"]["source"].as_str().expect("a source");
        let content = match source.strip_prefix("data:;base64,") {
            Some(encoded) => String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("text"),
            None => source.strip_prefix("data:,").expect("a data URL").replace("%0A", "\n"),
        };
        (file["path"].as_str().expect("a path").to_owned(), (file["mode"].as_u64().expect("a mode"), content))
    });
    files.collect()
}

#[test]
fn every_form_fits_ec2_and_holds_the_invite_once_and_in_plain_text() {
    for format in Format::value_variants() {
        for program in [Program::InImage, order().program] {
            let invite = invite(2);
            let text = render(&Order { program, ..order() }, &invite, *format).expect("renders");
            assert!(text.len() <= LIMIT, "{format:?}: {}", text.len());
            assert_eq!(text.matches(&invite.expose()).count(), 1, "{format:?}");
            assert!(!text.contains("SWMTKN"), "{format:?}");
        }
    }
}

#[test]
fn terraform_gets_what_the_module_takes() {
    let invite = invite(2);
    let order = Order { install_docker: true, ..order() };
    let text = render(&order, &invite, Format::Tfvars).expect("renders");
    let variables: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(variables["invite"], invite.expose());
    assert_eq!(variables["joiner_sha256"]["aarch64"], "b".repeat(64));
    assert_eq!(variables["install_docker"], true);
    assert_eq!(variables["advertise_addr"], "10.0.0.0/8");
    assert_eq!(variables["on_failure"], order.settings["JOINER_ON_FAILURE"]);
    let packaged = Order { program: Program::InImage, ..self::order() };
    let text = render(&packaged, &invite, Format::Tfvars).expect("renders");
    assert!(text.contains("\"embed\": true") && !text.contains("joiner_sha256"), "{text}");
}

#[test]
fn only_root_may_read_the_invite() {
    let invite = invite(2);
    let written = |format| render(&order(), &invite, format).expect("renders");
    let config = written(Format::CloudConfig);
    let entry =
        format!("  - path: /etc/joiner/invite\n    permissions: '0600'\n    content: |\n      {}\n", invite.expose());
    assert!(config.contains(&entry), "{config}");
    let shell = written(Format::Shell);
    assert!(shell.contains("\numask 077\n") && shell.contains("\nchmod 0600 /etc/joiner/invite\n"), "{shell}");
    let files = ignition_files(&written(Format::Ignition));
    assert_eq!(files["/etc/joiner/invite"], (0o600, format!("{}\n", invite.expose())));
}

#[test]
fn a_machine_that_fetches_knows_every_broker_and_the_hash_for_its_processor() {
    let files = ignition_files(&render(&order(), &invite(2), Format::Ignition).expect("renders"));
    let (mode, environment) = &files["/etc/joiner/environment"];
    assert_eq!(*mode, 0o644);
    let expected = format!(
        "FETCH_SHA256_AARCH64={}\nFETCH_SHA256_X86_64={}\n\
         FETCH_BROKERS=\"10.0.0.11:7443 [fd00::12]:7443\"\nFETCH_INSTALL_DOCKER=no\nFETCH_TO=/opt/joiner/bin/joiner\n\
         JOINER_ADVERTISE_ADDR=\"10.0.0.0/8\"\n\
         JOINER_ON_FAILURE=\"curl -d \\\"\\$(hostname) \\\\ \\`id\\`\\\" http://169.254.169.254/\"\n",
        "b".repeat(64),
        "a".repeat(64)
    );
    assert_eq!(*environment, expected);
}

#[test]
fn the_unit_fetches_outside_of_its_sandbox_and_then_runs_what_was_fetched() {
    let config = render(&order(), &invite(2), Format::CloudConfig).expect("renders");
    let lines = "      ExecStartPre=+/usr/local/sbin/joiner-fetch\n      ExecStart=/usr/local/bin/joiner join ";
    assert!(config.contains(lines), "{config}");
    let text = render(&order(), &invite(2), Format::Ignition).expect("renders");
    let config: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let unit = config["systemd"]["units"][0]["contents"].as_str().expect("a unit");
    assert!(
        unit.contains("ExecStartPre=+/opt/joiner/bin/joiner-fetch\nExecStart=/opt/joiner/bin/joiner join "),
        "{unit}"
    );
    assert!(!unit.contains("/usr/"), "{unit}");
}

#[test]
fn an_ephemeral_machine_gets_what_has_it_leave_when_it_is_powered_off_and_no_other_does() {
    let mut invite = invite_for(Role::Worker, 2).unverified().clone();
    invite.ephemeral = Some(600);
    let ephemeral = line(&invite);
    for format in Format::value_variants().iter().filter(|format| **format != Format::Tfvars) {
        let text = render(&order(), &ephemeral, *format).expect("renders");
        assert!(text.contains("joiner-leave.service") && text.contains("leave --if-ephemeral"), "{text}");
        assert!(text.len() < LIMIT * 3 / 4, "{} bytes", text.len());
        assert!(
            !render(&order(), &line(&Invite { ephemeral: None, ..invite.clone() }), *format)
                .expect("renders")
                .contains("leave")
        );
        // The package has it.
        let packaged = Order { program: Program::InImage, ..order() };
        assert!(!render(&packaged, &ephemeral, *format).expect("renders").contains("joiner-leave"));
    }
    let config = render(&order(), &ephemeral, Format::CloudConfig).expect("renders");
    assert!(config.contains("exec /usr/local/bin/joiner leave --if-ephemeral"), "{config}");
    assert!(config.contains("  - [systemctl, start, --no-block, joiner-leave.service]"), "{config}");
}

#[test]
fn an_image_with_the_package_gets_nothing_but_the_invite_and_its_settings() {
    let order = Order { program: Program::InImage, ..order() };
    let files = ignition_files(&render(&order, &invite(2), Format::Ignition).expect("renders"));
    assert_eq!(files.keys().collect::<Vec<_>>(), ["/etc/joiner/environment", "/etc/joiner/invite"]);
    assert!(!files["/etc/joiner/environment"].1.contains("FETCH_"));
    assert!(!render(&order, &invite(2), Format::CloudConfig).expect("renders").contains("ExecStart"));
}

#[test]
fn what_cannot_be_is_said() {
    let install = |program| Order { install_docker: true, program, ..order() };
    let error = render(&install(Program::InImage), &invite(2), Format::CloudConfig).expect_err("nothing installs");
    assert_eq!(error, UserDataError::NothingFetches);
    let error = render(&install(order().program), &invite(2), Format::Ignition).expect_err("is there");
    assert_eq!(error, UserDataError::DockerIsThere);

    let setting = |value: &str| {
        let settings = BTreeMap::from([("JOINER_ON_FAILURE", value.to_owned())]);
        render(&Order { settings, ..order() }, &invite(2), Format::Shell).expect_err("not a setting")
    };
    assert_eq!(setting("reboot\nrm"), UserDataError::SeveralLines("JOINER_ON_FAILURE"));
    assert_eq!(setting("join SWMTKN-1-abc"), UserDataError::SwarmToken("JOINER_ON_FAILURE"));
    assert!(matches!(setting(&"x".repeat(LIMIT)), UserDataError::TooLarge(size) if size > LIMIT));
    // The longest invite that can be made still fits.
    assert!(render(&order(), &invite(24), Format::Ignition).is_ok());
}

#[test]
fn a_managers_broker_comes_up_behind_its_joiner_and_a_workers_does_not() {
    let packaged = || Order { program: Program::InImage, ..order() };
    for format in [Format::CloudConfig, Format::Shell, Format::Ignition, Format::Multipart] {
        let told = |role| render(&packaged(), &invite_for(role, 2), format).expect("renders");
        let (manager, worker) = (told(Role::Manager), told(Role::Worker));
        assert!(manager.contains("ExecStart=/usr/bin/broker up --wait"), "{manager}");
        assert!(manager.contains("broker.service") && !worker.contains("broker.service"), "{worker}");
    }
    let fetched = render(&order(), &invite_for(Role::Manager, 2), Format::CloudConfig).expect("renders");
    assert!(fetched.len() <= LIMIT && fetched.contains("  - [systemctl, start, --no-block, broker.service]\n"));
}

fn by_store() -> ByStore {
    ByStore {
        ephemeral: true,
        store: "file:///mnt/managers".into(),
        folder: Some("/mnt/managers".into()),
        options: Vec::new(),
        keys: "command:aws secretsmanager get-secret-value --secret-id \"prod\" | jq -r .SecretString".into(),
        advertise: Some("10.0.0.0/8".into()),
    }
}

#[test]
fn managers_by_a_store_are_told_where_their_keys_are_and_get_no_invite() {
    for format in [Format::CloudConfig, Format::Shell, Format::Ignition, Format::Multipart] {
        let text = render_by_store(&by_store(), format).expect("renders");
        assert!(text.len() <= LIMIT && !text.contains("joiner.service") && !text.contains("SWINV"), "{text}");
        assert!(text.contains("ExecStart=/usr/bin/broker up") && !text.contains("--wait"), "{text}");
        assert!(text.contains("RequiresMountsFor=/mnt/managers") && text.contains("ReadWritePaths=/mnt/managers"));
    }
    let files = ignition_files(&render_by_store(&by_store(), Format::Ignition).expect("renders"));
    let expected = "BROKER_STORE=\"file:///mnt/managers\"\n\
        BROKER_KEYS_FILE=\"command:aws secretsmanager get-secret-value --secret-id \\\"prod\\\" | jq -r .SecretString\"\n\
        BROKER_EPHEMERAL=\"true\"\n\
        BROKER_SWARM_ADVERTISE_ADDR=\"10.0.0.0/8\"\n";
    assert_eq!(files["/etc/broker/up.environment"], (0o600, expected.into()));
    let bucket = ByStore {
        store: "s3://managers/prod".into(),
        folder: None,
        options: vec![("region".into(), "eu".into()), ("allow_http".into(), "true".into())],
        ..by_store()
    };
    let text = render_by_store(&bucket, Format::CloudConfig).expect("renders");
    assert!(
        text.contains("BROKER_STORE_OPTION=\"region=eu,allow_http=true\"") && !text.contains("ReadWritePaths"),
        "{text}"
    );

    let refused = |order: &ByStore, format| render_by_store(order, format).expect_err("refused");
    assert_eq!(refused(&by_store(), Format::Tfvars), UserDataError::ManagersByTerraform);
    let comma = ByStore { options: vec![("region".into(), "a,b".into())], ..bucket };
    assert_eq!(refused(&comma, Format::Shell), UserDataError::Comma);
    let folder = ByStore { folder: Some("/mnt/a b%n".into()), ..by_store() };
    assert_eq!(refused(&folder, Format::Shell), UserDataError::Folder);
    let lines = ByStore { keys: "command:a\nb".into(), ..by_store() };
    assert_eq!(refused(&lines, Format::Shell), UserDataError::SeveralLines("BROKER_KEYS_FILE"));
}
