//! The daemon's state for Prometheus, made anew from a [`Status`] at each scrape: what is gone leaves no series behind.
//!
//! How many series there are is bounded by the configuration: labels are names of services, servers, instances and trackers, and words of
//! fixed sets. No label has an address, a sentence or a code that comes from outside. What has happened by itself (checks, requests) is
//! counted by [`crate::tally`] and [`crate::checks`].

mod text;
mod traffic;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use holdfast_control::reload::Configuration;
use holdfast_control::{
    BfdSession, ConnectionSync, Instance, Ipvs, PeerNode, Service, Status, Sysctls, Timing, Tracker,
};
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{EncodeLabelSet, EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use crate::tally::{Count, counted};

/// In which form metrics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Prometheus' text format, 0.0.4.
    Text,
    /// OpenMetrics 1.0.0, for who asks for it.
    OpenMetrics,
}

impl Form {
    /// Its media type.
    pub const fn media_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

type Numbers<L> = Family<L, Gauge<i64>>;
type Totals<L> = Family<L, Counter<u64, AtomicU64>>;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InstanceLabels {
    instance: String,
    interface: String,
    vrid: u64,
    family: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct InstanceStateLabels {
    instance: String,
    interface: String,
    vrid: u64,
    family: String,
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PriorityLabels {
    instance: String,
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DirectionLabels {
    instance: String,
    direction: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    instance: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CheckLabels {
    result: String,
    reason: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServiceStateLabels {
    service: String,
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServerKindLabels {
    service: String,
    server: String,
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServerStateLabels {
    service: String,
    server: String,
    state: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CounterLabels {
    instance: String,
    counter: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TrackerLabels {
    tracker: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct PeerLabels {
    peer: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NodeLabels {
    node: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct NodePartLabels {
    node: String,
    part: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct KindLabels {
    kind: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ResultLabels {
    result: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RoleLabels {
    role: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct OriginLabels {
    origin: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServiceLabels {
    service: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ServerLabels {
    service: String,
    server: String,
}

/// `status` and what was counted, in the form of choice.
///
/// # Errors
/// Never in practice: the text is written to memory.
pub fn render(status: &Status, form: Form) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("holdfast");
    registry.register(
        "build",
        "The program's version",
        Info::new(vec![("version", status.daemon.version.clone())]),
    );
    let uptime: Gauge = Gauge::default();
    uptime.set(signed(status.daemon.uptime_s));
    registry.register_with_unit("uptime", "Time since the daemon started", Unit::Seconds, uptime);
    configuration(&mut registry, &status.daemon.configuration);
    vrrp(&mut registry, &status.vrrp);
    takeovers(&mut registry, &status.vrrp);
    trackers(&mut registry, &status.trackers);
    bfd(&mut registry, &status.bfd);
    hooks(&mut registry, &status.hooks);
    registry.register_with_unit(
        "vrrp_timer_lateness",
        "How late the VRRP thread's timers fired",
        Unit::Seconds,
        Late(status.timing.clone()),
    );
    pools(&mut registry, &status.services);
    traffic::traffic(&mut registry, &status.services);
    traffic::discovery(&mut registry, &status.services);
    if let Some(ipvs) = &status.ipvs {
        table(&mut registry, ipvs);
    }
    if let Some(sync) = &status.sync {
        synchronisation(&mut registry, sync);
    }
    sysctls(&mut registry, &status.sysctls);
    nodes(&mut registry, &status.nodes);
    let faults = &status.daemon.faults;
    for (name, help, value) in [
        ("panics", "Faults of the daemon that ended one task each", faults.panics),
        ("worker_restarts", "Workers that died and were replaced", faults.restarts),
        ("vrrp_lost_packets", "Packets that were not read in time", status.timing.lost_packets),
        (
            "vrrp_link_resynchronisations",
            "Listings of links after messages were lost",
            status.timing.link_resynchronisations,
        ),
    ] {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
    checks(&mut registry);
    tallies(&mut registry);
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(match form {
        Form::OpenMetrics => text,
        Form::Text => text::from_open_metrics(&text),
    })
}

/// How runs of checks ended and how long they took.
fn checks(registry: &mut Registry) {
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
fn tallies(registry: &mut Registry) {
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

/// The other nodes of the pair: whether they answer, and in what they differ.
fn nodes(registry: &mut Registry, nodes: &[PeerNode]) {
    let (answers, differs) = (Numbers::default(), Numbers::default());
    for node in nodes {
        let reached = matches!(node.state.as_str(), "equal" | "differs" | "other_version");
        answers.get_or_create(&NodeLabels { node: node.name.clone() }).set(reached.into());
        for part in ["services", "vrrp", "runtime_changes"] {
            let labels = NodePartLabels { node: node.name.clone(), part: part.to_owned() };
            let found = node.differs.iter().any(|one| one.part == part);
            differs.get_or_create(&labels).set(found.into());
        }
    }
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

fn configuration(registry: &mut Registry, configuration: &Configuration) {
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

fn labels_of(instance: &Instance) -> InstanceLabels {
    InstanceLabels {
        instance: instance.name.clone(),
        interface: instance.interface.clone(),
        vrid: instance.vrid.into(),
        family: instance.family.clone(),
    }
}

/// How often this node has become Active, and how often another one was so beside it.
fn takeovers(registry: &mut Registry, instances: &[Instance]) {
    for (counter, name, help) in [
        ("became_active", "vrrp_became_active", "Changes of state to Active"),
        (
            "dual_actives",
            "vrrp_dual_actives",
            "How often another router was Active beside this one",
        ),
    ] {
        let total = Totals::default();
        for instance in instances {
            let value = instance.counters.get(counter).copied().unwrap_or_default();
            total.get_or_create(&labels_of(instance)).inc_by(value);
        }
        registry.register(name, help, total);
    }
}

fn vrrp(registry: &mut Registry, instances: &[Instance]) {
    let (states, priorities, ages) = (Numbers::default(), Numbers::default(), Numbers::default());
    let (transitions, packets, events) = (Totals::default(), Totals::default(), Totals::default());
    let (adverts, errors) = (Totals::default(), Totals::default());
    let disagreements = Numbers::default();
    let (dual, released, held) = (Numbers::default(), Numbers::default(), Numbers::default());
    for instance in instances {
        let labels = labels_of(instance);
        for state in ["initialize", "backup", "active", "releasing"] {
            let InstanceLabels { instance: name, interface, vrid, family } = labels.clone();
            let state_labels = InstanceStateLabels {
                instance: name,
                interface,
                vrid,
                family,
                state: state.to_owned(),
            };
            states.get_or_create(&state_labels).set((instance.state == state).into());
        }
        for (kind, priority) in
            [("effective", instance.priority), ("configured", instance.base_priority)]
        {
            let labels = PriorityLabels { instance: instance.name.clone(), kind: kind.to_owned() };
            priorities.get_or_create(&labels).set(priority.into());
        }
        ages.get_or_create(&labels).set(signed(instance.since_s));
        dual.get_or_create(&labels).set(instance.dual_active.is_some().into());
        let count = i64::try_from(instance.disagreements.len()).unwrap_or(i64::MAX);
        disagreements.get_or_create(&labels).set(count);
        released.get_or_create(&labels).set(instance.released.into());
        held.get_or_create(&labels).set(instance.holds_addresses.into());
        transitions.get_or_create(&labels).inc_by(instance.transitions);
        for (counter, value) in &instance.counters {
            let name = instance.name.clone();
            if let Some(reason) = counter.strip_prefix("discarded_") {
                let labels = ReasonLabels { instance: name.clone(), reason: reason.to_owned() };
                errors.get_or_create(&labels).inc_by(*value);
            }
            if let Some(direction) = counter.strip_prefix("advertisements_") {
                let direction = direction.to_owned();
                let labels = DirectionLabels { instance: name.clone(), direction };
                adverts.get_or_create(&labels).inc_by(*value);
            }
            let family = if is_event(counter) { &events } else { &packets };
            let labels = CounterLabels { instance: name, counter: counter.clone() };
            family.get_or_create(&labels).inc_by(*value);
        }
    }
    registry.register("vrrp_state", "1 for the state that the instance is in", states);
    let help = "How long the instance has been in its state";
    registry.register_with_unit("vrrp_state_age", help, Unit::Seconds, ages);
    registry.register("vrrp_priority", "The priority of this node", priorities);
    registry.register("vrrp_dual_active", "1 while another router is Active beside this one", dual);
    let help = "What other nodes advertise otherwise than this one is configured";
    registry.register("vrrp_disagreements", help, disagreements);
    registry.register("vrrp_released", "1 while the node was told to step back", released);
    registry.register("vrrp_holds_addresses", "1 while this node has the addresses", held);
    registry.register("vrrp_transitions", "Changes of state", transitions);
    registry.register("vrrp_adverts", "Advertisements by direction", adverts);
    registry.register("vrrp_advert_errors", "Packets that broke a rule, by the rule", errors);
    registry.register("vrrp_packets", "Packets by what became of them", packets);
    registry.register("vrrp_events", "Oddities and changes by kind", events);
}

fn trackers(registry: &mut Registry, trackers: &[Tracker]) {
    let up = Numbers::default();
    for tracker in trackers {
        let labels = TrackerLabels { tracker: tracker.name.clone() };
        // A file's number is up while it is 0.
        up.get_or_create(&labels).set(matches!(tracker.state.as_str(), "up" | "0").into());
    }
    registry.register("tracker_up", "1 while what is watched is up", up);
}

fn bfd(registry: &mut Registry, sessions: &[BfdSession]) {
    let up = Numbers::default();
    for session in sessions {
        let labels = PeerLabels { peer: session.peer.to_string() };
        up.get_or_create(&labels).set((session.state == "up").into());
    }
    registry.register("bfd_up", "1 while the BFD session is up", up);
}

fn hooks(registry: &mut Registry, runs: &BTreeMap<String, u64>) {
    let total = Totals::default();
    for (result, count) in runs {
        total.get_or_create(&ResultLabels { result: result.clone() }).inc_by(*count);
    }
    registry.register("hook_runs", "Runs of hooks by result", total);
}

/// The VRRP thread's own histogram; the registry only writes it down.
#[derive(Debug)]
struct Late(Timing);

impl EncodeMetric for Late {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let seconds = |micros: u64| Duration::from_micros(micros).as_secs_f64();
        let late = self.0.late.iter();
        let buckets: Vec<(f64, u64)> =
            late.map(|(bound, count)| (bound.map_or(f64::INFINITY, seconds), *count)).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        encoder.encode_histogram::<TrackerLabels>(
            seconds(self.0.late_sum_us),
            count,
            &buckets,
            None,
        )
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}

/// The states of servers.
const STATES: [&str; 6] = ["up", "down", "starting", "draining", "drained", "maint"];

/// What an operator may want of a server.
const WISHES: [&str; 4] = ["ready", "drain", "maint", "remove"];

fn pools(registry: &mut Registry, services: &[Service]) {
    let (serving, refused) = (Numbers::default(), Numbers::default());
    let (states, up, admin) = (Numbers::default(), Numbers::default(), Numbers::default());
    let (weights, connections) = (Numbers::default(), Numbers::default());
    let (quorum, weight, needed) = (Numbers::default(), Numbers::default(), Numbers::default());
    for service in services {
        let labels = ServiceLabels { service: service.name.clone() };
        serving.get_or_create(&labels).set(signed(service.up as u64));
        refused.get_or_create(&labels).set((!service.refused.is_empty()).into());
        quorum.get_or_create(&labels).set((service.quorum.state == "up").into());
        weight.get_or_create(&labels).set(signed(service.quorum.weight));
        needed.get_or_create(&labels).set(service.quorum.needed.into());
        for state in STATES {
            let number = service.servers.iter().filter(|server| server.state == state).count();
            let labels =
                ServiceStateLabels { service: service.name.clone(), state: state.to_owned() };
            states.get_or_create(&labels).set(signed(number as u64));
        }
        for server in &service.servers {
            let name = || (service.name.clone(), server.name.clone());
            let (service_name, server_name) = name();
            let labels = ServerLabels { service: service_name, server: server_name };
            up.get_or_create(&labels).set((server.health == "up").into());
            for state in WISHES {
                let (service, server_name) = name();
                let state_labels =
                    ServerStateLabels { service, server: server_name, state: state.to_owned() };
                admin.get_or_create(&state_labels).set((server.admin == state).into());
            }
            let kinds = |kind: &str| {
                let (service, server) = name();
                ServerKindLabels { service, server, kind: kind.to_owned() }
            };
            for (kind, weight) in [
                ("configured", server.weight),
                ("effective", server.effective_weight.unwrap_or_default()),
            ] {
                weights.get_or_create(&kinds(kind)).set(weight.into());
            }
            for (kind, number) in
                [("active", server.active_connections), ("inactive", server.inactive_connections)]
            {
                if let Some(number) = number {
                    connections.get_or_create(&kinds(kind)).set(signed(number));
                }
            }
        }
    }
    registry.register("service_servers_up", "Servers that take new connections", serving);
    registry.register("service_servers", "Servers by their state", states);
    registry.register("service_quorum_up", "1 while the service has its quorum", quorum);
    registry.register("service_weight", "The weight of the servers that can serve", weight);
    registry.register("service_quorum_weight", "The weight that the quorum takes", needed);
    registry.register("service_refused", "1 when the kernel refuses something of it", refused);
    registry.register("server_up", "1 when every check of the server passes", up);
    registry.register("server_admin_state", "1 for what the operator wants of it", admin);
    let help = "The server's weight as configured and in the kernel, there in units of the service's scale";
    registry.register("server_weight", help, weights);
    registry.register("server_connections", "Connections that the kernel counts", connections);
}

fn table(registry: &mut Registry, ipvs: &Ipvs) {
    for (name, help, value) in [
        ("ipvs_reconciliations", "Comparisons of the kernel's table", ipvs.reconciliations_total),
        ("ipvs_operations", "Operations sent to the kernel", ipvs.operations_total),
        ("ipvs_drift_repairs", "Operations that undid others' changes", ipvs.drift_repairs_total),
        ("ipvs_refusals", "Operations for services that the kernel refused", ipvs.refusals_total),
        (
            "ipvs_foreign_removed",
            "Services of others that were removed",
            ipvs.foreign_removed_total,
        ),
        (
            "ipvs_settings_repairs",
            "How often marks and timeouts were put back",
            ipvs.settings_repairs_total,
        ),
    ] {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
    let drift = Totals::default();
    for (kind, count) in &ipvs.drift_total {
        drift.get_or_create(&KindLabels { kind: kind.clone() }).inc_by(*count);
    }
    registry.register("ipvs_drift", "Others' changes of our services, by kind", drift);
}

/// What the kernel's sync daemons do, and where its connections come from.
fn synchronisation(registry: &mut Registry, sync: &ConnectionSync) {
    let (wanted, running) = (Numbers::default(), Numbers::default());
    for role in ["master", "backup"] {
        let labels = RoleLabels { role: role.to_owned() };
        wanted.get_or_create(&labels).set(sync.wanted.iter().any(|one| one == role).into());
        let runs = sync.daemons.iter().any(|daemon| daemon.role == role);
        running.get_or_create(&labels).set(runs.into());
    }
    registry.register("ipvs_sync_wanted", "1 for the sync daemons that shall run", wanted);
    registry.register("ipvs_sync_running", "1 for the sync daemons that run", running);
    let fault: Gauge = Gauge::default();
    fault.set(sync.fault.is_some().into());
    registry.register("ipvs_sync_fault", "1 while connections are not synchronised", fault);
    for (name, help, value) in [
        ("ipvs_sync_starts", "Starts of sync daemons", sync.starts_total),
        ("ipvs_sync_stops", "Stops of sync daemons", sync.stops_total),
    ] {
        let counter: Counter = Counter::default();
        counter.inc_by(value);
        registry.register(name, help, counter);
    }
    if let Some(connections) = &sync.connections {
        let sample = Numbers::default();
        let local = connections.looked_at.saturating_sub(connections.of_sync);
        for (origin, count) in [("sync", connections.of_sync), ("local", local)] {
            sample.get_or_create(&OriginLabels { origin: origin.to_owned() }).set(signed(count));
        }
        registry.register(
            "ipvs_connections_sampled",
            "The first 20000 connections of the kernel's table at most, by origin",
            sample,
        );
    }
}

fn sysctls(registry: &mut Registry, sysctls: &Sysctls) {
    let wrong: Gauge = Gauge::default();
    wrong.set(signed(sysctls.each.iter().filter(|one| one.problem.is_some()).count() as u64));
    registry.register("sysctls_wrong", "Sysctls that are not as services need them", wrong);
    let repairs: Counter = Counter::default();
    repairs.inc_by(sysctls.repairs_total);
    registry.register(
        "sysctl_repairs",
        "Sysctls that others changed and that were set again",
        repairs,
    );
}

/// Whether a counter of an instance counts something else than packets.
fn is_event(counter: &str) -> bool {
    matches!(counter, "became_active" | "stalls" | "near_takeovers" | "put_back" | "dual_actives")
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use holdfast_control::reload::LastReload;
    use holdfast_control::{DaemonInfo, Difference, SyncedConnections};

    use super::*;

    fn daemon() -> DaemonInfo {
        DaemonInfo {
            node: "lb1".into(),
            version: "0.1.0".into(),
            config: "c".into(),
            uptime_s: 5,
            faults: holdfast_control::Faults { panics: 2, restarts: 1, last_end: None },
            runtime_changes: 0,
            journal_problem: None,
            configuration: Configuration {
                last_good: None,
                generation: 3,
                fingerprint: "00000000000000ff".into(),
                loaded_at: 1_800_000_000,
                reloads_applied: 2,
                reloads_refused: 1,
                last_reload: Some(LastReload { applied: false, at: 1_800_000_001, error: None }),
            },
        }
    }

    fn told_and_in_fault() -> ConnectionSync {
        ConnectionSync {
            wanted: vec!["master".to_owned()],
            fault: Some("no such interface".to_owned()),
            connections: Some(SyncedConnections {
                looked_at: 10,
                of_sync: 7,
                complete: true,
                s_ago: 0,
            }),
            ..ConnectionSync::default()
        }
    }

    fn of_everything() -> Status {
        let instance = Instance {
            name: "edge".into(),
            state: "active".into(),
            since_s: 1,
            reason: String::new(),
            interface: "eth0".into(),
            vrid: 51,
            version: 3,
            family: "ipv4".into(),
            priority: 150,
            transitions: 2,
            counters: [("hop_limit".to_owned(), 7), ("stalls".to_owned(), 1)].into(),
            ..Instance::default()
        };
        let timing = Timing {
            late: vec![(Some(1000), 3), (Some(5000), 1), (None, 1)],
            late_sum_us: 1_500_000,
            ..Timing::default()
        };
        let tracker = Tracker {
            name: "haproxy".into(),
            kind: "process".into(),
            state: "up".into(),
            reason: String::new(),
            since_s: 1,
        };
        Status {
            daemon: daemon(),
            vrrp: vec![instance],
            groups: vec![],
            trackers: vec![tracker],
            bfd: vec![],
            bfd_strays: [].into(),
            hooks: [("failed".to_owned(), 2)].into(),
            timing,
            services: vec![],
            ipvs: None,
            sync: Some(told_and_in_fault()),
            sysctls: Sysctls { repairs_total: 3, ..Sysctls::default() },
            runs: Default::default(),
            nodes: vec![PeerNode {
                name: "lb2".into(),
                state: "differs".into(),
                differs: vec![Difference { part: "vrrp".into(), ..Difference::default() }],
                ..PeerNode::default()
            }],
        }
    }

    #[test]
    fn states_are_a_set_of_which_one_is_true() {
        let text = render(&of_everything(), Form::OpenMetrics).expect("text");
        for line in [
            r#"holdfast_vrrp_state{instance="edge",interface="eth0",vrid="51",family="ipv4",state="active"} 1"#,
            r#"holdfast_vrrp_state{instance="edge",interface="eth0",vrid="51",family="ipv4",state="backup"} 0"#,
            r#"holdfast_vrrp_priority{instance="edge",kind="effective"} 150"#,
            r#"holdfast_vrrp_packets_total{instance="edge",counter="hop_limit"} 7"#,
            r#"holdfast_vrrp_events_total{instance="edge",counter="stalls"} 1"#,
            "holdfast_uptime_seconds 5",
            "holdfast_panics_total 2",
            "holdfast_worker_restarts_total 1",
            "holdfast_config_generation 3",
            r#"holdfast_config_info{fingerprint="00000000000000ff"} 1"#,
            "holdfast_config_last_reload_success_timestamp_seconds 1800000000",
            "holdfast_config_last_reload_successful 0",
            r#"holdfast_reloads_total{result="applied"} 2"#,
            r#"holdfast_reloads_total{result="refused"} 1"#,
            r#"holdfast_hook_runs_total{result="failed"} 2"#,
            r#"holdfast_tracker_up{tracker="haproxy"} 1"#,
            r#"holdfast_vrrp_timer_lateness_seconds_bucket{le="0.001"} 3"#,
            r#"holdfast_vrrp_timer_lateness_seconds_bucket{le="0.005"} 4"#,
            r#"holdfast_vrrp_timer_lateness_seconds_bucket{le="+Inf"} 5"#,
            "holdfast_vrrp_timer_lateness_seconds_count 5",
            r#"holdfast_ipvs_sync_wanted{role="master"} 1"#,
            r#"holdfast_ipvs_sync_running{role="master"} 0"#,
            "holdfast_ipvs_sync_fault 1",
            r#"holdfast_ipvs_connections_sampled{origin="sync"} 7"#,
            r#"holdfast_ipvs_connections_sampled{origin="local"} 3"#,
            "holdfast_sysctl_repairs_total 3",
            r#"holdfast_node_up{node="lb2"} 1"#,
            r#"holdfast_node_differs{node="lb2",part="vrrp"} 1"#,
            r#"holdfast_node_differs{node="lb2",part="services"} 0"#,
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
