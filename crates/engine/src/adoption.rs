//! What the kernel's table has when the daemon starts, against what the configuration says.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_config::{Name, RealServer, SERVERS_MAX, Service};
use holdfast_time::Instant;
use ipvs_ctl::model::{Family, Forwarding, Table};

use crate::engine::Engine;
use crate::order::Order;
use crate::report::Report;
use crate::server::Origin;

impl Engine {
    /// Takes in what `kernel` has for `service` and the pool has not, as far as it fits: each drains and is removed.
    pub(crate) fn take_in(&mut self, service: &Name, kernel: &Table, now: Instant) {
        let Some(pool) = self.pools.get(service) else { return };
        let entries = pool.keys().filter_map(|key| kernel.get(&key));
        let mut found: BTreeMap<SocketAddr, u32> = entries
            .flat_map(|entry| entry.destinations.values())
            .filter(|found| fits(&pool.service, found.address))
            .map(|found| {
                // What was in slow start may have less than a whole one.
                let scaled = found.weight.div_ceil(pool.service.weight_scale());
                (found.address, scaled)
            })
            .collect();
        for known in pool.servers.values() {
            found.remove(&known.definition.address);
        }
        for sorry in pool.service.sorry_servers.values() {
            found.remove(&sorry.address);
        }
        for (address, weight) in found {
            let Some(pool) = self.pools.get(service) else { return };
            // What does not fit into the pool is deleted with what others change.
            if pool.servers.len() >= SERVERS_MAX {
                continue;
            }
            let taken = |name: &Name| pool.servers.contains_key(name);
            let Some(server) = RealServer::found(address, weight, taken) else { continue };
            let name = server.name.clone();
            self.admit(service, server, Origin::Kernel, weight > 0, now);
            self.report(Report::Found { service: service.clone(), server: name.clone() });
            // It is there: it was put there above.
            let order = Order::own("in the kernel's table and in no configuration");
            drop(self.remove_server(now, service, &name, None, order));
        }
    }
}

/// Whether the kernel gives `server`, which may be a sorry server, new connections of `service`.
pub(crate) fn serves(service: &Service, server: &RealServer, kernel: &Table) -> bool {
    service.listen.iter().any(|listen| {
        kernel
            .get(&listen.key())
            .and_then(|entry| entry.destinations.get(&server.address))
            .is_some_and(|destination| destination.weight > 0)
    })
}

/// Whether the kernel takes a destination of this address as `service` forwards now: the family of the service, but for a tunnel.
fn fits(service: &Service, address: SocketAddr) -> bool {
    matches!(service.forwarding, Forwarding::Tunnel(_))
        || service.listen.iter().all(|listen| listen.family() == Family::of(address.ip()))
}
