//! What travels over the control socket of connection synchronisation and sysctls.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How the directors tell each other of connections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConnectionSync {
    /// `follow` or `both`.
    pub role: String,
    /// The instance or sync group that is followed.
    pub follows: Option<String>,
    /// Which of the kernel's daemons shall run now: `master`, `backup`.
    pub wanted: Vec<String>,
    /// Those that run.
    pub daemons: Vec<SyncDaemon>,
    /// What keeps them from running as they shall, and what to do.
    pub fault: Option<String>,
    /// How often one was started since the daemon's start.
    pub starts_total: u64,
    /// How often one was stopped.
    pub stops_total: u64,
    /// What others have changed of them and was put right, by kind: `sync_daemon_missing`, `sync_daemon_changed`.
    #[serde(default)]
    pub drift_total: BTreeMap<String, u64>,
    /// Seconds until an instance that waits for it has caught up with the Active's connections; none where none waits.
    pub caught_up_in_s: Option<u64>,
    /// Where the kernel's connections come from; none where they could not be counted.
    pub connections: Option<SyncedConnections>,
}

/// One of the kernel's sync daemons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncDaemon {
    /// `master`, which tells, or `backup`, which listens.
    pub role: String,
    /// Its interface.
    pub interface: String,
    /// The identity (syncid).
    pub id: u8,
    /// The multicast group.
    pub group: Option<IpAddr>,
    /// The UDP port.
    pub port: Option<u16>,
    /// The TTL or hop limit.
    pub ttl: Option<u8>,
    /// The longest message in bytes.
    pub maxlen: Option<u16>,
}

/// The kernel's connections by origin. Of many only so many are looked at: the table is in the order of a hash, so that they are a
/// fair sample.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SyncedConnections {
    /// So many were looked at: 20,000 at most.
    pub looked_at: u64,
    /// So many of them came from the other director.
    pub of_sync: u64,
    /// Whether these are all.
    pub complete: bool,
    /// Seconds since they were counted, ten at most.
    pub s_ago: u64,
}

/// The sysctls that services need or `ipvs.sysctls` declares.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sysctls {
    /// How often one was set again that others had changed.
    pub repairs_total: u64,
    /// Each.
    pub each: Vec<Sysctl>,
    /// Why what they were is not written down; should the daemon be killed, nobody gives them back. None when it is.
    #[serde(default)]
    pub unkept: Option<String>,
    /// Why what they were before an earlier daemon can't be read: they are not given back. None when it can.
    #[serde(default)]
    pub lost: Option<String>,
}

/// A sysctl.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Sysctl {
    /// As `sysctl` names it: `net.ipv4.vs.expire_nodest_conn`.
    pub name: String,
    /// What it shall be.
    pub wanted: String,
    /// The service that needs it, or the key that says so.
    pub why: String,
    /// Why it is not so; none where it is.
    pub problem: Option<String>,
}
