//! Macvlans for virtual MAC addresses.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use holdfast_net::{Interface, MacAddress, Macvlan, Macvlans, Packet};
use nix::errno::Errno;
use vrrp::AddressFamily;

use crate::lab::{Namespace, Pair, await_true};
use crate::vrrp::{ADVERTISEMENT, open as open_socket, packet, receive, source};

const VIRTUAL_MAC: MacAddress = MacAddress::new([0, 0, 0x5e, 0, 1, 10]);

fn open(namespace: &Namespace) -> (Macvlans, Interface) {
    (namespace.enter(|| Macvlans::open().unwrap()), namespace.interface("eth0"))
}

#[test]
fn it_is_made_down_once_and_taken_again_by_the_next_run() {
    let pair = Pair::new();
    let (mut macvlans, eth0) = open(&pair.left);
    // The dot is what keepalived's users know.
    let made = macvlans.create("vrrp4.10", &eth0, VIRTUAL_MAC).unwrap();
    let expected = Macvlan {
        interface: pair.left.interface("vrrp4.10"),
        parent: Some(eth0.index),
        mac: VIRTUAL_MAC,
        up: false,
    };
    assert_eq!(made, expected);
    assert_eq!(macvlans.create("vrrp4.10", &eth0, VIRTUAL_MAC).unwrap(), expected);
    macvlans.set_up(&made.interface, true).unwrap();
    let (mut next_run, _) = open(&pair.left);
    assert_eq!(next_run.list().unwrap(), [Macvlan { up: true, ..expected.clone() }]);
    next_run.set_up(&made.interface, false).unwrap();
    assert_eq!(next_run.list().unwrap(), [expected]);
    next_run.delete(&made.interface).unwrap();
    next_run.delete(&made.interface).unwrap();
    assert_eq!(next_run.list().unwrap(), []);
}

#[test]
fn an_interface_of_somebody_else_is_neither_listed_nor_taken() {
    let pair = Pair::new();
    let (mut macvlans, eth0) = open(&pair.left);
    for kind in ["bridge", "macvlan"] {
        let below = if kind == "macvlan" { "link eth0" } else { "" };
        pair.left
            .ip(&format!("link add {below} name theirs address 00:00:5e:00:01:0a type {kind}"));
        assert_eq!(macvlans.list().unwrap(), []);
        let error = macvlans.create("theirs", &eth0, VIRTUAL_MAC).unwrap_err();
        assert_eq!(error.answer().errno(), Errno::EEXIST, "{kind}");
        assert!(error.to_string().contains("another interface has this name"), "{error}");
        pair.left.ip("link delete theirs");
    }
    // One of ours that is of another virtual router: whoever asks has to delete it first.
    let other = MacAddress::new([0, 0, 0x5e, 0, 1, 11]);
    macvlans.create("vrrp", &eth0, other).unwrap();
    assert!(macvlans.create("vrrp", &eth0, VIRTUAL_MAC).is_err());
}

#[test]
fn a_bridge_can_have_one_and_its_ports_and_the_loopback_can_not() {
    let pair = Pair::new();
    let (mut macvlans, _) = open(&pair.left);
    pair.left.ip("link add name br0 type bridge");
    pair.left.ip("link set eth0 master br0");
    let bridge = pair.left.interface("br0");
    let made = macvlans.create("vrrp", &bridge, VIRTUAL_MAC).unwrap();
    assert_eq!(made.parent, Some(bridge.index));
    for (parent, why) in [("eth0", "is a port of a bridge or a bond"), ("lo", "only Ethernet")] {
        let error = macvlans.create("none", &pair.left.interface(parent), VIRTUAL_MAC).unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

/// The kernel takes a macvlan along with its parent; that goes down without it, and it has no carrier then.
#[test]
fn it_goes_with_its_parent() {
    let pair = Pair::new();
    let (mut macvlans, eth0) = open(&pair.left);
    let made = macvlans.create("vrrp", &eth0, VIRTUAL_MAC).unwrap();
    macvlans.set_up(&made.interface, true).unwrap();
    pair.left.ip("link set eth0 down");
    assert_eq!(macvlans.list().unwrap(), [Macvlan { up: true, ..made.clone() }]);
    pair.left.ip("link delete eth0");
    assert_eq!(macvlans.list().unwrap(), []);
    macvlans.delete(&made.interface).unwrap();
    let error = macvlans.set_up(&made.interface, true).unwrap_err();
    assert!(error.answer().is_interface_gone(), "{error}");
    let error = macvlans.create("vrrp", &eth0, VIRTUAL_MAC).unwrap_err();
    assert!(error.answer().is_interface_gone(), "{error}");
}

/// The reason for bridge mode: a private macvlan would take what another Active sends from the same address, and the parent would
/// not hear it. Two Actives would stay Active.
#[test]
fn the_parent_of_one_that_is_up_hears_another_active_with_the_same_address() {
    let pair = Pair::new();
    let (mut macvlans, eth0) = open(&pair.left);
    let made = macvlans.create("vrrp", &eth0, VIRTUAL_MAC).unwrap();
    macvlans.set_up(&made.interface, true).unwrap();
    for family in [AddressFamily::Ipv4, AddressFamily::Ipv6] {
        let mut receiver = open_socket(&pair.left, "eth0", family);
        let sender = open_socket(&pair.right, "eth0", family);
        let packet: Packet<'_> = packet(source(family, 2), &ADVERTISEMENT);
        sender.send_from_mac(VIRTUAL_MAC, &packet).unwrap();
        let (datagram, payload) = receive(&mut receiver);
        assert_eq!((datagram.source, &payload[..]), (source(family, 2), &ADVERTISEMENT[..]));
    }
}

/// RFC 9568 §6.4.2: a Backup "MUST discard packets with a destination link-layer MAC address equal to the Virtual Router MAC
/// address", and §6.4.3: the Active "MUST forward" them.
#[test]
fn frames_to_its_address_are_taken_and_forwarded_while_it_is_up_and_dropped_while_it_is_down() {
    let pair = Pair::new();
    let far = Namespace::new();
    pair.left.cable("eth1", &far);
    pair.left.ip("address add 203.0.113.1/24 dev eth1");
    pair.left.ip("address add 2001:db8:1::1/64 dev eth1 nodad");
    far.ip("address add 203.0.113.2/24 dev eth1");
    far.ip("address add 2001:db8:1::2/64 dev eth1 nodad");
    far.ip("route add default via 203.0.113.1");
    far.ip("route add default via 2001:db8:1::1");
    pair.right.ip("route add default via 192.0.2.1");
    pair.right.ip("route add default via 2001:db8::1");
    for family in ["ipv4", "ipv6"] {
        pair.left.sysctl(&format!("{family}/conf/all/forwarding"), "1");
    }
    let (mut macvlans, eth0) = open(&pair.left);
    let made = macvlans.create("vrrp", &eth0, VIRTUAL_MAC).unwrap();
    pair.left.ip("address add 192.0.2.10/32 dev vrrp");
    // The loose filter of the daemon: the way back to the client leads by the interface below.
    pair.left.sysctl("ipv4/conf/vrrp/rp_filter", "2");
    for own in ["192.0.2.1", "2001:db8::1"] {
        pair.right.ip(&format!("neigh replace {own} lladdr {VIRTUAL_MAC} dev eth0 nud permanent"));
    }
    // What the client tells of itself would come to the virtual address, where nobody has asked.
    for client in ["192.0.2.2", "2001:db8::2"] {
        pair.left
            .ip(&format!("neigh replace {client} lladdr 02:00:00:00:00:02 dev eth0 nud permanent"));
    }
    let answers = |to: &str| {
        let at = SocketAddr::new(to.parse().unwrap(), 9);
        let patience = Duration::from_millis(300);
        let error = pair.right.enter(|| TcpStream::connect_timeout(&at, patience)).unwrap_err();
        error.kind() == ErrorKind::ConnectionRefused
    };
    for up in [false, true, false] {
        macvlans.set_up(&made.interface, up).unwrap();
        for to in ["192.0.2.1", "2001:db8::1", "203.0.113.2", "2001:db8:1::2"] {
            if up {
                await_true(to, || answers(to));
            } else {
                assert!(!answers(to), "{to}");
            }
        }
    }
}
