//! Whether the host has a route to somewhere, and when that may have changed.
//!
//! The kernel tells of routes that are added and removed, but not of IPv4 routes that go along with an address or a link. So what is
//! heard only says that it is time to look: the routes are listed then, and nothing is remembered between two listings.

use std::os::fd::{AsFd, BorrowedFd};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use netlink_packet_core::Parseable;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteNextHopFlags,
    RouteProtocol, RouteType,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};
use nix::errno::Errno;

use crate::answer::Answer;
use crate::interface::Interface;
use crate::netlink::{RouteSocket, messages};
use crate::placed::MARK;

/// `RTMGRP_…` of linux/rtnetlink.h for links, addresses and routes of both families, and RTNLGRP_NEXTHOP (32).
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400 | 0x8000_0000;
/// Room for some thousand messages; beyond it they are lost, and the routes are listed again.
const RECEIVE_BUFFER: usize = 1 << 20;
/// So many datagrams are read before others have their turn.
const TURN: usize = 256;
/// RTM_NEWROUTE and RTM_DELROUTE of linux/rtnetlink.h.
const ROUTES: [u16; 2] = [24, 25];

/// Hears of what may have changed the way to somewhere. It never blocks.
#[derive(Debug)]
pub struct RouteEvents {
    socket: RouteSocket,
    to: IpNet,
}

/// Lists the routes to somewhere. Its calls wait for the kernel, for seconds where there are a million routes.
#[derive(Debug)]
pub struct RouteLister {
    socket: RouteSocket,
    to: IpNet,
    interface: Option<String>,
}

/// What [`RouteEvents::follow`] has heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    /// The routes may be others than before.
    pub changed: bool,
    /// Not everything was read: follow again before waiting.
    pub more: bool,
}

/// Why routes can't be watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RouteMonitorError {
    /// No socket.
    #[error("open route netlink for routes: {0}")]
    Open(Answer),
    /// The routes could not be listed.
    #[error("list routes: {0}")]
    List(Answer),
    /// The changes could not be heard.
    #[error("receive changes of routes: {0}")]
    Receive(Answer),
}

impl RouteEvents {
    /// Begins to hear of routes that are `to` or cover it. List after this, so that no change falls in between.
    ///
    /// # Errors
    /// The kernel answers no route netlink, or the process has no file descriptor left. No capability is needed.
    pub fn open(to: IpNet) -> Result<Self, RouteMonitorError> {
        let socket = RouteSocket::for_events(GROUPS, RECEIVE_BUFFER)
            .map_err(|errno| RouteMonitorError::Open(Answer::of_netlink(errno)))?;
        Ok(Self { socket, to })
    }

    /// Reads what has arrived.
    ///
    /// # Errors
    /// The kernel failed to answer.
    pub fn follow(&mut self) -> Result<Heard, RouteMonitorError> {
        let mut changed = false;
        for _ in 0..TURN {
            match self.socket.receive() {
                Ok(datagram) => {
                    changed |= messages(datagram).any(|m| concerns(m.kind, m.payload, self.to));
                }
                Err(Errno::ENOBUFS) => changed = true,
                Err(Errno::EAGAIN) => return Ok(Heard { changed, more: false }),
                Err(errno) => return Err(RouteMonitorError::Receive(Answer::of_netlink(errno))),
            }
        }
        Ok(Heard { changed, more: true })
    }
}

impl AsFd for RouteEvents {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl RouteLister {
    /// A lister of the routes that are `to` or cover it; by `interface` alone when one is named.
    ///
    /// # Errors
    /// The kernel answers no route netlink, or the process has no file descriptor left. No capability is needed.
    pub fn open(to: IpNet, interface: Option<&str>) -> Result<Self, RouteMonitorError> {
        let socket = RouteSocket::for_requests()
            .map_err(|errno| RouteMonitorError::Open(Answer::of_netlink(errno)))?;
        Ok(Self { socket, to, interface: interface.map(str::to_owned) })
    }

    /// The longest prefix that there is a usable route to; none when there is no such route. A route is usable when it is in the
    /// table main, sends packets on (no blackhole, say), has a next hop that is alive on a link that has a carrier, and is not the
    /// daemon's own.
    ///
    /// # Errors
    /// The kernel failed to answer.
    pub fn list(&mut self) -> Result<Option<IpNet>, RouteMonitorError> {
        let by = match &self.interface {
            None => None,
            // Where there is no such interface no route goes by it.
            Some(name) => match Interface::by_name(name) {
                Ok(interface) => Some(interface.index.value()),
                Err(_) => return Ok(None),
            },
        };
        let mut request = RouteMessage::default();
        request.header.address_family = match self.to {
            IpNet::V4(_) => AddressFamily::Inet,
            IpNet::V6(_) => AddressFamily::Inet6,
        };
        let to = self.to;
        let usable = |kind, payload: &[u8]| usable(kind, payload, to, by);
        let routes = self.socket.dump(&RouteNetlinkMessage::GetRoute(request), usable);
        let routes = routes.map_err(|errno| RouteMonitorError::List(Answer::of_netlink(errno)))?;
        Ok(routes.into_iter().max_by_key(IpNet::prefix_len))
    }
}

/// Whether a message may mean another way to `to`.
fn concerns(kind: u16, payload: &[u8], to: IpNet) -> bool {
    // Links, addresses and next hops take routes along.
    !ROUTES.contains(&kind)
        || RouteMessage::parse(payload)
            .is_ok_and(|route| destination(&route).is_some_and(|net| net.contains(&to)))
}

/// The destination of a route that packets to `to` can take, by the interface with the index `by`.
fn usable(kind: u16, payload: &[u8], to: IpNet, by: Option<u32>) -> Option<IpNet> {
    let [new, _] = ROUTES;
    if kind != new {
        return None;
    }
    let route = RouteMessage::parse(payload).ok()?;
    let net = destination(&route).filter(|net| net.contains(&to))?;
    let RouteMessage { header, attributes, .. } = &route;
    let counts = header.kind == RouteType::Unicast
        && header.protocol != RouteProtocol::from(MARK)
        && header.source_prefix_length == 0
        && table(header, attributes) == u32::from(RouteHeader::RT_TABLE_MAIN)
        && !header.flags.contains(RouteFlags::Cloned);
    (counts && has_way(header, attributes, by)).then_some(net)
}

fn table(header: &RouteHeader, attributes: &[RouteAttribute]) -> u32 {
    let long = attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Table(table) = attribute { Some(*table) } else { None }
    });
    long.unwrap_or_else(|| header.table.into())
}

/// Whether a next hop is alive, and goes by the interface `by`.
fn has_way(header: &RouteHeader, attributes: &[RouteAttribute], by: Option<u32>) -> bool {
    let goes = |index: u32| by.is_none_or(|by| by == index);
    attributes.iter().any(|attribute| {
        if let RouteAttribute::Oif(index) = attribute {
            return goes(*index)
                && !header.flags.intersects(RouteFlags::Dead | RouteFlags::Linkdown);
        }
        let RouteAttribute::MultiPath(hops) = attribute else { return false };
        let dead = RouteNextHopFlags::Dead | RouteNextHopFlags::Linkdown;
        hops.iter().any(|hop| goes(hop.interface_index) && !hop.flags.intersects(dead))
    })
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    let length = route.header.destination_prefix_length;
    let address = route.attributes.iter().find_map(|attribute| {
        if let RouteAttribute::Destination(address) = attribute { Some(address) } else { None }
    });
    match (address, route.header.address_family) {
        (Some(RouteAddress::Inet(address)), _) => {
            Ipv4Net::new(*address, length).ok().map(IpNet::V4)
        }
        (Some(RouteAddress::Inet6(address)), _) => {
            Ipv6Net::new(*address, length).ok().map(IpNet::V6)
        }
        (None, AddressFamily::Inet) if length == 0 => Some(IpNet::V4(Ipv4Net::default())),
        (None, AddressFamily::Inet6) if length == 0 => Some(IpNet::V6(Ipv6Net::default())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use netlink_packet_core::Emitable;

    use super::*;

    const NEW: u16 = 24;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    /// A route to `to` by the interface 7, changed by `change`.
    fn route(to: &str, change: impl FnOnce(&mut RouteMessage)) -> Vec<u8> {
        let to = net(to);
        let mut route = RouteMessage::default();
        route.header.address_family =
            if to.addr().is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
        route.header.destination_prefix_length = to.prefix_len();
        route.header.table = RouteHeader::RT_TABLE_MAIN;
        route.header.kind = RouteType::Unicast;
        if to.prefix_len() > 0 {
            route.attributes.push(RouteAttribute::Destination(to.addr().into()));
        }
        route.attributes.push(RouteAttribute::Oif(7));
        change(&mut route);
        let mut bytes = vec![0; route.buffer_len()];
        route.emit(&mut bytes);
        bytes
    }

    #[test]
    fn a_route_counts_that_is_the_same_or_covers_it() {
        for (to, by) in [
            ("0.0.0.0/0", "0.0.0.0/0"),
            ("10.1.2.0/24", "10.1.2.0/24"),
            ("10.1.2.0/24", "10.0.0.0/8"),
            ("10.1.2.0/24", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::1/128", "2001:db8::/32"),
        ] {
            assert_eq!(usable(NEW, &route(by, |_| ()), net(to), None), Some(net(by)), "{to} {by}");
        }
        for (to, by) in [
            ("0.0.0.0/0", "10.0.0.0/8"),
            ("0.0.0.0/0", "::/0"),
            ("::/0", "0.0.0.0/0"),
            ("10.1.2.0/24", "10.1.2.0/25"),
            ("10.1.2.0/24", "10.2.0.0/16"),
        ] {
            assert_eq!(usable(NEW, &route(by, |_| ()), net(to), None), None, "{to} {by}");
            assert!(!concerns(NEW, &route(by, |_| ()), net(to)), "{to} {by}");
        }
    }

    #[test]
    fn a_route_that_leads_nowhere_does_not_count() {
        let all = net("0.0.0.0/0");
        type Change = fn(&mut RouteMessage);
        let changes: [(&str, Change); 7] = [
            ("blackhole", |route| route.header.kind = RouteType::BlackHole),
            ("unreachable", |route| route.header.kind = RouteType::Unreachable),
            ("another table", |route| route.header.table = 100),
            ("the daemon's", |route| route.header.protocol = RouteProtocol::from(MARK)),
            ("dead", |route| route.header.flags = RouteFlags::Dead),
            ("no carrier", |route| route.header.flags = RouteFlags::Linkdown),
            ("from somewhere", |route| route.header.source_prefix_length = 8),
        ];
        for (name, change) in changes {
            let bytes = route("0.0.0.0/0", change);
            assert_eq!(usable(NEW, &bytes, all, None), None, "{name}");
            assert!(concerns(NEW, &bytes, all), "{name}");
        }
        assert_eq!(usable(25, &route("0.0.0.0/0", |_| ()), all, None), None, "removed");
    }

    #[test]
    fn an_interface_that_is_named_must_be_that_of_a_next_hop() {
        let all = net("0.0.0.0/0");
        let bytes = route("0.0.0.0/0", |_| ());
        assert_eq!(usable(NEW, &bytes, all, Some(7)), Some(all));
        assert_eq!(usable(NEW, &bytes, all, Some(8)), None);
    }

    #[test]
    fn links_addresses_and_next_hops_concern_every_route_and_hostile_bytes_none() {
        for kind in [16, 17, 20, 21, 104, 105] {
            assert!(concerns(kind, &[], net("::/0")), "{kind}");
        }
        let whole = route("10.0.0.0/8", |_| ());
        for length in 0..whole.len() {
            let _ = usable(NEW, &whole[..length], net("10.0.0.0/8"), None);
            let _ = concerns(NEW, &whole[..length], net("10.0.0.0/8"));
        }
    }
}
