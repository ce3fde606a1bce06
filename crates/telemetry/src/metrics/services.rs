//! Services and their servers.

use holdfast_control::{Check, Service};
use prometheus_client::registry::Registry;

use super::labels::{
    ServerKindLabels, ServerLabels, ServerStateLabels, ServiceLabels, ServiceStateLabels,
};
use super::{Numbers, signed};

/// The states of servers.
const STATES: [&str; 6] = ["up", "down", "starting", "draining", "drained", "maint"];

/// What an operator may want of a server.
const WISHES: [&str; 4] = ["ready", "drain", "maint", "remove"];

pub(super) fn pools(registry: &mut Registry, services: &[Service]) {
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
            for (kind, number) in [
                ("active", server.active_connections),
                ("inactive", server.inactive_connections),
                ("persistent", server.persistent_connections),
            ] {
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
    registry.register(
        "server_connections",
        "Connections that the kernel counts, and clients that persistence binds",
        connections,
    );
}

/// The servers' certificates that end soon.
pub(super) fn certificates(registry: &mut Registry, services: &[Service]) {
    let ending = Numbers::default();
    for service in services {
        let warns = |check: &Check| check.warning.is_some();
        for server in service.servers.iter().filter(|server| server.checks.iter().any(warns)) {
            let (service, server) = (service.name.clone(), server.name.clone());
            ending.get_or_create(&ServerLabels { service, server }).set(1);
        }
    }
    registry.register(
        "server_certificate_ends_soon",
        "1 for a server of which a check has found a certificate that ends soon, or has ended",
        ending,
    );
}
