//! A service and its servers, and the part of the kernel's table that they want.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use holdfast_config::{Listen, Name, OnFailure, RealServer, Service};
use holdfast_health::Initial;
use holdfast_time::Instant;
use ipvs_ctl::model::{Destination, Entry, Family, Forwarding, ServiceKey};

use crate::checking::initial;
use crate::drain::Drain;
use crate::former::Former;
use crate::quorum::Regime;
use crate::server::{Presence, Server};
use crate::tally::Tally;

/// How many connections the kernel has for a destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Connections {
    /// Opening and established ones of TCP (IPVS_DEST_ATTR_ACTIVE_CONNS).
    pub active: u64,
    /// Those whose client has closed its direction, and those that are over and still remembered (IPVS_DEST_ATTR_INACT_CONNS).
    pub inactive: u64,
    /// Clients that persistence binds to it (IPVS_DEST_ATTR_PERSIST_CONNS).
    pub persistent: u64,
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
            persistent: self.persistent.saturating_add(other.persistent),
            packets: self.packets.saturating_add(other.packets),
        }
    }
}

/// A service and its servers.
#[derive(Clone, Debug)]
pub struct Pool {
    /// Without its servers, which are in [`Self::servers`]: there may be a hundred thousand.
    pub(crate) service: Service,
    pub(crate) servers: BTreeMap<Name, Server>,
    /// Addresses that the service listened on before a reload: they take no new connections, and go when those that are there have
    /// ended.
    pub(crate) retiring: Vec<Retiring>,
    /// How it forwarded before a reload, as far as connections may be left of that.
    pub(crate) former: Vec<Former>,
    /// The configuration has the service no longer: it goes with its last server.
    pub(crate) leaving: bool,
    /// The daemon stops and has the service's connections end: what its quorum says matters to nobody.
    pub(crate) parting: bool,
    /// Whether it has its quorum, and with how much weight.
    pub(crate) tally: Tally,
}

/// An address that a service listens on no longer.
#[derive(Clone, Debug)]
pub(crate) struct Retiring {
    pub(crate) key: ServiceKey,
    pub(crate) drain: Drain,
}

impl Pool {
    /// A pool without servers, of a service that was told without its own ([`Service::settings`]).
    pub(crate) const fn new(service: Service, now: Instant) -> Self {
        Self {
            service,
            servers: BTreeMap::new(),
            retiring: Vec::new(),
            former: Vec::new(),
            leaving: false,
            parting: false,
            tally: Tally::new(now),
        }
    }

    /// What the checks of a server begin with.
    pub(crate) const fn initial(&self, adopted: bool) -> Initial {
        initial(self.service.policy.initial, adopted)
    }

    /// Whether the configuration has it no longer: it goes when its servers have drained.
    pub const fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// The service without its servers, which are [`Self::servers`].
    pub const fn service(&self) -> &Service {
        &self.service
    }

    /// The service with the servers that the pool has now.
    pub fn service_as_it_is(&self) -> Service {
        let servers = self.servers.iter();
        let definitions = servers.map(|(name, one)| (name.clone(), one.definition.clone()));
        let mut service = self.service.clone();
        service.real_servers = definitions.collect();
        service
    }

    /// The servers by name.
    pub const fn servers(&self) -> &BTreeMap<Name, Server> {
        &self.servers
    }

    /// The kernel's keys of the service, one for each address that it listens on, or did and still has connections on.
    pub fn keys(&self) -> impl Iterator<Item = ServiceKey> + '_ {
        let retiring = self.retiring.iter().map(|retiring| retiring.key);
        self.service.listen.iter().map(Listen::key).chain(retiring)
    }

    /// The keys of which connections are to be counted.
    pub(crate) fn counted(&self) -> impl Iterator<Item = ServiceKey> + '_ {
        let drains = !self.former.is_empty() || self.servers.values().any(Server::is_draining);
        // A server's connections are those at all addresses.
        let retiring = self.retiring.iter().map(|retiring| retiring.key);
        self.service.listen.iter().map(Listen::key).filter(move |_| drains).chain(retiring)
    }

    /// What the kernel should have of `server`.
    pub fn presence(&self, server: &Server) -> Presence {
        server.presence(&self.service, self.regime())
    }

    /// What the kernel should have of a sorry server.
    pub fn sorry_presence(&self, sorry: &RealServer) -> Presence {
        match (self.regime(), self.service.policy.on_failure) {
            (Regime::Sorry, _) => {
                let weight = sorry.weight.saturating_mul(self.service.weight_scale());
                Presence::Weight(weight.min(Destination::WEIGHT_MAX))
            }
            (Regime::Normal | Regime::FailOpen, OnFailure::Inhibit) => Presence::Weight(0),
            (Regime::Normal | Regime::FailOpen, OnFailure::Remove) => Presence::Absent,
        }
    }

    /// The entries that the kernel's table should have, one for each address that the service listens on, and one without weights
    /// for each that it did.
    pub fn entries(&self) -> impl Iterator<Item = (ServiceKey, Entry)> + '_ {
        let servers = self.servers.values().map(|one| (one.definition(), self.presence(one)));
        let sorry = self.service.sorry_servers.values();
        let sorry = sorry.map(|one| (one.as_ref(), self.sorry_presence(one)));
        let destinations: Vec<Destination> = servers
            .chain(sorry)
            .filter_map(|(server, presence)| match presence {
                Presence::Weight(weight) => Some(self.service.destination(server, weight)),
                Presence::Absent => None,
            })
            .collect();
        let listens = self.service.listen.len();
        self.keys().enumerate().map(move |(at, key)| {
            let fitting = destinations.iter().filter(|one| self.takes(key, one.address));
            let weighted = fitting.map(|destination| {
                let weight = if at < listens { destination.weight } else { 0 };
                (destination.address, Destination { weight, ..*destination })
            });
            let service = self.service.virtual_service(key);
            (key, Entry { service, destinations: weighted.collect() })
        })
    }

    /// Whether the kernel takes a destination of this address for `key` as the service forwards now: one of the key's family, but for
    /// a tunnel. All servers of a configuration are; what drains after a reload may not be.
    fn takes(&self, key: ServiceKey, to: SocketAddr) -> bool {
        matches!(self.service.forwarding, Forwarding::Tunnel(_))
            || key.family() == Family::of(to.ip())
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

    /// The connections of all servers at an address that the service listens on no longer.
    pub(crate) fn count_at(
        &self,
        key: ServiceKey,
        counts: &BTreeMap<(ServiceKey, SocketAddr), Connections>,
    ) -> Connections {
        let servers = self.servers.values().map(|server| server.definition.address);
        servers
            .filter_map(|address| counts.get(&(key, address)).copied())
            .fold(Connections::default(), Connections::plus)
    }

    /// Lets no server have more weight than the service takes: what a command gave it before may be more than its settings allow now.
    pub(crate) fn adapt_weights(&mut self) {
        let max = self.service.weight_max();
        for server in self.servers.values_mut().filter(|server| server.definition.weight > max) {
            Arc::make_mut(&mut server.definition).weight = max;
        }
    }

    /// Whether anything of it waits for connections to end.
    pub(crate) fn is_draining(&self) -> bool {
        !self.retiring.is_empty()
            || !self.former.is_empty()
            || self.servers.values().any(Server::is_draining)
    }

    /// The server that has `address`; it is likely to be called `name`.
    pub fn find(&self, name: &Name, address: SocketAddr) -> Option<&Server> {
        let named = self.servers.get(name).filter(|server| server.definition.address == address);
        named.or_else(|| self.at(address))
    }

    /// The server that has `address`.
    pub fn at(&self, address: SocketAddr) -> Option<&Server> {
        self.servers.values().find(|server| server.definition.address == address)
    }
}
