//! The kernel's table, the synchronisation of its connections, and sysctls.

use holdfast_control::{ConnectionSync, Ipvs, Sysctls};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::labels::{KindLabels, OriginLabels, RoleLabels};
use super::{Numbers, Totals, signed};

pub(super) fn table(registry: &mut Registry, ipvs: &Ipvs, sync: Option<&ConnectionSync>) {
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
    let of_sync = sync.into_iter().flat_map(|sync| &sync.drift_total);
    for (kind, count) in ipvs.drift_total.iter().chain(of_sync) {
        drift.get_or_create(&KindLabels { kind: kind.clone() }).inc_by(*count);
    }
    registry.register(
        "ipvs_drift",
        "Others' changes of our services and sync daemons, by kind",
        drift,
    );
}

/// What the kernel's sync daemons do, and where its connections come from.
pub(super) fn synchronisation(registry: &mut Registry, sync: &ConnectionSync) {
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

pub(super) fn sysctls(registry: &mut Registry, sysctls: &Sysctls) {
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
