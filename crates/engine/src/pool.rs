//! A service and its servers, and the part of the kernel's table that they want.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use holdfast_config::{Listen, Name, Service};
use ipvs_ctl::model::{Destination, Entry, ServiceKey};

use crate::server::{Presence, Server};

/// How many connections the kernel has for a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Opening and established ones of TCP (IPVS_DEST_ATTR_ACTIVE_CONNS).
    pub active: u64,
    /// Those whose client has closed its direction, and those that are over and still remembered (IPVS_DEST_ATTR_INACT_CONNS).
    pub inactive: u64,
    /// Packets from clients since the kernel has had the destination (IPVS_STATS_ATTR_INPKTS); up to two seconds old.
    pub packets: u64,
}

impl Connections {
    /// These and `other` together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            active: self.active.saturating_add(other.active),
            inactive: self.inactive.saturating_add(other.inactive),
            packets: self.packets.saturating_add(other.packets),
        }
    }
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
        self.service.listen.iter().map(Listen::key)
    }

    /// What the kernel should have of `server`.
    pub fn presence(&self, server: &Server) -> Presence {
        server.presence(&self.service)
    }

    /// The entries that the kernel's table should have, one for each address that the service listens on.
    pub fn entries(&self) -> impl Iterator<Item = (ServiceKey, Entry)> + '_ {
        let destinations: BTreeMap<SocketAddr, Destination> = self
            .servers
            .values()
            .filter_map(|server| match self.presence(server) {
                Presence::Weight(weight) => {
                    let destination = self.service.destination(&server.definition, weight);
                    Some((destination.address, destination))
                }
                Presence::Absent => None,
            })
            .collect();
        self.keys().map(move |key| {
            let service = self.service.virtual_service(key);
            (key, Entry { service, destinations: destinations.clone() })
        })
    }

    /// The connections of `server` over all addresses that the service listens on.
    pub(crate) fn count(
        &self,
        server: &Server,
        counts: &BTreeMap<(ServiceKey, SocketAddr), Connections>,
    ) -> Connections {
        self.keys()
            .filter_map(|key| counts.get(&(key, server.definition.address)).copied())
            .fold(Connections::default(), Connections::plus)
    }

    /// The server that has `address`.
    pub(crate) fn at(&self, address: SocketAddr) -> Option<&Server> {
        self.servers.values().find(|server| server.definition.address == address)
    }
}
