//! The daemon itself: its configuration, what it counts of its own work, hooks, the other nodes.

use std::collections::BTreeMap;
use std::fmt;

use holdfast_control::reload::Configuration;
use holdfast_control::{HookRuns, PeerNode, Runs};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{
    CheckLabels, HookLabels, NodeLabels, NodePartLabels, ResultLabels, TrackerLabels,
};
use super::{Numbers, Totals, signed};
use crate::tally::{Count, counted};

pub(super) fn configuration(registry: &mut Registry, configuration: &Configuration) {
    let fingerprint = vec![("fingerprint", configuration.fingerprint.clone())];
    registry.register("config", "The configuration that runs", Info::new(fingerprint));
    let number = |value: u64| -> Gauge {
        let gauge = Gauge::default();
        gauge.set(signed(value));
        gauge
    };
    let (generation, loaded) = (configuration.generation, configuration.loaded_at);
    registry.register("config_generation", "How many configurations have run", number(generation));
    registry.register_with_unit(
        "config_last_reload_success_timestamp",
        "When the configuration that runs was loaded",
        Unit::Seconds,
        number(loaded),
    );
    let last = configuration.last_reload.as_ref();
    registry.register(
        "config_last_reload_successful",
        "0 while the file that was read last was refused and an older configuration runs",
        number(u64::from(last.is_none_or(|last| last.applied))),
    );
    registry.register(
        "config_last_good_in_use",
        "1 while the last good configuration is used, because the file was not usable at the start",
        number(u64::from(configuration.last_good.is_some())),
    );
    let total = Totals::default();
    for (result, count) in
        [("applied", configuration.reloads_applied), ("refused", configuration.reloads_refused)]
    {
        total.get_or_create(&ResultLabels { result: result.to_owned() }).inc_by(count);
    }
    registry.register("reloads", "Reloads by result", total);
}

/// The other nodes of the pair: whether they answer, and in what they differ.
pub(super) fn nodes(registry: &mut Registry, nodes: &[PeerNode]) {
    let (answers, differs, in_sync) = (Numbers::default(), Numbers::default(), Numbers::default());
    for node in nodes {
        let same = node.state == "equal";
        in_sync.get_or_create(&NodeLabels { node: node.name.clone() }).set(same.into());
        let reached = matches!(node.state.as_str(), "equal" | "differs" | "other_version");
        answers.get_or_create(&NodeLabels { node: node.name.clone() }).set(reached.into());
        for part in ["services", "vrrp", "runtime_changes"] {
            let labels = NodePartLabels { node: node.name.clone(), part: part.to_owned() };
            let found = node.differs.iter().any(|one| one.part == part);
            differs.get_or_create(&labels).set(found.into());
        }
    }
    registry.register(
        "peer_config_in_sync",
        "1 while the other node answers and has the same configuration and run-time changes",
        in_sync,
    );
    registry.register(
        "node_up",
        "1 while the other node answers over the API between nodes",
        answers,
    );
    registry.register(
        "node_differs",
        "1 while the other node has something else of this part",
        differs,
    );
}

/// What hooks have done, each by its program; what was dropped was dropped before any program was known.
pub(super) fn hooks(registry: &mut Registry, counts: &BTreeMap<String, u64>, runs: &[HookRuns]) {
    let total = Totals::default();
    for HookRuns { hook, passed, failed, timed_out, not_started, .. } in runs {
        for (result, count) in [
            ("passed", passed),
            ("failed", failed),
            ("timed_out", timed_out),
            ("not_started", not_started),
        ] {
            let labels = HookLabels { hook: hook.clone(), result: result.to_owned() };
            total.get_or_create(&labels).inc_by(*count);
        }
    }
    registry.register("hook_runs", "Runs of hooks by program and result", total);
    let dropped: Counter = Counter::default();
    dropped.inc_by(counts.get("dropped").copied().unwrap_or_default());
    registry.register("hook_notices_dropped", "Notices for hooks that found no place", dropped);
}

/// How many runs of checks are under way, how they ended and how long they took.
pub(super) fn checks(registry: &mut Registry, runs: Runs) {
    for (name, help, value) in [
        ("check_runs", "Runs of checks that are under way", runs.running),
        (
            "check_runs_waiting",
            "Runs of checks that are due and wait for a descriptor",
            runs.waiting,
        ),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(signed(value));
        registry.register(name, help, gauge);
    }
    let total = Totals::default();
    for (result, reason, count) in crate::checks::outcomes() {
        let labels = CheckLabels { result: result.to_owned(), reason: reason.to_owned() };
        total.get_or_create(&labels).inc_by(count);
    }
    registry.register("checks", "Runs of checks by result and reason", total);
    registry.register_with_unit(
        "check_duration",
        "How long runs of checks took",
        Unit::Seconds,
        Took(crate::checks::durations()),
    );
}

/// The durations of checks' runs.
#[derive(Debug)]
struct Took(crate::checks::Durations);

impl EncodeMetric for Took {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let count = self.0.buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<TrackerLabels>(self.0.sum_s, count, &self.0.buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// What the daemon counts of itself.
pub(super) fn tallies(registry: &mut Registry) {
    let mut families: BTreeMap<&str, Totals<ResultLabels>> = BTreeMap::new();
    for one in Count::ALL {
        let labels = ResultLabels { result: one.label().to_owned() };
        let family = families.entry(one.family()).or_default();
        family.get_or_create(&labels).inc_by(counted(*one));
    }
    for (family, total) in families {
        let help = match family {
            "api_requests" => "Requests to the API by what became of them",
            "api_connections" => "Connections of the API by how they ended",
            "task_panics" => "Tasks that ended by a fault of the daemon, by their kind",
            _ => "Notifications by what became of them",
        };
        registry.register(family, help, total);
    }
}
