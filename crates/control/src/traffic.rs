//! What goes through a service and to a server.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the kernel has counted of a service or a destination since it was made there, and how fast it goes: the kernel's own counters and
/// rates, which it makes anew every two seconds and smooths over some seconds. They are as old as the daemon's last look (`ipvs.poll`; of
/// the servers of a quiet service in a large table older). All are 0 where `net.ipv4.vs.run_estimation` is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Traffic {
    /// Connections that were given to servers; of UDP, flows.
    pub connections: u64,
    /// Packets from clients.
    pub packets_in: u64,
    /// Packets to clients; 0 where answers pass the director by (`direct`, `tunnel`).
    pub packets_out: u64,
    /// Bytes from clients.
    pub bytes_in: u64,
    /// Bytes to clients, as packets.
    pub bytes_out: u64,
    /// Connections a second.
    #[serde(default)]
    pub connections_per_s: u64,
    /// Packets a second from clients.
    #[serde(default)]
    pub packets_in_per_s: u64,
    /// Packets a second to clients.
    #[serde(default)]
    pub packets_out_per_s: u64,
    /// Bytes a second from clients.
    #[serde(default)]
    pub bytes_in_per_s: u64,
    /// Bytes a second to clients.
    #[serde(default)]
    pub bytes_out_per_s: u64,
}

impl Traffic {
    /// This and `other` together. Counters wrap as the kernel's do; rates don't.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            connections: self.connections.wrapping_add(other.connections),
            packets_in: self.packets_in.wrapping_add(other.packets_in),
            packets_out: self.packets_out.wrapping_add(other.packets_out),
            bytes_in: self.bytes_in.wrapping_add(other.bytes_in),
            bytes_out: self.bytes_out.wrapping_add(other.bytes_out),
            connections_per_s: self.connections_per_s.saturating_add(other.connections_per_s),
            packets_in_per_s: self.packets_in_per_s.saturating_add(other.packets_in_per_s),
            packets_out_per_s: self.packets_out_per_s.saturating_add(other.packets_out_per_s),
            bytes_in_per_s: self.bytes_in_per_s.saturating_add(other.bytes_in_per_s),
            bytes_out_per_s: self.bytes_out_per_s.saturating_add(other.bytes_out_per_s),
        }
    }
}
