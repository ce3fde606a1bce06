//! Virtual services and their destinations as values. `include/uapi/linux/ip_vs.h` is the source of the names and ranges.

mod daemon;
mod status;

use std::collections::BTreeMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use self::daemon::{SyncDaemon, SyncRole};
pub use self::status::{Counters, DestinationStatus, Info, ServiceStatus, Timeouts};

/// The transport that a virtual service takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// TCP, IP protocol 6.
    Tcp,
    /// UDP, IP protocol 17.
    Udp,
    /// SCTP, IP protocol 132.
    Sctp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        })
    }
}

/// The address family of a service by firewall mark, which has no address to show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// AF_INET.
    Ipv4,
    /// AF_INET6.
    Ipv6,
}

impl Family {
    /// The family of `address`.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }
}

/// What names a virtual service in the kernel: two services never share a key.
///
/// The order is the canonical one in which tables are programmed and printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ServiceKey {
    /// By transport, address and port. Port 0 takes every port of the address and needs persistence to be useful.
    Address {
        /// The transport.
        protocol: Protocol,
        /// The virtual address and port, without scope and flow label: the kernel has no place for them.
        address: SocketAddr,
    },
    /// By firewall mark. 0 is not a mark (the kernel would make a broken TCP service of it).
    Fwmark {
        /// The family of the packets that carry the mark.
        family: Family,
        /// The mark.
        mark: NonZeroU32,
    },
}

impl ServiceKey {
    /// The family of the service's packets.
    pub const fn family(&self) -> Family {
        match self {
            Self::Address { address, .. } => Family::of(address.ip()),
            Self::Fwmark { family, .. } => *family,
        }
    }
}

impl fmt::Display for ServiceKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { protocol, address } => write!(f, "{protocol} {address}"),
            Self::Fwmark { family: Family::Ipv4, mark } => write!(f, "fwmark {mark}"),
            Self::Fwmark { family: Family::Ipv6, mark } => write!(f, "fwmark {mark} ipv6"),
        }
    }
}

/// A scheduler: how the kernel chooses a destination for a new connection.
///
/// An unknown name is kept, so that a table with a third party's scheduler can be read and left alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Scheduler(String);

impl Scheduler {
    /// The schedulers of Linux 6.x by their kernel names, `ip_vs_NAME` being the module.
    pub const KNOWN: [&'static str; 15] = [
        "rr", "wrr", "lc", "wlc", "sed", "nq", "sh", "dh", "mh", "lblc", "lblcr", "fo", "ovf",
        "twos", "none",
    ];

    /// The kernel's name.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// Whether the scheduler maps flows to destinations by a hash, so that each destination owns a share of all flows.
    pub fn hashes_flows(&self) -> bool {
        matches!(self.0.as_str(), "sh" | "mh")
    }

    /// Whether the scheduler lays out its table of destinations along their list, so that the order in which they were added says
    /// which flow goes where.
    pub fn depends_on_order(&self) -> bool {
        matches!(self.0.as_str(), "sh" | "dh" | "mh")
    }
}

/// A scheduler's name that the kernel can't take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scheduler's name has 1 to 15 characters and no NUL, got {0:?}")]
pub struct SchedulerNameError(String);

impl TryFrom<String> for Scheduler {
    type Error = SchedulerNameError;

    /// # Errors
    /// The name is empty, longer than IP_VS_SCHEDNAME_MAXLEN allows, or holds a NUL.
    fn try_from(name: String) -> Result<Self, SchedulerNameError> {
        match name.len() {
            1..=15 if !name.contains('\0') => Ok(Self(name)),
            _ => Err(SchedulerNameError(name)),
        }
    }
}

impl FromStr for Scheduler {
    type Err = SchedulerNameError;

    fn from_str(name: &str) -> Result<Self, SchedulerNameError> {
        name.to_owned().try_into()
    }
}

impl From<Scheduler> for String {
    fn from(scheduler: Scheduler) -> Self {
        scheduler.0
    }
}

impl fmt::Display for Scheduler {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The bits of IPVS_SVC_ATTR_FLAGS that are a choice of their own.
///
/// Neither the kernel's HASHED (2) nor PERSISTENT (1) is among them: the latter is [`VirtualService::persistence`].
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(from = "u32", into = "u32")]
pub struct ServiceFlags(u32);

impl ServiceFlags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// IP_VS_SVC_F_ONEPACKET: every UDP datagram is scheduled anew.
    pub const ONE_PACKET: Self = Self(0x4);
    /// The scheduler's first flag; of `sh` and `mh`: fallback, a destination of weight 0 gives its flows to another.
    pub const SCHEDULER_1: Self = Self(0x8);
    /// The scheduler's second flag; of `sh` and `mh`: port, the source port takes part in the hash.
    pub const SCHEDULER_2: Self = Self(0x10);
    /// The scheduler's third flag.
    pub const SCHEDULER_3: Self = Self(0x20);

    /// IP_VS_SVC_F_PERSISTENT: a client stays with its destination for the service's timeout.
    pub(crate) const PERSISTENT_BIT: u32 = 0x1;
    /// IP_VS_SVC_F_HASHED: set by the kernel itself for every service in its table.
    pub(crate) const HASHED_BIT: u32 = 0x2;

    /// The flags in the kernel's word, PERSISTENT and HASHED left out.
    pub const fn from_kernel(bits: u32) -> Self {
        Self(bits & !(Self::PERSISTENT_BIT | Self::HASHED_BIT))
    }

    /// The kernel's word, without PERSISTENT and HASHED.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// Whether every flag of `other` is set.
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl From<u32> for ServiceFlags {
    fn from(bits: u32) -> Self {
        Self::from_kernel(bits)
    }
}

impl From<ServiceFlags> for u32 {
    fn from(flags: ServiceFlags) -> Self {
        flags.bits()
    }
}

/// How long and for whom a client stays with its destination (IP_VS_SVC_F_PERSISTENT).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Persistence {
    /// Seconds that a client is remembered after its last connection.
    pub timeout_s: u32,
    /// How many leading bits of the client's address must agree: 0..=32 of IPv4, 1..=128 of IPv6.
    pub prefix: u8,
}

impl Persistence {
    /// 31 days, the longest timeout: beyond it the kernel's arithmetic overflows without a word.
    pub const TIMEOUT_MAX_S: u32 = 31 * 24 * 60 * 60;
}

/// A virtual service without its destinations.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VirtualService {
    /// What names it.
    pub key: ServiceKey,
    /// How destinations are chosen.
    pub scheduler: Scheduler,
    /// Its other flags.
    pub flags: ServiceFlags,
    /// Whether and how clients stay with their destination.
    pub persistence: Option<Persistence>,
    /// The persistence engine, `sip` being the only one in the kernel's tree.
    pub persistence_engine: Option<String>,
}

impl VirtualService {
    /// A service without flags and persistence.
    pub const fn new(key: ServiceKey, scheduler: Scheduler) -> Self {
        Self {
            key,
            scheduler,
            flags: ServiceFlags::NONE,
            persistence: None,
            persistence_engine: None,
        }
    }
}

/// How packets reach a destination (IP_VS_CONN_F_FWD_MASK).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Forwarding {
    /// 0, network address translation (ipvsadm's `-m`, Masq).
    Nat,
    /// 1, a local address of the director (listed by `ipvsadm`, which can't set it).
    Local,
    /// 2, an IP tunnel (`-i`, Tunnel).
    Tunnel(Tunnel),
    /// 3, direct routing: the frame's MAC address alone is changed (`-g`, Route).
    Direct,
    /// 4, past the director (listed only). Every method, tunnel and checksum option that the kernel stores without giving
    /// it a meaning is read as this one, so that it never equals what was asked for.
    Bypass,
}

impl Forwarding {
    /// The word that the configuration and the API have for it, whatever the tunnel.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Nat => "nat",
            Self::Local => "local",
            Self::Tunnel(_) => "tunnel",
            Self::Direct => "direct",
            Self::Bypass => "bypass",
        }
    }
}

/// The tunnel of [`Forwarding::Tunnel`] (IPVS_DEST_ATTR_TUN_TYPE and its companions).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Tunnel {
    /// IP in IP.
    #[default]
    Ipip,
    /// Generic UDP encapsulation.
    Gue {
        /// The UDP port of the destination's decapsulation, not 0.
        port: u16,
        /// Its checksum option.
        checksum: TunnelChecksum,
    },
    /// Generic routing encapsulation.
    Gre {
        /// Its checksum option, [`TunnelChecksum::Remote`] not being one of GRE's.
        checksum: TunnelChecksum,
    },
}

/// Checksums in the tunnel's header (IPVS_DEST_ATTR_TUN_FLAGS).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum TunnelChecksum {
    /// None.
    #[default]
    None,
    /// In the outer header.
    Full,
    /// Remote checksum offload (GUE only).
    Remote,
}

/// A destination: what operators call a real server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Destination {
    /// Its address and port, which name it within its service; without scope and flow label.
    pub address: SocketAddr,
    /// How packets reach it.
    pub forwarding: Forwarding,
    /// Its share of new connections, 0 to [`Destination::WEIGHT_MAX`]; 0 takes no new ones and keeps those it has.
    pub weight: u32,
    /// At this many connections it takes no new ones; 0 = no limit.
    pub upper_threshold: u32,
    /// Below this many connections it takes new ones again; 0 = the kernel's three quarters of the upper one.
    pub lower_threshold: u32,
}

impl Destination {
    /// INT_MAX, the greatest weight that the kernel takes.
    pub const WEIGHT_MAX: u32 = i32::MAX as u32;

    /// A destination without thresholds.
    pub const fn new(address: SocketAddr, forwarding: Forwarding, weight: u32) -> Self {
        Self { address, forwarding, weight, upper_threshold: 0, lower_threshold: 0 }
    }
}

/// A service and its destinations by address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The service.
    pub service: VirtualService,
    /// Its destinations.
    pub destinations: BTreeMap<SocketAddr, Destination>,
}

/// An IPVS table: services by key. The order is canonical, so that two nodes program `mh` alike.
pub type Table = BTreeMap<ServiceKey, Entry>;
