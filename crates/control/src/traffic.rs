//! What goes through a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the kernel has counted of a service since it was made there; at most `ipvs.poll` old.
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
}
