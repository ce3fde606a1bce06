//! The kernel's objects as plain numbers, so that a listing leaves nothing out: not even what [`crate::model`] has no word for.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::{Counters, Protocol, ServiceFlags};
use crate::wire::{
    AF_INET6, DaemonAttr, DestinationAttr, IpvsAttr, IpvsMessage, ServiceAttr,
    each_destination_attribute, each_service_attribute, fold_stats, read_attributes,
};

/// A service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelService {
    /// 2 or 10.
    pub family: u16,
    /// The IP protocol; 0 of a service by mark.
    pub protocol: u16,
    /// The address in network order; IPv4 fills the first four bytes.
    pub address: [u8; 16],
    /// The port.
    pub port: u16,
    /// The firewall mark; 0 = none.
    pub mark: u32,
    /// The scheduler's name.
    pub scheduler: String,
    /// IP_VS_SVC_F_*.
    pub flags: u32,
    /// The timeout of persistence in seconds.
    pub timeout_s: u32,
    /// IPv4: the mask in network order. IPv6: the prefix length in the host's.
    pub netmask: [u8; 4],
    /// The persistence engine's name; empty = none.
    pub engine: String,
    /// Its counters.
    pub counters: Counters,
}

impl KernelService {
    /// Reads an answer to a query for services; `None` when it holds none. Of counters those that come last hold: the kernel sends those
    /// of 64 bits behind those of 32.
    pub fn read(message: &IpvsMessage) -> Option<Self> {
        let attributes = message.attributes.iter().find_map(|attribute| {
            if let IpvsAttr::Service(nest) = attribute { Some(nest) } else { None }
        })?;
        let mut found = Self::default();
        for attribute in attributes {
            found.take(attribute);
        }
        Some(found)
    }

    /// Reads the attributes of a message of a dump, with the counters; `None` when it holds no service.
    pub fn read_dumped(bytes: &[u8]) -> Option<Self> {
        let mut found = Self::default();
        found.counters = each_service_attribute(bytes, |attribute| found.take(&attribute)).ok()?;
        Some(found)
    }

    fn take(&mut self, attribute: &ServiceAttr) {
        match attribute {
            ServiceAttr::Family(value) => self.family = *value,
            ServiceAttr::Protocol(value) => self.protocol = *value,
            ServiceAttr::Address(value) => self.address = *value,
            ServiceAttr::Port(value) => self.port = *value,
            ServiceAttr::Fwmark(value) => self.mark = *value,
            ServiceAttr::Scheduler(name) => self.scheduler.clone_from(name),
            ServiceAttr::Flags { flags, mask } => self.flags = flags & mask,
            ServiceAttr::Timeout(value) => self.timeout_s = *value,
            ServiceAttr::Netmask(value) => self.netmask = *value,
            ServiceAttr::PersistenceEngine(name) => self.engine.clone_from(name),
            ServiceAttr::Stats(stats) => fold_stats(&mut self.counters, stats),
            ServiceAttr::Stats64(stats) => fold_stats(&mut self.counters, stats),
            ServiceAttr::Other(_) => {}
        }
    }

    /// Whether clients stay with their destination (IP_VS_SVC_F_PERSISTENT).
    pub const fn is_persistent(&self) -> bool {
        self.flags & ServiceFlags::PERSISTENT_BIT != 0
    }

    /// Whether its addresses are IPv6's.
    pub const fn is_ipv6(&self) -> bool {
        self.family == AF_INET6
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        ip(self.family, self.address)
    }

    /// Its protocol, where it is one that IPVS balances.
    pub const fn transport(&self) -> Option<Protocol> {
        match self.protocol {
            6 => Some(Protocol::Tcp),
            17 => Some(Protocol::Udp),
            132 => Some(Protocol::Sctp),
            _other => None,
        }
    }

    pub(super) fn key_attributes(&self) -> Vec<ServiceAttr> {
        if self.mark != 0 {
            return vec![ServiceAttr::Family(self.family), ServiceAttr::Fwmark(self.mark)];
        }
        vec![
            ServiceAttr::Family(self.family),
            ServiceAttr::Protocol(self.protocol),
            ServiceAttr::Address(self.address),
            ServiceAttr::Port(self.port),
        ]
    }
}

/// A destination.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelDestination {
    /// 2 or 10.
    pub family: u16,
    /// The address in network order; IPv4 fills the first four bytes.
    pub address: [u8; 16],
    /// The port.
    pub port: u16,
    /// IP_VS_CONN_F_*, of which [`Self::forwarding_method`] is the part that rules have words for.
    pub method: u32,
    /// The weight.
    pub weight: u32,
    /// 0 IP in IP, 1 GUE, 2 GRE.
    pub tunnel_type: u8,
    /// The port of GUE.
    pub tunnel_port: u16,
    /// 0 no checksum, 1 checksum, 2 remote checksum.
    pub tunnel_flags: u16,
    /// The upper threshold.
    pub upper_threshold: u32,
    /// The lower threshold.
    pub lower_threshold: u32,
    /// Active connections.
    pub active: u32,
    /// Inactive connections.
    pub inactive: u32,
    /// Persistence templates.
    pub persistent: u32,
    /// Its counters.
    pub counters: Counters,
}

impl KernelDestination {
    /// Reads an answer to a dump of the destinations of a service of `family`; `None` when it holds none.
    pub fn read(message: &IpvsMessage, family: u16) -> Option<Self> {
        let attributes = message.attributes.iter().find_map(|attribute| {
            if let IpvsAttr::Destination(nest) = attribute { Some(nest) } else { None }
        })?;
        let mut found = Self { family, ..Self::default() };
        for attribute in attributes {
            found.take(attribute);
        }
        Some(found)
    }

    /// Reads the attributes of a message of a dump, with the counters; `None` when it holds no destination. The service is of `family`.
    pub fn read_dumped(bytes: &[u8], family: u16) -> Option<Self> {
        let mut found = Self { family, ..Self::default() };
        found.counters =
            each_destination_attribute(bytes, |attribute| found.take(&attribute)).ok()?;
        Some(found)
    }

    fn take(&mut self, attribute: &DestinationAttr) {
        match attribute {
            DestinationAttr::Family(value) => self.family = *value,
            DestinationAttr::Address(value) => self.address = *value,
            DestinationAttr::Port(value) => self.port = *value,
            DestinationAttr::Forwarding(value) => self.method = *value,
            DestinationAttr::Weight(value) => self.weight = *value,
            DestinationAttr::TunnelType(value) => self.tunnel_type = *value,
            DestinationAttr::TunnelPort(value) => self.tunnel_port = *value,
            DestinationAttr::TunnelFlags(value) => self.tunnel_flags = *value,
            DestinationAttr::UpperThreshold(value) => self.upper_threshold = *value,
            DestinationAttr::LowerThreshold(value) => self.lower_threshold = *value,
            DestinationAttr::ActiveConnections(value) => self.active = *value,
            DestinationAttr::InactiveConnections(value) => self.inactive = *value,
            DestinationAttr::PersistentConnections(value) => self.persistent = *value,
            DestinationAttr::Stats(stats) => fold_stats(&mut self.counters, stats),
            DestinationAttr::Stats64(stats) => fold_stats(&mut self.counters, stats),
            DestinationAttr::Other(_) => {}
        }
    }

    /// How packets reach it (IP_VS_CONN_F_FWD_MASK): 0 NAT, 1 local, 2 tunnel, 3 direct, 4 bypass; 5 to 7 have no name.
    pub const fn forwarding_method(&self) -> u32 {
        self.method & 0x7
    }

    /// Whether its address is IPv6's.
    pub const fn is_ipv6(&self) -> bool {
        self.family == AF_INET6
    }

    /// Its address.
    pub fn ip(&self) -> IpAddr {
        ip(self.family, self.address)
    }
}

/// A sync daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelDaemon {
    /// 1 master, 2 backup.
    pub state: u32,
    /// The multicast interface.
    pub interface: String,
    /// The identity.
    pub sync_id: u32,
    /// The longest message; 0 = not told.
    pub max_length: u16,
    /// The group, where it is told.
    pub group: Option<IpAddr>,
    /// The port; 0 = not told.
    pub port: u16,
    /// The TTL; 0 = not told.
    pub ttl: u8,
}

impl KernelDaemon {
    /// Reads the attributes of a message of a dump; `None` when it holds no sync daemon.
    pub fn read_dumped(bytes: &[u8]) -> Option<Self> {
        Self::of(&read_attributes(bytes).ok()?)
    }

    /// Reads a message about a sync daemon; `None` when it holds none.
    pub fn read(message: &IpvsMessage) -> Option<Self> {
        Self::of(&message.attributes)
    }

    fn of(attributes: &[IpvsAttr]) -> Option<Self> {
        let attributes = attributes.iter().find_map(|attribute| {
            if let IpvsAttr::Daemon(nest) = attribute { Some(nest) } else { None }
        })?;
        let mut found = Self::default();
        for attribute in attributes {
            match attribute {
                DaemonAttr::State(value) => found.state = *value,
                DaemonAttr::Interface(name) => found.interface.clone_from(name),
                DaemonAttr::SyncId(value) => found.sync_id = *value,
                DaemonAttr::MaxLength(value) => found.max_length = *value,
                DaemonAttr::Group(value) => found.group = Some(IpAddr::V4(*value)),
                DaemonAttr::Group6(value) => found.group = Some(IpAddr::V6(*value)),
                DaemonAttr::Port(value) => found.port = *value,
                DaemonAttr::Ttl(value) => found.ttl = *value,
                DaemonAttr::Other(_) => {}
            }
        }
        Some(found)
    }
}

/// An address of the family; whatever is not AF_INET6 counts as AF_INET, as in ipvsadm.
fn ip(family: u16, bytes: [u8; 16]) -> IpAddr {
    if family == AF_INET6 {
        return IpAddr::V6(Ipv6Addr::from(bytes));
    }
    let [a, b, c, d, ..] = bytes;
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}
