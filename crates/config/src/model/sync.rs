//! The key `ipvs.sync`.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipvs_ctl::model::{SyncDaemon, SyncRole};

use super::Name;

/// The directors tell each other of their connections, by the kernel's sync daemons (`ipvs.sync`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionSync {
    /// The interface on which the multicast group is (`interface`).
    pub interface: String,
    /// The identity that the directors share (`id`); a backup with 0 takes all.
    pub id: u8,
    /// Which of the two daemons run (`role`, `follows`).
    pub mode: SyncMode,
    /// The multicast group (`group`).
    pub group: IpAddr,
    /// The UDP port (`port`).
    pub port: u16,
    /// The TTL or hop limit of what the master sends (`ttl`).
    pub ttl: u8,
    /// The longest message in bytes (`maxlen`); none = the kernel's choice, by the interface's MTU.
    pub max_length: Option<u16>,
}

/// Which of the two sync daemons run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// The master's while this node is Active, the backup's otherwise (`role: follow`).
    Follow {
        /// The instance or sync group that says so (`follows`).
        name: Name,
        /// The instances that it stands for: the node is Active while all of them are.
        instances: BTreeSet<Name>,
    },
    /// Both, always (`role: both`).
    Both,
}

impl ConnectionSync {
    /// The daemon of this role as the kernel shall have it.
    pub fn daemon(&self, role: SyncRole) -> SyncDaemon {
        SyncDaemon {
            role,
            interface: self.interface.clone(),
            sync_id: self.id,
            max_length: self.max_length,
            group: Some(self.group),
            port: Some(self.port),
            ttl: Some(self.ttl),
        }
    }
}
