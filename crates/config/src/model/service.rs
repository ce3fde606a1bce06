//! Services and their real servers: what `services.NAME` says.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipvs_ctl::model::{
    Destination, Family, Forwarding, Persistence, Protocol, Scheduler, ServiceFlags, ServiceKey,
    VirtualService,
};

use holdfast_health::Combine;

use super::{Check, Name, PoolPolicy};

/// A service: one pool of real servers behind one or more listening addresses (`services.NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// Where it listens; at least one, all of one family.
    pub listen: Vec<Listen>,
    /// How destinations are chosen.
    pub scheduler: Scheduler,
    /// The scheduler's flags, and no others.
    pub flags: ServiceFlags,
    /// Whether each UDP datagram is scheduled by itself (IP_VS_SVC_F_ONEPACKET).
    pub one_packet: bool,
    /// Whether clients stay with their server.
    pub persistence: Option<Persistence>,
    /// What tells one client from another; none = its address.
    pub persistence_engine: Option<PersistenceEngine>,
    /// How packets reach the servers.
    pub forwarding: Forwarding,
    /// The limits of connections of every server that has none of its own.
    pub thresholds: Thresholds,
    /// The checks of every server that has none of its own. Empty = servers are always up. Shared: the books of each server have them.
    pub checks: Vec<Arc<Check>>,
    /// How servers are judged, alone and together.
    pub policy: PoolPolicy,
    /// How its servers drain (`services.NAME.drain`).
    pub drain: DrainPolicy,
    /// How long the weight of a server that came up takes to rise to its whole (`services.NAME.slow_start`); none = at once.
    pub slow_start: Option<Duration>,
    /// Where files name more servers (`services.NAME.discover`).
    pub discover: Option<Discovery>,
    /// Its servers by name; who keeps a server shares it, for there may be a hundred thousand.
    pub real_servers: BTreeMap<Name, Arc<RealServer>>,
    /// The servers that stand in without the quorum, by name (`services.NAME.sorry_servers`). Nobody checks them.
    pub sorry_servers: BTreeMap<Name, Arc<RealServer>>,
}

/// A directory of files that name servers (`services.NAME.discover`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Discovery {
    /// The directory: its files that end in `.yaml`, `.yml` and `.json` count.
    pub directory: PathBuf,
    /// The files are read when nothing has happened to them for so long.
    pub debounce: Duration,
    /// A reading that takes away more than so many percent of the servers at once is not believed, 1 to 100.
    pub max_removal: u32,
    /// Whether a reading without any server is believed.
    pub allow_empty: bool,
}

/// What the drain of a server waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainPolicy {
    /// It is over after so long even with connections left, where the command says nothing else.
    pub timeout: Duration,
    /// Connections of which the kernel can't tell whether they are over, those of UDP all among them, count as over when no client
    /// has sent a packet for so long.
    pub idle: Duration,
}

impl Service {
    /// The service without its servers: cheap, however many there are.
    #[must_use]
    pub fn settings(&self) -> Self {
        Self {
            name: self.name.clone(),
            listen: self.listen.clone(),
            scheduler: self.scheduler.clone(),
            flags: self.flags,
            one_packet: self.one_packet,
            persistence: self.persistence,
            persistence_engine: self.persistence_engine,
            forwarding: self.forwarding,
            thresholds: self.thresholds,
            slow_start: self.slow_start,
            drain: self.drain,
            discover: self.discover.clone(),
            checks: self.checks.clone(),
            policy: self.policy.clone(),
            real_servers: BTreeMap::new(),
            sorry_servers: self.sorry_servers.clone(),
        }
    }

    /// What configured weights are multiplied by in the kernel. With a slow start it is 100: a weight of 1 can't rise in steps.
    pub const fn weight_scale(&self) -> u32 {
        if self.slow_start.is_some() { 100 } else { 1 }
    }

    /// The greatest weight that a server can be configured with: [`Destination::WEIGHT_MAX`] in the kernel.
    pub const fn weight_max(&self) -> u32 {
        Destination::WEIGHT_MAX / self.weight_scale()
    }

    /// The kernel's service at `key`, which is that of one of [`Self::listen`].
    ///
    /// One-packet scheduling is for UDP: of the services of one pool only those of UDP and of marks have it.
    pub fn virtual_service(&self, key: ServiceKey) -> VirtualService {
        let udp = match key {
            ServiceKey::Address { protocol, .. } => protocol == Protocol::Udp,
            ServiceKey::Fwmark { .. } => true,
        };
        let flags = match self.one_packet && udp {
            true => self.flags.with(ServiceFlags::ONE_PACKET),
            false => self.flags,
        };
        VirtualService {
            key,
            scheduler: self.scheduler.clone(),
            flags,
            persistence: self.persistence,
            persistence_engine: self.persistence_engine.map(|engine| engine.name().to_owned()),
        }
    }

    /// The kernel's destination of `server` with `weight` in place of the configured one.
    pub fn destination(&self, server: &RealServer, weight: u32) -> Destination {
        let Thresholds { upper, lower } = server.thresholds.unwrap_or(self.thresholds);
        Destination {
            upper_threshold: upper,
            lower_threshold: lower,
            ..Destination::new(server.address, self.forwarding, weight)
        }
    }

    /// Whether the service listens on `address`, alone or within a range of packets that are marked for it.
    pub fn listens_on(&self, address: IpAddr) -> bool {
        self.listen.iter().any(|listen| listen.covers(address))
    }

    /// The first server of another family than the service's, which only a tunnel can reach, and only while no daemon
    /// synchronises connections: the kernel has them exclude each other (`ip_vs_add_dest`, `start_sync_thread`).
    pub fn mixed_family_server(&self) -> Option<&RealServer> {
        let family = self.listen.first()?.family();
        let mut servers = self.real_servers.values().chain(self.sorry_servers.values());
        servers.find(|server| Family::of(server.address.ip()) != family).map(Arc::as_ref)
    }

    /// The checks of `server`, and how they are put together: its own, or the service's.
    pub fn checks_of<'a>(&'a self, server: &'a RealServer) -> (&'a [Arc<Check>], Combine) {
        match &server.checks {
            Some(own) => (own, server.combine),
            None => (&self.checks, self.policy.combine),
        }
    }
}

/// What tells clients from one another in a persistent service (IPVS_SVC_ATTR_PE_NAME).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PersistenceEngine {
    /// SIP's Call-ID (`ip_vs_pe_sip`, the only engine in the kernel's tree): all datagrams of a call go to one server.
    Sip,
}

impl PersistenceEngine {
    /// The kernel's name of it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sip => "sip",
        }
    }
}

/// How many connections a server may have (IPVS_DEST_ATTR_U_THRESH, IPVS_DEST_ATTR_L_THRESH). The lower one is at most the upper.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Thresholds {
    /// At this many connections it takes no new ones; 0 = no limit.
    pub upper: u32,
    /// Below this many it takes new ones again; 0 = three quarters of the upper one.
    pub lower: u32,
}

impl Thresholds {
    /// INT_MAX: kernels since 6.12 refuse more.
    pub const MAX: u32 = i32::MAX as u32;
}

/// One listening address of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Listen {
    /// `tcp 192.0.2.10:80`.
    Address {
        /// The transport.
        protocol: Protocol,
        /// The virtual address and port; port 0 is every port that has no service of its own.
        address: SocketAddr,
    },
    /// `fwmark 7`: packets that carry a mark of the firewall's.
    Fwmark {
        /// The family of the packets.
        family: Family,
        /// The mark.
        mark: NonZeroU32,
        /// The packets that we mark; empty where the marks are somebody else's. All of `family`.
        matches: Vec<Match>,
    },
}

impl Listen {
    /// The kernel's key of the service at this address.
    pub const fn key(&self) -> ServiceKey {
        match self {
            Self::Address { protocol, address } => {
                ServiceKey::Address { protocol: *protocol, address: *address }
            }
            Self::Fwmark { family, mark, .. } => {
                ServiceKey::Fwmark { family: *family, mark: *mark }
            }
        }
    }

    /// The family of its packets.
    pub const fn family(&self) -> Family {
        self.key().family()
    }

    /// The virtual address; none of a mark's.
    pub const fn ip(&self) -> Option<IpAddr> {
        match self {
            Self::Address { address, .. } => Some(address.ip()),
            Self::Fwmark { .. } => None,
        }
    }

    /// The port of the kernel's service; 0 where it has none: every port of an address, and a mark.
    pub const fn port(&self) -> u16 {
        match self {
            Self::Address { address, .. } => address.port(),
            Self::Fwmark { .. } => 0,
        }
    }

    /// The packets that are marked for it by us.
    pub fn matches(&self) -> &[Match] {
        match self {
            Self::Address { .. } => &[],
            Self::Fwmark { matches, .. } => matches,
        }
    }

    /// Whether packets to `address` are its own.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.ip() == Some(address) || self.matches().iter().any(|one| one.covers(address))
    }

    /// Whether UDP may come to it; of marks that somebody else sets nobody knows.
    pub fn takes(&self, protocol: Protocol) -> bool {
        match self {
            Self::Address { protocol: own, .. } => *own == protocol,
            Self::Fwmark { matches, .. } => {
                matches.is_empty() || matches.iter().any(|one| one.protocol == protocol)
            }
        }
    }
}

impl fmt::Display for Listen {
    /// As `holdfast status` shows it: a mark's packets are not told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key().fmt(f)
    }
}

/// Packets that are marked for a service, by destination: `tcp 192.0.2.10-192.0.2.20:8000-8999`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Match {
    /// The transport.
    pub protocol: Protocol,
    /// The first address.
    pub first: IpAddr,
    /// The last address, of the same family and not before the first.
    pub last: IpAddr,
    /// The first and the last port; 0 to 65535 = every port.
    pub ports: (u16, u16),
}

impl Match {
    /// The family of the packets.
    pub const fn family(&self) -> Family {
        Family::of(self.first)
    }

    /// Whether `address` is among the addresses.
    pub fn covers(&self, address: IpAddr) -> bool {
        (self.first..=self.last).contains(&address)
    }

    /// Whether a packet can be of both.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.first <= other.last
            && other.first <= self.last
            && self.ports.0 <= other.ports.1
            && other.ports.0 <= self.ports.1
    }
}

impl fmt::Display for Match {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, first, last, ports: (low, high) } = *self;
        let range = if first == last { first.to_string() } else { format!("{first}-{last}") };
        match self.family() {
            Family::Ipv4 => write!(f, "{protocol} {range}")?,
            Family::Ipv6 => write!(f, "{protocol} [{range}]")?,
        }
        match (low, high) {
            (0, u16::MAX) => Ok(()),
            (low, high) if low == high => write!(f, ":{low}"),
            (low, high) => write!(f, ":{low}-{high}"),
        }
    }
}

/// A real server (`services.NAME.real_servers.NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RealServer {
    /// Its name, unique in its service.
    pub name: Name,
    /// Its address and port; port 0 where packets keep the port that the client chose.
    pub address: SocketAddr,
    /// Its configured weight, 0..=[`Destination::WEIGHT_MAX`].
    pub weight: u32,
    /// Its own limits of connections; none = the service's.
    pub thresholds: Option<Thresholds>,
    /// Its own checks; none = the service's.
    pub checks: Option<Arc<[Arc<Check>]>>,
    /// How its own checks are put together.
    pub combine: Combine,
}
