//! What goes through the services and to their servers, and what files say of them.

use holdfast_control::{Discovery, Service, Traffic};
use prometheus_client::registry::{Registry, Unit};

use super::labels::{ServerLabels, ServiceLabels};
use super::{Numbers, Totals, signed};

/// A counter of [`Traffic`]: its name, what it counts, and how it is read.
type Counter = (&'static str, &'static str, fn(&Traffic) -> u64);

const COUNTERS: [Counter; 5] = [
    ("service_connections", "Connections given to servers", |counted| counted.connections),
    ("service_in_packets", "Packets from clients", |counted| counted.packets_in),
    ("service_out_packets", "Packets to clients, where they pass here", |counted| {
        counted.packets_out
    }),
    ("service_in_bytes", "Bytes from clients", |counted| counted.bytes_in),
    ("service_out_bytes", "Bytes to clients, where they pass here", |counted| counted.bytes_out),
];

/// The same of each server; `server_connections` is what stands now.
const SERVER_COUNTERS: [Counter; 5] = [
    ("server_new_connections", "Connections given to the server", |counted| counted.connections),
    ("server_in_packets", "Packets to the server", |counted| counted.packets_in),
    ("server_out_packets", "Packets from the server, where they pass here", |counted| {
        counted.packets_out
    }),
    ("server_in_bytes", "Bytes to the server", |counted| counted.bytes_in),
    ("server_out_bytes", "Bytes from the server, where they pass here", |counted| {
        counted.bytes_out
    }),
];

fn labels(service: &Service) -> ServiceLabels {
    ServiceLabels { service: service.name.clone() }
}

/// What the kernel has counted of each service that it has, and of their servers.
pub(super) fn traffic(registry: &mut Registry, services: &[Service]) {
    for (name, help, count) in COUNTERS {
        let total = Totals::default();
        for service in services {
            if let Some(counted) = &service.traffic {
                total.get_or_create(&labels(service)).inc_by(count(counted));
            }
        }
        registry.register(name, help, total);
    }
    for (name, help, count) in SERVER_COUNTERS {
        let total = Totals::default();
        for service in services {
            for server in &service.servers {
                if let Some(counted) = &server.traffic {
                    let (service, server) = (service.name.clone(), server.name.clone());
                    let labels = ServerLabels { service, server };
                    total.get_or_create(&labels).inc_by(count(counted));
                }
            }
        }
        registry.register(name, help, total);
    }
}

/// What the files of each service with `discover` said last.
pub(super) fn discovery(registry: &mut Registry, services: &[Service]) {
    let (named, problems, read) = (Numbers::default(), Numbers::default(), Numbers::default());
    for service in services {
        let Some(Discovery { servers, problems: found, read_at, .. }) = &service.discovery else {
            continue;
        };
        named.get_or_create(&labels(service)).set(signed(*servers as u64));
        problems.get_or_create(&labels(service)).set(signed(found.len() as u64));
        if let Some(at) = read_at {
            read.get_or_create(&labels(service)).set(signed(*at));
        }
    }
    registry.register("discovery_servers", "Servers that files name", named);
    registry.register(
        "discovery_problems",
        "What is wrong with the files, or why they are not believed",
        problems,
    );
    let help = "When the files were read and believed last";
    registry.register_with_unit("discovery_last_success_timestamp", help, Unit::Seconds, read);
}

#[cfg(test)]
mod tests {
    use holdfast_control::Quorum;
    use prometheus_client::encoding::text::encode;

    use super::*;

    #[test]
    fn a_service_that_the_kernel_has_not_has_no_series_and_one_without_files_no_discovery() {
        let service = |name: &str, traffic, discovery| Service {
            name: name.to_owned(),
            listen: vec![],
            scheduler: "rr".to_owned(),
            forward: "nat".to_owned(),
            up: 0,
            quorum: Quorum::default(),
            sorry_servers: vec![],
            weight_scale: 1,
            refused: vec![],
            traffic,
            discovery,
            servers: vec![],
        };
        let traffic = Traffic {
            connections: 1,
            packets_in: 2,
            packets_out: 3,
            bytes_in: 4,
            bytes_out: 5,
            ..Traffic::default()
        };
        let discovery = Discovery {
            directory: "/etc/holdfast/web".into(),
            servers: 7,
            read_at: Some(1_800_000_000),
            problems: vec!["web.yaml: no list".into()],
        };
        let services = [service("web", Some(traffic), Some(discovery)), service("dns", None, None)];
        let mut registry = Registry::with_prefix("holdfast");
        super::traffic(&mut registry, &services);
        super::discovery(&mut registry, &services);
        let mut text = String::new();
        encode(&mut text, &registry).expect("text");
        let mut found: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
        found.sort_unstable();
        let expected = [
            r#"holdfast_discovery_last_success_timestamp_seconds{service="web"} 1800000000"#,
            r#"holdfast_discovery_problems{service="web"} 1"#,
            r#"holdfast_discovery_servers{service="web"} 7"#,
            r#"holdfast_service_connections_total{service="web"} 1"#,
            r#"holdfast_service_in_bytes_total{service="web"} 4"#,
            r#"holdfast_service_in_packets_total{service="web"} 2"#,
            r#"holdfast_service_out_bytes_total{service="web"} 5"#,
            r#"holdfast_service_out_packets_total{service="web"} 3"#,
        ];
        assert_eq!(found, expected);
    }
}
