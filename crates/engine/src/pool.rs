//! A service and its servers, and the part of the kernel's table that they want.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use holdfast_config::{Name, Service};
use ipvs_ctl::model::{Destination, Entry, Protocol, ServiceKey, VirtualService};

use crate::server::{Presence, Server};

/// How many connections the kernel has for a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Opening and established ones of TCP, all of UDP (IPVS_DEST_ATTR_ACTIVE_CONNS).
    pub active: u64,
    /// Closing ones (IPVS_DEST_ATTR_INACT_CONNS).
    pub inactive: u64,
}

/// A service and its servers.
#[derive(Clone, Debug)]
pub struct Pool {
    pub(crate) service: Service,
    pub(crate) servers: BTreeMap<Name, Server>,
}

impl Pool {
    /// The service; its `real_servers` are those of the pool now, not those of the file.
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// The servers by name.
    pub const fn servers(&self) -> &BTreeMap<Name, Server> {
        &self.servers
    }

    /// The kernel's keys of the service, one for each address that it listens on.
    pub fn keys(&self) -> impl Iterator<Item = ServiceKey> + '_ {
        self.service.listen.iter().map(|listen| ServiceKey::Address {
            protocol: listen.protocol,
            address: listen.address,
        })
    }

    /// What the kernel should have of `server`.
    pub fn presence(&self, server: &Server) -> Presence {
        server.presence(self.service.scheduler.hashes_flows(), self.service.persistence.is_some())
    }

    /// The entries that the kernel's table should have, one for each address that the service listens on.
    pub fn entries(&self) -> impl Iterator<Item = (ServiceKey, Entry)> + '_ {
        let destinations: BTreeMap<SocketAddr, Destination> = self
            .servers
            .values()
            .filter_map(|server| match self.presence(server) {
                Presence::Weight(weight) => {
                    let destination =
                        server.definition.destination(self.service.forwarding, weight);
                    Some((destination.address, destination))
                }
                Presence::Absent => None,
            })
            .collect();
        self.keys().map(move |key| {
            (key, Entry { service: self.virtual_service(key), destinations: destinations.clone() })
        })
    }

    fn virtual_service(&self, key: ServiceKey) -> VirtualService {
        VirtualService {
            key,
            scheduler: self.service.scheduler.clone(),
            flags: self.service.flags,
            persistence: self.service.persistence,
            persistence_engine: None,
        }
    }

    /// The connections of `server` over all addresses that the service listens on: those that a drain waits for.
    ///
    /// Of TCP these are the ones that the kernel calls active: a closing one has nothing more to say. Of UDP and SCTP all count.
    pub fn drain_count(
        &self,
        server: &Server,
        counts: &BTreeMap<(ServiceKey, SocketAddr), Connections>,
    ) -> u64 {
        self.service
            .listen
            .iter()
            .filter_map(|listen| {
                let key =
                    ServiceKey::Address { protocol: listen.protocol, address: listen.address };
                let count = counts.get(&(key, server.definition.address))?;
                Some(match listen.protocol {
                    Protocol::Tcp => count.active,
                    Protocol::Udp | Protocol::Sctp => count.active.saturating_add(count.inactive),
                })
            })
            .fold(0, u64::saturating_add)
    }

    /// The addresses of all servers, for the duplicate check of an addition.
    pub(crate) fn addresses(&self) -> BTreeSet<SocketAddr> {
        self.servers.values().map(|server| server.definition.address).collect()
    }
}
