//! Promise 3: nothing is claimed before every check passed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use certs::SigningKey;
use lab::cluster::{Broker, Cluster, Machine, REFUSED, invite, node_key, on};
use lab::{Failed, Host, Pool};
use protocol::{GRANTS, IDENTITIES, INVITE_PREFIX, IdentityRequest, JOINS, REDEEM};
use serde_json::{Value, json};

/// The version of the invite's object: any spending would change it.
fn version(manager: &Host, invite: &str) -> Result<Value, Failed> {
    let id = invite::id(invite)?;
    Ok(manager.config(&format!("swarm-broker.invite.{id}"))?["Version"]["Index"].clone())
}

pub(crate) fn decoded(part: &str) -> Value {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON")
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

pub(crate) fn signed(header: &Value, claims: &Value, key: &SigningKey) -> String {
    let message = format!("{}.{}", encoded(header), encoded(claims));
    let key = jsonwebtoken::EncodingKey::from_ec_der(&key.to_pkcs8());
    let signature =
        jsonwebtoken::crypto::sign(message.as_bytes(), &key, jsonwebtoken::Algorithm::ES256).expect("signs");
    format!("{message}.{signature}")
}

pub(crate) fn a_forged_grant_with_a_real_jti_spends_nothing(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let broker = Broker::start(cluster.manager())?;
    let invite = broker.invite(&["--uses", "1"])?;
    let address = broker.address();
    let manager = cluster.manager();

    let (machine, grant) = on(manager, || Machine::with_grant(&invite, address))?;
    let before = version(manager, &invite)?;
    let parts: Vec<&str> = grant.split('.').collect();
    let (header, claims) = (decoded(parts[0]), decoded(parts[1]));
    let with = |base: &Value, name: &str, value: Value| {
        let mut changed = base.clone();
        changed[name] = value;
        changed
    };
    let forger = SigningKey::generate()?;
    let forged = [
        signed(&header, &claims, &forger),
        signed(&with(&header, "jwk", json!({})), &claims, &forger),
        signed(&with(&header, "kid", json!("0".repeat(32))), &claims, &forger),
        format!("{}.{}.{}", encoded(&with(&header, "alg", json!("none"))), parts[1], ""),
        format!("{}.{}.{}", encoded(&with(&header, "alg", json!("HS256"))), parts[1], parts[2]),
        format!("{}.{}.{}", parts[0], encoded(&with(&claims, "role", json!("manager"))), parts[2]),
        format!("{}.{}.{}", parts[0], encoded(&with(&claims, "exp", json!(9_999_999_999_u64))), parts[2]),
        format!("{}.{}.{}", parts[0], parts[1], URL_SAFE_NO_PAD.encode([0; 64])),
        format!("{}.{}", parts[0], parts[1]),
        // An invite is a signed statement, too, of another kind.
        invite.trim_start_matches(INVITE_PREFIX).to_owned(),
        "x".repeat(100_000 / 8),
        String::new(),
    ];
    on(manager, || async {
        for forged in &forged {
            assert_eq!(machine.redeem(forged).await.err(), Some(REFUSED.clone()), "{forged}");
        }
    })?;
    assert_eq!(version(manager, &invite)?, before, "nothing was claimed");
    assert_eq!(broker.count("grant.redeeming", None)?, 0);
    let reply = on(manager, || async { machine.redeem(&grant).await.map(|reply| reply.role) })?;
    assert!(reply.is_ok(), "the real grant is as good as before");
    Ok(())
}

pub(crate) fn an_altered_or_revoked_invite_spends_nothing(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let broker = Broker::start(cluster.manager())?;
    let (manager, address) = (cluster.manager(), broker.address());
    let invite = broker.invite(&["--uses", "1", "--ttl", "10m"])?;
    let revoked = broker.invite(&["--uses", "1"])?;
    let elsewhere = broker.invite(&["--uses", "1", "--from", "192.0.2.0/24"])?;
    let ended = broker.invite(&["--uses", "1", "--ttl", "1s"])?;
    let id = invite::id(&revoked)?;
    broker.ok(&["invite", "revoke", &id])?;
    std::thread::sleep(std::time::Duration::from_millis(1500));

    let before = version(manager, &invite)?;
    let parts: Vec<&str> = invite.split('.').collect();
    let claims = decoded(parts[1]);
    let altered = |name: &str, value: Value| {
        let mut changed = claims.clone();
        changed[name] = value;
        format!("{}.{}.{}", parts[0], encoded(&changed), parts[2])
    };
    let forger = SigningKey::generate()?;
    let header = decoded(parts[0].trim_start_matches(INVITE_PREFIX));
    let lines = [
        altered("uses", json!(100)),
        altered("role", json!("manager")),
        altered("labels", json!({"zone": "b"})),
        altered("exp", json!(9_999_999_999_u64)),
        format!("{INVITE_PREFIX}{}", signed(&header, &claims, &forger)),
        revoked,
        elsewhere,
        ended,
    ];
    on(manager, || async {
        for line in &lines {
            assert_eq!(Machine::new(line, address).identity().await, Err(REFUSED), "{line}");
        }
    })?;
    assert_eq!(version(manager, &invite)?, before, "nothing was claimed");
    let listed = broker.json(&["invite", "list", "--json"])?;
    let claimed = listed["invites"].as_array().expect("a list").iter().map(|invite| invite["claimed"].as_u64());
    assert!(claimed.into_iter().all(|claimed| claimed == Some(0)), "{listed}");
    for reason in ["invite-revoked", "network", "invite-ended"] {
        assert_eq!(broker.count("refused", Some(reason))?, 1, "{reason}");
    }
    assert_eq!(broker.count("refused", Some("not-signed"))?, 5);
    Ok(())
}

pub(crate) fn every_step_asks_again_whether_the_invite_is_revoked(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 0)?;
    let broker = Broker::start(cluster.manager())?;
    let (manager, address) = (cluster.manager(), broker.address());
    let invite = broker.invite(&["--uses", "2"])?;
    let (mut with_identity, with_grant, grant) = on(manager, || async {
        let (mut first, mut second) = (Machine::new(&invite, address), Machine::new(&invite, address));
        first.identity().await.expect("an identity");
        second.identity().await.expect("an identity");
        let grant = second.grant().await.expect("a grant").grant;
        (first, second, grant)
    })?;
    let id = invite::id(&invite)?;
    broker.ok(&["invite", "revoke", &id])?;
    on(manager, || async {
        assert_eq!(with_identity.grant().await.err(), Some(REFUSED));
        assert_eq!(with_identity.identity().await.err(), Some(REFUSED));
        assert_eq!(with_grant.redeem(&grant).await.err(), Some(REFUSED));
    })?;
    assert_eq!(broker.count("grant.redeemed", None)?, 0);
    Ok(())
}

pub(crate) fn every_step_asks_again_whether_the_network_is_allowed(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, machine) = (cluster.manager(), &cluster[1]);
    let broker = Broker::start(manager)?;
    let address = broker.address();
    let invite = broker.invite(&["--uses", "1", "--from", &format!("{}/32", machine.address())])?;
    let (booting, grant) = on(machine, || Machine::with_grant(&invite, address))?;
    // The same key, certificate and grant, carried elsewhere.
    on(manager, || async {
        assert_eq!(booting.again().identity().await, Err(REFUSED));
        assert_eq!(booting.grant().await.err(), Some(REFUSED));
        assert_eq!(booting.redeem(&grant).await.err(), Some(REFUSED));
    })?;
    assert_eq!(broker.count("refused", Some("network"))?, 3);
    assert_eq!(broker.count("grant.redeeming", None)?, 0);
    assert!(on(machine, || async { booting.redeem(&grant).await.is_ok() })?, "where it may be, it goes on");
    Ok(())
}

pub(crate) fn each_step_takes_its_own_kind_of_certificate_only(pool: &Pool) -> Result<(), Failed> {
    let cluster = Cluster::form(pool, 1, 1)?;
    let (manager, worker) = (cluster.manager(), &cluster[1]);
    let broker = Broker::start(manager)?;
    let invite = broker.invite(&["--uses", "2", "--label", "zone=a"])?;
    let address = broker.address();
    worker.join(manager, &manager.join_token(lab::Role::Worker)?)?;
    let (key, node) = (node_key(worker)?, worker.node_id()?.parse()?);

    let unexpected = on(worker, || async {
        let mut machine = Machine::new(&invite, address);
        let (grant, _) = machine.admitted().await.expect("the token");
        let csr = SigningKey::generate().and_then(|key| key.csr()).expect("a CSR");
        // All that each request needs is there, but for the certificate.
        let requests = [
            (IDENTITIES, json!(IdentityRequest { csr, invite: invite.clone(), hostname: None })),
            (GRANTS, json!({})),
            (REDEEM, json!({ "grant": grant.grant })),
            (JOINS, json!(machine.statement(&grant.id, &node))),
        ];
        let callers = [
            ("nobody", machine.anonymous(), &[IDENTITIES][..]),
            ("an identity", machine.wire(), &[GRANTS, REDEEM]),
            ("a node", machine.with_node(key), &[JOINS]),
        ];
        let mut unexpected = Vec::new();
        for (caller, wire, own) in &callers {
            for (path, body) in requests.iter().filter(|(path, _)| !own.contains(path)) {
                let told = wire.post::<Value>(path, body).await;
                if told != Err(REFUSED) {
                    unexpected.push(format!("{caller} at {path}: {told:?}"));
                }
            }
            if !own.contains(&JOINS) {
                let told = wire.send(hyper::Method::GET, JOINS, hyper::body::Bytes::new()).await;
                if told.as_ref().map(|(status, _)| *status) != Ok(403) {
                    unexpected.push(format!("{caller} asks for a membership: {told:?}"));
                }
            }
        }
        unexpected
    })?;
    assert!(unexpected.is_empty(), "{unexpected:#?}");
    assert_eq!(broker.count("refused", Some("wrong-certificate"))?, 10);
    assert!(lab::nodes(manager)?.iter().all(|node| !node.labels.contains_key("zone")));
    Ok(())
}
