//! The connection synchronisation daemons of the kernel (`struct ipvs_sync_daemon_cfg`) as values.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// Which of the two sync daemons: a namespace runs at most one of each, independently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SyncRole {
    /// IP_VS_STATE_MASTER: sends its connections.
    Master,
    /// IP_VS_STATE_BACKUP: takes the connections of others.
    Backup,
}

impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}

/// A sync daemon. The kernel can't change a running one: stop it and start it anew.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncDaemon {
    /// Which of the two.
    pub role: SyncRole,
    /// The interface that the multicast group is joined on, at most 15 bytes.
    pub interface: String,
    /// The identity that master and backup share. The packet has 8 bits for it; a backup with 0 takes every identity.
    pub sync_id: u8,
    /// The longest message in bytes; `None` = the kernel's choice, by the interface's MTU.
    pub max_length: Option<u16>,
    /// The multicast group; `None` = 224.0.0.81.
    pub group: Option<IpAddr>,
    /// The UDP port; `None` = 8848.
    pub port: Option<u16>,
    /// The TTL or hop limit of what the master sends; `None` = 1.
    pub ttl: Option<u8>,
}

impl fmt::Display for SyncDaemon {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} sync daemon on {}", self.role, self.interface)
    }
}
