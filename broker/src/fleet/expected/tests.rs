//! What is read, and what is refused with which words.

use super::*;

fn names(text: &str) -> Vec<String> {
    let expected = read(text.as_bytes()).unwrap_or_else(|unfit| panic!("{text}: {unfit}"));
    let shown = |machine: &ExpectedMachine| match machine.address {
        Some(address) if address.to_string() != machine.name => format!("{}={address}", machine.name),
        _ => machine.name.clone(),
    };
    expected.machines().iter().map(shown).collect()
}

/// As Terraform 1.14 prints it, for an example with this output and others beside it.
fn outputs(name: &str, value: &str) -> String {
    format!(
        r#"{{
  "group": {{ "sensitive": false, "type": "string", "value": "swarm-workers-2" }},
  "user_data": {{ "sensitive": true, "type": ["tuple", ["string"]], "value": ["SWINV-1-secret"] }},
  "{name}": {{ "sensitive": false, "type": ["object", {{ "worker-1": "string" }}], "value": {value} }},
  "vpc_uuid": {{ "sensitive": false, "type": "string", "value": "5a4981aa-9653-4bd1-bef5-d6bff52042e4" }}
}}"#
    )
}

#[test]
fn every_form_gives_the_same_machines() {
    let two = ["worker-1", "worker-2"];
    for text in [
        "worker-1\nworker-2\n",
        "\u{feff}# the fleet\r\n\r\n  worker-1\t# the first\r\nworker-2",
        r#"["worker-1", "worker-2"]"#,
        r#"  [["worker-1"], [["worker-2"]]]"#,
        r#"{"i-0a": "worker-1", "i-0b": "worker-2"}"#,
        r#"[{"name": "worker-1", "size": "s"}, {"id": 7, "Hostname": "worker-2", "name": "second"}]"#,
        r#"{"a": {"hostname": "worker-1"}, "b": {"name": "worker-2", "tags": ["x"]}}"#,
        r#"{"workers": ["worker-1"], "more": [{"name": "worker-2"}], "count": 2, "done": true, "none": null}"#,
        &outputs("workers", r#"["worker-1", "worker-2"]"#),
        &outputs("fleet", r#"[{"name": "worker-1"}, {"name": "worker-2"}]"#),
    ] {
        assert_eq!(names(text), two, "{text}");
    }
    let addressed = ["worker-1=10.0.0.3", "worker-2=fd00::4"];
    for text in [
        r#"{"worker-1": "10.0.0.3", "worker-2": "fd00::4"}"#,
        r#"{"10.0.0.3": "worker-1", "fd00::4": "worker-2"}"#,
        r#"{"worker-1": {"private_ip": "10.0.0.3"}, "worker-2": {"internal_ip": "fd00::4", "id": "i-2"}}"#,
        r#"[{"name": "worker-1", "ipv4_address_private": "10.0.0.3"}, {"name": "worker-2", "address": "fd00::4"}]"#,
        r#"{"eu": {"worker-1": "10.0.0.3"}, "us": {"worker-2": "fd00::4"}}"#,
        &outputs("workers", r#"{"worker-1": "10.0.0.3", "worker-2": "fd00::4"}"#),
    ] {
        assert_eq!(names(text), addressed, "{text}");
    }
    assert_eq!(names("10.0.0.3\nfd00::4"), ["10.0.0.3", "fd00::4"], "known by their addresses");
    assert_eq!(names(r#""worker-1""#), ["worker-1"], "what 'terraform output -json worker' prints of a text");
}

#[test]
fn outputs_that_hold_no_machines_are_left_out() {
    let mixed = |extra: &str| outputs("workers", r#"{"worker-1": "10.0.0.3"}"#).replacen('{', extra, 1);
    let output = r#"{ "subnets": { "sensitive": false, "type": "x", "value": ["subnet-1", "a/b"] },"#;
    assert_eq!(names(&mixed(output)), ["worker-1=10.0.0.3"]);
    let cards = outputs("cards", r#"["cards/pi-1"]"#);
    assert_eq!(read(cards.as_bytes()), Err(Unfit::NoName), "folders, and a secret that is nobody's business");
    let both =
        cards.replacen("vpc_uuid", "fleet", 1).replacen(r#""5a4981aa-9653-4bd1-bef5-d6bff52042e4""#, r#"["w"]"#, 1);
    assert_eq!(names(&both), ["w"]);
}

#[test]
fn what_does_not_read_is_told_with_its_place_and_the_fix() {
    let long = "x".repeat(300);
    let wrong: &[(&str, &[&str])] = &[
        ("", &["it is empty", "terraform output -json"]),
        (" \r\n\t\n", &["it is empty"]),
        ("# nobody\n", &["names no machine"]),
        (r#"{"workers": ["#, &["no whole JSON", "line 1 column 13"]),
        ("[\"a\"]\n[\"b\"]", &["no whole JSON", "line 2 column 1"]),
        ("{}", &["names no machine", "terraform output -json workers"]),
        ("[]", &["names no machine"]),
        ("[1, 2, null]", &["names no machine"]),
        (&outputs("workers", "{}"), &["names no machine"]),
        (&outputs("group2", "null"), &["names no machine"]),
        ("a\n\nworker 4\n", &["line 3: 'worker 4' is no hostname"]),
        ("workers = {\n", &["line 1: 'workers = {' is no hostname", "terraform output -json NAME"]),
        (&long, &["line 1: 'xxx", "…' is no hostname"]),
        ("a\n\u{1b}]0;gone\u{7}", &[r"line 2: '\u{1b}]0;gone\u{7}' is no hostname"]),
        ("tr\u{202e}ap", &[r"'tr\u{202e}ap' is no hostname"]),
        (r#"["a", ""]"#, &["[1]: '' is no hostname"]),
        (r#"["a", "b\u001b[2J"]"#, &[r"[1]: 'b\u{1b}[2J' is no hostname"]),
        (&outputs("workers", r#"{"x": "a b"}"#), &["workers.x: 'a b' is no hostname"]),
        (r#"{"w-1": {"id": "i-1", "zone": "a"}}"#, &["w-1: the object there says neither 'hostname' nor 'name'"]),
        (r#"[{"\u001b[2J": "x"}]"#, &["[0]: the object there"]),
        ("a\nSWMTKN-1-secret\n", &["line 2: a join token or an invite"]),
        (r#"{"a": "SWINV-1-secret"}"#, &["a: a join token or an invite"]),
        (&outputs("lines", r#"["SWINV-1-secret"]"#), &["lines[0]: a join token or an invite"]),
        ("a\nb\nA\n", &["'A' is there twice: line 1 and line 3. Name each machine once"]),
        (r#"{"a": "10.0.0.1", "a": "10.0.0.2"}"#, &["'a' is there twice: a and a"]),
        (r#"{"x": ["a"], "y": {"name": "a"}}"#, &["'a' is there twice: x[0] and y"]),
        (r#"{"a": "10.0.0.1", "b": "10.0.0.1"}"#, &["'10.0.0.1' is there twice: a and b"]),
    ];
    for (text, words) in wrong {
        let told = read(text.as_bytes()).expect_err(text).to_string();
        for word in *words {
            assert!(told.contains(word), "{text}: lacks '{word}': {told}");
        }
        assert!(!told.contains("secret\"") && !told.contains("-1-"), "no secret is shown: {told}");
        assert!(!told.chars().any(char::is_control) && told.len() < 500, "fit for a terminal: {told}");
    }
    assert_eq!(read(b"worker-\xff"), Err(Unfit::NoText));
    assert!(matches!(read("[".repeat(100_000).as_bytes()), Err(Unfit::Broken(_))), "depth is bounded");
    let many = (0..=MOST).map(|number| format!("w{number}")).collect::<Vec<_>>().join("\n");
    assert_eq!(read(many.as_bytes()), Err(Unfit::TooMany(MOST + 1, MOST)));
}

#[test]
fn a_machine_is_known_by_its_name_before_its_address() {
    let expected = read(br#"{"a": "10.0.0.1", "b": "10.0.0.2"}"#).expect("reads");
    let address = |last: u8| Some(IpAddr::from([10, 0, 0, last]));
    for (hostname, at, found) in [
        (Some("a"), address(1), Some(Match::Name(0))),
        (Some("A"), None, Some(Match::Name(0))),
        (Some("b"), address(1), Some(Match::Name(1))),
        (Some("ip-10-0-0-2"), address(2), Some(Match::Address(1))),
        (None, address(2), Some(Match::Address(1))),
        (Some("c"), address(3), None),
        (Some("c"), None, None),
    ] {
        assert_eq!(expected.find(hostname, at), found, "{hostname:?} {at:?}");
    }
}
