//! What the wire sees when an address is announced, and what neighbours make of it.

use std::io::Read;
use std::net::IpAddr;

use holdfast_net::{
    Announcer, Network, Watched, gratuitous_arp, unsolicited_neighbour_advertisement,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::lab::{LEFT_MAC, Namespace, Pair, await_some, await_true};
use crate::network::{add, items};

/// `ETH_P_ALL` of linux/if_ether.h.
const ALL_PROTOCOLS: u16 = 3;
const VIP4: &str = "192.0.2.10";
const VIP6: &str = "2001:db8::10";

/// A socket that receives every frame of the namespace.
fn tap(namespace: &Namespace) -> Socket {
    namespace.enter(|| {
        let protocol = Protocol::from(i32::from(ALL_PROTOCOLS.to_be()));
        Socket::new(Domain::PACKET, Type::RAW.nonblocking(), Some(protocol)).unwrap()
    })
}

/// Waits for a frame that is `expected` to the byte; others may be on the wire too.
fn await_frame(tap: &mut Socket, expected: &[u8]) {
    await_some(tap, |tap| {
        let mut buffer = [0; 2048];
        loop {
            match tap.read(&mut buffer) {
                Ok(length) if buffer[..length] == *expected => return Some(()),
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return None,
                Err(error) => panic!("{error}"),
            }
        }
    });
}

fn announcer(namespace: &Namespace) -> Announcer {
    let interface = namespace.interface("eth0");
    namespace.enter(|| Announcer::open(&interface).unwrap())
}

#[test]
fn both_families_are_announced_with_exact_bytes() {
    let pair = Pair::new();
    let mut tap = tap(&pair.right);
    let announcer = announcer(&pair.left);
    announcer.announce(LEFT_MAC, VIP4.parse().unwrap()).unwrap();
    await_frame(&mut tap, &gratuitous_arp(LEFT_MAC, VIP4.parse().unwrap()));
    for address in [VIP6, "fe80::10"] {
        let expected = unsolicited_neighbour_advertisement(LEFT_MAC, address.parse().unwrap());
        announcer.announce(LEFT_MAC, address.parse().unwrap()).unwrap();
        await_frame(&mut tap, &expected);
    }
}

/// RFC 9568 §6.4.1: it is what makes the hosts of the link send to the new Active.
#[test]
fn a_neighbour_that_knew_another_mac_learns_the_announced_one() {
    let pair = Pair::new();
    pair.right.sysctl("ipv4/neigh/eth0/locktime", "0");
    let eth0 = pair.left.interface("eth0");
    let vips: Vec<_> =
        [VIP4, VIP6].iter().map(|vip| format!("{vip}/32").parse().unwrap()).collect();
    let mut network = pair.left.enter(|| Network::open(Watched::default()).unwrap());
    assert!(add(&mut network, &items(&eth0, &vips)).iter().all(Result::is_ok));
    let announcer = announcer(&pair.left);
    for vip in [VIP4, VIP6] {
        pair.right.ip(&format!("neigh replace {vip} lladdr 02:00:00:00:00:99 dev eth0 nud stale"));
        announcer.announce(LEFT_MAC, vip.parse::<IpAddr>().unwrap()).unwrap();
        await_true("the neighbour learns the MAC", || {
            pair.right.ip(&format!("neigh show {vip} dev eth0")).contains("02:00:00:00:00:01")
        });
    }
}

#[test]
fn an_interface_that_is_down_or_gone_is_named() {
    let pair = Pair::new();
    let announcer = announcer(&pair.left);
    pair.left.ip("link set eth0 down");
    let error = announcer.announce(LEFT_MAC, VIP4.parse().unwrap()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "announce 192.0.2.10 on eth0: ENETDOWN (the interface is down: set it up)"
    );
    pair.left.ip("link delete eth0");
    let error = announcer.announce(LEFT_MAC, VIP4.parse().unwrap()).unwrap_err();
    assert!(error.answer().is_interface_gone(), "{error}");
}
