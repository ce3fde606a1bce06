//! An address on an interface, as route netlink adds, removes and lists it.
//!
//! - IPv4 addresses get the prefix length that they are given. A second address of the same prefix is a *secondary* one: the
//!   kernel does not choose it as a source, and removes it along with the first unless the sysctl promote_secondaries is set.
//! - IPv6 addresses come without duplicate address detection (IFA_F_NODAD: RFC 9568 §6.4.3 has the virtual address usable at
//!   once, and its owner has just changed). Virtual ones are *deprecated* (preferred lifetime 0, valid for ever): they serve whoever
//!   connects to them and whoever binds them, but the kernel does not choose them as a source while there is another (RFC 6724 §5
//!   rule 3), so that this host's own connections survive their leaving.
//! - An address may have a lifetime, after which the kernel removes it unless it was renewed. One of IPv6 then takes no route to its
//!   network along where another address of the interface has brought one (IFA_F_NOPREFIXROUTE): the kernel would let that route end with
//!   it. For the same reason an address without an end is never given one; it is taken off and put on anew.
//! - What the daemon adds carries its mark ([`MARK`], IFA_PROTO), which kernels before 5.18 neither keep nor tell.

use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, CacheInfo,
};

use crate::interface::IfIndex;

/// The protocol number by which the daemon's addresses (IFA_PROTO), routes (RTA_PROTOCOL) and rules (FRA_PROTOCOL) are told from all
/// others: `ip route show proto 233`. linux/rtnetlink.h and iproute2's `rt_protos` give it to nobody.
pub const MARK: u8 = 233;

/// A lifetime without end (linux/addrconf.h, INFINITY_LIFE_TIME).
const FOR_EVER: u32 = u32::MAX;

/// How far an address or a route is known (linux/rtnetlink.h `rt_scope_t`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Scope(u8);

impl Scope {
    /// RT_SCOPE_UNIVERSE.
    pub const GLOBAL: Self = Self(0);
    /// RT_SCOPE_SITE.
    pub const SITE: Self = Self(200);
    /// RT_SCOPE_LINK.
    pub const LINK: Self = Self(253);
    /// RT_SCOPE_HOST.
    pub const HOST: Self = Self(254);

    /// The scope of the kernel's `number`.
    pub const fn new(number: u8) -> Self {
        Self(number)
    }

    /// The kernel's number.
    pub const fn value(self) -> u8 {
        self.0
    }
}

/// An address with what the kernel keeps of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The address with the length of its prefix.
    pub net: IpNet,
    /// IPv4: its label (IFA_LABEL); none = the interface's name. The kernel lists every IPv4 address with one.
    pub label: Option<String>,
    /// Its scope. The kernel finds those of IPv6 addresses by itself.
    pub scope: Scope,
    /// IPv6: its preferred lifetime is over; it is chosen as a source only when there is no other.
    pub deprecated: bool,
    /// It carries the daemon's [`MARK`].
    pub marked: bool,
    /// The metric of the route to its network (IFA_RT_PRIORITY); none = the kernel's.
    pub metric: Option<u32>,
    /// How many seconds it stays without being renewed (IFA_CACHEINFO, `ifa_valid`); none = for ever. Of what the kernel lists: how many
    /// were left when it spoke of it last.
    pub lifetime: Option<u32>,
    /// IPv6: it brings no route to its network (IFA_F_NOPREFIXROUTE).
    pub routeless: bool,
}

impl Placed {
    /// The virtual address `net`: of its natural scope, without a label, deprecated if it is IPv6, marked.
    pub fn virtual_address(net: IpNet) -> Self {
        let deprecated = matches!(net, IpNet::V6(_));
        Self {
            net,
            label: None,
            scope: natural_scope(net.addr()),
            deprecated,
            marked: true,
            metric: None,
            lifetime: None,
            routeless: false,
        }
    }

    /// The message that adds it to and removes it from the interface of this index.
    pub(crate) fn message(&self, on: IfIndex) -> AddressMessage {
        let mut message = AddressMessage::default();
        message.header.index = on.value();
        message.header.prefix_len = self.net.prefix_len();
        message.header.scope = self.scope.value().into();
        let address = self.net.addr();
        message.attributes =
            vec![AddressAttribute::Local(address), AddressAttribute::Address(address)];
        message.header.family = match self.net {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        };
        if self.marked {
            message.attributes.push(AddressAttribute::Protocol(AddressProtocol::Other(MARK)));
        }
        message.attributes.extend(self.metric.map(AddressAttribute::RoutePriority));
        if let (IpNet::V4(_), Some(label)) = (self.net, &self.label) {
            message.attributes.push(AddressAttribute::Label(label.clone()));
        }
        let is_ipv6 = matches!(self.net, IpNet::V6(_));
        if is_ipv6 {
            let routeless = AddressFlags::Noprefixroute;
            let routeless = if self.routeless { routeless } else { AddressFlags::empty() };
            message.attributes.push(AddressAttribute::Flags(AddressFlags::Nodad | routeless));
        }
        if is_ipv6 || self.lifetime.is_some() {
            let mut lifetimes = CacheInfo::default();
            lifetimes.ifa_valid = self.lifetime.unwrap_or(FOR_EVER);
            lifetimes.ifa_preferred = if self.deprecated { 0 } else { lifetimes.ifa_valid };
            message.attributes.push(AddressAttribute::CacheInfo(lifetimes));
        }
        message
    }

    /// Reads what the kernel says of an address; none when it can't be understood.
    pub(crate) fn parse(payload: &[u8]) -> Option<(IfIndex, Self)> {
        let message = AddressMessage::parse(payload).ok()?;
        let index = IfIndex::new(message.header.index)?;
        let (mut local, mut address, mut label, mut marked) = (None, None, None, false);
        let (mut metric, mut lifetime) = (None, None);
        let mut flags = u32::from(message.header.flags.bits());
        for attribute in message.attributes {
            if let AddressAttribute::Local(is) = attribute {
                local = Some(is);
            } else if let AddressAttribute::Address(is) = attribute {
                address = Some(is);
            } else if let AddressAttribute::Label(is) = attribute {
                label = Some(is);
            } else if let AddressAttribute::Flags(are) = attribute {
                flags = are.bits();
            } else if let AddressAttribute::Protocol(is) = attribute {
                marked = u8::from(is) == MARK;
            } else if let AddressAttribute::RoutePriority(is) = attribute {
                metric = Some(is);
            } else if let AddressAttribute::CacheInfo(is) = attribute {
                lifetime = Some(is.ifa_valid).filter(|valid| *valid != FOR_EVER);
            }
        }
        // On a point-to-point link IFA_ADDRESS is the peer's (linux/if_addr.h).
        let net = IpNet::new(local.or(address)?, message.header.prefix_len).ok()?;
        let flags = AddressFlags::from_bits_retain(flags);
        let deprecated = flags.contains(AddressFlags::Deprecated);
        let routeless = flags.contains(AddressFlags::Noprefixroute);
        let scope = Scope::new(message.header.scope.into());
        let placed = Self { net, label, scope, deprecated, marked, metric, lifetime, routeless };
        Some((index, placed))
    }
}

impl fmt::Display for Placed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.net.fmt(f)
    }
}

/// A link-local address is known on its link only, any other one everywhere, as `ip address add` has it.
const fn natural_scope(address: IpAddr) -> Scope {
    match address {
        IpAddr::V4(v4) if v4.is_link_local() => Scope::LINK,
        IpAddr::V4(v4) if v4.is_loopback() => Scope::HOST,
        IpAddr::V6(v6) if v6.is_unicast_link_local() => Scope::LINK,
        IpAddr::V4(_) | IpAddr::V6(_) => Scope::GLOBAL,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use proptest::prelude::*;

    use super::*;

    fn encoded(placed: &Placed, on: IfIndex) -> Vec<u8> {
        let message = placed.message(on);
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let on = IfIndex::new(7).unwrap();
        let mut placed = Placed::virtual_address("192.0.2.10/24".parse().unwrap());
        placed.label = Some("eth0:vip".to_owned());
        placed.scope = Scope::SITE;
        placed.metric = Some(4096);
        assert_eq!(Placed::parse(&encoded(&placed, on)), Some((on, placed.clone())));
        placed.lifetime = Some(4);
        assert_eq!(Placed::parse(&encoded(&placed, on)), Some((on, placed.clone())));
        let mut ipv6 = Placed::virtual_address("2001:db8::10/64".parse().unwrap());
        (ipv6.lifetime, ipv6.routeless) = (Some(30), true);
        let read = Placed::parse(&encoded(&ipv6, on)).unwrap().1;
        assert_eq!((read.lifetime, read.routeless), (Some(30), true));
        placed.marked = false;
        assert_eq!(Placed::parse(&encoded(&placed, on)), Some((on, placed)));
    }

    #[test]
    fn natural_scopes_are_those_of_the_kernels_tools() {
        for (net, scope) in [
            ("192.0.2.1/24", Scope::GLOBAL),
            ("169.254.0.1/16", Scope::LINK),
            ("127.0.0.9/32", Scope::HOST),
            ("fe80::1/64", Scope::LINK),
            ("2001:db8::1/64", Scope::GLOBAL),
        ] {
            assert_eq!(Placed::virtual_address(net.parse().unwrap()).scope, scope, "{net}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
            drop(Placed::parse(&bytes));
        }
    }
}
