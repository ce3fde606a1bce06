//! Advertisements between two hosts.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::os::fd::AsFd;

use holdfast_net::{Datagram, MAX_DATAGRAM, Packet, VrrpSocket, now, wait_until};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use vrrp::AddressFamily;

use crate::lab::{Namespace, Pair, await_some, await_true, without_capabilities};

/// RFC 9568: VRID 10, priority 100, one second, 192.0.2.1, message-only checksum.
pub(crate) const ADVERTISEMENT: [u8; 12] = [0x31, 10, 100, 1, 0, 100, 0xa8, 0x8e, 192, 0, 2, 1];
pub(crate) const GROUPS: [(AddressFamily, IpAddr); 2] = [
    (AddressFamily::Ipv4, IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18))),
    (AddressFamily::Ipv6, IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12))),
];

pub(crate) fn open(namespace: &Namespace, name: &str, family: AddressFamily) -> VrrpSocket {
    let interface = namespace.interface(name);
    namespace.enter(|| VrrpSocket::open(&interface, family).unwrap())
}

pub(crate) fn source(family: AddressFamily, host: u8) -> IpAddr {
    match family {
        AddressFamily::Ipv4 => IpAddr::V4(Ipv4Addr::new(192, 0, 2, host)),
        AddressFamily::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host.into())),
    }
}

/// To VRRP's group of the source's family.
pub(crate) const fn packet(source: IpAddr, payload: &[u8]) -> Packet<'_> {
    let [(_, ipv4), (_, ipv6)] = GROUPS;
    let destination = if source.is_ipv4() { ipv4 } else { ipv6 };
    Packet { source, destination, hop_limit: 255, payload }
}

/// The next datagram and its payload.
pub(crate) fn receive(socket: &mut VrrpSocket) -> (Datagram, Vec<u8>) {
    let mut buffer = [0; MAX_DATAGRAM];
    let datagram = await_some(socket, |socket| socket.recv(&mut buffer).unwrap());
    let payload = buffer[datagram.payload.clone()].to_vec();
    (datagram, payload)
}

/// A raw socket of protocol 112 with nothing of ours, that sends to VRRP's group on eth0.
fn foreign_socket(namespace: &Namespace, family: AddressFamily) -> (Socket, SocketAddr) {
    let index = namespace.interface("eth0").index.value();
    namespace.enter(|| {
        let protocol = Some(Protocol::from(112));
        match family {
            AddressFamily::Ipv4 => {
                let socket = Socket::new(Domain::IPV4, Type::RAW, protocol).unwrap();
                socket.bind_device(Some(b"eth0")).unwrap();
                (socket, SocketAddr::from(([224, 0, 0, 18], 0)))
            }
            AddressFamily::Ipv6 => {
                let socket = Socket::new(Domain::IPV6, Type::RAW, protocol).unwrap();
                socket.set_multicast_if_v6(index).unwrap();
                let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
                (socket, SocketAddrV6::new(group, 0, 0, index).into())
            }
        }
    })
}

#[test]
fn an_advertisement_arrives_with_its_source_group_hop_limit_and_payload() {
    let pair = Pair::new();
    for (family, group) in GROUPS {
        let sender = open(&pair.left, "eth0", family);
        let mut receiver = open(&pair.right, "eth0", family);
        let sent_at = now();
        sender.send(&packet(source(family, 1), &ADVERTISEMENT)).unwrap();
        let (datagram, payload) = receive(&mut receiver);
        assert_eq!(datagram.source, source(family, 1), "{family}");
        assert_eq!(datagram.destination, group, "{family}");
        assert_eq!(datagram.hop_limit, 255, "{family}");
        assert_eq!(payload, ADVERTISEMENT, "{family}");
        assert!((sent_at..=now()).contains(&datagram.received_at), "{family}");
        assert_eq!(receiver.recv(&mut [0; MAX_DATAGRAM]).unwrap(), None, "{family}");
        assert_eq!(receiver.dropped(), 0);
    }
}

/// The kernel turns its stamps on by a work queue when the first socket of the host asks for them. Until that has run, which on a busy
/// host takes its time, a packet's stamp is the moment of its reading, and proves nothing.
#[test]
fn an_advertisement_that_was_read_late_has_the_time_of_its_arrival() {
    let pair = Pair::new();
    for (family, _) in GROUPS {
        let sender = open(&pair.left, "eth0", family);
        let mut receiver = open(&pair.right, "eth0", family);
        await_true("the arrival of a packet is older than its reading", || {
            sender.send(&packet(source(family, 1), &ADVERTISEMENT)).unwrap();
            wait_until(&[receiver.as_fd()], None).unwrap();
            // It has arrived, and is read from now on only.
            let arrived = now();
            let (datagram, _) = receive(&mut receiver);
            datagram.received_at <= arrived
        });
    }
}

/// RFC 9568 §5.1.1.3: a router must discard it, so it must see it.
#[test]
fn a_hop_limit_of_254_is_visible() {
    let pair = Pair::new();
    for (family, _) in GROUPS {
        let mut receiver = open(&pair.right, "eth0", family);
        let (socket, group) = foreign_socket(&pair.left, family);
        match family {
            AddressFamily::Ipv4 => socket.set_multicast_ttl_v4(254).unwrap(),
            AddressFamily::Ipv6 => socket.set_multicast_hops_v6(254).unwrap(),
        }
        socket.send_to(&ADVERTISEMENT, &group.into()).unwrap();
        let (datagram, payload) = receive(&mut receiver);
        assert_eq!(datagram.hop_limit, 254, "{family}");
        assert_eq!(payload, ADVERTISEMENT, "{family}");
    }
}

#[test]
fn ip_options_are_no_payload() {
    let pair = Pair::new();
    let mut receiver = open(&pair.right, "eth0", AddressFamily::Ipv4);
    let (socket, group) = foreign_socket(&pair.left, AddressFamily::Ipv4);
    socket.set_header_included_v4(true).unwrap();
    // Header of 24 bytes; length, identification, checksum are the kernel's; TTL 255, protocol 112; router alert (RFC 2113).
    let mut packet = vec![0x46, 0, 0, 0, 0, 0, 0, 0, 255, 112, 0, 0];
    packet.extend([192, 0, 2, 1, 224, 0, 0, 18, 0x94, 4, 0, 0]);
    packet.extend(ADVERTISEMENT);
    socket.send_to(&packet, &group.into()).unwrap();
    let (datagram, payload) = receive(&mut receiver);
    assert_eq!((datagram.hop_limit, datagram.payload), (255, 24..36));
    assert_eq!(payload, ADVERTISEMENT);
}

#[test]
fn a_datagram_longer_than_the_buffer_has_no_payload() {
    let pair = Pair::new();
    for namespace in [&pair.left, &pair.right] {
        namespace.ip("link set eth0 mtu 9000");
    }
    for (family, _) in GROUPS {
        let sender = open(&pair.left, "eth0", family);
        let mut receiver = open(&pair.right, "eth0", family);
        sender.send(&packet(source(family, 1), &[0x31; MAX_DATAGRAM + 1])).unwrap();
        sender.send(&packet(source(family, 1), &ADVERTISEMENT)).unwrap();
        assert_eq!(receive(&mut receiver).1, [], "{family}");
        assert_eq!(receive(&mut receiver).1, ADVERTISEMENT, "{family}");
    }
}

#[test]
fn the_source_is_the_one_that_was_asked_for() {
    let pair = Pair::new();
    pair.left.ip("address add 192.0.2.77/24 dev eth0");
    pair.left.ip("address add fe80::77/64 dev eth0 nodad");
    for (family, _) in GROUPS {
        let sender = open(&pair.left, "eth0", family);
        let mut receiver = open(&pair.right, "eth0", family);
        let other = match family {
            AddressFamily::Ipv4 => "192.0.2.77".parse().unwrap(),
            AddressFamily::Ipv6 => "fe80::77".parse().unwrap(),
        };
        sender.send(&packet(other, &ADVERTISEMENT)).unwrap();
        assert_eq!(receive(&mut receiver).0.source, other);
        let error = sender.send(&packet(source(family, 99), &ADVERTISEMENT)).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&source(family, 99).to_string()), "{text}");
        assert!(text.contains("on eth0: E"), "{text}");
        assert!(text.contains("(the source address is not on the interface"), "{text}");
    }
}

#[test]
fn neither_its_own_nor_another_interfaces_advertisements_are_received() {
    let pair = Pair::new();
    pair.left.cable("eth1", &pair.right);
    pair.left.ip("address add 192.0.2.1/24 dev eth1");
    for (family, _) in GROUPS {
        let mut receiver = open(&pair.right, "eth0", family);
        let sender = open(&pair.left, "eth0", family);
        let beside = open(&pair.left, "eth0", family);
        let other_link = open(&pair.left, "eth1", family);
        let mut other_receiver = open(&pair.right, "eth1", family);
        other_link.send(&packet(source(family, 1), b"the other link")).unwrap();
        assert_eq!(receive(&mut other_receiver).1, b"the other link", "{family}");
        let mut polled = [PollFd::new(receiver.as_fd(), PollFlags::POLLIN)];
        assert_eq!(poll(&mut polled, PollTimeout::ZERO), Ok(0), "{family}: nothing to wake up for");
        sender.send(&packet(source(family, 1), &ADVERTISEMENT)).unwrap();
        assert_eq!(receive(&mut receiver).1, ADVERTISEMENT, "{family}");
        // A copy for this host would have been queued before the one for the other.
        assert_eq!(beside.recv(&mut [0; MAX_DATAGRAM]).unwrap(), None, "{family}");
        assert_eq!(sender.recv(&mut [0; MAX_DATAGRAM]).unwrap(), None, "{family}");
    }
}

#[test]
fn a_group_that_another_socket_joined_is_not_received() {
    let pair = Pair::new();
    let mut receiver = open(&pair.right, "eth0", AddressFamily::Ipv4);
    let index = InterfaceIndexOrAddress::Index(pair.right.interface("eth0").index.value());
    let other = pair.right.enter(|| Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap());
    other.join_multicast_v4_n(&Ipv4Addr::new(224, 0, 0, 99), &index).unwrap();
    let (socket, _) = foreign_socket(&pair.left, AddressFamily::Ipv4);
    socket.send_to(b"another group", &SocketAddr::from(([224, 0, 0, 99], 0)).into()).unwrap();
    open(&pair.left, "eth0", AddressFamily::Ipv4)
        .send(&packet(source(AddressFamily::Ipv4, 1), &ADVERTISEMENT))
        .unwrap();
    assert_eq!(receive(&mut receiver).1, ADVERTISEMENT);
}

#[test]
fn what_a_stalled_reader_lost_is_counted() {
    let pair = Pair::new();
    let family = AddressFamily::Ipv4;
    let sender = open(&pair.left, "eth0", family);
    let mut receiver = open(&pair.right, "eth0", family);
    // Far more than the receive buffer holds. The sender's own queue may be full now and then, which is not the point.
    for _ in 0..40_000 {
        drop(sender.send(&packet(source(family, 1), &[0x31; 1400])));
    }
    let mut buffer = [0; MAX_DATAGRAM];
    while receiver.recv(&mut buffer).unwrap().is_some() {}
    // The count travels with the next packet that is queued.
    sender.send(&packet(source(family, 1), &ADVERTISEMENT)).unwrap();
    while receive(&mut receiver).1 != ADVERTISEMENT {}
    assert!(receiver.dropped() > 0);
}

#[test]
fn a_missing_capability_and_a_missing_interface_are_named() {
    let pair = Pair::new();
    let eth0 = pair.left.interface("eth0");
    for (family, _) in GROUPS {
        let error = pair
            .left
            .enter(|| without_capabilities(|| VrrpSocket::open(&eth0, family).unwrap_err()));
        assert_eq!(
            error.to_string(),
            format!(
                "open a VRRP socket for {family} on eth0: EPERM (needs CAP_NET_RAW: run as root or grant it)"
            )
        );
    }
    let sender = open(&pair.left, "eth0", AddressFamily::Ipv4);
    pair.left.ip("link set eth0 down");
    let error = sender.send(&packet(source(AddressFamily::Ipv4, 1), &ADVERTISEMENT)).unwrap_err();
    assert!(error.to_string().contains("the interface is down"), "{error}");
    pair.left.ip("link delete eth0");
    let error = sender.send(&packet(source(AddressFamily::Ipv4, 1), &ADVERTISEMENT)).unwrap_err();
    assert!(
        error.to_string().contains("send an advertisement from 192.0.2.1 to 224.0.0.18 on eth0: E"),
        "{error}"
    );
    let error = pair.left.enter(|| VrrpSocket::open(&eth0, AddressFamily::Ipv4).unwrap_err());
    assert!(error.answer().is_interface_gone(), "{error}");
}
