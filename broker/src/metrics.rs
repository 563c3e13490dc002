//! Figures for Prometheus, on an address of their own.
//!
//! Must not have a label whose values come from outside.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The steps of a boot, as requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are the label's values")]
pub(crate) enum Step {
    identity,
    grant,
    redeem,
    join,
    leave,
    membership,
    handover,
    log,
    joiner,
    operator,
    health,
    other,
}

/// How requests end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, EncodeLabelValue)]
#[allow(non_camel_case_types, reason = "the names are the label's values")]
pub(crate) enum Ending {
    ok,
    refused,
    unavailable,
    ask_again,
    malformed,
    not_found,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Request {
    step: Step,
    ending: Ending,
}

/// All figures.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Request, Counter>,
    /// Connections that are open now.
    pub(crate) connections: Gauge,
    /// Connections that were closed to make room.
    pub(crate) evicted: Counter,
    /// Whether the broker is ready: 1 or 0.
    pub(crate) ready: Gauge,
    /// Nodes that nothing explains.
    pub(crate) unexplained: Gauge,
    /// Alarms raised since the start.
    pub(crate) alarms: Gauge<u64, AtomicU64>,
    /// Seconds until the issuing CA ends.
    pub(crate) issuing_ends: Gauge,
    /// Seconds until the root ends.
    pub(crate) root_ends: Gauge,
    /// Joiners that are served.
    pub(crate) joiners: Gauge,
    /// Joiners that should be served and are not here.
    pub(crate) joiners_missing: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("swarm_broker"),
            requests: Family::default(),
            connections: Gauge::default(),
            evicted: Counter::default(),
            ready: Gauge::default(),
            unexplained: Gauge::default(),
            alarms: Gauge::default(),
            issuing_ends: Gauge::default(),
            root_ends: Gauge::default(),
            joiners: Gauge::default(),
            joiners_missing: Gauge::default(),
        };
        let registry = &mut metrics.registry;
        registry.register("requests", "Requests by step and ending", metrics.requests.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register("connections_evicted", "Connections closed to make room", metrics.evicted.clone());
        registry.register("ready", "Whether machines can be admitted", metrics.ready.clone());
        registry.register("nodes_unexplained", "Nodes that nothing explains", metrics.unexplained.clone());
        registry.register("alarms_raised", "Alarms since the start", metrics.alarms.clone());
        registry.register("issuing_ends_seconds", "Seconds until the issuing CA ends", metrics.issuing_ends.clone());
        registry.register("root_ends_seconds", "Seconds until the root ends", metrics.root_ends.clone());
        registry.register("joiners", "Joiners that are served", metrics.joiners.clone());
        registry.register("joiners_missing", "Joiners that are listed and not here", metrics.joiners_missing.clone());
        metrics
    }

    /// Counts a request.
    pub(crate) fn count(&self, step: Step, ending: Ending) {
        self.requests.get_or_create(&Request { step, ending }).inc();
    }

    /// All figures as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}
