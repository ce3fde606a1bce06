//! A route, as route netlink adds, removes and lists it. Only routes with the daemon's [`MARK`] are read: nobody else's concern it.
//!
//! A route is removed by its destination, table, metric and mark, so that one which somebody else has put in its place stays.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;
use netlink_packet_core::Parseable;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteMetric,
    RouteProtocol, RouteScope, RouteType,
};

use crate::interface::IfIndex;
use crate::placed::{MARK, Scope};

/// Where `rtm_protocol` is in `struct rtmsg`.
const PROTOCOL_AT: usize = 5;
/// IP6_RT_PRIO_USER of linux/ipv6_route.h: the metric of an IPv6 route that is added without one.
const IPV6_METRIC: u32 = 1024;
/// RT_SCOPE_NOWHERE, which means "whatever its scope" to a removal.
const ANY_SCOPE: u8 = 255;

/// `RTN_…` of linux/rtnetlink.h.
const RTN_UNICAST: u8 = 1;
const RTN_BLACKHOLE: u8 = 6;
const RTN_UNREACHABLE: u8 = 7;
const RTN_PROHIBIT: u8 = 8;

/// What a route does with packets (linux/rtnetlink.h RTN_…).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RouteKind {
    /// RTN_UNICAST: sends them on.
    Unicast,
    /// RTN_BLACKHOLE: drops them.
    Blackhole,
    /// RTN_UNREACHABLE: answers that the host is unreachable.
    Unreachable,
    /// RTN_PROHIBIT: answers that it is prohibited.
    Prohibit,
}

/// What the kernel tells routes apart by: there is one route of a destination, table and metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// The destination; the whole family for the default route.
    pub to: IpNet,
    /// The table.
    pub table: u32,
    /// The metric; 0 is IPv4's default, 1024 that of IPv6.
    pub metric: u32,
}

/// A route with the daemon's mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// What it is told from others by.
    pub key: RouteKey,
    /// What it does.
    pub kind: RouteKind,
    /// The next hop.
    pub via: Option<IpAddr>,
    /// The interface; none = found by the next hop.
    pub device: Option<IfIndex>,
    /// The preferred source.
    pub source: Option<IpAddr>,
    /// The scope of an IPv4 route.
    pub scope: Scope,
    /// The path's MTU in bytes.
    pub mtu: Option<u32>,
    /// The greatest segment that is offered to a TCP peer (RTAX_ADVMSS).
    pub advmss: Option<u32>,
    /// The next hop is on the link even if no route says so (RTNH_F_ONLINK).
    pub on_link: bool,
}

impl RouteKey {
    /// The key of a route to `to`; without a metric it has its family's default.
    pub fn new(to: IpNet, table: u32, metric: Option<u32>) -> Self {
        let default = match to {
            IpNet::V4(_) => 0,
            IpNet::V6(_) => IPV6_METRIC,
        };
        // IPv6 takes 0 for "none".
        let metric = metric.filter(|metric| *metric > 0).unwrap_or(default);
        Self { to: to.trunc(), table, metric }
    }
}

impl Route {
    /// Whether the kernel's `present` is this route; what was left to the kernel here may be anything there.
    pub fn is_met_by(&self, present: &Self) -> bool {
        let same_device = match self.kind {
            RouteKind::Unicast => self.device.is_none() || self.device == present.device,
            // The kernel has those of IPv6 on the loopback interface.
            RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit => true,
        };
        let same_scope = self.key.to.addr().is_ipv6() || self.scope == present.scope;
        self.key == present.key
            && self.kind == present.kind
            && self.via == present.via
            && self.source == present.source
            && self.mtu == present.mtu
            && self.advmss == present.advmss
            && same_device
            && same_scope
    }

    /// The message that adds it.
    pub(crate) fn message(&self) -> RouteMessage {
        let mut message = self.key.message();
        message.header.kind = RouteType::from(match self.kind {
            RouteKind::Unicast => RTN_UNICAST,
            RouteKind::Blackhole => RTN_BLACKHOLE,
            RouteKind::Unreachable => RTN_UNREACHABLE,
            RouteKind::Prohibit => RTN_PROHIBIT,
        });
        message.header.scope = self.scope.value().into();
        if self.on_link {
            message.header.flags = RouteFlags::Onlink;
        }
        let via = self.via.map(|via| RouteAttribute::Gateway(via.into()));
        let source = self.source.map(|source| RouteAttribute::PrefSource(source.into()));
        let device = self.device.map(|device| RouteAttribute::Oif(device.value()));
        let metrics = [self.mtu.map(RouteMetric::Mtu), self.advmss.map(RouteMetric::Advmss)];
        let metrics: Vec<_> = metrics.into_iter().flatten().collect();
        let metrics = (!metrics.is_empty()).then_some(RouteAttribute::Metrics(metrics));
        message.attributes.extend([via, source, device, metrics].into_iter().flatten());
        message
    }

    /// Whether `payload` describes a route with the daemon's mark.
    pub(crate) fn is_ours(payload: &[u8]) -> bool {
        payload.get(PROTOCOL_AT) == Some(&MARK)
    }

    /// Reads what the kernel says of a route; none when it is not the daemon's.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        if !Self::is_ours(payload) {
            return None;
        }
        let message = RouteMessage::parse(payload).ok()?;
        let kind = match u8::from(message.header.kind) {
            RTN_BLACKHOLE => RouteKind::Blackhole,
            RTN_UNREACHABLE => RouteKind::Unreachable,
            RTN_PROHIBIT => RouteKind::Prohibit,
            _ => RouteKind::Unicast,
        };
        let (mut via, mut device, mut source) = (None, None, None);
        let (mut mtu, mut advmss) = (None, None);
        for attribute in &message.attributes {
            if let RouteAttribute::Gateway(is) = attribute {
                via = address(is);
            } else if let RouteAttribute::Oif(is) = attribute {
                device = IfIndex::new(*is);
            } else if let RouteAttribute::PrefSource(is) = attribute {
                source = address(is);
            } else if let RouteAttribute::Metrics(are) = attribute {
                for metric in are {
                    if let RouteMetric::Mtu(is) = metric {
                        mtu = Some(*is);
                    } else if let RouteMetric::Advmss(is) = metric {
                        advmss = Some(*is);
                    }
                }
            }
        }
        let on_link = message.header.flags.contains(RouteFlags::Onlink);
        let scope = Scope::new(message.header.scope.into());
        let key = key(&message)?;
        Some(Self { key, kind, via, device, source, scope, mtu, advmss, on_link })
    }
}

impl RouteKey {
    /// The message that removes the daemon's route of this key.
    pub(crate) fn removal(&self) -> RouteMessage {
        let mut message = self.message();
        message.header.scope = ANY_SCOPE.into();
        message
    }

    fn message(&self) -> RouteMessage {
        let mut message = RouteMessage::default();
        message.header = RouteHeader {
            address_family: match self.to {
                IpNet::V4(_) => AddressFamily::Inet,
                IpNet::V6(_) => AddressFamily::Inet6,
            },
            destination_prefix_length: self.to.prefix_len(),
            // The attribute has the table's whole number.
            table: u8::try_from(self.table).unwrap_or(RouteHeader::RT_TABLE_UNSPEC),
            protocol: RouteProtocol::Other(MARK),
            scope: RouteScope::Universe,
            kind: RouteType::Unspec,
            ..RouteHeader::default()
        };
        message.attributes =
            vec![RouteAttribute::Table(self.table), RouteAttribute::Priority(self.metric)];
        if self.to.prefix_len() > 0 {
            message.attributes.push(RouteAttribute::Destination(self.to.network().into()));
        }
        message
    }

    /// The key of whosever route `payload` describes.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        key(&RouteMessage::parse(payload).ok()?)
    }
}

fn key(message: &RouteMessage) -> Option<RouteKey> {
    let mut to = if message.header.address_family == AddressFamily::Inet {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED)
    } else if message.header.address_family == AddressFamily::Inet6 {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED)
    } else {
        return None;
    };
    let (mut table, mut metric) = (u32::from(message.header.table), 0);
    for attribute in &message.attributes {
        if let RouteAttribute::Destination(is) = attribute {
            to = address(is)?;
        } else if let RouteAttribute::Table(is) = attribute {
            table = *is;
        } else if let RouteAttribute::Priority(is) = attribute {
            metric = *is;
        }
    }
    let to = IpNet::new(to, message.header.destination_prefix_length).ok()?;
    Some(RouteKey { to, table, metric })
}

const fn address(address: &RouteAddress) -> Option<IpAddr> {
    if let RouteAddress::Inet(is) = address {
        Some(IpAddr::V4(*is))
    } else if let RouteAddress::Inet6(is) = address {
        Some(IpAddr::V6(*is))
    } else {
        None
    }
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} table {} metric {}", self.to, self.table, self.metric)
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;
    use proptest::prelude::*;

    use super::*;

    fn route(to: &str, table: u32, metric: Option<u32>) -> Route {
        let key = RouteKey::new(to.parse().unwrap(), table, metric);
        Route {
            key,
            kind: RouteKind::Unicast,
            via: None,
            device: IfIndex::new(3),
            source: None,
            scope: Scope::GLOBAL,
            mtu: None,
            advmss: None,
            on_link: false,
        }
    }

    fn encoded(message: &RouteMessage) -> Vec<u8> {
        let mut bytes = vec![0; message.buffer_len()];
        message.emit(&mut bytes);
        bytes
    }

    #[test]
    fn what_is_asked_for_is_what_is_read() {
        let mut v4 = route("10.0.0.0/8", 1000, Some(5));
        v4.via = Some("192.0.2.1".parse().unwrap());
        v4.source = Some("192.0.2.10".parse().unwrap());
        (v4.mtu, v4.advmss, v4.on_link) = (Some(1400), Some(1360), true);
        let mut v6 = route("::/0", 254, None);
        v6.via = Some("fe80::1".parse().unwrap());
        v6.advmss = Some(1220);
        let mut hole = route("2001:db8::/32", 254, None);
        hole.kind = RouteKind::Blackhole;
        for wanted in [v4, v6, hole] {
            let read = Route::parse(&encoded(&wanted.message())).unwrap();
            assert_eq!(read, wanted);
            assert!(wanted.is_met_by(&read));
            assert_eq!(RouteKey::parse(&encoded(&wanted.key.removal())), Some(wanted.key));
        }
    }

    #[test]
    fn a_route_of_somebody_else_is_not_read() {
        let mut message = route("10.0.0.0/8", 254, None).message();
        message.header.protocol = RouteProtocol::Boot;
        assert_eq!(Route::parse(&encoded(&message)), None);
    }

    #[test]
    fn what_was_left_to_the_kernel_may_be_anything() {
        let mut wanted = route("10.0.0.0/8", 254, None);
        let present = wanted.clone();
        wanted.device = None;
        assert!(wanted.is_met_by(&present));
        wanted.mtu = Some(1400);
        assert!(!wanted.is_met_by(&present));
    }

    #[test]
    fn a_missing_metric_is_the_familys_default() {
        assert_eq!(route("::/0", 254, None).key.metric, 1024);
        assert_eq!(route("::/0", 254, Some(0)).key.metric, 1024);
        assert_eq!(route("0.0.0.0/0", 254, None).key.metric, 0);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(mut bytes in proptest::collection::vec(any::<u8>(), 12..120)) {
            bytes[PROTOCOL_AT] = MARK;
            let read = Route::parse(&bytes).map(|route| route.key);
            prop_assert!(read.is_none() || read == RouteKey::parse(&bytes));
        }
    }
}
