//! What `holdfast top` shows of a status, sorted.

use holdfast_control::{Server, Service, Status, Traffic};
use serde::Serialize;

use crate::args::Sort;

/// What is shown.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct View {
    pub(crate) node: String,
    pub(crate) version: String,
    pub(crate) uptime_s: u64,
    pub(crate) vrrp: Vec<Role>,
    pub(crate) services: Vec<Pool>,
}

/// A VRRP instance.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Role {
    pub(crate) name: String,
    pub(crate) state: String,
    pub(crate) since_s: u64,
    pub(crate) priority: u8,
    pub(crate) why: String,
}

/// A service, with the sums of its servers' connections.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) listen: Vec<String>,
    pub(crate) up: usize,
    pub(crate) quorum: String,
    /// So many units of the kernel's weights are a configured one's 1.
    pub(crate) weight_scale: u32,
    pub(crate) active_connections: u64,
    pub(crate) inactive_connections: u64,
    pub(crate) traffic: Traffic,
    pub(crate) servers: Vec<Member>,
}

/// A server.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) state: String,
    /// Its weight in the kernel, in units of the service's `weight_scale`.
    pub(crate) weight: Option<u32>,
    pub(crate) active_connections: u64,
    pub(crate) inactive_connections: u64,
    pub(crate) traffic: Traffic,
    pub(crate) why: String,
}

impl View {
    /// What is shown of `status`: the busiest first, by `sort`.
    pub(crate) fn of(status: &Status, sort: Sort) -> Self {
        let role = |instance: &holdfast_control::Instance| Role {
            name: instance.name.clone(),
            state: instance
                .fault
                .as_ref()
                .map_or_else(|| instance.state.clone(), |_| "fault".to_owned()),
            since_s: instance.since_s,
            priority: instance.priority,
            why: instance.fault.clone().unwrap_or_else(|| instance.reason.clone()),
        };
        let mut services: Vec<Pool> = status.services.iter().map(|one| pool(one, sort)).collect();
        services.sort_by(|a, b| {
            let busy = |pool: &Pool| key(sort, &pool.traffic, pool.active_connections);
            busy(b).cmp(&busy(a)).then_with(|| a.name.cmp(&b.name))
        });
        Self {
            node: status.daemon.node.clone(),
            version: status.daemon.version.clone(),
            uptime_s: status.daemon.uptime_s,
            vrrp: status.vrrp.iter().map(role).collect(),
            services,
        }
    }
}

fn pool(service: &Service, sort: Sort) -> Pool {
    let mut servers: Vec<Member> = service.servers.iter().map(member).collect();
    let sorry = service.sorry_servers.iter().filter(|sorry| sorry.effective_weight.is_some());
    servers.extend(sorry.map(|sorry| Member {
        name: sorry.name.clone(),
        address: sorry.address.clone(),
        state: "sorry".to_owned(),
        weight: sorry.effective_weight,
        active_connections: sorry.active_connections.unwrap_or_default(),
        inactive_connections: sorry.inactive_connections.unwrap_or_default(),
        traffic: sorry.traffic.unwrap_or_default(),
        why: String::new(),
    }));
    servers.sort_by(|a, b| {
        let busy = |one: &Member| key(sort, &one.traffic, one.active_connections);
        busy(b).cmp(&busy(a)).then_with(|| a.name.cmp(&b.name))
    });
    let sum =
        |of: fn(&Member) -> u64| servers.iter().fold(0u64, |sum, one| sum.saturating_add(of(one)));
    Pool {
        name: service.name.clone(),
        listen: service.listen.clone(),
        up: service.up,
        quorum: service.quorum.state.clone(),
        weight_scale: service.weight_scale,
        active_connections: sum(|one| one.active_connections),
        inactive_connections: sum(|one| one.inactive_connections),
        traffic: service.traffic.unwrap_or_else(|| {
            servers.iter().fold(Traffic::default(), |sum, one| sum.plus(&one.traffic))
        }),
        servers,
    }
}

fn member(server: &Server) -> Member {
    Member {
        name: server.name.clone(),
        address: server.address.clone(),
        state: server.state.clone(),
        weight: server.effective_weight,
        active_connections: server.active_connections.unwrap_or_default(),
        inactive_connections: server.inactive_connections.unwrap_or_default(),
        traffic: server.traffic.unwrap_or_default(),
        why: if server.state == "up" { String::new() } else { server.reason.sentence.clone() },
    }
}

/// What is compared; names alone where nothing is.
const fn key(sort: Sort, traffic: &Traffic, active: u64) -> u64 {
    match sort {
        Sort::Connections => traffic.connections_per_s,
        Sort::Active => active,
        Sort::Packets => traffic.packets_in_per_s.saturating_add(traffic.packets_out_per_s),
        Sort::Bytes => traffic.bytes_in_per_s.saturating_add(traffic.bytes_out_per_s),
        Sort::Name => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A service `name` whose servers have so many connections a second and standing.
    fn service(name: &str, servers: &[(&str, u64, u64)]) -> Service {
        let reason = serde_json::json!({ "code": "L4OK", "sentence": "connected" });
        let servers: Vec<_> = servers
            .iter()
            .map(|(name, per_s, active)| {
                let traffic = Traffic { connections_per_s: *per_s, ..Traffic::default() };
                serde_json::json!({
                    "name": name, "address": "10.0.0.1:80", "state": "up", "admin": "ready", "health": "up", "weight": 1,
                    "effective_weight": 1, "active_connections": active, "inactive_connections": 0, "traffic": traffic,
                    "since_s": 1, "reason": reason, "checks": [], "origin": "config",
                })
            })
            .collect();
        let service = serde_json::json!({
            "name": name, "listen": ["tcp 192.0.2.1:80"], "scheduler": "wlc", "forward": "direct", "up": 1, "servers": servers,
        });
        serde_json::from_value(service).unwrap()
    }

    fn names(sort: Sort) -> Vec<String> {
        let pool = pool(&service("web", &[("b", 1, 50), ("a", 1, 7), ("c", 9, 0)]), sort);
        pool.servers.into_iter().map(|one| one.name).collect()
    }

    #[test]
    fn the_busiest_stand_first_and_equals_by_name() {
        assert_eq!(names(Sort::Connections), ["c", "a", "b"]);
        assert_eq!(names(Sort::Active), ["b", "a", "c"]);
        assert_eq!(names(Sort::Name), ["a", "b", "c"]);
    }

    #[test]
    fn a_service_has_its_own_traffic_or_that_of_its_servers() {
        let mut web = service("web", &[("a", 3, 50), ("b", 4, 7)]);
        let shown = pool(&web, Sort::Name);
        assert_eq!((shown.traffic.connections_per_s, shown.active_connections), (7, 57));
        // What went to servers that are gone was the service's, too.
        web.traffic = Some(Traffic { connections_per_s: 9, ..Traffic::default() });
        assert_eq!(pool(&web, Sort::Name).traffic.connections_per_s, 9);
    }
}
