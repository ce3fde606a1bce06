//! What a valid configuration says of trackers: the key `vrrp.trackers`, and what they do to instances and groups.

use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use holdfast_health::Policy;
use ipnet::IpNet;
use serde::Serialize;

use super::Name;

/// Something that is watched (`vrrp.trackers.NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tracker {
    /// Its name.
    pub name: Name,
    /// What is watched.
    pub kind: TrackerKind,
}

/// What a tracker watches.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TrackerKind {
    /// An interface is up (`interface: eth1`), with the delays of `vrrp.interfaces`.
    Interface(String),
    /// A command exits with 0 (`script: {command: […]}` with `interval`, `timeout`, `rise`, `fall` beside it).
    Script {
        /// The program's absolute path and its arguments.
        command: Vec<String>,
        /// When it runs, and how many outcomes decide. The first outcome decides alone.
        policy: Policy,
    },
    /// The whole number in a file (`file: {path: /run/x}`): up while it is 0 or there is none; a weight is multiplied by it.
    File {
        /// The absolute path.
        path: PathBuf,
    },
    /// Processes of a name (`process: {name: haproxy, quorum: 1}`).
    Process {
        /// The name: the last part of the program's path, or what is in `/proc/PID/comm`.
        name: String,
        /// So many at least, 1 by default.
        quorum: u32,
        /// So many at most.
        quorum_max: Option<u32>,
        /// How long it must be so before it counts (`up_delay`).
        up_delay: Duration,
        /// How long it must not be so before it counts (`down_delay`): a restart of the program is no failure.
        down_delay: Duration,
    },
    /// An address answers (`reach: {address: 192.0.2.1}` with `interval`, `timeout`, `rise`, `fall` beside it).
    Reach {
        /// The address.
        address: IpAddr,
        /// How it is asked.
        by: ReachBy,
        /// The interface to ask on; needed for [`ReachBy::Neighbour`].
        interface: Option<String>,
        /// When, and how many answers decide.
        policy: Policy,
    },
    /// There is a route to somewhere (`route: {to: default}`).
    Route {
        /// Where to: the whole family for `default`. A route counts that is the same or covers it.
        to: IpNet,
        /// Only routes by this interface.
        interface: Option<String>,
    },
    /// A BFD session is up (`bfd: {peer: 192.0.2.2}`).
    Bfd(BfdSession),
    /// A service has its quorum (`service: web`).
    Service(Name),
}

/// How an address is asked whether it is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReachBy {
    /// ICMP echo (RFC 792, RFC 4443 §4.1).
    #[default]
    Icmp,
    /// ARP (RFC 826) or Neighbor Solicitation (RFC 4861 §7.2): a neighbour on the link.
    Neighbour,
}

/// A BFD session (RFC 5880, RFC 5881; asynchronous mode, single hop).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BfdSession {
    /// The other side's address. When it is the Active of an instance, its loss counts as priority 0 from it.
    pub peer: IpAddr,
    /// The address to send from; none = chosen by the kernel.
    pub source: Option<IpAddr>,
    /// The interface; needed for link-local addresses.
    pub interface: Option<String>,
    /// bfd.DesiredMinTxInterval, 1ms..=60s; 50ms by default.
    pub min_tx: Duration,
    /// bfd.RequiredMinRxInterval, 1ms..=60s; 50ms by default.
    pub min_rx: Duration,
    /// bfd.DetectMult, 1..=255; 3 by default.
    pub multiplier: NonZeroU8,
    /// Speaks only when spoken to (RFC 5880 §6.1).
    pub passive: bool,
}

impl BfdSession {
    /// Whether this and `other` are between the same ends: there is one session of such (RFC 5881 §3), whatever their intervals.
    pub fn has_ends_of(&self, other: &Self) -> bool {
        (self.peer, self.source, &self.interface) == (other.peer, other.source, &other.interface)
    }
}

/// What a tracker does to an instance or group (an entry of `track`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Track {
    /// Which tracker.
    pub tracker: Name,
    /// What it adds to the priority while up (positive) or takes while down (negative), -253..=253 and not 0; none = its being
    /// down is a fault. Of a file: what each unit of its number adds.
    pub weight: Option<i16>,
    /// Up counts as down and down as up (`reverse`).
    pub reverse: bool,
}
