//! Advertisements to peers and other groups, and from a virtual MAC address.

use std::io::Read;
use std::net::IpAddr;

use holdfast_net::{MAX_DATAGRAM, MacAddress, Packet};
use socket2::{Domain, Protocol, Socket, Type};
use vrrp::AddressFamily;

use crate::lab::{Namespace, Pair, await_some};
use crate::vrrp::{ADVERTISEMENT, GROUPS, open, packet, receive, source};

const VIRTUAL_MAC: MacAddress = MacAddress::new([0, 0, 0x5e, 0, 1, 10]);

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn a_peer_hears_what_was_sent_to_it_with_its_hop_limit() {
    let pair = Pair::new();
    for (from, to) in
        [("192.0.2.1", "192.0.2.2"), ("2001:db8::1", "2001:db8::2"), ("fe80::1", "fe80::2")]
    {
        let (source, destination) = (address(from), address(to));
        let family = if source.is_ipv4() { AddressFamily::Ipv4 } else { AddressFamily::Ipv6 };
        let sender = open(&pair.left, "eth0", family);
        let mut receiver = open(&pair.right, "eth0", family);
        for hop_limit in [1, 64, 255] {
            let packet = Packet { source, destination, hop_limit, payload: &ADVERTISEMENT };
            sender.send(&packet).unwrap();
            let (datagram, payload) = receive(&mut receiver);
            assert_eq!((datagram.source, datagram.destination), (source, destination));
            assert_eq!(datagram.hop_limit, hop_limit, "{to}");
            assert_eq!(payload, ADVERTISEMENT, "{to}");
        }
    }
}

/// A peer behind a router: the routing table is used, on the socket's interface.
#[test]
fn a_peer_behind_a_router_is_reached_and_one_without_a_route_is_named() {
    let pair = Pair::new();
    for (family, from, to, host, route) in [
        (AddressFamily::Ipv4, "192.0.2.1", "198.51.100.2", 32, "198.51.100.0/24 via 192.0.2.2"),
        (
            AddressFamily::Ipv6,
            "2001:db8::1",
            "2001:db8:1::2",
            128,
            "2001:db8:1::/64 via 2001:db8::2",
        ),
    ] {
        let sender = open(&pair.left, "eth0", family);
        let mut receiver = open(&pair.right, "eth0", family);
        let packet = Packet {
            source: address(from),
            destination: address(to),
            hop_limit: 64,
            payload: &ADVERTISEMENT,
        };
        // Over IPv4 the interface that is named makes everything a neighbour for which there is no route.
        if family == AddressFamily::Ipv6 {
            let error = sender.send(&packet).unwrap_err().to_string();
            assert!(error.contains("to 2001:db8:1::2 on eth0: ENETUNREACH"), "{error}");
            assert!(error.contains("no route leads to the peer"), "{error}");
        }
        pair.right.ip(&format!("address add {to}/{host} dev lo"));
        pair.left.ip(&format!("route add {route} dev eth0"));
        sender.send(&packet).unwrap();
        assert_eq!(receive(&mut receiver).0.destination, packet.destination);
    }
}

#[test]
fn another_group_is_heard_once_it_was_joined_and_told_by_the_destination() {
    let pair = Pair::new();
    for (family, group) in
        [(AddressFamily::Ipv4, address("239.1.2.3")), (AddressFamily::Ipv6, address("ff02::1234"))]
    {
        let sender = open(&pair.left, "eth0", family);
        let mut receiver = open(&pair.right, "eth0", family);
        let usual = packet(source(family, 1), &ADVERTISEMENT);
        let other = Packet { destination: group, ..usual };
        sender.send(&other).unwrap();
        sender.send(&usual).unwrap();
        assert_eq!(receive(&mut receiver).0.destination, usual.destination, "not joined");
        receiver.join(group).unwrap();
        receiver.join(group).unwrap();
        sender.send(&other).unwrap();
        sender.send(&usual).unwrap();
        assert_eq!(receive(&mut receiver).0.destination, group);
        assert_eq!(receive(&mut receiver).0.destination, usual.destination);
        assert_eq!(receiver.recv(&mut [0; MAX_DATAGRAM]).unwrap(), None);
    }
}

#[test]
fn what_is_no_group_or_one_too_many_is_named() {
    let pair = Pair::new();
    let socket = open(&pair.left, "eth0", AddressFamily::Ipv4);
    let error = socket.join(address("192.0.2.9")).unwrap_err().to_string();
    assert_eq!(error, "join 192.0.2.9 on eth0: EINVAL (it is no multicast group)");
    let error = socket.join(address("ff02::9")).unwrap_err().to_string();
    assert!(error.starts_with("join ff02::9 on eth0: EAFNOSUPPORT"), "{error}");
    let too_many =
        (1..=200).find_map(|host| socket.join(address(&format!("239.9.9.{host}"))).err());
    let error = too_many.unwrap().to_string();
    assert!(error.contains("igmp_max_memberships"), "{error}");
}

/// Receives frames of every protocol on eth0, those that this host sends included.
fn tap(namespace: &Namespace) -> Socket {
    namespace.enter(|| {
        let every = i32::from(3u16.to_be());
        Socket::new(Domain::PACKET, Type::RAW.nonblocking(), Some(Protocol::from(every))).unwrap()
    })
}

/// The first frame that carries protocol 112.
fn await_advertisement(tap: &mut Socket) -> Vec<u8> {
    await_some(tap, |tap| {
        let mut buffer = [0; 2048];
        while let Ok(length) = tap.read(&mut buffer) {
            let protocol = match buffer[12..14] {
                [0x08, 0x00] => buffer[23],
                [0x86, 0xdd] => buffer[20],
                _ => 0,
            };
            if protocol == 112 {
                return Some(buffer[..length].to_vec());
            }
        }
        None
    })
}

/// RFC 9568 §7.2: "Set the source MAC address to the Virtual Router MAC address". The rest is as the kernel makes it.
#[test]
fn an_advertisement_leaves_from_the_virtual_mac_address_and_is_otherwise_the_same() {
    let pair = Pair::new();
    for (family, group) in GROUPS {
        let sender = open(&pair.left, "eth0", family);
        let mut receiver = open(&pair.right, "eth0", family);
        let mut tap = tap(&pair.right);
        let packet = packet(source(family, 1), &ADVERTISEMENT);
        sender.send(&packet).unwrap();
        let mut usual = await_advertisement(&mut tap);
        sender.send_from_mac(VIRTUAL_MAC, &packet).unwrap();
        let mut ours = await_advertisement(&mut tap);
        assert_eq!(ours[6..12], VIRTUAL_MAC.octets());
        for frame in [&mut usual, &mut ours] {
            frame[6..12].fill(0);
            if family == AddressFamily::Ipv4 {
                // Identification, and the checksum that covers it.
                frame[18..20].fill(0);
                frame[24..26].fill(0);
            } else {
                // The flow label.
                frame[15] &= 0xf0;
                frame[16..18].fill(0);
            }
        }
        assert_eq!(ours, usual, "{family}");
        // The kernel believes the header's checksum.
        for _ in 0..2 {
            let (datagram, payload) = receive(&mut receiver);
            assert_eq!((datagram.source, datagram.destination), (source(family, 1), group));
            assert_eq!((datagram.hop_limit, &payload[..]), (255, &ADVERTISEMENT[..]));
        }
        // A copy for this host would be queued by now.
        assert_eq!(sender.recv(&mut [0; MAX_DATAGRAM]).unwrap(), None, "{family}");
    }
}

/// At promotion the address is not up yet, and never is an address of the parent.
#[test]
fn an_advertisement_from_the_virtual_mac_address_needs_no_address_and_names_what_is_wrong() {
    let pair = Pair::new();
    let sender = open(&pair.left, "eth0", AddressFamily::Ipv4);
    let mut receiver = open(&pair.right, "eth0", AddressFamily::Ipv4);
    pair.left.ip("address flush dev eth0");
    let packet = packet(address("192.0.2.1"), &ADVERTISEMENT);
    sender.send_from_mac(VIRTUAL_MAC, &packet).unwrap();
    assert_eq!(receive(&mut receiver).1, ADVERTISEMENT);
    let long = [0x31; 1600];
    let error = sender.send_from_mac(VIRTUAL_MAC, &Packet { payload: &long, ..packet });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("EMSGSIZE (the packet exceeds the interface's MTU)"), "{error}");
    let mixed = Packet { destination: address("ff02::12"), ..packet };
    assert!(sender.send_from_mac(VIRTUAL_MAC, &mixed).is_err());
    pair.left.ip("link set eth0 down");
    let error = sender.send_from_mac(VIRTUAL_MAC, &packet).unwrap_err().to_string();
    assert!(error.contains("the interface is down"), "{error}");
}
