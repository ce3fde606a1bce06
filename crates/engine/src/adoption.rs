//! Adoption: what the kernel's table has when the daemon starts, or at an address that a service newly listens on.
//!
//! A server of the configuration to which the kernel gives connections begins as up, so that a restart takes nothing away
//! (`serves`). A destination that the configuration does not name is taken in as a server of its own ([`Origin::Kernel`]), drains and
//! is removed, so that its connections can end (`take_in`). The quorum begins as the kernel shows it to have been
//! ([`crate::tally`]).

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_config::{Name, RealServer, SERVERS_MAX, Service, Thresholds};
use holdfast_time::Instant;
use ipvs_ctl::model::{Destination, Family, Forwarding, Table};

use crate::engine::Engine;
use crate::order::Order;
use crate::remains::Index;
use crate::report::Report;
use crate::server::Origin;

impl Engine {
    /// Takes in the destinations that `kernel` has for `service` and the pool does not have, as far as they fit. Each drains and is
    /// removed, with the deadline and under the name that an earlier daemon has left for it in `known`.
    pub(crate) fn take_in(
        &mut self,
        service: &Name,
        kernel: &Table,
        known: &Index<'_>,
        now: Instant,
    ) {
        let Some(pool) = self.pools.get(service) else { return };
        let entries = pool.keys().filter_map(|key| kernel.get(&key));
        let mut found: BTreeMap<SocketAddr, Destination> = entries
            .flat_map(|entry| entry.destinations.values())
            .filter(|found| fits(&pool.service, found.address))
            .map(|found| (found.address, *found))
            .collect();
        for known in pool.servers.values() {
            found.remove(&known.definition.address);
        }
        for sorry in pool.service.sorry_servers.values() {
            found.remove(&sorry.address);
        }
        for (address, found) in found {
            let Some(pool) = self.pools.get(service) else { return };
            // What does not fit into the pool is deleted with what others change.
            if pool.servers.len() >= SERVERS_MAX {
                continue;
            }
            let taken = |name: &Name| pool.servers.contains_key(name);
            // What was in slow start may have less than a whole one.
            let weight = found.weight.div_ceil(pool.service.weight_scale());
            let Some(mut server) = RealServer::found(address, weight, taken) else { continue };
            server.thresholds = own_thresholds(&pool.service, &found);
            let known = known.server(service, address);
            if let Some(known) = known.filter(|known| !taken(&known.server)) {
                server.name = known.server.clone();
            }
            let (name, is_leaving) = (server.name.clone(), pool.leaving);
            self.enrol(service, server, Origin::Kernel, weight > 0, now);
            let (timeout, order) = match known {
                Some(known) => (Some(known.deadline.saturating_since(now)), known.order.clone()),
                None => {
                    if !is_leaving {
                        let (service, server) = (service.clone(), name.clone());
                        self.report(Report::Found { service, server });
                    }
                    let why = match is_leaving {
                        false => "in the kernel's table and in no configuration",
                        true => "its service is in the configuration no longer",
                    };
                    (None, Order::own(why))
                }
            };
            // It is there: it was put there above.
            drop(self.remove_server(now, service, &name, timeout, order));
        }
    }
}

/// The limits of connections that the kernel has for a destination, where they are not the service's.
fn own_thresholds(service: &Service, found: &Destination) -> Option<Thresholds> {
    let mut own = Thresholds::default();
    (own.upper, own.lower) = (found.upper_threshold, found.lower_threshold);
    (own != service.thresholds).then_some(own)
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
