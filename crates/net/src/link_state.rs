//! The interfaces of this host and their addresses as a value: what the kernel's messages mean, what has changed by one, and
//! what differs between two moments. No sockets: bytes and lists go in, events come out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ffi::CStr;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::{NlasIterator, Parseable, ParseableParametrized};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_packet_route::link::{LinkAttribute, LinkFlags, LinkHeader};

use crate::interface::{IfIndex, Interface, MacAddress};

/// Kinds of route netlink messages (linux/rtnetlink.h).
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
/// Attributes of a link (linux/if_link.h).
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
/// Attribute of IFLA_LINKINFO: the kind of the master (linux/if_link.h).
const IFLA_INFO_SLAVE_KIND: u16 = 4;
/// Length of `struct ifinfomsg`.
const LINK_HEADER_LEN: usize = 16;

/// A link as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its index and name.
    pub interface: Interface,
    /// Whether the administrator has set it up (IFF_UP).
    pub admin_up: bool,
    /// Whether it carries packets: set up, with a carrier, and operationally up or of unknown state (IFF_UP, IFF_LOWER_UP and
    /// IFF_RUNNING).
    pub up: bool,
    /// Its Ethernet address; none for links that have none of six bytes.
    pub mac: Option<MacAddress>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Whether it is a loopback (IFF_LOOPBACK): what it sends comes back to this host and to nobody else.
    pub loopback: bool,
    /// What takes all that it receives; none for an interface of its own, and for one in a VRF, which receives as before.
    pub port: Option<Port>,
}

/// An interface's place in a bridge, a bond or a team. What it receives is the master's: no socket on the port hears it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The master's index (IFLA_MASTER); [`Interfaces::by_index`] has its name.
    pub master: IfIndex,
    /// What the master is.
    pub kind: PortKind,
}

/// What a port belongs to (IFLA_INFO_SLAVE_KIND).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortKind {
    /// A bridge of the kernel.
    Bridge,
    /// A bond.
    Bond,
    /// A team.
    Team,
    /// A bridge of Open vSwitch. The kernel calls every such port's master `ovs-system`, whatever the bridge.
    OpenVswitch,
}

impl PortKind {
    /// The kind by the kernel's word for it; none where ports go on to receive, as in a VRF.
    fn of(word: &str) -> Option<Self> {
        match word {
            "bridge" => Some(Self::Bridge),
            "bond" => Some(Self::Bond),
            "team" => Some(Self::Team),
            "openvswitch" => Some(Self::OpenVswitch),
            _ => None,
        }
    }

    /// The kind in words: `bridge`, `bond`, `team`, `Open vSwitch bridge`.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Bridge => "bridge",
            Self::Bond => "bond",
            Self::Team => "team",
            Self::OpenVswitch => "Open vSwitch bridge",
        }
    }
}

/// An address on an interface.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InterfaceAddress {
    /// The address with the length of its prefix.
    pub address: IpNet,
    /// IPv4: not the first of its prefix. The kernel prefers the first as a source, and removes the others along with it unless
    /// the sysctl promote_secondaries is set.
    pub secondary: bool,
    /// IPv6: duplicate address detection is not over; packets can't be sent from it.
    pub tentative: bool,
    /// IPv6: another node has the address.
    pub duplicate: bool,
    /// IPv6: its preferred lifetime is over; the kernel chooses it as a source only when there is no other.
    pub deprecated: bool,
    /// Who put it there, by number (IFA_PROTO): the daemon's own is [`crate::MARK`]. 0 is who does not say so, as `ip address add`,
    /// and everybody on kernels before 5.18.
    pub protocol: u8,
}

impl InterfaceAddress {
    /// Whether packets can be sent from it.
    pub const fn is_usable(&self) -> bool {
        !self.tentative && !self.duplicate
    }
}

/// A link and its addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InterfaceState {
    /// The link.
    pub link: Link,
    /// Its addresses, in the kernel's order at first sight and in the order of their coming afterwards.
    pub addresses: Vec<InterfaceAddress>,
}

impl InterfaceState {
    /// The primary IPv4 address, the source of advertisements (RFC 9568 §1.7): the first that is none of `virtual_addresses`,
    /// and not a secondary one unless there are only such.
    pub fn primary_ipv4(&self, virtual_addresses: &BTreeSet<IpAddr>) -> Option<Ipv4Addr> {
        let candidates = || {
            self.addresses.iter().filter_map(|one| match one.address.addr() {
                IpAddr::V4(v4) if !virtual_addresses.contains(&IpAddr::V4(v4)) => {
                    Some((v4, one.secondary))
                }
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            })
        };
        let primary = candidates().find(|(_, secondary)| !secondary);
        primary.or_else(|| candidates().next()).map(|(v4, _)| v4)
    }

    /// An IPv6 address that routers forward: the first that packets can be sent from, is not deprecated and is none of
    /// `virtual_addresses`. The source of advertisements to unicast peers that are not on the link.
    pub fn global_ipv6(&self, virtual_addresses: &BTreeSet<IpAddr>) -> Option<Ipv6Addr> {
        let usable = self.addresses.iter().filter(|one| one.is_usable() && !one.deprecated);
        usable.map(|one| one.address.addr()).find_map(|address| match address {
            IpAddr::V6(v6)
                if !v6.is_unicast_link_local()
                    && !v6.is_loopback()
                    && !virtual_addresses.contains(&address) =>
            {
                Some(v6)
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        })
    }

    /// The link-local IPv6 address, the source of advertisements (RFC 9568 §5.1.2.1): the first that packets can be sent from
    /// and that is none of `virtual_addresses`.
    pub fn link_local(&self, virtual_addresses: &BTreeSet<IpAddr>) -> Option<Ipv6Addr> {
        self.addresses.iter().filter(|one| one.is_usable()).find_map(|one| {
            match one.address.addr() {
                IpAddr::V6(v6)
                    if v6.is_unicast_link_local()
                        && !virtual_addresses.contains(&IpAddr::V6(v6)) =>
                {
                    Some(v6)
                }
                IpAddr::V4(_) | IpAddr::V6(_) => None,
            }
        })
    }
}

/// Something that has changed. Changes of one interface come in the kernel's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LinkEvent {
    /// A link is new, or something about it is (its name, MAC, MTU, or whether it is up).
    Link(Link),
    /// A link is gone, and its addresses with it. One of the same name that comes later has another index.
    LinkRemoved(Interface),
    /// An address is new, or its state is (no longer tentative, deprecated).
    Address {
        /// The interface.
        interface: Interface,
        /// The address as it is now.
        address: InterfaceAddress,
    },
    /// An address is gone.
    AddressRemoved {
        /// The interface.
        interface: Interface,
        /// The address.
        address: IpNet,
    },
}

/// What one message of the kernel says. A name may be missing, for messages about something else of the link, which then say nothing
/// of its port either.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Link {
        index: IfIndex,
        name: Option<String>,
        admin_up: bool,
        up: bool,
        mac: Option<MacAddress>,
        mtu: Option<u32>,
        loopback: bool,
        port: Option<Port>,
    },
    LinkGone(IfIndex),
    Address(IfIndex, InterfaceAddress),
    AddressGone(IfIndex, IpNet),
}

/// Reads a message of the kernel; none for one that is about something else, or that can't be understood.
pub(crate) fn parse(kind: u16, payload: &[u8]) -> Option<Change> {
    match kind {
        RTM_NEWLINK | RTM_DELLINK => parse_link(kind, payload),
        RTM_NEWADDR | RTM_DELADDR => parse_address(kind, payload),
        _ => None,
    }
}

/// Only the attributes that are of interest are decoded, so that a newer kernel's other ones can't make a link unreadable.
fn parse_link(kind: u16, payload: &[u8]) -> Option<Change> {
    let header = LinkHeader::parse(payload).ok()?;
    let index = IfIndex::new(header.index)?;
    // A bridge speaks of its ports by the same messages in a family of its own: a port that left it is no link that is gone.
    if header.interface_family != AddressFamily::Unspec {
        return None;
    }
    if kind == RTM_DELLINK {
        return Some(Change::LinkGone(index));
    }
    let (mut name, mut mac, mut mtu) = (None, None, None);
    let (mut master, mut kind) = (None, None);
    for attribute in NlasIterator::new(payload.get(LINK_HEADER_LEN..)?).map_while(Result::ok) {
        match attribute.kind() {
            IFLA_MASTER => {
                let number = <[u8; 4]>::try_from(attribute.value()).ok().map(u32::from_ne_bytes);
                master = number.and_then(IfIndex::new);
            }
            IFLA_LINKINFO => kind = port_kind(attribute.value()),
            _ => {}
        }
        if ![IFLA_ADDRESS, IFLA_IFNAME, IFLA_MTU].contains(&attribute.kind()) {
            continue;
        }
        let decoded = LinkAttribute::parse_with_param(&attribute, header.interface_family).ok()?;
        if let LinkAttribute::IfName(is) = decoded {
            name = Some(is);
        } else if let LinkAttribute::Mtu(is) = decoded {
            mtu = Some(is);
        } else if let LinkAttribute::Address(is) = decoded {
            mac = <[u8; 6]>::try_from(is).ok().map(MacAddress::new);
        }
    }
    Some(Change::Link {
        index,
        name,
        admin_up: header.flags.contains(LinkFlags::Up),
        up: header.flags.contains(LinkFlags::Up | LinkFlags::LowerUp | LinkFlags::Running),
        mac,
        mtu,
        loopback: header.flags.contains(LinkFlags::Loopback),
        port: master.zip(kind).map(|(master, kind)| Port { master, kind }),
    })
}

/// What a link is a port of, by its IFLA_LINKINFO.
fn port_kind(info: &[u8]) -> Option<PortKind> {
    let mut attributes = NlasIterator::new(info).map_while(Result::ok);
    let word = attributes.find(|one| one.kind() == IFLA_INFO_SLAVE_KIND)?;
    PortKind::of(CStr::from_bytes_until_nul(word.value()).ok()?.to_str().ok()?)
}

fn parse_address(kind: u16, payload: &[u8]) -> Option<Change> {
    let message = AddressMessage::parse(payload).ok()?;
    let index = IfIndex::new(message.header.index)?;
    let (mut local, mut address) = (None, None);
    let mut protocol = 0;
    let mut flags = u32::from(message.header.flags.bits());
    for attribute in message.attributes {
        if let AddressAttribute::Local(is) = attribute {
            local = Some(is);
        } else if let AddressAttribute::Address(is) = attribute {
            address = Some(is);
        } else if let AddressAttribute::Flags(are) = attribute {
            flags = are.bits();
        } else if let AddressAttribute::Protocol(is) = attribute {
            protocol = is.into();
        }
    }
    // On a point-to-point link IFA_ADDRESS is the peer's (linux/if_addr.h).
    let address = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
    if kind == RTM_DELADDR {
        return Some(Change::AddressGone(index, address));
    }
    let flags = AddressFlags::from_bits_retain(flags);
    // The bit means "temporary" for IPv6 (RFC 8981), which is no concern here.
    let secondary = matches!(address, IpNet::V4(_)) && flags.contains(AddressFlags::Secondary);
    let state = InterfaceAddress {
        address,
        secondary,
        tentative: flags.contains(AddressFlags::Tentative)
            && !flags.contains(AddressFlags::Optimistic),
        duplicate: flags.contains(AddressFlags::Dadfailed),
        deprecated: flags.contains(AddressFlags::Deprecated),
        protocol,
    };
    Some(Change::Address(index, state))
}

/// Every interface that is known, by index.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interfaces {
    by_index: BTreeMap<IfIndex, InterfaceState>,
    /// Which addresses are known: an interface may have thousands, of which most messages tell of a new one.
    addresses: BTreeSet<(IfIndex, IpNet)>,
}

impl Interfaces {
    /// The interface with this index.
    pub fn by_index(&self, index: IfIndex) -> Option<&InterfaceState> {
        self.by_index.get(&index)
    }

    /// The interface that has this name now.
    pub fn by_name(&self, name: &str) -> Option<&InterfaceState> {
        self.iter().find(|state| state.link.interface.name == name)
    }

    /// All interfaces, by ascending index.
    pub fn iter(&self) -> impl Iterator<Item = &InterfaceState> {
        self.by_index.values()
    }

    /// The interfaces that a complete list of the kernel's describes.
    pub(crate) fn listed(changes: Vec<Change>) -> Self {
        let mut interfaces = Self::default();
        for change in changes {
            interfaces.apply(change);
        }
        interfaces
    }

    /// Takes a change in and says what is different now; none when nothing is. A change of an interface that is not known is
    /// left out: its link's own message comes first, so this one is older than what is known.
    pub(crate) fn apply(&mut self, change: Change) -> Option<LinkEvent> {
        match change {
            Change::Link { index, name, admin_up, up, mac, mtu, loopback, port } => {
                let known = self.by_index.get(&index).map(|state| &state.link);
                let port = match name {
                    Some(_) => port,
                    None => known.and_then(|link| link.port),
                };
                let name = name.or_else(|| known.map(|link| link.interface.name.clone()))?;
                let mtu = mtu.or_else(|| known.map(|link| link.mtu)).unwrap_or_default();
                let interface = Interface { index, name };
                let link = Link { interface, admin_up, up, mac, mtu, loopback, port };
                self.apply_link(link)
            }
            Change::LinkGone(index) => {
                let gone = self.by_index.remove(&index)?;
                for one in &gone.addresses {
                    self.addresses.remove(&(index, one.address));
                }
                Some(LinkEvent::LinkRemoved(gone.link.interface))
            }
            Change::Address(index, address) => self.apply_address(index, address),
            Change::AddressGone(index, address) => {
                let state = self.by_index.get_mut(&index)?;
                if !self.addresses.remove(&(index, address)) {
                    return None;
                }
                state.addresses.retain(|one| one.address != address);
                let interface = state.link.interface.clone();
                Some(LinkEvent::AddressRemoved { interface, address })
            }
        }
    }

    fn apply_link(&mut self, link: Link) -> Option<LinkEvent> {
        match self.by_index.get_mut(&link.interface.index) {
            Some(state) if state.link == link => return None,
            Some(state) => state.link = link.clone(),
            None => {
                let state = InterfaceState { link: link.clone(), addresses: Vec::new() };
                self.by_index.insert(link.interface.index, state);
            }
        }
        Some(LinkEvent::Link(link))
    }

    fn apply_address(&mut self, index: IfIndex, address: InterfaceAddress) -> Option<LinkEvent> {
        let state = self.by_index.get_mut(&index)?;
        if self.addresses.insert((index, address.address)) {
            state.addresses.push(address);
        } else {
            let mut all = state.addresses.iter_mut();
            let known = all.find(|one| one.address == address.address)?;
            if *known == address {
                return None;
            }
            *known = address;
        }
        let interface = state.link.interface.clone();
        Some(LinkEvent::Address { interface, address })
    }

    /// Becomes `target`, and says by which events: what is gone first, so that a name is free before it is taken again.
    pub(crate) fn become_like(&mut self, target: &Self) -> VecDeque<LinkEvent> {
        let mut events = VecDeque::new();
        let mut changes = Vec::new();
        for (index, state) in &mut self.by_index {
            if !target.by_index.contains_key(index) {
                changes.push(Change::LinkGone(*index));
                continue;
            }
            let stays = |one: &InterfaceAddress| target.addresses.contains(&(*index, one.address));
            for one in state.addresses.extract_if(.., |one| !stays(one)) {
                self.addresses.remove(&(*index, one.address));
                let interface = state.link.interface.clone();
                events.push_back(LinkEvent::AddressRemoved { interface, address: one.address });
            }
        }
        for (index, wanted) in &target.by_index {
            let Link { interface, admin_up, up, mac, mtu, loopback, port } = wanted.link.clone();
            let (index, name, mtu) = (*index, Some(interface.name), Some(mtu));
            changes.push(Change::Link { index, name, admin_up, up, mac, mtu, loopback, port });
            let known = self.by_index.get(&index).into_iter().flat_map(|state| &state.addresses);
            let known: BTreeMap<IpNet, &InterfaceAddress> =
                known.map(|one| (one.address, one)).collect();
            let news = wanted.addresses.iter().filter(|one| known.get(&one.address) != Some(one));
            changes.extend(news.map(|one| Change::Address(index, *one)));
        }
        events.extend(changes.into_iter().filter_map(|change| self.apply(change)));
        events
    }
}

#[cfg(test)]
#[path = "link_state_tests.rs"]
mod tests;
