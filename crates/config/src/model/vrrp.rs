//! What a valid configuration says of VRRP: the key `vrrp`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;
use vrrp::{AddressFamily, Interval, Priority, Version, Vrid};

use super::{Name, Track, Tracker};

/// The key `vrrp` without its instances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Vrrp {
    /// How long after its start the daemon takes no part (`vrrp.startup_delay`); zero = at once.
    pub startup_delay: Duration,
    /// What is watched, by name (`vrrp.trackers`).
    pub trackers: BTreeMap<Name, Tracker>,
    /// Sync groups by name (`vrrp.groups`).
    pub groups: BTreeMap<Name, Group>,
    /// What is special to an interface, by its name (`vrrp.interfaces`).
    pub interfaces: BTreeMap<String, InterfaceSettings>,
    /// The commands that every instance runs (`vrrp.hooks`).
    pub hooks: Vec<Hook>,
    /// How nodes hear at once that another one's daemon has died (`vrrp.fate`); none = not.
    pub fate: Option<Fate>,
}

/// The fate channel: a TCP connection to the Active's daemon that ends with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Fate {
    /// The port that every node listens on (`port`), 1..=65535.
    pub port: u16,
}

impl Default for Fate {
    /// The number that VRRP has as a protocol of IP: a port that only privileged programs can have.
    fn default() -> Self {
        Self { port: 112 }
    }
}

/// A VRRP instance: one virtual router on one interface (`vrrp.instances.NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Instance {
    /// Its name.
    pub name: Name,
    /// The interface that speaks VRRP and holds the addresses.
    pub interface: String,
    /// VRID.
    pub vrid: Vrid,
    /// Priority of this node, 1..=255.
    pub priority: Priority,
    /// Advertisement_Interval.
    pub interval: Interval,
    /// So many lost advertisements make the Active count as dead (`down_adverts`); 3 in the RFC, 1..=100.
    pub down_adverts: NonZeroU8,
    /// The protocol's version.
    pub version: Version,
    /// The form of the checksum for sending (`checksum`).
    pub checksum: Checksum,
    /// Version 2's password (`authentication.password`), or what was found where [`Self::password_from`] says.
    pub password: Option<Password>,
    /// Where the password is, when it is not in the configuration (`authentication.password_file`, `password_credential`).
    pub password_from: Option<SecretFrom>,
    /// Preempt_Mode: a higher priority takes over from a working Active.
    pub preempt: bool,
    /// How long a lower-ranking Active is left alone before it is preempted (`preempt_delay`); zero = not.
    pub preempt_delay: Duration,
    /// How long it is left alone at most until this node has its connections (`preempt.wait_for_sync`); none = not for that.
    pub wait_for_sync: Option<Duration>,
    /// Accept_Mode (RFC 9568 §6.1): whether an Active that is not the owner accepts packets to the addresses (`accept`).
    pub accept: bool,
    /// The family of the advertised addresses.
    pub family: AddressFamily,
    /// Another group than VRRP's (`multicast_group`).
    pub multicast_group: Option<IpAddr>,
    /// Advertisements go to these peers and not to a group (`unicast`).
    pub unicast: Option<Unicast>,
    /// The virtual MAC address is used, on a macvlan interface (`virtual_mac`).
    pub virtual_mac: Option<VirtualMac>,
    /// The virtual addresses, in the order in which they are advertised; of IPv6 the first is link-local.
    pub addresses: Vec<VirtualAddress>,
    /// Addresses that move along and are not advertised, of either family (`excluded`).
    pub excluded: Vec<VirtualAddress>,
    /// Routes that an Active has (`routes`).
    pub routes: Vec<Route>,
    /// Policy rules that an Active has (`rules`).
    pub rules: Vec<Rule>,
    /// How addresses are announced (`announce`).
    pub announce: Announce,
    /// How long the kernel keeps an address of a daemon that no longer renews it (`lifetime`), whole seconds; none = for ever.
    pub lifetime: Option<Duration>,
    /// That is for ever because nothing was said and the configuration names no other node. Should there be one all the same, it is worth a word.
    pub lifetime_unsaid: bool,
    /// What changes its priority or keeps it from taking part (`track`).
    pub track: Vec<Track>,
    /// The commands that it runs besides those of all (`hooks`).
    pub hooks: Vec<Hook>,
}

impl Instance {
    /// The advertised addresses without their prefix lengths.
    pub fn advertised(&self) -> impl Iterator<Item = IpAddr> + '_ {
        self.addresses.iter().map(|address| address.net.addr())
    }

    /// Whether `other` is the same virtual router on the same link, speaking the same way: what differs between the two can be changed
    /// while it runs. Another one has to say goodbye and begin anew.
    pub fn is_same_router(&self, other: &Self) -> bool {
        (&self.interface, self.vrid, self.family, self.version)
            == (&other.interface, other.vrid, other.family, other.version)
            && self.multicast_group == other.multicast_group
            && self.virtual_mac == other.virtual_mac
            && self.unicast.is_some() == other.unicast.is_some()
    }

    /// Every address that moves with it, the advertised ones first.
    pub fn held(&self) -> impl Iterator<Item = &VirtualAddress> {
        self.addresses.iter().chain(&self.excluded)
    }
}

/// A virtual address: `192.0.2.10/24` or a mapping.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct VirtualAddress {
    /// The address with its prefix length.
    pub net: IpNet,
    /// Another interface than the instance's (`device`).
    pub device: Option<String>,
    /// IPv4's label, the interface's name with a suffix (`label`; IFA_LABEL).
    pub label: Option<String>,
    /// The scope (`scope`); none = what the kernel's tools would choose: link for link-local addresses, global for others.
    pub scope: Option<Scope>,
}

impl VirtualAddress {
    /// `net` with nothing special.
    pub const fn plain(net: IpNet) -> Self {
        Self { net, device: None, label: None, scope: None }
    }
}

impl fmt::Display for VirtualAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.net.fmt(f)
    }
}

/// Where an address or route is valid (linux/rtnetlink.h `rt_scope_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// RT_SCOPE_UNIVERSE.
    Global,
    /// RT_SCOPE_SITE.
    Site,
    /// RT_SCOPE_LINK.
    Link,
    /// RT_SCOPE_HOST.
    Host,
}

/// The form of version 3's checksum over IPv4, for sending. On receipt every form is right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Checksum {
    /// With the pseudo-header, until a peer has sent a valid advertisement in another form; then as the last peer did.
    #[default]
    Auto,
    /// The message alone (RFC 9568 §5.2.8).
    Rfc9568,
    /// With the pseudo-header, as keepalived and FRR do by default.
    PseudoHeader,
}

/// Version 2's simple text password (RFC 2338 §5.3.6): 1 to 8 bytes. It is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Password([u8; 8]);

/// Where a secret is that is not in the configuration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretFrom {
    /// The first line of this file.
    File(PathBuf),
    /// That of a credential of the service manager: a file of this name in `$CREDENTIALS_DIRECTORY`.
    Credential(String),
}

impl fmt::Display for SecretFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Credential(name) => write!(f, "the credential `{name}`"),
        }
    }
}

impl Password {
    /// Why `text` is no password, without it.
    pub(crate) fn fault(text: &str) -> String {
        match text.len() {
            0 => "the password is empty".to_owned(),
            1..=8 => "the password has a NUL byte".to_owned(),
            bytes => format!("the password has {bytes} bytes; version 2 has room for 8"),
        }
    }

    /// The password of `text`; none unless it has 1 to 8 bytes, none of them zero.
    pub fn new(text: &str) -> Option<Self> {
        let mut bytes = [0; 8];
        let fits = (1..=8).contains(&text.len()) && !text.bytes().any(|byte| byte == 0);
        bytes.iter_mut().zip(text.bytes()).for_each(|(place, byte)| *place = byte);
        fits.then_some(Self(bytes))
    }

    /// The eight bytes on the wire, filled with zeros.
    pub const fn bytes(&self) -> [u8; 8] {
        self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// Advertisements by unicast (`unicast`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unicast {
    /// The address to send from (`source`); none = the interface's first that has the first peer's scope.
    pub source: Option<IpAddr>,
    /// TTL or hop limit of what is sent (`ttl`), 1..=255; 255 by default.
    pub ttl: u8,
    /// The peers; at least one. Nobody else is heard.
    pub peers: Vec<Peer>,
}

/// A unicast peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Peer {
    /// Its address.
    pub address: IpAddr,
    /// The least and the greatest TTL or hop limit that it is heard with (`ttl`); 255 and 255 by default: a neighbour.
    pub ttl: (u8, u8),
}

/// The macvlan interface of the virtual MAC address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct VirtualMac {
    /// The interface's name: by default `vrrp4.VRID` or `vrrp6.VRID`.
    pub name: String,
}

/// How an Active announces its addresses by gratuitous ARP and unsolicited Neighbor Advertisements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Announce {
    /// How often each address is announced in one burst, 1..=100 (keepalived's `garp_master_repeat`).
    pub count: u8,
    /// When the burst is repeated once (`garp_master_delay`); zero = not.
    pub repeat_after: Duration,
    /// How often addresses are announced for as long as the node is Active (`garp_master_refresh`); zero = not.
    pub refresh: Duration,
    /// How often each address is announced at a refresh, 1..=100 (`garp_master_refresh_repeat`).
    pub refresh_count: u8,
}

impl Default for Announce {
    fn default() -> Self {
        let (count, refresh_count) = (5, 1);
        Self { count, repeat_after: Duration::from_secs(5), refresh: Duration::ZERO, refresh_count }
    }
}

/// A route that an Active has. What is not here, the configuration refuses.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Route {
    /// The destination (`to`); the whole family for `default`.
    pub to: IpNet,
    /// What it does with packets (`type`).
    pub kind: RouteKind,
    /// The next hop (`via`), of the destination's family.
    pub via: Option<IpAddr>,
    /// The interface (`device`); none = the instance's, or by the next hop.
    pub device: Option<String>,
    /// The preferred source (`source`).
    pub source: Option<IpAddr>,
    /// The table (`table`), 1..=4294967295; 254 = main by default.
    pub table: u32,
    /// The metric (`metric`).
    pub metric: Option<u32>,
    /// The scope (`scope`) of an IPv4 route.
    pub scope: Option<Scope>,
    /// The path's MTU (`mtu`), 68..=65535.
    pub mtu: Option<u32>,
    /// The greatest segment that is offered to a TCP peer (`advmss`), 1..=65495.
    pub advmss: Option<u32>,
    /// The next hop is on the link even if no route says so (`on_link`).
    pub on_link: bool,
}

/// What a route or a policy rule does with packets (linux/rtnetlink.h RTN_…, linux/fib_rules.h FR_ACT_…).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum RouteKind {
    /// Sends them on; a rule: looks in its table.
    #[default]
    Unicast,
    /// Drops them silently.
    Blackhole,
    /// Answers that the host is unreachable.
    Unreachable,
    /// Answers that it is prohibited.
    Prohibit,
}

/// A policy rule that an Active has (ip-rule(8)).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Rule {
    /// The family.
    pub family: AddressFamily,
    /// Its place (`priority`), 1..=32765.
    pub priority: u32,
    /// It is for the packets that the rest does not describe (`not`).
    pub not: bool,
    /// The sources (`from`); none = all.
    pub from: Option<IpNet>,
    /// The destinations (`to`); none = all.
    pub to: Option<IpNet>,
    /// The interface that packets come in on (`iif`).
    pub iif: Option<String>,
    /// The interface of local sockets (`oif`).
    pub oif: Option<String>,
    /// The packet's mark and the bits of it that are compared (`mark`: `16` or `16/255`).
    pub mark: Option<(u32, u32)>,
    /// The protocol above IP (`ipproto`), 1..=255.
    pub ipproto: Option<u8>,
    /// The first and the last source port (`sport`).
    pub sport: Option<(u16, u16)>,
    /// The first and the last destination port (`dport`).
    pub dport: Option<(u16, u16)>,
    /// The first and the last user whose sockets send (`uidrange`).
    pub uidrange: Option<(u32, u32)>,
    /// What it does with packets (`type`).
    pub kind: RouteKind,
    /// The table to look in (`table`), 1..=4294967295; none where `type` says something else.
    pub table: Option<u32>,
    /// A route that is found counts for nothing if its prefix is that long or shorter (`suppress_prefixlength`): 0..=32, IPv6 0..=128.
    pub suppress_prefixlength: Option<u8>,
}

/// A sync group: its instances are Active together or not at all (`vrrp.groups.NAME`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Group {
    /// Its name.
    pub name: Name,
    /// Its instances, at least two; an instance is in one group at most.
    pub instances: BTreeSet<Name>,
    /// What changes the priority of each of its instances.
    pub track: Vec<Track>,
    /// The commands that it runs when the group as a whole changes its state.
    pub hooks: Vec<Hook>,
}

/// What is special to an interface (`vrrp.interfaces.NAME`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceSettings {
    /// How long it must be up before it counts as up.
    pub up_delay: Duration,
    /// How long it must be down before it counts as down.
    pub down_delay: Duration,
    /// The least time between two announcements on it (keepalived's `garp_interval`, `gna_interval`); zero = none.
    pub announce_interval: Duration,
}

/// A command that is run when something changes (an entry of `hooks`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hook {
    /// The program's absolute path and its arguments; `INSTANCE NAME STATE PRIORITY` is appended, as keepalived's `notify` has it, or
    /// `GROUP NAME STATE 0` or `SERVICE NAME UP|DOWN 0`.
    pub command: Vec<String>,
    /// When it runs (`on`); all changes of state by default.
    pub on: BTreeSet<HookEvent>,
    /// After so long its process group is killed; `daemon.scripts.timeout` by default.
    pub timeout: Duration,
}

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum HookEvent {
    /// It became Active: keepalived's MASTER.
    Active,
    /// It became Backup: BACKUP.
    Backup,
    /// Something keeps it from taking part: FAULT.
    Fault,
    /// The daemon stops: STOP.
    Stop,
    /// Its effective priority changed: MASTER_PRIORITY, BACKUP_PRIORITY.
    Priority,
    /// Active, it heard one of lower priority: MASTER_RX_LOWER_PRI.
    LowerPriority,
    /// A service has gained its quorum: keepalived's `quorum_up`.
    Up,
    /// A service has lost its quorum: `quorum_down`.
    Down,
}
