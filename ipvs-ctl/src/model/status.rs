//! What the kernel reports besides the table's settings: counters, connections, its version and its timeouts.

use std::fmt;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::{Destination, Entry, ServiceKey, Table, VirtualService};

/// Counters since the object was made or last zeroed, and rates that the kernel's estimator smooths over some seconds.
///
/// The kernel sums them up every two seconds, so they lag by as much. The rates stay 0 where `net.ipv4.vs.run_estimation` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients; 0 where replies pass the director by (direct, tunnel).
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients.
    pub bytes_out: u64,
    /// Connections per second.
    pub connections_per_s: u64,
    /// Packets per second from clients.
    pub packets_in_per_s: u64,
    /// Packets per second to clients.
    pub packets_out_per_s: u64,
    /// Bytes per second from clients.
    pub bytes_in_per_s: u64,
    /// Bytes per second to clients.
    pub bytes_out_per_s: u64,
}

/// A service with its counters and its destinations.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// The service.
    pub service: VirtualService,
    /// Its counters, those of 64 bits where the kernel has them.
    pub counters: Counters,
    /// Its destinations in the kernel's order, the newest first: hash schedulers build their table along this order.
    pub destinations: Vec<DestinationStatus>,
}

impl ServiceStatus {
    /// The service and its destinations without what the kernel counts.
    pub fn entry(&self) -> Entry {
        let settings = |one: &DestinationStatus| (one.destination.address, one.destination);
        let destinations = self.destinations.iter().map(settings).collect();
        Entry { service: self.service.clone(), destinations }
    }

    /// Its destinations as the kernel lists them, where their order matters for what is `desired` of the service.
    pub fn order(&self, desired: &Table) -> Option<(ServiceKey, Vec<SocketAddr>)> {
        let wanted = desired.get(&self.service.key)?;
        let addresses = || self.destinations.iter().map(|one| one.destination.address).collect();
        wanted.service.scheduler.depends_on_order().then(|| (self.service.key, addresses()))
    }
}

/// A destination with its counters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DestinationStatus {
    /// The destination.
    pub destination: Destination,
    /// Established connections of TCP and SCTP.
    pub active_connections: u32,
    /// Connections that are opening or closing, and all of UDP, which has no established ones.
    pub inactive_connections: u32,
    /// Clients that persistence binds to it.
    pub persistent_connections: u32,
    /// Its counters, those of 64 bits where the kernel has them.
    pub counters: Counters,
}

/// The kernel's IPVS version and the size of its connection table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Info {
    /// Major, minor and patch; 1.2.1 since 2.6.36.
    pub version: (u8, u8, u8),
    /// Hash buckets of the connection table. 4096 is the default, and long chains where connections are many.
    pub connection_table_size: u32,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (major, minor, patch) = self.version;
        write!(f, "IPVS {major}.{minor}.{patch} (size={})", self.connection_table_size)
    }
}

/// How long the kernel keeps a connection without traffic, in seconds. The namespace has one set of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeouts {
    /// An established TCP connection; 0 in a request = leave as it is.
    pub tcp_s: u32,
    /// A TCP connection after a FIN; 0 in a request = leave as it is.
    pub tcp_fin_s: u32,
    /// A UDP "connection"; 0 in a request = leave as it is.
    pub udp_s: u32,
}

impl Timeouts {
    /// Whether a request of these would leave everything as it is.
    pub const fn is_empty(&self) -> bool {
        self.tcp_s == 0 && self.tcp_fin_s == 0 && self.udp_s == 0
    }

    /// `present` with those of `self` that are not 0 in their place: what the kernel has after such a request.
    #[must_use]
    pub const fn over(&self, present: &Self) -> Self {
        const fn one(wanted: u32, present: u32) -> u32 {
            if wanted == 0 { present } else { wanted }
        }
        Self {
            tcp_s: one(self.tcp_s, present.tcp_s),
            tcp_fin_s: one(self.tcp_fin_s, present.tcp_fin_s),
            udp_s: one(self.udp_s, present.udp_s),
        }
    }
}

impl fmt::Display for Timeouts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tcp_s, tcp_fin_s, udp_s } = self;
        write!(f, "tcp {tcp_s} s, tcp_fin {tcp_fin_s} s, udp {udp_s} s")
    }
}
