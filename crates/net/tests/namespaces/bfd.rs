//! BFD's datagrams between two hosts.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;

use holdfast_net::{BfdDatagram, BfdReceiver, BfdSender, MAX_BFD_DATAGRAM, now, wait_until};
use vrrp::AddressFamily;

use crate::lab::{Namespace, Pair, await_some, await_true};

const PACKET: [u8; 24] =
    [0x20, 0x40, 3, 24, 1, 2, 3, 4, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0];
const FAMILIES: [AddressFamily; 2] = [AddressFamily::Ipv4, AddressFamily::Ipv6];

fn address(family: AddressFamily, host: u8) -> IpAddr {
    match family {
        AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, host]),
        AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, host.into()]),
    }
}

fn receiver(namespace: &Namespace, family: AddressFamily) -> BfdReceiver {
    namespace.enter(|| BfdReceiver::open(family).unwrap())
}

fn sender(namespace: &Namespace, family: AddressFamily, random: u16) -> BfdSender {
    let eth0 = namespace.interface("eth0");
    namespace.enter(|| {
        let (peer, source) = (address(family, 2), Some(address(family, 1)));
        BfdSender::open(peer, source, Some(&eth0), random).unwrap()
    })
}

fn receive(receiver: &mut BfdReceiver) -> (BfdDatagram, Vec<u8>) {
    let mut buffer = [0; MAX_BFD_DATAGRAM];
    let datagram = await_some(receiver, |receiver| receiver.recv(&mut buffer).unwrap());
    let payload = buffer[..datagram.length].to_vec();
    (datagram, payload)
}

#[test]
fn a_packet_arrives_with_its_source_interface_hop_limit_and_time() {
    let pair = Pair::new();
    for family in FAMILIES {
        let mut receiver = receiver(&pair.right, family);
        let sender = sender(&pair.left, family, 0);
        let sent_at = now();
        sender.send(&PACKET).unwrap();
        let (datagram, payload) = receive(&mut receiver);
        assert_eq!(payload, PACKET, "{family}");
        assert_eq!(datagram.source, address(family, 1), "{family}");
        assert_eq!(datagram.hop_limit, Some(255), "RFC 5881 §5, {family}");
        assert_eq!(datagram.interface, pair.right.interface("eth0").index.value(), "{family}");
        assert!((sent_at..=now()).contains(&datagram.received_at), "{family}");
        assert_eq!(receiver.recv(&mut [0; MAX_BFD_DATAGRAM]).unwrap(), None);
    }
}

/// The time is the kernel's, not that of the reading.
#[test]
fn a_packet_that_was_read_late_has_the_time_of_its_arrival() {
    let pair = Pair::new();
    for family in FAMILIES {
        let mut receiver = receiver(&pair.right, family);
        let sender = sender(&pair.left, family, 0);
        // The first ones of a host may have no stamp of their own: see the test of the same name for VRRP.
        await_true("the arrival of a packet is older than its reading", || {
            sender.send(&PACKET).unwrap();
            wait_until(&[receiver.as_fd()], None).unwrap();
            let arrived = now();
            let (datagram, _) = receive(&mut receiver);
            datagram.received_at <= arrived
        });
    }
}

/// RFC 5881 §5: what comes from afar must be discarded, so it must be seen.
#[test]
fn a_hop_limit_of_254_is_visible() {
    let pair = Pair::new();
    for family in FAMILIES {
        let mut receiver = receiver(&pair.right, family);
        let to = match family {
            AddressFamily::Ipv4 => "192.0.2.2:3784",
            AddressFamily::Ipv6 => "[2001:db8::2]:3784",
        };
        pair.left.enter(|| {
            let any = if to.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = socket2::Socket::from(UdpSocket::bind(any).unwrap());
            match family {
                AddressFamily::Ipv4 => socket.set_ttl_v4(254).unwrap(),
                AddressFamily::Ipv6 => socket.set_unicast_hops_v6(254).unwrap(),
            }
            let to: SocketAddr = to.parse().unwrap();
            socket.send_to(&PACKET, &to.into()).unwrap();
        });
        assert_eq!(receive(&mut receiver).0.hop_limit, Some(254), "{family}");
    }
}

/// RFC 5881 §4: the source port is of the dynamic range, and of one session alone.
#[test]
fn each_session_sends_from_a_port_of_its_own() {
    let pair = Pair::new();
    for family in FAMILIES {
        let (one, other) = (sender(&pair.left, family, 65535), sender(&pair.left, family, 65535));
        assert_ne!(one.port(), other.port());
        assert!(one.port() >= 49152 && other.port() >= 49152, "{one:?} {other:?}");
        assert_eq!(one.port(), 65535, "the search begins where it was told to");
    }
}

#[test]
fn an_occupied_port_and_a_missing_source_are_named() {
    let pair = Pair::new();
    for family in FAMILIES {
        let _first = receiver(&pair.left, family);
        let error = pair.left.enter(|| BfdReceiver::open(family).unwrap_err()).to_string();
        assert!(error.contains("EADDRINUSE (another program of this host speaks BFD"), "{error}");
        let eth0 = pair.left.interface("eth0");
        let foreign = Some(address(family, 77));
        let sender = pair
            .left
            .enter(|| BfdSender::open(address(family, 2), foreign, Some(&eth0), 0).unwrap());
        let error = sender.send(&PACKET).unwrap_err().to_string();
        assert!(error.starts_with("send BFD to "), "{error}");
    }
}
