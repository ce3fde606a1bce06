//! Leases: a server that registers for a time, and drains unless it registers again before the time is over.
//!
//! A lease counts from the last registration or from the daemon's start, so a server that was registered with an earlier daemon has its whole
//! time to register with this one, and a renewal need not be written to disk.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use holdfast_config::Name;
use holdfast_time::Instant;

use crate::engine::Engine;
use crate::order::Order;
use crate::report::Report;
use crate::server::{Origin, Server};

/// A service and the address of a server, which it keeps when a reload calls it otherwise.
type Tenant = (Name, SocketAddr);

/// The leases that run.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    of: BTreeMap<Tenant, (Instant, Duration)>,
    ends: BTreeSet<(Instant, Tenant)>,
}

impl Leases {
    /// Begins a lease, or begins it anew.
    pub(crate) fn grant(&mut self, now: Instant, tenant: Tenant, lease: Duration) {
        self.end(&tenant);
        let end = now + lease;
        self.ends.insert((end, tenant.clone()));
        self.of.insert(tenant, (end, lease));
    }

    /// Forgets a lease; whether there was one.
    pub(crate) fn end(&mut self, tenant: &Tenant) -> bool {
        let Some((end, _)) = self.of.remove(tenant) else { return false };
        self.ends.remove(&(end, tenant.clone()));
        true
    }

    /// When the next one ends.
    pub(crate) fn next(&self) -> Option<Instant> {
        self.ends.first().map(|(end, _)| *end)
    }

    /// Takes one out that has ended.
    fn take_ended(&mut self, now: Instant) -> Option<Tenant> {
        let (_, tenant) = self.ends.first().filter(|(end, _)| *end <= now)?.clone();
        self.end(&tenant);
        Some(tenant)
    }
}

impl Engine {
    /// How long the lease of a server is, and when it ends; none of one that has none.
    pub fn lease(&self, service: &Name, server: &Name) -> Option<(Duration, Instant)> {
        let known = self.pools.get(service)?.servers.get(server)?;
        let tenant = (service.clone(), known.definition.address);
        let (end, lease) = self.leases.of.get(&tenant).filter(|_| known.origin == Origin::Lease)?;
        Some((*lease, *end))
    }

    /// Gives a server that a command has added a lease that begins now, or none; whether it has another one than before, if only in length.
    /// A server of the file or of discovery gets none.
    pub fn set_lease(
        &mut self,
        now: Instant,
        service: &Name,
        server: &Name,
        lease: Option<Duration>,
    ) -> bool {
        let pool = self.pools.get_mut(service);
        let Some(known) = pool.and_then(|pool| pool.servers.get_mut(server)) else { return false };
        if !matches!(known.origin, Origin::Runtime | Origin::Lease) {
            return false;
        }
        let tenant = (service.clone(), known.definition.address);
        let before = self.leases.of.get(&tenant).map(|(_, lease)| *lease);
        let before = before.filter(|_| known.origin == Origin::Lease);
        match lease {
            Some(lease) => {
                known.origin = Origin::Lease;
                self.leases.grant(now, tenant, lease);
            }
            None => {
                known.origin = Origin::Runtime;
                self.leases.end(&tenant);
            }
        }
        before != lease
    }

    /// Lets every server drain and go whose lease is over.
    pub(crate) fn end_leases(&mut self, now: Instant) {
        let mut ended: BTreeMap<Name, BTreeSet<SocketAddr>> = BTreeMap::new();
        while let Some((service, address)) = self.leases.take_ended(now) {
            ended.entry(service).or_default().insert(address);
        }
        for (service, addresses) in ended {
            // However many end together, the pool is gone through once. A server may be gone, or somebody else's by now.
            let over = |known: &&Server| {
                known.origin == Origin::Lease && addresses.contains(&known.definition.address)
            };
            let servers =
                self.pools.get(&service).into_iter().flat_map(|pool| pool.servers.values());
            let over: Vec<(Name, SocketAddr)> = servers
                .filter(over)
                .map(|known| (known.definition.name.clone(), known.definition.address))
                .collect();
            for (server, address) in over {
                self.end_lease(now, &service, server, address);
            }
        }
    }

    fn end_lease(&mut self, now: Instant, service: &Name, server: Name, address: SocketAddr) {
        if self.discovered.get(service).is_some_and(|found| found.contains_key(&address)) {
            // It is there without a lease, too.
            if let Some(known) =
                self.pools.get_mut(service).and_then(|pool| pool.servers.get_mut(&server))
            {
                known.origin = Origin::Discovered;
            }
            return;
        }
        let order = Order::own("its lease has ended: it did not register again");
        // It is there: the pool has just said so.
        drop(self.remove_server(now, service, &server, None, order));
        self.report(Report::LeaseEnded { service: service.clone(), server, address });
    }
}
