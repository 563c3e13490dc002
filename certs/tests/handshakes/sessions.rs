//! What every connection is: TLS 1.3, HTTP/1.1, and nothing of it outlives it (DESIGN §3, the wire).

use std::sync::Arc;

use certs::{PinnedClient, ServerTls};
use rustls::client::Resumption;
use rustls::server::ServerSessionMemoryCache;
use rustls::{AlertDescription, ClientConfig, Error, HandshakeKind, PeerIncompatible, ProtocolVersion, ServerConfig};

use crate::cluster::{Cluster, NOW, anonymous_at, at, provider, serving};
use crate::pipe::{client_at, meet, server_at};

/// A client of a stranger's making that accepts our brokers: the settings are its own.
fn stranger(versions: &[&'static rustls::SupportedProtocolVersion], cluster: &Cluster) -> ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(cluster.issuing.public().root.clone()).expect("a root");
    let builder = ClientConfig::builder_with_provider(provider()).with_protocol_versions(versions).expect("versions");
    client_at(at(NOW), builder.with_root_certificates(roots).with_no_client_auth())
}

#[test]
fn a_machine_without_a_certificate_and_a_broker_speak_http_1_1_over_tls_1_3() {
    let cluster = Cluster::new();
    let meeting = cluster.dial(cluster.pin(), cluster.broker()).succeeded();
    assert_eq!(meeting.client.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(meeting.server.protocol_version(), Some(ProtocolVersion::TLSv1_3));
    assert_eq!(meeting.client.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert_eq!(meeting.server.alpn_protocol(), Some(&b"http/1.1"[..]));
    assert!(meeting.server.peer_certificates().is_none());
}

#[test]
fn a_client_that_speaks_only_tls_1_2_is_refused() {
    let cluster = Cluster::new();
    let name = cluster.client().server_name().expect("a name");
    let old = stranger(&[&rustls::version::TLS12], &cluster);
    let refusal = meet(old, name.clone(), serving(cluster.broker(), &cluster.trust()))
        .refused_by_server(AlertDescription::ProtocolVersion);
    assert_eq!(refusal, Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled));

    let new = stranger(&[&rustls::version::TLS13], &cluster);
    meet(new, name, serving(cluster.broker(), &cluster.trust())).succeeded();
}

#[test]
fn a_broker_that_speaks_only_tls_1_2_is_refused() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let name = client.server_name().expect("a name");
    let server = |version: &'static rustls::SupportedProtocolVersion| {
        let broker = cluster.broker();
        let builder =
            ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[version]).expect("version");
        builder.with_no_client_auth().with_single_cert(broker.chain, broker.key.to_tls()).expect("a server")
    };
    let refusal = meet(anonymous_at(NOW, &client), name.clone(), server(&rustls::version::TLS12))
        .refused_by_server(AlertDescription::ProtocolVersion);
    // The machine never offers what that server speaks.
    assert_eq!(refusal, Error::PeerIncompatible(PeerIncompatible::Tls12NotOfferedOrEnabled));
    meet(anonymous_at(NOW, &client), name, server(&rustls::version::TLS13)).succeeded();
}

#[test]
fn a_client_that_speaks_http_2_only_is_refused() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let mut config = anonymous_at(NOW, &client);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let refusal = meet(config, client.server_name().expect("a name"), serving(cluster.broker(), &cluster.trust()))
        .refused_by_server(AlertDescription::NoApplicationProtocol);
    assert_eq!(refusal, Error::NoApplicationProtocol);
}

#[test]
fn a_broker_gives_no_ticket_and_takes_no_early_data_from_a_client_that_wants_both() {
    let cluster = Cluster::new();
    let name = cluster.client().server_name().expect("a name");
    let mut greedy = stranger(&[&rustls::version::TLS13], &cluster);
    greedy.resumption = Resumption::in_memory_sessions(8);
    greedy.enable_early_data = true;
    let greedy = Arc::new(greedy);
    let server = Arc::new(serving(cluster.broker(), &cluster.trust()));
    // Each of these alone would do.
    assert!(!server.session_storage.can_cache() && !server.ticketer.enabled());
    assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
    for _ in 0..2 {
        let mut meeting = meet(greedy.clone(), name.clone(), server.clone()).succeeded();
        assert_eq!(meeting.client.tls13_tickets_received(), 0);
        assert_eq!(meeting.client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(meeting.server.handshake_kind(), Some(HandshakeKind::Full));
        assert!(!meeting.client.is_early_data_accepted());
        assert!(meeting.server.early_data().is_none());
    }

    // The same client does resume, with early data, where a server lets it.
    let mut generous = serving(cluster.broker(), &cluster.trust());
    generous.send_tls13_tickets = 2;
    generous.max_early_data_size = 1024;
    generous.session_storage = ServerSessionMemoryCache::new(8);
    let generous = Arc::new(generous);
    assert_eq!(meet(greedy.clone(), name.clone(), generous.clone()).succeeded().client.tls13_tickets_received(), 2);
    let again = meet(greedy, name, generous).succeeded();
    assert_eq!(again.server.handshake_kind(), Some(HandshakeKind::Resumed));
}

#[test]
fn a_machine_does_not_resume_even_where_a_server_lets_it() {
    let cluster = Cluster::new();
    let client = cluster.client();
    let name = client.server_name().expect("a name");
    let mut generous = serving(cluster.broker(), &cluster.trust());
    generous.send_tls13_tickets = 2;
    generous.max_early_data_size = 1024;
    generous.session_storage = ServerSessionMemoryCache::new(8);
    let (config, generous) = (Arc::new(anonymous_at(NOW, &client)), Arc::new(generous));
    assert!(!config.enable_early_data);
    for _ in 0..2 {
        let meeting = meet(config.clone(), name.clone(), generous.clone()).succeeded();
        assert_eq!(meeting.client.tls13_tickets_received(), 2);
        assert_eq!(meeting.client.handshake_kind(), Some(HandshakeKind::Full));
        assert_eq!(meeting.server.handshake_kind(), Some(HandshakeKind::Full));
        assert!(!meeting.client.is_early_data_accepted());
    }
}

#[test]
fn a_certificate_is_replaced_while_the_broker_serves() {
    let cluster = Cluster::new();
    let (first, second) = (cluster.broker(), cluster.broker());
    let leaves = [first.chain[0].clone(), second.chain[0].clone()];
    assert_ne!(leaves[0], leaves[1]);
    let tls = ServerTls::new(provider(), first).expect("a server");
    let server = Arc::new(server_at(at(NOW), tls.config(cluster.trust()).expect("settings")));
    let client = PinnedClient::new(provider(), cluster.pin());
    let leaf_shown = || {
        let name = client.server_name().expect("a name");
        let meeting = meet(anonymous_at(NOW, &client), name, server.clone()).succeeded();
        meeting.client.peer_certificates().expect("a chain")[0].clone()
    };
    assert_eq!(leaf_shown(), leaves[0]);
    tls.replace(second).expect("replaced");
    assert_eq!(leaf_shown(), leaves[1]);
}
