//! VRRP: instances, what they watch, and who would hear of whose death.

use std::fmt;
use std::time::Duration;

use holdfast_control::{BfdSession, Fate, Instance, Timing, Tracker};
use prometheus_client::encoding::{EncodeMetric, MetricEncoder};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

use super::labels::{
    AddressLabels, CounterLabels, DirectionLabels, EndLabels, InstanceLabels, InstanceStateLabels,
    PeerLabels, PriorityLabels, ReasonLabels, TrackerLabels, TransitionLabels,
};
use super::{Numbers, Totals, signed};

fn labels_of(instance: &Instance) -> InstanceLabels {
    InstanceLabels {
        instance: instance.name.clone(),
        interface: instance.interface.clone(),
        vrid: instance.vrid.into(),
        family: instance.family.clone(),
    }
}

/// How often this node has become Active, and how often another one was so beside it.
pub(super) fn takeovers(registry: &mut Registry, instances: &[Instance]) {
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

pub(super) fn instances(registry: &mut Registry, instances: &[Instance]) {
    let (states, priorities, ages) = (Numbers::default(), Numbers::default(), Numbers::default());
    let (packets, events) = (Totals::default(), Totals::default());
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
    registry.register("vrrp_adverts", "Advertisements by direction", adverts);
    registry.register("vrrp_advert_errors", "Packets that broke a rule, by the rule", errors);
    registry.register("vrrp_packets", "Packets by what became of them", packets);
    registry.register("vrrp_events", "Oddities and changes by kind", events);
}

/// Where instances went, when they went last, and what they have with them.
pub(super) fn transitions(registry: &mut Registry, instances: &[Instance]) {
    let (total, last, vips) = (Totals::default(), Numbers::default(), Numbers::default());
    for instance in instances {
        let labels = labels_of(instance);
        for (to, count) in &instance.transitions_to {
            let InstanceLabels { instance, interface, vrid, family } = labels.clone();
            let to = to.clone();
            let labels = TransitionLabels { instance, interface, vrid, family, to };
            total.get_or_create(&labels).inc_by(*count);
        }
        if let Some(at) = instance.last_transition_at {
            last.get_or_create(&labels).set(signed(at));
        }
        for address in instance.addresses.iter().chain(&instance.excluded) {
            let vip = address.split('/').next().unwrap_or_default().to_owned();
            let labels = AddressLabels { instance: instance.name.clone(), vip };
            vips.get_or_create(&labels).set(instance.holds_addresses.into());
        }
    }
    registry.register("vrrp_transitions", "Changes of state by where they led", total);
    let help = "When the last change of state was";
    registry.register_with_unit("vrrp_last_transition_timestamp", help, Unit::Seconds, last);
    registry.register(
        "vip_announced",
        "1 while this node has the address and answers for it",
        vips,
    );
}

/// Whether a counter of an instance counts something else than packets.
fn is_event(counter: &str) -> bool {
    matches!(counter, "became_active" | "stalls" | "near_takeovers" | "put_back" | "dual_actives")
}

pub(super) fn trackers(registry: &mut Registry, trackers: &[Tracker]) {
    let up = Numbers::default();
    for tracker in trackers {
        let labels = TrackerLabels { tracker: tracker.name.clone() };
        // A file's number is up while it is 0.
        up.get_or_create(&labels).set(matches!(tracker.state.as_str(), "up" | "0").into());
    }
    registry.register("tracker_up", "1 while what is watched is up", up);
}

pub(super) fn bfd(registry: &mut Registry, sessions: &[BfdSession]) {
    let up = Numbers::default();
    for session in sessions {
        let labels = PeerLabels { peer: session.peer.to_string() };
        up.get_or_create(&labels).set((session.state == "up").into());
    }
    registry.register("bfd_up", "1 while the BFD session is up", up);
}

/// Whose death would be heard, and whose were; nothing where there is no channel.
pub(super) fn fate(registry: &mut Registry, instances: &[Instance], fate: Option<&Fate>) {
    let Some(fate) = fate else { return };
    let up = Numbers::default();
    for instance in instances {
        let stands = fate.watched.iter().any(|channel| {
            Some(channel.peer) == instance.active
                && channel.interface == instance.interface
                && channel.state == "stands"
        });
        up.get_or_create(&labels_of(instance)).set(stands.into());
    }
    registry.register(
        "vrrp_fate_up",
        "1 while this backup would hear at once that the active node's daemon has died",
        up,
    );
    let ends = Totals::default();
    for (reason, count) in &fate.ends {
        ends.get_or_create(&EndLabels { reason: reason.clone() }).inc_by(*count);
    }
    registry.register("vrrp_fate_ends", "Fate channels that stood and ended, by how", ends);
    for (name, help, number) in [
        (
            "vrrp_fate_watchers",
            "Fate channels by which others watch this node",
            fate.watchers.len(),
        ),
        ("vrrp_fate_problems", "Interfaces on which none can be taken", fate.problems.len()),
    ] {
        let gauge: Gauge = Gauge::default();
        gauge.set(signed(number as u64));
        registry.register(name, help, gauge);
    }
}

/// The VRRP thread's own histogram; the registry only writes it down.
#[derive(Debug)]
pub(super) struct Late(pub(super) Timing);

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
